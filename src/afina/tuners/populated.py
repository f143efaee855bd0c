"""The door between `Ledger` and `Oracle.populate_space`, which users override."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from afina.errors import FatalRuntimeError, wrong
from afina.search import Algorithm, Done, Situation, Suggestion, Wait, Wrapper
from afina.search.untried import NOTHING_TRIED, Tried, first_new, key_of, keys_of
from afina.space import Value
from afina.study import Ledger
from afina.trials import Trial as StoredTrial
from afina.tuners.overrides import is_overridden
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
        chooses_itself = is_overridden(self.oracle, "populate_space")
        return self.inner.order_independent and not chooses_itself

    def ask(self, state: Any, situation: Situation) -> Suggestion | Wait | Done:
        """Asks the oracle and reads its dict."""
        del state  # the oracle reads it from the study
        with self.oracle.draws.asking():
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
        values, schedule = split_schedule(answer.get("values") or {}, self.oracle.number_of)
        rng = np.random.default_rng([self.oracle.study.seed, situation.number])
        draw = situation.space.complete(values, lambda e: e.prob_to_value(float(rng.random())))
        return Suggestion(values={**draw, **values}, schedule=schedule)


class Draws:
    """Random values for oracles that choose by themselves: each draw is another one.

    A draw follows from the search's seed, the number of the trial that is chosen, and how many
    draws came before it within the choice; so a search that is resumed draws the same.

    Args:
        study: The search; values that its trials have are not drawn again.
    """

    def __init__(self, study: Ledger) -> None:
        self.study = study
        self._tried, self._told = NOTHING_TRIED, 0
        self._drawn: Tried = NOTHING_TRIED  # since the choice began
        self._count = 0
        self._asking = False
        self._number = -1

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Within, a trial is chosen: the draws count from the first one."""
        self._drawn, self._count, self._asking, self._number = NOTHING_TRIED, 0, True, -1
        try:
            yield
        finally:
            self._asking, self._number = False, -1

    def draw(self) -> dict[str, Value] | None:
        """Values that no trial has, nor another draw of this choice as long as there are others.

        Returns:
            None where trials have all values that there are.
        """
        situation = self.study.situation()
        self._learn(situation)
        # The first draw of a choice is the one that random search would make.
        place = [self._count] if self._count else []
        rng = np.random.default_rng(
            [self.study.seed, situation.number, *(place if self._asking else [self._count, 1])]
        )
        self._count += 1
        unlike = Tried((*self._tried.parts, *self._drawn.parts))
        values = first_new(situation, unlike, (), rng)
        if values is None:
            values = first_new(situation, self._tried, (), rng)
        if values is not None:
            self._drawn = self._drawn.add([key_of(values, situation.space)])
        return values

    def _learn(self, situation: Situation) -> None:
        if situation.number != self._number and not self._asking:
            self._drawn, self._count = NOTHING_TRIED, 0
        self._number = situation.number
        ended = self.study.ended
        for number in ended[self._told :]:
            self._tried = self._tried.add(keys_of(self.study.trials[number], situation.space))
        self._told = len(ended)
