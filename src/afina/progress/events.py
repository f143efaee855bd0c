"""What happens in a search, as news that a display can draw: plain facts, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from afina.space import Value
from afina.trials import Trial


@dataclass(frozen=True, slots=True)
class SearchStarted:
    """A call of `search` begins."""

    total: int | None
    """Trials in all, those of earlier calls included; None where nobody knows."""

    done: int
    """Trials that earlier calls finished, failed ones included."""

    objective: str
    """The metric's name."""

    best: float | None
    """The best score of earlier calls."""

    folder: str | Path | None = None
    """Where the trials are kept."""

    elapsed: float = 0.0
    """Seconds that earlier calls took."""

    front: tuple[Trial, ...] = ()
    """With several objectives, the trials that are on the Pareto front so far."""


@dataclass(frozen=True, slots=True)
class TrialStarted:
    """A trial begins to run, for the first time or again."""

    trial: Trial

    label: str
    """What people call it: its number, or an id that somebody chose."""

    total: int | None
    """Trials in all; None where nobody knows."""

    values: Mapping[str, Value]
    """Hyperparameter name to value, as the trial's owner shows them."""

    best_values: Mapping[str, Value] | None
    """Those of the best trial so far; None before one has completed."""

    epochs: int | None = None
    """Epochs that one execution trains at most; None where nobody knows."""


@dataclass(frozen=True, slots=True)
class EpochEnded:
    """One epoch of one execution of a trial has been trained."""

    number: int
    """Of the trial, from 0."""

    execution: int
    """Which of the repeated trainings of the same values, from 0."""

    epoch: int
    """From 0."""

    epochs: int | None
    """Epochs that the execution trains at most; None where nobody knows."""

    metrics: Mapping[str, float]

    executions: int | None = None
    """How many trainings the trial has; None where nobody says."""


@dataclass(frozen=True, slots=True)
class TrialEnded:
    """A trial has a score, or failed, or waits to be run again."""

    trial: Trial
    """As it stands now; its status tells which."""

    label: str | None = None
    """What people call it; None for its number."""

    retries_left: int | None = None
    """How often it may be run again, where it waits for that."""


@dataclass(frozen=True, slots=True)
class SearchEnded:
    """A call of `search` has run its last trial."""

    reason: str
    """A sentence without capital and full stop: 'all 18 combinations have been tried'."""

    best: float | None = None
    """The best score of all calls."""


@dataclass(frozen=True, slots=True)
class Message:
    """Something that people should read, once."""

    text: str = field(default="")


Event: TypeAlias = SearchStarted | TrialStarted | EpochEnded | TrialEnded | SearchEnded | Message
