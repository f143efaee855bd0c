"""The door between `Ledger` and `Oracle.populate_space`, which users override."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from afina.errors import FatalRuntimeError, wrong
from afina.search import Algorithm, Done, Judge, Random, Situation, Suggestion, Wait
from afina.study import Ledger
from afina.trials import Decision
from afina.trials import Trial as StoredTrial
from afina.tuners.overrides import is_overridden
from afina.tuners.reserved_keys import split_schedule
from afina.tuners.trial import TrialStatus


class PopulatedByOracle:
    """An algorithm whose proposals pass through `Oracle.populate_space`, which users override."""

    def __init__(self, oracle: Any, inner: Algorithm[Any] | None) -> None:
        self.oracle = oracle
        self.inner = inner
        self.name = inner.name if inner else type(oracle).__name__
        self.fixed_settings = inner.fixed_settings if inner else frozenset()
        chooses_itself = is_overridden(oracle, "populate_space")
        self.order_free = inner is not None and inner.order_free and not chooses_itself

    def settings(self) -> Mapping[str, Any]:
        """Those of the algorithm behind, none for an oracle that chooses by itself."""
        return self.inner.settings() if self.inner else {}

    def init(self) -> Any:
        """The state of the algorithm behind."""
        return self.inner.init() if self.inner else None

    def tell(self, state: Any, trial: StoredTrial, space: Any) -> Any:
        """Passes on to the algorithm behind."""
        return self.inner.tell(state, trial, space) if self.inner else None

    def judge(self, state: Any, trial: StoredTrial, curve: tuple[float, ...]) -> Decision:
        """Passes on to the algorithm behind; without one that judges, trainings go on."""
        inner = self.inner
        return inner.judge(state, trial, curve) if isinstance(inner, Judge) else Decision.CONTINUE

    def ask(self, state: Any, situation: Situation) -> Suggestion | Wait | Done:
        """Asks the oracle and reads its dict."""
        del state  # the oracle reads it from the study
        answer = self.oracle.populate_space(self.oracle.id_of(situation.number))
        status = answer.get("status") if isinstance(answer, Mapping) else None
        if status == TrialStatus.IDLE:
            return Wait()
        if status == TrialStatus.STOPPED:
            return Done(self.oracle.stop_reason)
        if status != TrialStatus.RUNNING:
            raise FatalRuntimeError(
                wrong(
                    f"{type(self.oracle).__name__}.populate_space",
                    'must return {"status": "RUNNING" | "IDLE" | "STOPPED", "values": {...}}',
                    answer,
                )
            )
        values, schedule = split_schedule(answer.get("values") or {})
        rng = np.random.default_rng([self.oracle.study.seed, situation.number])
        draw = situation.space.complete(values, lambda e: e.prob_to_value(float(rng.random())))
        return Suggestion(values={**draw, **values}, schedule=schedule)


def random_values(study: Ledger) -> dict[str, Any] | None:
    """Random values that were not tried before; None if there are none."""
    sampler, situation = Random(seed=study.seed), study.situation()
    state = sampler.init()
    for trial in study.trials.values():
        state = sampler.tell(state, trial, situation.space)
    answer = sampler.ask(state, situation)
    return dict(answer.values) if isinstance(answer, Suggestion) else None
