"""Points that somebody wants to be tried first, in front of any algorithm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from afina.errors import ArgumentError, wrong
from afina.search.base import Algorithm, Done, Judge, Situation, Suggestion, Wait
from afina.search.grid import Grid
from afina.space import HyperParameter, Space, Value
from afina.trials import Decision, Trial


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered beside the state of the algorithm behind."""

    inner: Any

    fresh: int = 0
    """How many configurations have begun anew and finished."""


@dataclass(frozen=True)
class StartFrom:
    """An algorithm whose first fresh configurations are given ones.

    The algorithm behind decides when a fresh configuration is due, and for how many epochs; it is
    told of the given ones as of its own, and learns from them.

    Args:
        inner: The algorithm.
        points: Configurations in the order in which to try them. Hyperparameters that are not
            named stand at their defaults; values out of range move to the nearest one.

    Raises:
        ArgumentError: The algorithm is `Grid`, which tries everything in an order of its own.

    Example:
        >>> from afina.search import Random
        >>> from afina.space import Int
        >>> search = StartFrom(Random(seed=0), [{"units": 7}])
        >>> situation = Situation(number=0, space=Space((Int("units", 1, 9),)))
        >>> search.ask(search.init(), situation).values
        {'units': 7}
    """

    inner: Algorithm[Any]
    points: Sequence[Mapping[str, Value]]

    def __post_init__(self) -> None:
        if isinstance(self.inner, Grid):
            raise ArgumentError(
                "start_from: must go with an algorithm that draws, but got Grid, which tries all "
                "combinations in its own order."
            )
        check_mappings(self.points)

    @property
    def name(self) -> str:
        """That of the algorithm behind."""
        return self.inner.name

    @property
    def fixed_settings(self) -> frozenset[str]:
        """Those of the algorithm behind, and the points: they are tried already."""
        return self.inner.fixed_settings | {"start_from"}

    @property
    def order_free(self) -> bool:
        """As the algorithm behind."""
        return self.inner.order_free

    def settings(self) -> Mapping[str, Any]:
        """Those of the algorithm behind, and the points."""
        return {**self.inner.settings(), "start_from": [dict(point) for point in self.points]}

    def init(self) -> State:
        """Nothing tried."""
        return State(self.inner.init())

    def ask(self, state: State, situation: Situation) -> Suggestion | Wait | Done:
        """What the algorithm behind answers, a given point in place of a fresh configuration."""
        answer = self.inner.ask(state.inner, situation)
        if not isinstance(answer, Suggestion) or not _is_fresh(answer):
            return answer
        turn = state.fresh + sum(_is_fresh(trial) for trial in situation.running)
        if turn >= len(self.points):
            return answer
        return Suggestion(
            values=_placed(self.points[turn], situation.space), schedule=answer.schedule
        )

    def tell(self, state: State, trial: Trial, space: Space) -> State:
        """Tells the algorithm behind."""
        return State(self.inner.tell(state.inner, trial, space), state.fresh + _is_fresh(trial))

    def judge(self, state: State, trial: Trial, curve: tuple[float, ...]) -> Decision:
        """As the algorithm behind; without one that judges, trainings go on."""
        if isinstance(self.inner, Judge):
            return self.inner.judge(state.inner, trial, curve)
        return Decision.CONTINUE


def check_mappings(points: Any) -> None:
    """Refuses what is no list of configurations.

    Raises:
        ArgumentError: It is none.
    """
    listed = isinstance(points, Sequence) and not isinstance(points, str)
    if not listed or any(not isinstance(point, Mapping) for point in points):
        rule = "must be a list of mappings of names to values"
        raise ArgumentError(wrong("start_from", rule, points))


def check_points(points: Sequence[Mapping[str, Any]], space: Space) -> None:
    """Refuses points that are none of the space.

    Raises:
        ArgumentError: A name or a value is not in the space.
    """
    check_mappings(points)
    for place, point in enumerate(points):
        for name, value in point.items():
            known = [entry for entry in space if entry.name == name]
            if not known:
                rule = f"must name hyperparameters of the space ({_names(space)})"
                raise ArgumentError(wrong(f"start_from[{place}]", rule, name))
            if not any(entry.contains(value) for entry in known):
                rule = f"must be a value of {known[0]!r}"
                raise ArgumentError(wrong(f"start_from[{place}][{name!r}]", rule, value))


def _names(space: Space) -> str:
    return ", ".join(dict.fromkeys(entry.name for entry in space))


def _is_fresh(begun: Suggestion | Trial) -> bool:
    return begun.schedule is None or begun.schedule.parent is None


def _placed(point: Mapping[str, Value], space: Space) -> Mapping[str, Value]:
    def choose(index: int, entry: HyperParameter) -> Value:
        del index
        return entry.clip(point[entry.name]) if entry.name in point else entry.default

    return space.walk(choose)
