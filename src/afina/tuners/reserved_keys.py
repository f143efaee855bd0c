"""Keras Tuner keeps a Hyperband trial's place among its values, under the names `tuner/...`.

This module alone knows these names. The search has a `Schedule` in each stored trial:

    Schedule ── with_schedule ──▶ hyperparameters.values ── segment_of ──▶ PlannedSegment ──▶ Tuner
    Schedule ◀── split_schedule ── values that people wrote, as by `populate_space`

Users read and set the names in `hyperparameters.values`, so a trial's `PlannedSegment` follows from
them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from afina.errors import ArgumentError
from afina.space import Value
from afina.trials import Schedule

PREFIX = "tuner/"
_NEEDED = ("tuner/epochs", "tuner/initial_epoch", "tuner/bracket", "tuner/round")


@dataclass(frozen=True)
class PlannedSegment:
    """The part of a training that a trial does: what to train, and from where."""

    start_epoch: int
    """Epochs that `parent` has trained already."""

    end_epoch: int | None
    """Train until this many epochs are done in all; None for the epochs that `search` was given."""

    parent: str | None
    """Id of the trial whose weights and optimizer this one continues; None for a new model."""


def segment_of(values: Mapping[str, Any]) -> PlannedSegment | None:
    """The part of a training that the values of a trial ask for; None for all of it.

    Example:
        >>> segment_of({"units": 8, "tuner/epochs": 9, "tuner/initial_epoch": 3})
        PlannedSegment(start_epoch=3, end_epoch=9, parent=None)
    """
    end, parent = values.get("tuner/epochs"), values.get("tuner/trial_id")
    if end is None and parent is None:
        return None
    start = values.get("tuner/initial_epoch", 0)
    return PlannedSegment(start, end, None if parent is None else str(parent))


def own_values(values: Mapping[str, Value]) -> dict[str, Value]:
    """The values of the hyperparameters alone, without the reserved names."""
    return {name: value for name, value in values.items() if not name.startswith(PREFIX)}


def without_parent(values: Mapping[str, Value]) -> dict[str, Value]:
    """The values of a trial whose model is not to be continued from another's."""
    return {name: value for name, value in values.items() if name != "tuner/trial_id"}


def with_schedule(
    values: Mapping[str, Value], schedule: Schedule | None, trial_id: Callable[[int], str]
) -> dict[str, Value]:
    """The values with the schedule written among them.

    Args:
        values: The values of the hyperparameters.
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
        number_of: Turns a parent's id into its number; ArgumentError if there is no such trial.
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
    return own_values(values), schedule
