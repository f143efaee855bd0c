"""Keras Tuner keeps a Hyperband trial's place among its values, under reserved names.

Only at this door: inside, `Schedule` says the same as data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from afina.errors import ArgumentError
from afina.space import Value
from afina.trials import Schedule

PREFIX = "tuner/"
_NEEDED = ("tuner/epochs", "tuner/initial_epoch", "tuner/bracket", "tuner/round")


def with_schedule(
    values: Mapping[str, Value], schedule: Schedule | None, trial_id: Callable[[int], str]
) -> dict[str, Value]:
    """The values with the schedule written among them.

    Args:
        values: Of the hyperparameters.
        schedule: None leaves the values as they are.
        trial_id: Turns a parent's number into its id.
    """
    if schedule is None:
        return dict(values)
    keys: dict[str, Value] = {
        "tuner/epochs": schedule.end_epoch,
        "tuner/initial_epoch": schedule.start_epoch,
        "tuner/bracket": schedule.bracket,
        "tuner/round": schedule.rung,
    }
    if schedule.iteration:
        keys["tuner/iteration"] = schedule.iteration
    if schedule.parent is not None:
        keys["tuner/trial_id"] = trial_id(schedule.parent)
    return {**values, **keys}


def split_schedule(
    values: Mapping[str, Any], number_of: Callable[[str], int]
) -> tuple[dict[str, Any], Schedule | None]:
    """The inverse of `with_schedule`.

    Args:
        values: Those without all reserved keys, or of a parent that is no trial, stay untouched.
        number_of: Turns a parent's id into its number; ArgumentError where there is no such trial.
    """
    if any(key not in values for key in _NEEDED):
        return dict(values), None
    parent = values.get("tuner/trial_id")
    if parent is not None:
        try:
            parent = number_of(str(parent))
        except ArgumentError:
            return dict(values), None
    schedule = Schedule(
        bracket=int(values["tuner/bracket"]),
        rung=int(values["tuner/round"]),
        start_epoch=int(values["tuner/initial_epoch"]),
        end_epoch=int(values["tuner/epochs"]),
        parent=parent,
        iteration=int(values.get("tuner/iteration", 0)),
    )
    return {k: v for k, v in values.items() if not k.startswith(PREFIX)}, schedule
