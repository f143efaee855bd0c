"""From an oracle to the algorithm that the search asks.

    Oracle.make_algorithm ──▶ Narrowing ──▶ Informed ──▶ PopulatedByOracle ──▶ search
                              (narrow=)     (known)      (asks Oracle.populate_space)

Users override `populate_space`, so every proposal passes through it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from afina.advice import Narrowing
from afina.errors import ArgumentError, FatalRuntimeError, check_whole, wrong
from afina.search import (
    Algorithm,
    BayesianOptimization,
    Done,
    Informed,
    InOrder,
    Planned,
    Random,
    Situation,
    Suggestion,
    Wait,
    Wrapper,
)
from afina.search.untried import NOTHING_TRIED, TriedKeys, first_new, key_of, keys_of
from afina.search.wrappers import innermost
from afina.space import Space, Value
from afina.store import TrialStore
from afina.study import SearchState
from afina.trials import Trial as StoredTrial
from afina.tuners.overrides import is_overridden
from afina.tuners.reserved_keys import split_schedule
from afina.tuners.trial import TrialStatus

LEAST, USUAL = 10, 20
"""Trials of a stage: the fewest that allow advice, and the number without `max_trials`."""


def surrounded(
    algorithm: Algorithm[Any] | None,
    *,
    narrow_every: int | None,
    known: Sequence[StoredTrial],
    space: Space,
    seed: int,
    again: bool = False,
) -> Algorithm[Any] | None:
    """The algorithm with narrowing and with knowledge of an earlier search; None stays None.

    Args:
        algorithm: What an oracle makes.
        narrow_every: Trials after which the space is narrowed; None never.
        known: Trials of the earlier search.
        space: Where the search begins.
        seed: The search's seed.
        again: Whether it goes on after an earlier search. Then a model takes the place of random
            draws.
    """
    if algorithm is None:
        return None
    if again and isinstance(innermost(algorithm), Random):
        algorithm = BayesianOptimization(seed=seed)
    if narrow_every is not None:
        algorithm = Narrowing(algorithm, narrow_every, seed)
    return Informed(algorithm, tuple(known), space) if known else algorithm


def search_in(oracle: Any, store: TrialStore, seed: int) -> SearchState:
    """The search of an oracle, as its store holds it.

    Args:
        oracle: Whose settings the search has.
        store: Where it is kept.
        seed: The search's seed.

    Raises:
        BegunElsewhereError: Another worker has begun the search since the seed was chosen.
    """
    inner = surrounded(
        oracle.make_algorithm(seed),
        narrow_every=oracle.narrow_every,
        known=oracle.known,
        space=oracle.hyperparameters.to_space(),
        seed=seed,
        again=oracle.again,
    )
    return SearchState(
        algorithm=PopulatedByOracle(oracle, inner),
        objective=oracle.objective,
        hp=oracle.hyperparameters,
        store=store,
        seed=seed,
        max_trials=oracle.max_trials,
        max_retries=oracle.max_retries_per_trial,
        max_consecutive_failed=oracle.max_consecutive_failed_trials,
        may_grow=oracle.tune_new_entries,
        budget=oracle.budget,
    )


def stage_length(narrow: Any, oracle: Any) -> int | None:
    """How many trials a stage has before the space is narrowed; None for never.

    Raises:
        ArgumentError: `narrow` is neither None nor "auto" nor a whole number from 10 up, or the
            oracle has no algorithm to narrow.
    """
    if narrow is None:
        return None
    if oracle.make_algorithm(0) is None:
        rule = "must be None with an oracle that chooses by its own populate_space"
        advice = "Only the algorithms of Afina can be narrowed; leave narrow= out."
        raise ArgumentError(wrong("narrow", rule, narrow, advice))
    if narrow == "auto":
        return max(LEAST, oracle.max_trials // 3) if oracle.max_trials else USUAL
    rule = f'must be None, "auto" or a whole number from {LEAST} up'
    advice = "Fewer trials say too little."
    return check_whole("narrow", narrow, least=LEAST, rule=rule, advice=advice)


class NoAlgorithm(Algorithm[None]):
    """Takes the place of an algorithm in an oracle that chooses by itself."""

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
        ahead: int = getattr(oracle, "ahead", 1)
        if ahead > 1 and inner is not None and not inner.order_independent:
            self.inner = InOrder(inner, ahead)
        self._proposed: Suggestion | Wait | Done | None = None

    @property
    def order_independent(self) -> bool:
        """As the algorithm inside; False for an oracle that chooses by itself."""
        chooses_itself = is_overridden(self.oracle, "populate_space")
        return self.inner.order_independent and not chooses_itself

    def planned(self, space: Space) -> Planned | None:
        """As the algorithm inside; None for an oracle that chooses by itself."""
        chooses_itself = is_overridden(self.oracle, "populate_space")
        return None if chooses_itself else self.inner.planned(space)

    @functools.cached_property
    def draws(self) -> RandomDraws:
        """Random values for an oracle that chooses by itself."""
        return RandomDraws(self.oracle.search_state)

    def propose(self) -> Suggestion | Wait | Done:
        """What the algorithm proposes, before `populate_space` has its say."""
        search: SearchState = self.oracle.search_state
        self._proposed = self.inner.ask(search.algorithm_state, search.situation())
        return self._proposed

    def ask(self, state: Any, situation: Situation) -> Suggestion | Wait | Done:
        """Asks the oracle and reads its dict."""
        del state  # `propose` reads it
        # In the turn in which the trial is written: no two workers see the same state of theirs.
        own, self._proposed = is_overridden(self.oracle, "populate_space"), None
        if own:
            self.oracle.take_own_state()
        with self.draws.asking():
            answer = self.oracle.populate_space(self.oracle.id_of(situation.number))
        if own:
            self.oracle.keep_own_state()
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
        rng = np.random.default_rng([self.oracle.search_state.seed, situation.number])
        draw = situation.space.complete(values, lambda e: e.prob_to_value(float(rng.random())))
        made = Suggestion(values={**draw, **values}, schedule=schedule)
        kept = self._proposed
        if isinstance(kept, Suggestion) and dict(kept.values) == made.values:
            made = dataclasses.replace(made, notes=kept.notes)
        return made


class RandomDraws:
    """Random values for oracles that choose by themselves: each draw is another one.

    A draw follows from the search's seed, the number of the trial that is chosen, and how many
    draws came before it within the choice; so a search that is resumed draws the same.

    Args:
        search: The search; values that its trials have are not drawn again.
    """

    def __init__(self, search: SearchState) -> None:
        self.search = search
        self._tried, self._seen = NOTHING_TRIED, 0
        self._drawn: TriedKeys = NOTHING_TRIED  # since the choice began
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
            None if the trials have all values that there are.
        """
        situation = self.search.situation()
        self._learn(situation)
        # The first draw of a choice is the one that random search would make.
        place = [self._count] if self._count else []
        rng = np.random.default_rng(
            [self.search.seed, situation.number, *(place if self._asking else [self._count, 1])]
        )
        self._count += 1
        unlike = TriedKeys((*self._tried.parts, *self._drawn.parts))
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
        ended = self.search.ended
        for number in ended[self._seen :]:
            self._tried = self._tried.add(keys_of(self.search.trials[number], situation.space))
        self._seen = len(ended)


def door_of(search: SearchState) -> PopulatedByOracle:
    """What stands between an oracle's search and its algorithm."""
    door = search.algorithm
    assert isinstance(door, PopulatedByOracle)
    return door
