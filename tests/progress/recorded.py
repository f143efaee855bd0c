"""A recorded search of three trials, and a clock that tells prepared times."""

from __future__ import annotations

from collections.abc import Sequence

from afina.progress import (
    EpochEnded,
    Event,
    SearchEnded,
    SearchStarted,
    TrialEnded,
    TrialStarted,
)
from afina.trials import Failure, FailureKind, Objective, Status, Trial

ACCURACY = Objective("val_accuracy", "max")
TRACEBACK = 'Traceback (most recent call last):\n  File "net.py", line 3\nValueError: no such layer'


class Clock:
    """Tells the time that was last set."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def started(number: int, best: dict[str, object] | None = None, **values: object) -> TrialStarted:
    trial = Trial(number=number, values=values)  # type: ignore[arg-type]
    return TrialStarted(trial, str(number), 3, values, best, epochs=2)  # type: ignore[arg-type]


def epoch(number: int, index: int, accuracy: float) -> EpochEnded:
    metrics = {"loss": 1.0 - accuracy, "val_accuracy": accuracy}
    return EpochEnded(number, 0, index, 2, metrics)


def scored(number: int, score: float, **values: object) -> TrialEnded:
    return TrialEnded(
        Trial(number=number, values=values, status=Status.COMPLETED, score=score)  # type: ignore[arg-type]
    )


def failed(number: int, message: str = TRACEBACK, **values: object) -> TrialEnded:
    failure = Failure(FailureKind.ERROR, message)
    return TrialEnded(
        Trial(number=number, values=values, status=Status.FAILED, failure=failure)  # type: ignore[arg-type]
    )


FIRST = {"units": 64, "rate": 0.0123456789, "activation": "relu"}
SECOND = {"units": 32, "rate": 0.5, "activation": "a_name_longer_than_its_column"}

SEARCH: Sequence[tuple[float, Event]] = [
    (100.0, SearchStarted(3, 0, "val_accuracy", None)),
    (100.0, started(0, **FIRST)),
    (102.0, epoch(0, 0, 0.5)),
    (104.0, epoch(0, 1, 0.75)),
    (105.0, scored(0, 0.75, **FIRST)),
    (105.0, started(1, FIRST, **SECOND)),
    (107.5, failed(1, **SECOND)),
    (107.5, started(2, FIRST, **SECOND)),
    (3807.5, scored(2, 0.5, **SECOND)),
    (3807.5, SearchEnded("max_trials=3 trials have been run", 0.75)),
]
