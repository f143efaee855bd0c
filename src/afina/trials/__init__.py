"""What was tried, and what came of it: frozen values.

    Trial ──┬── Status     waiting, running, completed, failed
            ├── Schedule   which part of a training it runs, and from which trial's weights
            └── Failure    why it has no score (failures.py; reasons.py sums up many)
    Report                 the metrics of one epoch
    Objective              which metric counts, and in which direction

`configurations.py` groups the trials that train one model in parts. `pareto.py` ranks trials with
several objectives. `stream.py` seeds a trial's training. `disk.py` recognizes a full disk.
"""

from afina.trials.configurations import Configuration, configurations, epochs_of
from afina.trials.failures import (
    Failure,
    FailureKind,
    add_note,
    classify_failure,
    ends_the_search,
    failure_message,
    failure_of,
    first_line,
    is_retried,
)
from afina.trials.objective import (
    DefaultObjective,
    Direction,
    MultiObjective,
    Objective,
    create_objective,
    infer_metric_direction,
)
from afina.trials.reasons import (
    reasons_in_words,
    reasons_of,
    why_no_best,
    why_none_completed,
)
from afina.trials.stream import stream_of
from afina.trials.trial import Decision, Report, Schedule, Status, Trial

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
    "add_note",
    "classify_failure",
    "configurations",
    "create_objective",
    "ends_the_search",
    "epochs_of",
    "failure_message",
    "failure_of",
    "first_line",
    "infer_metric_direction",
    "is_retried",
    "reasons_in_words",
    "reasons_of",
    "stream_of",
    "why_no_best",
    "why_none_completed",
]
