"""What people give to a study by hand, read before anything of it is kept."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from afina.errors import ArgumentError, wrong
from afina.trials import Objective, Status, Trial

LAST_STEP = 2**31 - 1
"""The greatest step that any store can hold."""


def read_step(step: Any) -> int:
    """The number of an epoch.

    Args:
        step: A whole number of Python, NumPy or a backend.

    Raises:
        ArgumentError: It is none, or below 0, or beyond `LAST_STEP`.

    Example:
        >>> read_step(3)
        3
    """
    try:
        number = -1 if isinstance(step, bool) else operator.index(step)
    except TypeError:
        number = -1
    if not 0 <= number <= LAST_STEP:
        rule = "step must be the number of an epoch, a whole one from 0 up"
        raise ArgumentError(wrong("report", rule, step))
    return number


def read_metrics(what: str, metrics: Any) -> dict[str, float]:
    """Metrics by name, as numbers of Python.

    Args:
        what: Who was given them, for the message.
        metrics: Numbers of Python, NumPy or a backend, by name; NaN and infinities are numbers.

    Raises:
        ArgumentError: It is no mapping, or holds something else than numbers.

    Example:
        >>> read_metrics("tell", {"loss": 1})
        {'loss': 1.0}
    """
    if not isinstance(metrics, Mapping):
        rule = "metrics must be a mapping of names to numbers"
        raise ArgumentError(wrong(what, rule, metrics))
    return {str(name): read_number(what, str(name), value) for name, value in metrics.items()}


def read_number(what: str, name: str, value: Any) -> float:
    """The value of one metric; see `read_metrics`.

    Raises:
        ArgumentError: It is no number.
    """
    try:
        if isinstance(value, str | bytes):  # "0.5" would do, and "nan": most likely a mistake
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        advice = "Put non-numeric values in `notes`." if what == "tell" else ""
        raise ArgumentError(wrong(what, f"{name!r} must be a number", value, advice)) from None


def completed(
    trial: Trial, objective: Objective, score: float, metrics: Mapping[str, float]
) -> Trial:
    """A trial that has come to its end, with what its user gives.

    Args:
        trial: As it ran.
        objective: Of the search.
        score: The objective's value, which is finite.
        metrics: All of them, at the best step.
    """
    return replace(
        trial,
        status=Status.COMPLETED,
        score=score,
        loss=objective.loss(score),
        metrics=dict(metrics),
        failure=None,
    )


def check_caught(catch: Any) -> tuple[type[Exception], ...]:
    """The exceptions that `catch=` names.

    Raises:
        ArgumentError: It names something else.
    """
    found = tuple(catch) if isinstance(catch, Sequence) else (catch,)
    for each in found:
        if not isinstance(each, type) or not issubclass(each, Exception):
            raise ArgumentError(wrong("catch", "must be exception classes", each))
    return found
