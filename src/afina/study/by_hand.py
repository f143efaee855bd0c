"""What people change in a running search: paused trials, longer trainings, other ranges.

    Requests ──▶ ByHand ──┬─ paused      trials that no worker takes until they are resumed
                          ├─ boosted     a new trial that trains another one for longer
                          └─ narrowed    the space from which new trials are drawn

Nothing of it takes a finished trial from the search. The algorithm keeps its plan:

- A paused trial counts as running.
- It never hears of a boosted trial.
- It is asked in the narrowed space, as `afina.advice.Narrowing` asks it, and it is told there of
  the trials that lie in that space.

The note "ranges" of the store records from which trial on which ranges held. So a resumed search
keeps them, and a search with the same seed and the same record tries the same trials.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from afina.advice.narrowing import lies_in
from afina.advice.resize import with_range, with_values
from afina.search import Algorithm, Grid, PopulationBasedTraining, Situation, Suggestion
from afina.search.wrappers import innermost
from afina.space import HyperParameter, Space
from afina.space.conditions import same_value
from afina.space.parameters import Numerical
from afina.study.requests import Requests
from afina.trials import Schedule, Status, Trial, epochs_of
from afina.trials.trial import BOOSTED, PAUSED

RANGES = "ranges"
"""The note of the store that records which ranges people have asked for, and from when."""

FIXED: tuple[tuple[type, str], ...] = (
    (Grid, "a grid search tries all combinations in its own order"),
    (
        PopulationBasedTraining,
        "a population is drawn at the start, and its models go on with their values",
    ),
)
"""Algorithms whose ranges cannot be changed, and why."""


class ByHand:
    """What people have changed in one search.

    Args:
        requests: Of the search.
        algorithm: The search's.
    """

    def __init__(self, requests: Requests, algorithm: Algorithm[Any]) -> None:
        self.requests = requests
        self.algorithm = algorithm
        self.can_continue: Callable[[Trial], str | None] = lambda trial: None
        """Says why a trial has no checkpoint to continue from; tuners know."""
        self._record: list[dict[str, Any]] = self._read()
        self._told: tuple[Space, list[int], Any] | None = None
        for kind, reason in FIXED:
            if isinstance(innermost(algorithm), kind):
                requests.cannot["ranges"] = reason

    def look(self, space: Space, number: int) -> None:
        """Reads what people ask for, and takes new ranges over; a turn with news begins with it.

        Args:
            space: As known now.
            number: Of the next new trial.
        """
        self.requests.look()
        wanted = self.requests.ranges
        if wanted is None:
            return
        self._record = self._read()  # another worker may have been quicker
        if wanted == self._ranges:
            return
        reason = self.requests.cannot.get("ranges") or why_not(space, wanted)
        if reason is not None:
            said = f"The ranges stay as they are: {reason}."
            self.requests.answer({"ranges": self._ranges}, said)
            return
        self._record = [*self._record, {"from": number, "ranges": dict(wanted)}]
        self.requests.store.set_note(RANGES, self._record)

    def situation(
        self, number: int, space: Space, running: Sequence[Trial], max_trials: int | None
    ) -> Situation:
        """What the algorithm may look at for a new trial.

        Args:
            number: Of the trial.
            space: The whole space.
            running: The trials that have not ended, without boosted ones.
            max_trials: How many trials the search may run in all.
        """
        return Situation(
            number=number,
            space=self.narrowed(space, number),
            running=tuple(running),
            max_trials=max_trials,
        )

    def values(self, answer: Suggestion, space: Space) -> dict[str, Any]:
        """The values of a new trial.

        Args:
            answer: What the algorithm suggests.
            space: The whole space.
        """
        if not self._record:
            return dict(answer.values)
        return space.complete(dict(answer.values), lambda entry: entry.default)

    def _read(self) -> list[dict[str, Any]]:
        return list(self.requests.store.note(RANGES) or ())

    @property
    def _ranges(self) -> Mapping[str, Any]:
        return self._record[-1]["ranges"] if self._record else {}

    # -- paused trials ------------------------------------------------------------------------

    @property
    def paused(self) -> frozenset[int]:
        """Numbers of the trials that nobody takes until they are resumed."""
        return self.requests.paused

    def pauses(self, trial: Trial) -> bool:
        """Whether a running trial is to be saved after its epoch, and to wait.

        Args:
            trial: The trial.
        """
        return trial.number in self.paused and "pause" not in self.requests.cannot

    # -- ranges -------------------------------------------------------------------------------

    def narrowed(self, space: Space, number: int) -> Space:
        """The space from which a new trial is drawn.

        Args:
            space: As known now.
            number: Of the trial.
        """
        for each in reversed(self._record):
            if each["from"] <= number:
                return restricted(space, each["ranges"])
        return space

    def state(self, whole: Any, space: Space, ended: Sequence[Trial], number: int) -> Any:
        """The state of the algorithm that is asked in a narrowed space.

        Args:
            whole: Its state after all trials in the whole space.
            space: The whole space.
            ended: The finished trials that it knows, in the order in which they ended.
            number: Of the trial that it is asked for.
        """
        narrowed = self.narrowed(space, number)
        if narrowed is space or any(trial.schedule for trial in ended):
            return whole  # an algorithm that plans epochs may continue any trial
        numbers = [trial.number for trial in ended]
        told, state = 0, self.algorithm.init()
        if self._told is not None and self._told[0] == narrowed:
            known, before = self._told[1], self._told[2]
            if numbers[: len(known)] == known:
                told, state = len(known), before
        for trial in ended[told:]:
            if lies_in(trial, narrowed):
                state = self.algorithm.tell(state, trial, narrowed)
        self._told = (narrowed, numbers, state)
        return state

    # -- longer trainings ---------------------------------------------------------------------

    def boosted(
        self, trials: Mapping[int, Trial]
    ) -> tuple[dict[str, Any], Schedule, dict[str, str]] | None:
        """The next trial that trains another one for longer; None if nobody asks for one.

        Args:
            trials: All of the search.

        Returns:
            Its values, its schedule and its notes.
        """
        while waiting := self.requests.boosts:
            number, more = waiting[0]
            trial = trials.get(number)
            reason = self.requests.cannot.get("boost") or why_not_longer(trial)
            if reason is None and trial is not None:
                reason = self.can_continue(trial)
            if reason is not None or trial is None:
                said = f"Trial {number} does not train for longer: {reason}."
                self.requests.answer({"boost": waiting[1:]}, said)
                continue
            self.requests.answer({"boost": waiting[1:]})
            done = epochs_of(trial) or 0
            plan = trial.schedule or Schedule(bracket=0, rung=0, start_epoch=0, end_epoch=done)
            longer = replace(plan, start_epoch=done, end_epoch=done + more, parent=number)
            epochs = f"{more} epoch{'s' * (more != 1)}"
            return dict(trial.values), longer, {BOOSTED: f"{epochs} more for trial {number}"}
        return None

    def needed(self, running: Sequence[Trial]) -> set[int]:
        """Numbers of the trials whose checkpoints are to be continued.

        Args:
            running: The trials that have not ended.
        """
        asked = {number for number, _ in self.requests.boosts}
        return asked | {trial.parent for trial in running if trial.parent is not None}


def why_not_longer(trial: Trial | None) -> str | None:
    """Why no training continues a trial; None if one can, where it has left a checkpoint.

    Args:
        trial: The trial; None if there is none of this number.
    """
    if trial is None:
        return "there is no such trial"
    if trial.status is not Status.COMPLETED:
        return f"only completed trials can train for longer, and it is {trial.status.value}"
    if not epochs_of(trial):
        return "it has reported no epochs"
    return None


def paused(notes: Mapping[str, str]) -> dict[str, str]:
    """The notes of a trial that somebody has paused.

    Args:
        notes: Those that it keeps.
    """
    return {**notes, PAUSED: "a person has paused it; its training is saved"}


def is_boosted(trial: Trial) -> bool:
    """Whether a trial trains another one for longer because somebody asked for it."""
    return BOOSTED in trial.notes


def why_not(space: Space, ranges: Mapping[str, Any]) -> str | None:
    """Why a space cannot be narrowed to some ranges; None if it can.

    Args:
        space: The space.
        ranges: By hyperparameter: `low` and `high`, or `values`.
    """
    names = {entry.name for entry in space}
    for name, wanted in ranges.items():
        if name not in names:
            return f"the space has no hyperparameter {name!r}"
        entries = [entry for entry in space if entry.name == name]
        if all(_part_of(entry, wanted) is None for entry in entries):
            return f"{name!r} has no value in the range that was asked for"
    narrowed = restricted(space, ranges)
    if narrowed.constraints and narrowed.repaired(narrowed.defaults()) is None:
        return "no combination of values satisfies the constraints there"
    return None


def restricted(space: Space, ranges: Mapping[str, Any]) -> Space:
    """The space with parts of some ranges; where nothing of a range would be left, all of it.

    Args:
        space: The space.
        ranges: By hyperparameter: `low` and `high`, or `values`.

    Example:
        >>> from afina.space import Choice, Int
        >>> space = Space((Int("units", 8, 64, step=8), Choice("loss", ["mse", "mae", "huber"])))
        >>> asked = {"units": {"low": 15, "high": 40}, "loss": {"values": ["mse"]}}
        >>> [list(entry.values) for entry in restricted(space, asked)]
        [[16, 24, 32, 40], ['mse']]
    """
    if not ranges:
        return space
    entries = tuple(_restricted(entry, ranges.get(entry.name)) for entry in space)
    return space if entries == tuple(space) else replace(space, entries=entries)


def _restricted(entry: HyperParameter, wanted: Mapping[str, Any] | None) -> HyperParameter:
    return entry if wanted is None else (_part_of(entry, wanted) or entry)


def _part_of(entry: HyperParameter, wanted: Mapping[str, Any]) -> HyperParameter | None:
    """The part of a range that was asked for; None where it is empty."""
    if not isinstance(entry, Numerical):
        asked = wanted.get("values") or ()
        kept = [each for each in entry.values if any(same_value(each, one) for one in asked)]
        return with_values(entry, kept, entry.default) if kept else None
    low = max(wanted.get("low", entry.min_value), entry.min_value)
    high = min(wanted.get("high", entry.max_value), entry.max_value)
    if entry.count is not None and low <= high:  # the values between, as the steps go
        first, last = entry.index_of(entry.clip(low)), entry.index_of(entry.clip(high))
        first += entry.value_at(first) < low
        last -= entry.value_at(last) > high
        if first > last:
            return None
        low, high = entry.value_at(first), entry.value_at(last)
    return with_range(entry, low, high, entry.default) if low <= high else None
