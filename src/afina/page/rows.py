"""A search and its trials as JSON values, as small as the page allows: 10,000 rows travel."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from afina.space import Choice, HyperParameter, HyperParameters, Parent, Space
from afina.space.parameters import Numerical
from afina.store import Header
from afina.study.by_hand import is_boosted
from afina.study.queue import NO_BRACKET
from afina.trials import MultiObjective, Objective, Trial
from afina.trials.objective import objective_described

COLUMNS = (
    "number",
    "status",
    "score",
    "epochs",
    "start",
    "end",
    "bracket",
    "iteration",
    "rung",
    "parent",
    "ended",
    "attempt",
    "seconds",
    "known",
    "kind",
    "reason",
    "best",
)
"""What a row holds; behind it come the objectives' values, if several, and the values."""

EXACT = 2**53
"""Whole numbers from here on are not exact in a browser; they travel as text."""

LONGEST_TEXT = 300
"""Characters of a value or a reason in a row; a trial's own page has all of it."""


def objective_of(header: Header) -> Objective:
    """The objective that a header describes."""
    return objective_described(header.objective)


def parts_of(objective: Objective) -> tuple[Objective, ...]:
    """Each of several objectives, or the one."""
    return objective.objectives if isinstance(objective, MultiObjective) else (objective,)


def plain(value: Any, *, inactive: bool = False) -> Any:
    """A value for the page. JSON has no NaN and no infinity, so these become texts.

    Args:
        value: A hyperparameter's, or a metric.
        inactive: Whether the trial has no such value.

    Example:
        >>> plain(0.5), plain(float("nan")), plain(2**60), plain(None)
        (0.5, 'nan', '1152921504606846976', 'None')
    """
    if inactive:
        return None
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < EXACT else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    text = str(value)
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def number_or_none(value: float | None) -> float | None:
    """A finite number; None in place of anything else."""
    return value if value is not None and math.isfinite(value) else None


def row_of(
    trial: Trial, epochs: int | None, objective: Objective, names: Sequence[str]
) -> list[Any]:
    """One trial as a row of `COLUMNS`, its objectives and its values.

    Args:
        trial: The trial.
        epochs: How many epochs its model has been trained; None if they were not counted.
        objective: The search's.
        names: Of the hyperparameters, in the page's order.
    """
    failure, plan = trial.failure, trial.schedule
    if is_boosted(trial) or (plan is not None and plan.bracket == NO_BRACKET):
        plan = None
    row = [
        trial.number,
        trial.status.value,
        None if isinstance(objective, MultiObjective) else number_or_none(trial.score),
        epochs if epochs is not None else trial.end_epoch,
        trial.start_epoch,
        trial.end_epoch,
        None if plan is None else plan.bracket,
        None if plan is None else plan.iteration,
        None if plan is None else plan.rung,
        trial.parent,
        trial.ended,
        trial.attempt,
        round(trial.seconds, 3),
        trial.known,
        None if failure is None else failure.kind.value,
        None if failure is None else plain(failure.headline),
        trial.best_step,
    ]
    if isinstance(objective, MultiObjective):
        parts = objective.objectives
        row += [number_or_none(trial.metrics.get(part.name)) for part in parts]
    row += [plain(trial.values.get(name), inactive=name not in trial.values) for name in names]
    return row


def search_of(name: str, header: Header, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the page must know to read the rows.

    Args:
        name: The search's.
        header: Of its store.
        config: Of its space, as known now.
    """
    objective = objective_of(header)
    space = HyperParameters.from_config(dict(config)).to_space()
    several = isinstance(objective, MultiObjective)
    return {
        "name": name,
        "algorithm": header.algorithm,
        "settings": {key: _setting(value) for key, value in header.settings.items()},
        "seed": header.seed,
        "objectives": [
            {"name": part.name, "direction": part.direction} for part in parts_of(objective)
        ],
        "several": several,
        "columns": list(COLUMNS),
        "hyperparameters": _entries(space),
    }


def names_of(space: Space) -> list[str]:
    """The hyperparameters' names, in the order of their definition."""
    return list(dict.fromkeys(entry.name for entry in space))


def _setting(value: Any) -> Any:
    if isinstance(value, list | tuple | dict):
        return f"{len(value)} entries"
    return value if value is None else plain(value)


def _entries(space: Iterable[HyperParameter]) -> list[dict[str, Any]]:
    """One description a name; definitions under several conditions are joined."""
    found: dict[str, dict[str, Any]] = {}
    for entry in space:
        new = entry_of(entry)
        old = found.get(entry.name)
        if old is None:
            found[entry.name] = new
        elif "low" in old and "low" in new:
            old["low"], old["high"] = min(old["low"], new["low"]), max(old["high"], new["high"])
            old["varies"] = old["varies"] or new["varies"] or old["low"] != old["high"]
        elif "choices" in old and "choices" in new:
            old["choices"] += [each for each in new["choices"] if each not in old["choices"]]
            old["varies"] = len(old["choices"]) > 1
    return list(found.values())


def _words(condition: Parent) -> str:
    return f"{condition.name} is {' or '.join(str(plain(each)) for each in condition.values)}"


def entry_of(entry: HyperParameter) -> dict[str, Any]:
    """One hyperparameter: a range on a scale, or its choices."""
    described: dict[str, Any] = {
        "name": entry.name,
        "kind": type(entry).__name__,
        "default": plain(entry.default),
        "varies": entry.count != 1,
        "when": " and ".join(_words(condition) for condition in entry.conditions),
    }
    if isinstance(entry, Numerical):
        log = entry.sampling == "log" and float(entry.min_value) > 0
        described |= {
            "low": float(entry.min_value),
            "high": float(entry.max_value),
            "step": entry.step,
            "log": log,
            "whole": isinstance(entry.min_value, int),
        }
    else:
        described |= {
            "choices": [plain(value) for value in entry.values],
            "ordered": isinstance(entry, Choice) and bool(entry.ordered),
        }
    return described
