"""The queue: configurations that people ask for, and how they take their places in a search.

    Study.enqueue, tuner.enqueue ──────────────────┐
    the page ──▶ note "requests" ──▶ join_queue ───┴─▶ a waiting trial, written at once
                                                              │
    Algorithm.ask ──▶ a training from scratch ──▶ take_place ─┴─▶ it runs, with that schedule

The rules, whoever asks and whichever algorithm searches:

- The first in the queue takes the values' place in the next training that begins from scratch, and
  keeps the epochs that the algorithm has planned for it. Promotions go first.
- Where the algorithm begins no such training any more, it runs in full, outside of the plan. So it
  does in a grid search, which tries all combinations in its own order, and in a population that is
  complete.
- It counts towards `max_trials`, and all other limits hold. What a limit leaves waits.
- An algorithm does not hear of it before it begins. Then it learns of it as of its own trials.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from afina.errors import ArgumentError
from afina.search import Algorithm, Done, Grid, PopulationBasedTraining, Suggestion, Wait
from afina.search.wrappers import check_mappings, check_points, innermost, is_fresh, placed
from afina.space import Space, Value
from afina.store import TrialStore
from afina.study.known import KnownTrials, is_queued
from afina.study.requests import Requests
from afina.trials import Schedule, Status, Trial
from afina.trials.trial import BEGUN, IN_QUEUE, QUEUED

R = TypeVar("R")

OWN_ORDER = (Grid, PopulationBasedTraining)
"""Algorithms that would lose something of their plan to a trial that takes a place in it."""

NO_BRACKET = -1
"""The bracket of a training in full that belongs to no plan."""


class Queued(Protocol):
    """What the queue needs of a search; see `SearchState`."""

    algorithm: Algorithm[Any]
    store: TrialStore
    defined_by_run: bool
    _lock: Any
    _known: KnownTrials

    @property
    def space(self) -> Space:
        """The space as known now."""

    @property
    def trials(self) -> Mapping[int, Trial]:
        """All trials by number."""

    def begin(self) -> None:
        """Joins the project."""

    def _in_turn(self, step: Callable[[], R]) -> R: ...


def enqueue(self: Queued, values: Mapping[str, Value], *, skip_if_exists: bool = False) -> Trial:
    """Puts a configuration into the queue: the next training from scratch takes its values.

    The queue is kept with the project at once, and all of its workers take from it. The trial
    counts towards `max_trials`, and the algorithm learns from it. A training that the algorithm
    promotes goes first. Grid search and a complete population leave their plans as they are: there
    it is trained in full, beside the plan.

    Args:
        values: By name. Hyperparameters that are not named stand at their defaults.
        skip_if_exists: True returns the trial that has these values already, if there is one. So a
            script may be started again.

    Returns:
        The trial, which waits.

    Raises:
        ArgumentError: A name or a value is not in the space, or they break a constraint.
    """
    check_mappings([values], what="enqueue")
    later = _not_of(self.space, values) if self.defined_by_run else {}
    named = {name: value for name, value in values.items() if name not in later}
    check_points([named], self.space, what="enqueue")
    complete = {**self.space.complete(named, lambda entry: entry.default), **later}
    with self._lock:
        self.begin()

        def write() -> Trial:
            if skip_if_exists:
                for trial in self.trials.values():
                    if dict(trial.values) == complete:
                        return trial
            return _put(self, complete)

        trial = self._in_turn(write)
        if trial.number not in self.trials:
            self._known.wait(trial)
        return trial


def join_queue(search: Queued, requests: Requests) -> None:
    """Puts into the queue what people have asked for on the page.

    Args:
        search: The search; the caller holds its lock.
        requests: To it.
    """
    if not requests.tries:
        return

    def write() -> list[Trial]:
        requests.look()
        new: list[Trial] = []
        for values in requests.tries:
            try:
                check_points([values], search.space, what="the configuration")
            except ArgumentError as error:
                requests.answer({}, f"A configuration is not tried: {error}")
                continue
            complete = search.space.complete(dict(values), lambda entry: entry.default)
            new.append(_put(search, complete, behind=len(new)))
        requests.answer({"try": []})
        return new

    for trial in search._in_turn(write):
        search._known.wait(trial)


def _put(search: Queued, values: Mapping[str, Value], behind: int = 0) -> Trial:
    """Writes a trial at the end of the queue, so many places behind the known trials."""
    trial = Trial(
        number=len(search.trials) + behind,
        values=values,
        status=Status.WAITING,
        notes={QUEUED: IN_QUEUE},
    )
    search.store.put(trial)
    return trial


def begin_queued(search: Queued, answer: Suggestion | Wait | Done, known: int) -> Trial | None:
    """The first trial of the queue, written as it begins; None if there is none, or it waits.

    Args:
        search: The search, in a turn.
        answer: What the algorithm has just proposed.
        known: How many finished trials the algorithm knows.
    """
    for waiting in search._known.queued[:1]:
        begun = take_place(waiting, answer, search.algorithm, search.space, known)
        if begun is not None:
            search.store.put(begun)
            return begun
    return None


def take_place(
    waiting: Trial,
    answer: Suggestion | Wait | Done,
    algorithm: Algorithm[Any],
    space: Space,
    known: int,
) -> Trial | None:
    """The first trial of the queue as it begins; None if it has to wait.

    Args:
        waiting: The trial.
        answer: What the algorithm has just proposed.
        algorithm: The algorithm.
        space: The whole space as known now.
        known: How many finished trials the algorithm knows.
    """
    assert is_queued(waiting)
    fresh = isinstance(answer, Suggestion) and is_fresh(answer)
    inner = innermost(algorithm)
    has_own_order = isinstance(inner, Grid) or (not fresh and isinstance(inner, OWN_ORDER))
    if has_own_order or isinstance(answer, Done):
        schedule = _in_full(inner)
    elif isinstance(answer, Suggestion) and fresh:
        schedule = answer.schedule
    else:
        return None
    return replace(
        waiting,
        status=Status.RUNNING,
        values={**placed(waiting.values, space), **_not_of(space, waiting.values)},
        schedule=schedule,
        known=known,
        notes={**waiting.notes, QUEUED: BEGUN},
    )


def _not_of(space: Space, values: Mapping[str, Value]) -> dict[str, Value]:
    """Values that the space does not name."""
    names = {entry.name for entry in space}
    return {name: value for name, value in values.items() if name not in names}


def _in_full(algorithm: Any) -> Schedule | None:
    """All epochs of a training, where the algorithm plans them."""
    epochs = getattr(algorithm, "max_epochs", None)
    if not epochs:
        return None
    return Schedule(bracket=NO_BRACKET, rung=0, start_epoch=0, end_epoch=int(epochs))
