"""The random stream of a trial's training: the same for any number of workers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from afina.trials.trial import Trial


def stream_of(trial: Trial, trials: Mapping[int, Trial]) -> tuple[int, int]:
    """The numbers that seed a trial's training, together with the search's seed.

    They depend on what is trained: the values, and the part of a training that a schedule asks
    for. The trial's number would not do: with several workers, the order in which trials finish
    decides which configuration gets which number.

    Args:
        trial: The trial as the search proposed it, before `build` has changed its values.
        trials: All trials of the search by number; only older ones matter.

    Returns:
        A digest of what is trained, below 2**64, and how many older trials train the same.

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
    """A NumPy scalar as a Python number, as a store returns it."""
    return value.item()
