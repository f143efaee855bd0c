"""What trials discover of a search space, and the space that comes of it."""

from __future__ import annotations

from typing import Any

from afina.space import HyperParameters, Space, serialize
from afina.trials import Trial


def ranges_of(hp: HyperParameters, space: Space, *, may_grow: bool) -> tuple[Any, ...]:
    """The entries of a trial's own build that the space does not hold, or holds otherwise.

    Args:
        hp: What the build was given, with all that it discovered in it.
        space: As known before.
        may_grow: False leaves out entries of other names and conditions than the space's.
    """
    known = set(space.entries)
    places = {(entry.name, entry.conditions) for entry in known}
    return tuple(
        serialize(entry)
        for entry in hp.space
        if entry not in known and (may_grow or (entry.name, entry.conditions) in places)
    )


def found_by(trial: Trial, space: Space, *, may_grow: bool) -> HyperParameters | None:
    """What a finished trial has discovered; None for nothing.

    Args:
        trial: The trial.
        space: As known now.
        may_grow: False leaves out hyperparameters that the space does not name.
    """
    names = {entry.name for entry in space}
    ranges = [each for each in trial.ranges if may_grow or each["config"]["name"] in names]
    if not ranges:
        return None
    found = {"space": ranges, "values": dict(trial.values)}
    return HyperParameters.from_config(found)
