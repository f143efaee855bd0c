"""The door between `Ledger` and `Oracle.populate_space`, which users override."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from afina.errors import FatalRuntimeError, wrong
from afina.search import Algorithm, Done, Random, Situation, Suggestion, Wait, Wrapper
from afina.study import Ledger
from afina.trials import Trial as StoredTrial
from afina.tuners.reserved_keys import split_schedule
from afina.tuners.trial import TrialStatus


class NoAlgorithm(Algorithm[None]):
    """Stands behind an oracle that chooses by itself."""

    def __init__(self, oracle: Any) -> None:
        self.oracle = oracle

    @property
    def name(self) -> str:
        """The oracle's class."""
        return type(self.oracle).__name__

    def settings(self) -> Mapping[str, Any]:
        """None."""
        return {}

    def init(self) -> None:
        """Nothing is remembered."""

    def tell(self, state: None, trial: StoredTrial, space: Any) -> None:
        """Nothing is remembered."""

    def ask(self, state: None, situation: Situation) -> Suggestion | Wait | Done:
        """There is nothing to ask."""
        raise NotImplementedError(f"{self.name} must override populate_space.")


class PopulatedByOracle(Wrapper[Any]):
    """An algorithm whose proposals pass through `Oracle.populate_space`, which users override."""

    def __init__(self, oracle: Any, inner: Algorithm[Any] | None) -> None:
        self.oracle = oracle
        self.inner = NoAlgorithm(oracle) if inner is None else inner

    @property
    def order_independent(self) -> bool:
        """As the algorithm inside; False for an oracle that chooses by itself."""
        chooses_itself = not type(self.oracle).populate_space.__module__.startswith("afina.")
        return self.inner.order_independent and not chooses_itself

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
