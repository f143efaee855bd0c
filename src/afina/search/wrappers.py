"""Algorithms around another algorithm: they change what it is asked, is told or answers.

    StartFrom(Auto(max_epochs=27), points)    # tries some configurations first
    Informed(TPE(), trials, space)            # knows the trials of an earlier search

A wrapper overrides only what it changes; `Wrapper` passes everything else on. Wrappers can stand
around each other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from afina.errors import ArgumentError, wrong
from afina.search.base import (
    Algorithm,
    Done,
    Planned,
    Situation,
    Suggestion,
    Wait,
    check_algorithm,
)
from afina.search.grid import Grid
from afina.space import HyperParameter, Space, Value
from afina.trials import Decision, Trial
from afina.trials.trial import QUEUED

S = TypeVar("S")


class Wrapper(Algorithm[S]):
    """An algorithm around another one; by default it adds nothing.

    A subclass that keeps a state of its own, beside the state of the algorithm inside, overrides
    `init`, `tell` and `inner_state`.
    """

    inner: Algorithm[Any]
    """The algorithm inside."""

    def own_settings(self) -> Mapping[str, Any]:
        """The settings that the wrapper adds; a resumed project may not change them."""
        return {}

    def inner_state(self, state: S) -> Any:
        """The state of the algorithm inside."""
        return state

    @property
    def name(self) -> str:
        """The name of the algorithm inside: a wrapped search is that search."""
        return self.inner.name

    def settings(self) -> Mapping[str, Any]:
        """The settings of the algorithm inside, and the wrapper's own."""
        return {**self.inner.settings(), **self.own_settings()}

    @property
    def fixed_settings(self) -> frozenset[str]:
        """Those of the algorithm inside, and all of the wrapper's own."""
        return self.inner.fixed_settings | self.own_settings().keys()

    @property
    def order_independent(self) -> bool:
        """As the algorithm inside."""
        return self.inner.order_independent

    def init(self) -> Any:
        """As the algorithm inside."""
        return self.inner.init()

    def ask(self, state: S, situation: Situation) -> Suggestion | Wait | Done:
        """Asks the algorithm inside."""
        return self.inner.ask(self.inner_state(state), situation)

    def tell(self, state: S, trial: Trial, space: Space) -> Any:
        """Tells the algorithm inside."""
        return self.inner.tell(self.inner_state(state), trial, space)

    def stop_early(self, state: S, trial: Trial, curve: tuple[float, ...]) -> Decision:
        """As the algorithm inside decides."""
        return self.inner.stop_early(self.inner_state(state), trial, curve)

    def planned(self, space: Space) -> Planned | None:
        """As the algorithm inside."""
        return self.inner.planned(space)


def innermost(algorithm: Algorithm[Any]) -> Algorithm[Any]:
    """The algorithm inside all wrappers."""
    while isinstance(algorithm, Wrapper):
        algorithm = algorithm.inner
    return algorithm


def innermost_state(algorithm: Algorithm[Any], state: Any) -> Any:
    """The state of the algorithm inside all wrappers."""
    while isinstance(algorithm, Wrapper):
        state, algorithm = algorithm.inner_state(state), algorithm.inner
    return state


def reseeded(algorithm: Any, seed: int) -> Any:
    """The algorithm with another seed, also inside wrappers; the same one if it has no seed."""
    if isinstance(algorithm, Wrapper):
        inside: Any = algorithm
        return dataclasses.replace(inside, inner=reseeded(algorithm.inner, seed))
    if "seed" not in algorithm.settings():
        return algorithm
    return dataclasses.replace(algorithm, seed=seed)


def check_draws(what: str, algorithm: Any) -> None:
    """Refuses what cannot be wrapped by something that changes the order of trials.

    Args:
        what: What is wrapped around it, for the message.
        algorithm: The algorithm inside.

    Raises:
        ArgumentError: It is not an algorithm, or it is `Grid`, which has an order of its own.
    """
    check_algorithm(algorithm)
    if isinstance(innermost(algorithm), Grid):
        raise ArgumentError(
            f"{what}: must go with an algorithm that draws, but got Grid, which tries all "
            "combinations in its own order. Try afina.search.Random()."
        )


@dataclass(frozen=True, slots=True)
class StartFromState:
    """What `StartFrom` remembers."""

    inner: Any
    """The state of the algorithm inside."""

    fresh: int = 0
    """How many trainings have begun from scratch and finished, without those of a queue."""


