"""Where a trial's training draws from: the same place whatever the number of workers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from afina.trials.trial import Trial


def stream_of(trial: Trial, trials: Mapping[int, Trial]) -> tuple[int, int]:
    """What seeds the trial's training, beside the search's seed: numbers from 0 up.

    A trial's own number will not do: which configuration gets which number hangs on who ended
    first as soon as several run at a time. What is trained does not: the values, and the part of
    the training that a schedule asks for.

    Args:
        trial: As it was handed out, its values not yet those that its build came to.
        trials: All trials of the search by number; those from this one's number on do not matter.

    Returns:
        A digest below 2**64 of what is trained, and how many older trials train the same.

    Example:
        >>> twins = {number: Trial(number=number, values={"units": 8}) for number in range(2)}
        >>> (one, first), (other, second) = (stream_of(twin, twins) for twin in twins.values())
        >>> one == other, first, second
        (True, 0, 1)
    """
    part = _part(trial)
    older = (other for other in tuple(trials.values()) if other.number < trial.number)
    twins = sum(other.values == trial.values and _part(other) == part for other in older)
    text = json.dumps([sorted(trial.values.items()), part], default=_plain)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big"), twins


def _part(trial: Trial) -> tuple[int, ...]:
    schedule = trial.schedule
    return () if schedule is None else (schedule.iteration, schedule.bracket, schedule.rung)


def _plain(value: Any) -> Any:
    """A NumPy scalar as the number that a store gives back for it."""
    return value.item()
