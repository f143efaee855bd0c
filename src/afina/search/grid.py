"""Grid search over a space that may be conditional and may grow while it is searched.

The grid is a tree. Its root has every entry at its default. A child sets one entry, later than any
that its parent set, to another value; all entries after that stand at their defaults. So every
combination has exactly one parent. Walking the tree depth first, last entry first, counts like an
odometer: the last wheel turns fastest.

A parent's children are made when the parent has finished, because its build shows which entries
they have and in which ranges. Different branches of the tree can run at the same time. The root
alone has children before it has finished: those of the space as known then. They give several
workers something to do from the beginning.

A combination that breaks a constraint is passed over: its children take its place at once.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from afina.errors import ArgumentError, wrong
from afina.search.base import Algorithm, Done, Planned, Situation, Suggestion, Wait
from afina.search.untried import (
    Place,
    all_tried,
    count_tried,
    default_of,
    own_ranges,
    place,
)
from afina.space import HyperParameter, Space, Value
from afina.space.conditions import same_value
from afina.space.parameters import default_first
from afina.trials import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """Children of one trial that differ from it in one entry: its values from `start` to `stop`."""

    base: Mapping[str, Value]
    """Values of the entries before this one, active ones only."""

    name: str
    """The entry's name."""

    values: tuple[Value, ...]
    """The values that the entry takes on the children of the trial."""

    start: int
    """Index of the first value that is still to be tried."""

    stop: int
    """Index after the last one."""

    settled: frozenset[Place]
    """The entries that these configurations and all their descendants keep: this one and those
    before it."""

    def values_at(self, index: int, space: Space) -> dict[str, Value]:
        """The configuration of child `index`: the settled values, and defaults for the rest."""
        settled = {**self.base, self.name: self.values[index]}
        # A trial's own range may hold a value that the space's definition does not.
        return {**space.complete(settled, default_of), **settled}


MOST_VALUES = 1_000_000
"""A grid lists the values of each entry; it refuses entries with more."""

MOST_COUNTED = 100_000
"""The combinations of a larger grid are not counted in advance."""

_ROOT = Branch(base={}, name="", values=(None,), start=0, stop=1, settled=frozenset())


@dataclass(frozen=True, slots=True)
class GridState:
    """What grid search remembers: only what is still to be tried."""

    frontier: tuple[Branch, ...] | None = None
    """Configurations whose parent has finished, in grid order; None before the root has."""

    finished: int = 0
    """How many trials have finished."""

    early: tuple[Trial, ...] = ()
    """Children of the root that have finished before it."""


@dataclass(frozen=True)
class Grid(Algorithm[GridState]):
    """Tries every combination of the space, defaults first, the last entry changing fastest.

    Each entry takes its default first, then its other `values` in order. Numbers without a step
    have ten values. An entry that a trial discovers is varied from that trial on. Earlier trials
    are not repeated for it: their builds did not meet the entry, so its values would not change
    the model.

    Example:
        >>> from afina.space import Boolean, Choice, Space
        >>> grid = Grid()
        >>> space = Space((Choice("units", [8, 16]), Boolean("bias")))
        >>> grid.ask(grid.init(), Situation(number=0, space=space)).values
        {'units': 8, 'bias': False}
    """

    name: ClassVar[str] = "grid"
    order_independent: ClassVar[bool] = True

    def settings(self) -> Mapping[str, Any]:
        """There are none."""
        return {}

    def init(self) -> GridState:
        """Nothing tried."""
        return GridState()

    def ask(self, state: GridState, situation: Situation) -> Suggestion | Wait | Done:
        """Proposes the first combination in grid order that is not running.

        Raises:
            ArgumentError: An entry has more values than a grid can list.
        """
        space = situation.space
        for entry in space:
            if entry.count is not None and entry.count > MOST_VALUES:
                rule = f"a grid needs entries of at most {MOST_VALUES:,} values"
                got = f"{entry.name!r} with {entry.count:,}"
                raise ArgumentError(wrong("grid search", rule, got, "Give it a step."))
        frontier = state.frontier
        if frontier is None and not situation.running and space.allows(space.defaults()):
            return Suggestion(values=space.defaults())
        frontier = _below_root(space) if frontier is None else frontier
        taken: set[tuple[int, int]] = set()
        frontier = _reaching(frontier, (*state.early, *situation.running), space)
        for trial in (*state.early, *situation.running):
            found = _find(frontier, trial, space, taken)
            if found is not None:
                taken.add(found)
        for spot in _pending(frontier):
            if spot not in taken:
                branch, index = spot
                return Suggestion(values=frontier[branch].values_at(index, space))
        if not state.finished and not situation.running:
            return Done(all_tried(space))  # the constraints allow nothing
        return Wait() if situation.running else Done(count_tried(state.finished))

    def planned(self, space: Space) -> Planned | None:
        """One trial for each combination that is known; None if a range has no steps."""
        count = space.size(limit=MOST_COUNTED)
        return None if count is None else Planned(count)

    def tell(self, state: GridState, trial: Trial, space: Space) -> GridState:
        """Replaces the trial by its children, whether it completed or failed."""
        if state.frontier is None and not space.allows(space.defaults()):
            state = replace(state, frontier=_below_root(space))
        if state.frontier is None:
            if trial.number > 0 and _find(_below_root(space), trial, space, set()) is not None:
                return replace(state, early=(*state.early, trial))
            rooted = GridState(tuple(_children(_ROOT, 0, trial, space)), 1)
            return functools.reduce(
                lambda now, child: self.tell(now, child, space), state.early, rooted
            )
        frontier = _reaching(state.frontier, (trial,), space)
        found = _find(frontier, trial, space, set())
        if found is None:  # the trial was not proposed by the grid
            return state
        return GridState(_replaced(frontier, found, trial, space), state.finished + 1)


