"""What was tried, and what came of it: frozen values."""

from afina.trials.configurations import Configuration, configurations, epochs_of
from afina.trials.objective import (
    DefaultObjective,
    Direction,
    MultiObjective,
    Objective,
    create_objective,
    infer_metric_direction,
)
from afina.trials.stream import stream_of
from afina.trials.trial import Decision, Failure, FailureKind, Report, Schedule, Status, Trial

__all__ = [
    "Configuration",
    "Decision",
    "DefaultObjective",
    "Direction",
    "Failure",
    "FailureKind",
    "MultiObjective",
    "Objective",
    "Report",
    "Schedule",
    "Status",
    "Trial",
    "configurations",
    "create_objective",
    "epochs_of",
    "infer_metric_direction",
    "stream_of",
]
