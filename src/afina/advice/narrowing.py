"""A search that narrows its space by itself, stage by stage."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from afina.advice.advise import advice
from afina.advice.ranges import Verdict
from afina.errors import ArgumentError, check_whole
from afina.search import Algorithm, Done, Grid, Judge, Situation, Suggestion, Wait
from afina.space import HyperParameter, Space, Value
from afina.trials import Decision, Trial


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered beside the state of the algorithm behind."""

    inner: Any
    told: tuple[Trial, ...] = ()


@dataclass(frozen=True)
class Narrowing:
    """An algorithm whose space is narrowed to the advised one after each stage.

    The advice of a stage is that of all trials before it, and it is given on the whole space each
    time: what one stage cut off, a later one may give back. Ranges are never widened: the bounds
    are the user's. An algorithm of trials without a plan of epochs sees those that lie in the
    narrowed space only; one with a plan keeps all of them, as they go on in it.

    Args:
        inner: The algorithm.
        every: Finished trials of a stage.
        seed: Of the advice.

    Raises:
        ArgumentError: `every` is below 1, or the algorithm is `Grid`.
    """

    inner: Algorithm[Any]
    every: int
    seed: int = 0

    def __post_init__(self) -> None:
        check_whole("every", self.every)
        if isinstance(self.inner, Grid):
            raise ArgumentError("narrow: must go with an algorithm that draws, but got Grid.")

    @property
    def name(self) -> str:
        """That of the algorithm behind."""
        return self.inner.name

    @property
    def fixed_settings(self) -> frozenset[str]:
        """Those of the algorithm behind, and the length of a stage."""
        return self.inner.fixed_settings | {"narrow_every"}

    @property
    def order_free(self) -> bool:
        """Never: the space hangs on the results."""
        return False

    def settings(self) -> Mapping[str, Any]:
        """Those of the algorithm behind, and the length of a stage."""
        return {**self.inner.settings(), "narrow_every": self.every}

    def init(self) -> State:
        """Nothing tried."""
        return State(self.inner.init())

    def tell(self, state: State, trial: Trial, space: Space) -> State:
        """Tells the algorithm behind."""
        return State(self.inner.tell(state.inner, trial, space), (*state.told, trial))

    def ask(self, state: State, situation: Situation) -> Suggestion | Wait | Done:
        """What the algorithm behind proposes in the space of this stage."""
        known = state.told[: len(state.told) // self.every * self.every]
        space = situation.space
        narrowed = _narrowed(_Trials(known), space, self.seed) if known else space
        if narrowed is space:
            return self.inner.ask(state.inner, situation)
        inner = state.inner
        if not any(trial.schedule for trial in state.told):
            inner = self.inner.init()
            for trial in state.told:
                if _lies_in(trial, narrowed):
                    inner = self.inner.tell(inner, trial, narrowed)
        answer = self.inner.ask(inner, replace(situation, space=narrowed))
        if isinstance(answer, Done):  # the narrowed space is used up: the rest of the whole one
            answer = self.inner.ask(state.inner, situation)
        if not isinstance(answer, Suggestion):
            return answer
        return replace(answer, values=_complete(answer.values, space))

    def judge(self, state: State, trial: Trial, curve: tuple[float, ...]) -> Decision:
        """As the algorithm behind; without one that judges, trainings go on."""
        if isinstance(self.inner, Judge):
            return self.inner.judge(state.inner, trial, curve)
        return Decision.CONTINUE


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
    return Space(tuple(narrower.get(id(entry), entry) for entry in space))


class _Trials:
    """Trials that are equal to others by their numbers, values and losses."""

    def __init__(self, trials: tuple[Trial, ...]) -> None:
        self.trials = trials
        self._key = tuple((t.number, tuple(t.values.items()), t.loss) for t in trials)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Trials) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def _lies_in(trial: Trial, space: Space) -> bool:
    return all(
        entry.contains(trial.values[entry.name])
        for entry in space.active(trial.values)
        if entry.name in trial.values
    )


def _complete(values: Mapping[str, Value], space: Space) -> dict[str, Value]:
    def default(entry: HyperParameter) -> Value:
        return entry.default

    return space.complete(values, default)