def _below_root(space: Space) -> tuple[Branch, ...]:
    """The children that the root has in the space as known before it has finished."""
    return tuple(_children(_ROOT, 0, Trial(number=0, values=space.defaults()), space))


def _replaced(
    frontier: tuple[Branch, ...], spot: tuple[int, int], trial: Trial, space: Space
) -> tuple[Branch, ...]:
    """The frontier with the children of a trial in its place."""
    at, index = spot
    branch = frontier[at]
    middle = [
        replace(branch, stop=index),
        *_children(branch, index, trial, space),
        replace(branch, start=index + 1),
    ]
    left = [part for part in middle if part.start < part.stop]
    return (*frontier[:at], *left, *frontier[at + 1 :])


def _reaching(
    frontier: tuple[Branch, ...], trials: Sequence[Trial], space: Space
) -> tuple[Branch, ...]:
    """The frontier with the children of combinations that break a constraint in their place, as far
    as the places of these trials and the first free place after them.

    Without constraints it is the frontier itself.
    """
    if not space.constraints:
        return frontier
    at, index, left = 0, None, list(trials)
    while at < len(frontier):
        branch = frontier[at]
        index = branch.start if index is None else index
        values = branch.values_at(index, space)
        if not space.allows(values):
            passed = Trial(number=0, values=values)
            before = index > branch.start
            frontier, index = _replaced(frontier, (at, index), passed, space), None
            at += before
            continue
        one = (replace(branch, start=index, stop=index + 1),)
        mine = next((t for t in left if _find(one, t, space, set()) is not None), None)
        if mine is None:
            break  # the first free place
        left.remove(mine)
        index += 1
        if index >= branch.stop:
            at, index = at + 1, None
    return frontier


def _pending(frontier: tuple[Branch, ...]) -> Iterator[tuple[int, int]]:
    for at, branch in enumerate(frontier):
        for index in range(branch.start, branch.stop):
            yield at, index


def _children(branch: Branch, index: int, trial: Trial, space: Space) -> Iterator[Branch]:
    """The branches below a finished trial, in the grid's order: last entry first."""
    own = own_ranges(trial)
    planned = space.defaults() if branch is _ROOT else branch.values_at(index, space)
    # The trial's own values count: its build may have folded a default into a narrower range.
    values = {**planned, **{n: v for n, v in trial.values.items() if n in planned}}
    settled = branch.settled
    # Of two active entries with one name the first counts, as everywhere.
    active = {entry.name: entry for entry in reversed(space.active(values))}
    base = {n: values[n] for n, entry in active.items() if place(entry) in settled}
    branches = []
    for entry in space:
        settled = settled | {place(entry)}
        if active.get(entry.name) is not entry:
            continue
        home = values.get(entry.name, entry.default)
        if place(entry) not in branch.settled:
            others = _other_values(own.get(place(entry), entry), home)
            branches.append(
                Branch(
                    base=dict(base),
                    name=entry.name,
                    values=others,
                    start=0,
                    stop=len(others),
                    settled=settled,
                )
            )
        base[entry.name] = home
    return (part for part in reversed(branches) if part.values)


@functools.lru_cache(maxsize=64, typed=True)
def _other_values(entry: HyperParameter, home: Value) -> tuple[Value, ...]:
    values = entry.values
    if entry.contains(entry.default):
        values = default_first(entry.default, values)
    return tuple(value for value in values if not same_value(value, home))


def _find(
    frontier: tuple[Branch, ...], trial: Trial, space: Space, taken: set[tuple[int, int]]
) -> tuple[int, int] | None:
    """The branch and the index that the trial's configuration was proposed from; or None.

    No two pending configurations have the same settled values, so these identify one. A match of
    all values goes first, so that a trial from outside the grid is not taken for another.
    """
    own = own_ranges(trial)
    narrow = {name: entry for (name, _), entry in own.items()}

    def accepts(name: str, wanted: Value) -> bool:
        """Whether the trial has this value, or what its own build folded it into."""
        if name not in trial.values:
            return True
        got = trial.values[name]
        return same_value(got, wanted) or (
            name in narrow and same_value(got, narrow[name].fold(wanted))
        )

    fallback = None
    for at, branch in enumerate(frontier):
        if not all(accepts(name, value) for name, value in branch.base.items()):
            continue
        for index in range(branch.start, branch.stop):
            if (at, index) in taken or not accepts(branch.name, branch.values[index]):
                continue
            planned = branch.values_at(index, space)
            if all(accepts(name, value) for name, value in planned.items()):
                return at, index
            fallback = fallback or (at, index)
    return fallback
