"""A trial and its parts: frozen values."""

from __future__ import annotations

import enum
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from afina import html_tables
from afina.space import Value
from afina.trials.failures import Failure

USER_ATTR = "user_attr:"
"""Begins the names of notes that hold the user's attributes, as JSON."""

PAUSED = "paused"
"""The note of a trial that somebody has paused: it waits until somebody resumes it."""

BOOSTED = "boosted"
"""The note of a trial that trains another one for longer because somebody asked for it. It belongs
to no plan of the algorithm, which does not learn of it."""

QUEUED = "queued"
"""The note of a trial whose values a person has put into the queue; see `afina.study.queue`."""

IN_QUEUE = "its values were put into the queue"
"""What this note says until the trial begins."""

BEGUN = "its values were chosen by a person"
"""What it says from then on."""

RAN = "ran"
"""The note of a trial that says when and where it ran, the last time; see `read_ran`."""

WORKER = "worker"
"""The note of a trial that another process has trained for the search: which one."""

MODEL = "model"
"""The note of a trial that describes its model, as JSON; see `afina.training.structure`."""

PRIOR = "prior"
"""The note of a trial whose values a prior has moved: which one, and how much it counted."""


class Status(enum.Enum):
    """The state of a trial. A store keeps the values: you may add some, but never rename one."""

    WAITING = "waiting"
    """It failed or was lost, and waits for a retry with the same number and values; or it was
    queued, and waits for its first run; or it was paused."""

    RUNNING = "running"
    """It is being trained, or was when the process died."""

    COMPLETED = "completed"
    """It has a score."""

    FAILED = "failed"
    """It has a `failure` and no score, and will not be run again."""

    @property
    def finished(self) -> bool:
        """Whether the trial will not change any more."""
        return self in (Status.COMPLETED, Status.FAILED)


class Decision(enum.Enum):
    """What an early stopper decides after each epoch of a trial."""

    CONTINUE = "continue"
    """Train on until the trial's `end_epoch`."""

    STOP = "stop"
    """End the trial here; it keeps its score."""

    PAUSE = "pause"
    """Save the training here, and give the trial back: somebody has paused it. Only tuners get
    this answer, where they can save a running training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Which part of a training this trial runs, in a multi-fidelity search."""

    bracket: int
    """Hyperband's bracket. The most aggressive one has the highest number; 0 does not halve."""

    rung: int
    """Rung within the bracket, from 0."""

    start_epoch: int
    """Epochs that `parent` has trained already; 0 for a new model."""

    end_epoch: int
    """The trial ends when the model has been trained for this many epochs in all."""

    parent: int | None = None
    """Number of the trial whose weights this one starts from; None for a new model."""

    iteration: int = 0
    """Which repetition of the whole set of brackets, from 0."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None:  # a store would keep NumPy's numbers as bytes
                object.__setattr__(self, each.name, int(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One set of values and its result. It never changes: each step creates a new trial."""

    number: int
    """Its place in the search, from 0."""

    values: Mapping[str, Value]
    """Hyperparameter name to value, for the active ones."""

    status: Status = Status.RUNNING

    schedule: Schedule | None = None
    """Only multi-fidelity algorithms set it."""

    ranges: tuple[Mapping[str, Any], ...] = ()
    """Definitions, from `serialize`, that only this trial's build made: bounds that depend on
    another value, and entries that were not in the search space yet when the trial ended."""

    known: int = 0
    """How many finished trials the algorithm had observed when it proposed this one."""

    attempt: int = 0
    """How often it was restarted after a failure or a crash; 0 for the first run."""

    @property
    def retries(self) -> int:
        """How often it was restarted after a failure; crashes of the process do not count."""
        return int(self.notes.get("retries", 0))

    score: float | None = None
    """The objective at the best step, as the user measures it; None until completed."""

    loss: float | None = None
    """The score as a loss, lower is better; None until completed."""

    best_step: int | None = None
    """The epoch (from 0) at which the score was reached."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    """All metrics at the best step, averaged over the executions."""

    losses: tuple[float, ...] = ()
    """With several objectives: the loss in each at the best step, in the order of the objectives.
    Empty with one objective."""

    curve: tuple[float, ...] = ()
    """The loss after each epoch of this trial, from `start_epoch` on, averaged over the executions.
    NaN for an epoch without a report. Empty without reports, and until finished."""

    failure: Failure | None = None
    """Set if the status is FAILED, or if it waits for a retry."""

    ended: int | None = None
    """Place in the order in which trials finished, from 0; None until finished. An algorithm that
    observes the finished trials in this order has the same state as in the search."""

    seconds: float = 0.0
    """Wall time from start to end, over all attempts of this process."""

    notes: Mapping[str, str] = field(default_factory=dict)
    """Facts for people, such as which trainer trained it and why."""

    @property
    def user_attrs(self) -> dict[str, Any]:
        """The attributes that the user's code has set, by key; see `Study`."""
        notes = self.notes.items()
        return {
            n[len(USER_ATTR) :]: json.loads(text) for n, text in notes if n.startswith(USER_ATTR)
        }

    @property
    def start_epoch(self) -> int:
        """Epochs that the model was trained before this trial; 0 for a new model."""
        return 0 if self.schedule is None else self.schedule.start_epoch

    @property
    def end_epoch(self) -> int | None:
        """Epochs that the model will have been trained when this trial ends.

        None if the search leaves the length of a training to the user.
        """
        return None if self.schedule is None else self.schedule.end_epoch

    @property
    def parent(self) -> int | None:
        """Number of the trial whose weights this one starts from; None for a new model."""
        return None if self.schedule is None else self.schedule.parent

    def _repr_html_(self) -> str:
        """For notebooks: how it ended, and its values."""
        score = "" if self.score is None else f", score {html_tables.escaped(self.score)}"
        why = f"<p>{html_tables.escaped(self.failure.headline)}</p>" if self.failure else ""
        head = f"<p><b>Trial {self.number}</b>: {self.status.value}{score}</p>{why}"
        return head + html_tables.table(("hyperparameter", "value"), self.values.items())


def ran_text(began: float, ended: float, where: str) -> str:
    """When and where a trial ran, as a note.

    Args:
        began: Seconds since 1970.
        ended: Likewise.
        where: The process, in words.

    Example:
        >>> ran_text(0.0, 61.2, "process 7 on here")
        '1970-01-01T00:00:00Z/1970-01-01T00:01:01Z process 7 on here'
    """
    first, last = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) for at in (began, ended))
    return f"{first}/{last} {where}"


def read_ran(note: str) -> dict[str, str] | None:
    """The parts of a note by `ran_text`: `began`, `ended` and `where`; None for another text."""
    times, _, where = note.partition(" ")
    began, slash, ended = times.partition("/")
    shape = (20, "T", "Z")
    if not slash or any((len(t), t[10:11], t[-1:]) != shape for t in (began, ended)):
        return None
    return {"began": began, "ended": ended, "where": where}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The metrics of one epoch of one execution of one trial."""

    trial: int
    """Number of the trial."""

    step: int
    """Epoch, from 0, counted over all parts of a training."""

    metrics: Mapping[str, float]

    execution: int = 0
    """Which of the repeated trainings of the same values, from 0."""

    attempt: int = 0
    """The attempt of the trial that it belongs to."""