@dataclass(frozen=True)
class StartFrom(Wrapper[StartFromState]):
    """Tries given configurations first.

    The algorithm inside decides when a training begins from scratch, and for how many epochs.
    The first ones get the given configurations. The algorithm learns from them as from its own.

    Args:
        inner: The algorithm; required.
        points: Configurations in the order in which to try them; required. Hyperparameters that
            are not named stand at their defaults. A value out of range moves to the nearest one.

    Raises:
        ArgumentError: `inner` is not an algorithm; or it is `Grid`, which tries everything in an
            order of its own; or `points` is not a list of mappings.

    Example:
        >>> from afina.search import Random
        >>> from afina.space import Int
        >>> search = StartFrom(Random(), [{"units": 7}])
        >>> situation = Situation(number=0, space=Space((Int("units", 1, 9),)))
        >>> search.ask(search.init(), situation).values
        {'units': 7}
    """

    inner: Algorithm[Any]
    points: Sequence[Mapping[str, Value]]

    def __post_init__(self) -> None:
        check_draws("start_from", self.inner)
        check_mappings(self.points)

    def own_settings(self) -> Mapping[str, Any]:
        """The points."""
        return {"start_from": [dict(point) for point in self.points]}

    def inner_state(self, state: StartFromState) -> Any:
        """See `Wrapper`."""
        return state.inner

    def init(self) -> StartFromState:
        """Nothing tried."""
        return StartFromState(self.inner.init())

    def ask(self, state: StartFromState, situation: Situation) -> Suggestion | Wait | Done:
        """What the algorithm inside answers, a given point in place of a fresh configuration."""
        answer = self.inner.ask(state.inner, situation)
        if not isinstance(answer, Suggestion) or not is_fresh(answer):
            return answer
        turn = state.fresh + sum(map(_is_turn, situation.running))
        if turn >= len(self.points):
            return answer
        return Suggestion(
            values=placed(self.points[turn], situation.space), schedule=answer.schedule
        )

    def tell(self, state: StartFromState, trial: Trial, space: Space) -> StartFromState:
        """Tells the algorithm inside, and counts trainings that began from scratch."""
        inner = self.inner.tell(state.inner, trial, space)
        return StartFromState(inner, state.fresh + _is_turn(trial))


@dataclass(frozen=True)
class Informed(Wrapper[Any]):
    """Knows the trials of an earlier search before its own begin.

    The algorithm inside is told of them as if it had made them. A multi-fidelity search has a plan
    of its own, so the place of an earlier trial in the earlier plan does not count: it is a trial
    of so many epochs, and no training goes on from it.

    Args:
        inner: The algorithm; required.
        trials: Trials of the earlier search, read in the new space (`afina.advice.carry_over`);
            required.
        space: The new space; required.

    Raises:
        ArgumentError: `inner` is not an algorithm.

    Example:
        >>> from afina.search import Random
        >>> from afina.space import Choice
        >>> from afina.trials import Status
        >>> space = Space((Choice("units", [8, 16]),))
        >>> old = Trial(number=0, values={"units": 8}, status=Status.COMPLETED, score=1.0, loss=1.0)
        >>> search = Informed(Random(), (old,), space)
        >>> search.ask(search.init(), Situation(number=0, space=space)).values
        {'units': 16}
    """

    inner: Algorithm[Any]
    trials: tuple[Trial, ...]
    space: Space

    def __post_init__(self) -> None:
        check_algorithm(self.inner)

    def own_settings(self) -> Mapping[str, Any]:
        """How many earlier trials there are."""
        return {"known_trials": len(self.trials)}

    def init(self) -> Any:
        """The state of the algorithm inside, after the earlier trials."""
        state = self.inner.init()
        for trial in self.trials:
            state = self.inner.tell(state, trial, self.space)
        return state


def check_mappings(points: Any, what: str = "start_from") -> None:
    """Checks that `points` is a list of configurations.

    Raises:
        ArgumentError: It is not.
    """
    listed = isinstance(points, Sequence) and not isinstance(points, str)
    if not listed or any(not isinstance(point, Mapping) for point in points):
        rule = "must be a list of mappings of names to values"
        raise ArgumentError(wrong(what, rule, points))


def check_points(
    points: Sequence[Mapping[str, Any]], space: Space, what: str = "start_from"
) -> None:
    """Checks that `points` are configurations of the space.

    Args:
        points: Values by name.
        space: The space as known now.
        what: Who got them, for the message.

    Raises:
        ArgumentError: A name or a value is not in the space.
    """
    check_mappings(points, what)
    for place, point in enumerate(points):
        here = what if what != "start_from" else f"start_from[{place}]"
        for name, value in point.items():
            known = [entry for entry in space if entry.name == name]
            if not known:
                rule = f"must name hyperparameters of the space ({_names(space)})"
                raise ArgumentError(wrong(here, rule, name))
            if not any(entry.contains(value) for entry in known):
                rule = f"must be a value of {known[0]!r}"
                raise ArgumentError(wrong(f"{here}[{name!r}]", rule, value))
        whole = placed(point, space, repair=False)
        broken = [rule.name for rule in space.constraints if not rule.holds(whole)]
        if broken:
            rule = f"must satisfy the {broken[0]}"
            raise ArgumentError(wrong(here, rule, dict(whole)))


def _names(space: Space) -> str:
    return ", ".join(dict.fromkeys(entry.name for entry in space))


def is_fresh(begun: Suggestion | Trial) -> bool:
    """Whether a training begins from scratch."""
    return begun.schedule is None or begun.schedule.parent is None


def _is_turn(trial: Trial) -> bool:
    """Whether a trial has taken the turn of a given configuration: those of a queue do not."""
    return is_fresh(trial) and QUEUED not in trial.notes


def placed(point: Mapping[str, Value], space: Space, *, repair: bool = True) -> Mapping[str, Value]:
    """A given point as a configuration of the space.

    Args:
        point: Hyperparameters that are not named stand at their defaults; values out of range move
            to the nearest one.
        space: The space.
        repair: Whether to change values that break a constraint.
    """

    def choose(index: int, entry: HyperParameter) -> Value:
        del index
        return entry.clip(point[entry.name]) if entry.name in point else entry.default

    values = space.walk(choose)
    return (space.repaired(values) if repair else None) or values
