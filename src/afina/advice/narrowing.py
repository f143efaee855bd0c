"""A search that narrows its own space step by step."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from afina.advice.advise import advice
from afina.advice.ranges import Verdict
from afina.errors import check_whole
from afina.search import Algorithm, Done, Situation, Suggestion, Wait, Wrapper
from afina.search.wrappers import check_draws
from afina.space import HyperParameter, Space, Value
from afina.trials import Trial


@dataclass(frozen=True, slots=True)
class NarrowingState:
    """What `Narrowing` remembers."""

    inner: Any
    """The state of the algorithm inside."""

    finished: tuple[Trial, ...] = ()
    """The finished trials, in the order in which they ended."""


@dataclass(frozen=True)
class Narrowing(Wrapper[NarrowingState]):
    """Narrows the space of an algorithm to the advised one after every few trials.

    The advice comes from all finished trials and is for the whole space each time. So a later
    advice may restore what an earlier one cut off. Ranges are never widened: the bounds are the
    user's. In the narrowed space the algorithm is told only of trials that lie in it. An algorithm
    that plans epochs is told of all trials, because it may continue any of them.

    Args:
        inner: The algorithm; required.
        every: The number of finished trials between two advices; required.
        seed: The seed of the advice.

    Raises:
        ArgumentError: `every` is below 1, or `inner` is not an algorithm, or it is `Grid`.
    """

    inner: Algorithm[Any]
    every: int
    seed: int = 0

    def __post_init__(self) -> None:
        check_whole("every", self.every)
        check_draws("narrow", self.inner)

    def own_settings(self) -> Mapping[str, Any]:
        """How often the space is narrowed."""
        return {"narrow_every": self.every}

    def inner_state(self, state: NarrowingState) -> Any:
        """See `Wrapper`."""
        return state.inner

    @property
    def order_independent(self) -> bool:
        """False: the space depends on the results."""
        return False

    def init(self) -> NarrowingState:
        """Nothing tried."""
        return NarrowingState(self.inner.init())

    def tell(self, state: NarrowingState, trial: Trial, space: Space) -> NarrowingState:
        """Tells the algorithm inside, and keeps the trial for the advice."""
        inner = self.inner.tell(state.inner, trial, space)
        return NarrowingState(inner, (*state.finished, trial))

    def ask(self, state: NarrowingState, situation: Situation) -> Suggestion | Wait | Done:
        """What the algorithm inside proposes in the narrowed space."""
        known = state.finished[: len(state.finished) // self.every * self.every]
        space = situation.space
        narrowed = _narrowed(_Trials(known), space, self.seed) if known else space
        if narrowed is space:
            return self.inner.ask(state.inner, situation)
        inner = state.inner
        if not any(trial.schedule for trial in state.finished):
            inner = self.inner.init()
            for trial in state.finished:
                if lies_in(trial, narrowed):
                    inner = self.inner.tell(inner, trial, narrowed)
        answer = self.inner.ask(inner, replace(situation, space=narrowed))
        if isinstance(answer, Done):  # the narrowed space is exhausted: go on in the whole one
            answer = self.inner.ask(state.inner, situation)
        if not isinstance(answer, Suggestion):
            return answer
        return replace(answer, values=_complete(answer.values, space))


@functools.lru_cache(maxsize=8)
def _narrowed(trials: _Trials, space: Space, seed: int) -> Space:
    """A memo of a pure function, so no answer depends on it."""
    # What leads the search is the score, of several objectives their sum: it narrows, too.
    scored = [replace(trial, losses=()) for trial in trials.trials]
    found = advice(scored, space, seed=seed)
    narrower = {
        id(each.before): each.after
        for each in found.ranges
        if each.verdict in (Verdict.NARROW, Verdict.DROP, Verdict.FREEZE)
    }
    if not narrower:
        return space
    entries = tuple(narrower.get(id(entry), entry) for entry in space)
    return replace(space, entries=entries)


class _Trials:
    """Trials as a key: compared by their numbers, values and losses."""

    def __init__(self, trials: tuple[Trial, ...]) -> None:
        self.trials = trials
        self._key = tuple((t.number, tuple(t.values.items()), t.loss) for t in trials)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Trials) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def lies_in(trial: Trial, space: Space) -> bool:
    """Whether all active values of a trial are in their ranges.

    Args:
        trial: The trial.
        space: The space.
    """
    return all(
        entry.contains(trial.values[entry.name])
        for entry in space.active(trial.values)
        if entry.name in trial.values
    )


def _complete(values: Mapping[str, Value], space: Space) -> dict[str, Value]:
    def default(entry: HyperParameter) -> Value:
        return entry.default

    return space.complete(values, default)
