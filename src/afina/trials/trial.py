"""What was tried and what came of it: frozen values, no behaviour that changes them."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from afina.space import Value


class Status(enum.Enum):
    """Where a trial stands. The values are what a store keeps: add to them, never rename."""

    WAITING = "waiting"
    """Failed or was lost, and waits to be run again under the same number and values."""

    RUNNING = "running"
    """Somebody trains it now, or did when the process died."""

    COMPLETED = "completed"
    """It has a score."""

    FAILED = "failed"
    """It has a `failure` and no score; it will not be run again."""

    @property
    def finished(self) -> bool:
        """Whether nothing about the trial will change any more."""
        return self in (Status.COMPLETED, Status.FAILED)


class Decision(enum.Enum):
    """What to do with a training after one more epoch."""

    CONTINUE = "continue"
    """Train on, to the trial's `end_epoch`."""

    STOP = "stop"
    """End the trial here; it keeps the score that it has."""


class FailureKind(enum.Enum):
    """Why a trial failed. The values are what a store keeps."""

    ERROR = "error"
    """The user's code raised."""

    NOT_A_NUMBER = "not-a-number"
    """The loss or the objective became NaN or infinite."""

    OUT_OF_MEMORY = "out-of-memory"
    """The machine or the device had no memory left."""

    OVERSIZED = "oversized"
    """The model has more parameters than `max_model_size`."""

    REFUSED = "refused"
    """The user's code raised `FailedTrialError`: it does not want this configuration."""

    TIMEOUT = "timeout"
    """It ran longer than it was allowed to."""

    LOST_WORKER = "lost-worker"
    """The process that trained it died."""


REFUSALS = frozenset({FailureKind.OVERSIZED, FailureKind.REFUSED})
"""Failures that were to be expected: the search was told to skip such configurations."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why a trial has no score."""

    kind: FailureKind

    message: str
    """For people: the traceback, or a sentence."""

    @property
    def is_refusal(self) -> bool:
        """Whether it says nothing against the search, only against this configuration."""
        return self.kind in REFUSALS

    @property
    def headline(self) -> str:
        """The one line that says most: of a traceback the first of the error itself.

        Example:
            >>> text = "Traceback ...\\n  File 'a.py', line 1\\nValueError: no\\nfor many reasons"
            >>> Failure(FailureKind.ERROR, text).headline
            'ValueError: no'
        """
        lines = [line.rstrip() for line in self.message.splitlines() if line.strip()]
        begins = [at for at, line in enumerate(lines) if line.startswith("Traceback")]
        for line in lines[begins[-1] + 1 :] if begins else ():
            if not line.startswith((" ", "... (")):  # neither a frame nor what was left out
                return line
        return lines[-1 if begins else 0].strip() if lines else self.kind.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Which part of a training a multi-fidelity search asked of this trial."""

    bracket: int
    """Bracket of Hyperband; the most aggressive one has the highest number, 0 does not halve."""

    rung: int
    """Round within the bracket, from 0."""

    start_epoch: int
    """Epochs that `parent` has already trained; 0 for a fresh model."""

    end_epoch: int
    """Train until this many epochs have been done in all."""

    parent: int | None = None
    """Number of the trial whose model this one goes on training; None for a fresh model."""

    iteration: int = 0
    """Which repetition of the whole set of brackets, from 0."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None:  # numbers of NumPy would be kept as bytes
                object.__setattr__(self, each.name, int(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One set of values and what came of it. Never changed: each step makes a new one."""

    number: int
    """Place in the study, from 0; it also seeds the trial's training."""

    values: Mapping[str, Value]
    """Hyperparameter name to value, active ones only."""

    status: Status = Status.RUNNING

    schedule: Schedule | None = None
    """Set by multi-fidelity algorithms only."""

    ranges: tuple[Mapping[str, Any], ...] = ()
    """Definitions (as `serialize` gives them) that this trial's own build made and the study's
    space did not hold when the trial ended: bounds that depend on another value, and entries
    that nobody had met before."""

    known: int = 0
    """How many finished trials the algorithm had been told when it proposed this one."""

    attempt: int = 0
    """How often it was started anew after a failure or a crash, 0 for the first run."""

    @property
    def retries(self) -> int:
        """How often it was started anew after a failure; a crash of the process is none."""
        return int(self.notes.get("retries", 0))

    score: float | None = None
    """The objective at the best step, as the user measures it; None until completed."""

    loss: float | None = None
    """The score with its sign set so that lower is better; None until completed."""

    best_step: int | None = None
    """The epoch (from 0) at which the score was reached."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    """All metrics at the best step, mean over the executions."""

    losses: tuple[float, ...] = ()
    """Of a search with several objectives: each one's value at the best step with its sign set so
    that lower is better, in the order of the objectives. Empty where there is one objective."""

    curve: tuple[float, ...] = ()
    """The objective after each epoch that this trial trained, from `start_epoch` on, its sign set
    so that lower is better: mean over the executions, NaN where an epoch reported none. Empty
    where no epoch was reported, and of a trial that has not finished."""

    failure: Failure | None = None
    """Set when, and only when, the status is FAILED or WAITING."""

    ended: int | None = None
    """Place in the order in which trials finished, from 0; None until finished. Telling an
    algorithm the finished trials in this order rebuilds its state."""

    seconds: float = 0.0
    """Wall time from start to end, all attempts of this process."""

    notes: Mapping[str, str] = field(default_factory=dict)
    """Facts for people, e.g. which training path was taken and why."""

    @property
    def start_epoch(self) -> int:
        """Epochs that the model has behind it when this trial begins; 0 for a fresh model."""
        return 0 if self.schedule is None else self.schedule.start_epoch

    @property
    def end_epoch(self) -> int | None:
        """Epochs that the model has behind it when this trial ends; None where the search leaves
        the length of a training to the user."""
        return None if self.schedule is None else self.schedule.end_epoch

    @property
    def parent(self) -> int | None:
        """Number of the trial whose model this one goes on training; None for a fresh model."""
        return None if self.schedule is None else self.schedule.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The metrics of one epoch of one execution of one trial."""

    trial: int
    """Number of the trial."""

    step: int
    """Epoch, from 0, counted over all parts of a promoted training."""

    metrics: Mapping[str, float]

    execution: int = 0
    """Which of the repeated trainings of the same values, from 0."""

    attempt: int = 0
    """The trial's attempt that this belongs to."""
