"""What happens in a search: frozen facts that displays draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from afina.space import Value
from afina.trials import Trial


@dataclass(frozen=True, slots=True)
class SearchStarted:
    """A call of `search` starts."""

    total: int | None
    """The number of trials, including those of earlier calls; None if unknown."""

    done: int
    """Trials that earlier calls finished, including failed ones."""

    objective: str
    """The metric's name."""

    best: float | None
    """The best score of earlier calls."""

    folder: str | Path | None = None
    """Where the trials are kept."""

    elapsed: float = 0.0
    """Seconds that earlier calls took."""

    front: tuple[Trial, ...] = ()
    """The Pareto front so far, if there are several objectives."""

    total_epochs: int | None = None
    """Epochs of all trials together, if the algorithm sets them."""

    done_epochs: int = 0
    """Those of them that earlier calls trained."""


@dataclass(frozen=True, slots=True)
class TrialStarted:
    """A trial starts, for the first time or again."""

    trial: Trial

    label: str
    """The name that users see: its number, or an id that they chose."""

    total: int | None
    """The number of trials; None if unknown. It may change: a search can discover more
    combinations, never fewer."""

    values: Mapping[str, Value]
    """Hyperparameter name to value, as users see them."""

    best_values: Mapping[str, Value] | None
    """The values of the best trial so far; None before one has completed."""

    epochs: int | None = None
    """The most epochs of one execution; None if unknown."""


@dataclass(frozen=True, slots=True)
class EpochEnded:
    """One epoch of one execution of a trial has ended."""

    number: int
    """The trial's number, from 0."""

    execution: int
    """Which of the repeated trainings of the same values, from 0."""

    epoch: int
    """The epoch's number, from 0."""

    epochs: int | None
    """The most epochs of the execution; None if unknown."""

    metrics: Mapping[str, float]

    executions: int | None = None
    """The number of trainings of the trial; None if unknown."""


@dataclass(frozen=True, slots=True)
class TrialEnded:
    """A trial has a score, or failed, or waits to be run again."""

    trial: Trial
    """The trial as it is now; its status says which of these applies."""

    label: str | None = None
    """The name that users see; None for its number."""

    retries_left: int | None = None
    """How often it may be run again, if it waits for that."""


@dataclass(frozen=True, slots=True)
class OthersEnded:
    """Other workers of the search have ended trials; the totals now."""

    done: int
    """All trials that have finished, whoever ran them."""

    best: Trial | None
    """The best trial so far; None before one has completed."""

    label: str | None = None
    """The name of the best trial that users see."""

    front: tuple[Trial, ...] = ()
    """The Pareto front so far, if there are several objectives."""


@dataclass(frozen=True, slots=True)
class SearchEnded:
    """A call of `search` has run its last trial."""

    reason: str
    """A clause without capital and full stop: 'all 18 combinations have been tried'."""

    best: float | None = None
    """The best score of all calls."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message for the user, shown once."""

    text: str = field(default="")


Event: TypeAlias = (
    SearchStarted | TrialStarted | EpochEnded | TrialEnded | OthersEnded | SearchEnded | Message
)
