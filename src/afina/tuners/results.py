"""Reads what `run_trial` and `HyperModel.fit` return: numbers, dicts, histories, lists of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from afina.errors import FatalTypeError, FatalValueError, NoObjectiveError, wrong
from afina.trials import DefaultObjective, MultiObjective, Objective, Trial, infer_metric_direction


@dataclass(frozen=True)
class Outcome:
    """What a trial came to."""

    metrics: dict[str, float]
    """All metrics at the best epoch, mean over the executions; the objective is among them."""

    step: int
    """The best epoch, mean over the executions, rounded down; 0 where none is known."""


def read_result(result: Any, objective: Objective, where: str) -> Outcome:
    """Reads one returned value.

    Args:
        result: A number (the objective), a dict of metrics, a Keras History, or a list of these,
            one for each execution.
        objective: What the search minimizes or maximizes.
        where: The function that returned it, for messages.

    Raises:
        FatalTypeError: It is nothing of these.
        FatalValueError: The objective is not in it.
    """
    parts = result if isinstance(result, list | tuple) else [result]
    if not parts:
        raise FatalTypeError(wrong(where, "must return at least one result", result))
    outcomes = [_read_one(part, objective, where) for part in parts]
    names = [name for name in outcomes[0].metrics if all(name in o.metrics for o in outcomes)]
    return Outcome(
        metrics={name: float(np.mean([o.metrics[name] for o in outcomes])) for name in names},
        step=int(np.mean([o.step for o in outcomes])),
    )


def _read_one(result: Any, objective: Objective, where: str) -> Outcome:
    if result is None:
        raise FatalTypeError(
            f"{where} must return a number, a dict of metrics, a History or a list of these, but "
            "got None. Did you forget to return the metrics?"
        )
    if (number := _as_number(result)) is not None:
        return Outcome({objective.name: number}, step=0)
    if isinstance(result, Mapping):
        return Outcome(_with_objective(result, objective, where), step=0)
    if isinstance(history := getattr(result, "history", None), Mapping):
        return _read_history(history, objective, where)
    raise FatalTypeError(
        wrong(
            where,
            "must return a number, a dict of metrics, a History or a list of these",
            type(result).__name__,
        )
    )


def _as_number(value: Any) -> float | None:
    """Python, NumPy and backend scalars; None for anything else."""
    if isinstance(value, bool | str | Mapping) or getattr(value, "shape", ()) != ():
        return None
    if not isinstance(value, int | float) and not hasattr(value, "dtype"):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _with_objective(
    metrics: Mapping[str, Any], objective: Objective, where: str
) -> dict[str, float]:
    if isinstance(objective, DefaultObjective) and not objective.has_value(metrics):
        raise NoObjectiveError(_unnamed(where, sorted(metrics)))
    if not objective.has_value(metrics):
        names = ", ".join(objective.names)
        raise FatalValueError(
            f"{where} must return a dict with the objective {names!r}, but got the names "
            f"{sorted(metrics)}. Return it, or name one of these as the objective."
        )
    numbers = {name: number for name, v in metrics.items() if (number := _as_number(v)) is not None}
    if not objective.has_value(numbers):
        wanted = (*objective.names, objective.name)
        lost = next(name for name in wanted if name in metrics and name not in numbers)
        raise FatalTypeError(wrong(where, f"{lost!r} must be a number", metrics[lost]))
    if isinstance(objective, MultiObjective):
        numbers.setdefault(objective.name, objective.get_value(numbers))
    return numbers


def _unnamed(where: str, names: Sequence[str], what: str = "") -> str:
    """The message for metrics by name where no objective was named to choose among them."""
    example = "score" if not names else names[0]
    direction = infer_metric_direction(example) or "max"
    return (
        f"{where}: must return a single number when the tuner has no objective, but got {what}"
        f'{list(names)}. Name one of them: objective=kt.Objective("{example}", "{direction}"), or '
        "return the number that is to be minimized."
    )


def _read_history(
    history: Mapping[str, Sequence[Any]], objective: Objective, where: str
) -> Outcome:
    if isinstance(objective, DefaultObjective):
        raise NoObjectiveError(_unnamed(where, sorted(history), "a History of "))
    epochs = max((len(values) for values in history.values()), default=0)
    if epochs == 0:
        raise FatalValueError(
            f"{where} trained no epoch, so there is nothing to score. Pass epochs=... of at least "
            "1 to search, and data that is not empty."
        )
    logs: list[dict[str, Any]] = [{} for _ in range(epochs)]
    for name, values in history.items():
        every = epochs // max(1, len(values))  # validation_freq: Keras lists no other epochs
        for place, value in enumerate(values):
            logs[(place + 1) * every - 1][name] = value
    scored = [
        (objective.get_value(log), epoch)
        for epoch, log in enumerate(logs)
        if objective.has_value(log)
    ]
    if not scored:
        scored = [(objective.get_value(_with_objective(logs[-1], objective, where)), epochs - 1)]
    finite = [pair for pair in scored if not math.isnan(pair[0])] or scored
    _, best = min(finite, key=lambda pair: (objective.loss(pair[0]), pair[1]))
    return Outcome(_with_objective(logs[best], objective, where), step=best)


def fully_trained(trials: list[Trial]) -> tuple[Trial, ...]:
    """Those that were trained to the most epochs, without their place in the old plan."""
    longest = max((trial.end_epoch or 0 for trial in trials), default=0)
    full = [trial for trial in trials if trial.end_epoch in (None, longest)]
    return tuple(replace(trial, schedule=None) for trial in full)
