"""Scales: how a point of the unit interval becomes a number between two bounds."""

from __future__ import annotations

import math
from typing import Any

from afina.errors import SpaceError, wrong

SAMPLINGS = ("linear", "log", "reverse_log")


def check_sampling(name: str, sampling: Any, min_value: float) -> str:
    """The sampling in lower case; None means linear.

    Raises:
        SpaceError: It is unknown, or logarithmic with a minimum that is not above 0.
    """
    if sampling is None:
        return "linear"
    lower = sampling.lower() if isinstance(sampling, str) else sampling
    if lower not in SAMPLINGS:
        raise SpaceError(wrong(name, f"sampling must be one of {SAMPLINGS}", sampling))
    if lower != "linear" and min_value <= 0:
        raise SpaceError(
            wrong(
                name,
                f'sampling="{lower}" needs min_value > 0',
                min_value,
                'Raise min_value, or use sampling="linear".',
            )
        )
    return str(lower)


def scale(unit: float, low: float, high: float, sampling: str) -> float:
    """Maps a point of [0, 1] to a number of [low, high]."""
    if sampling == "log":
        return low * math.pow(high / low, unit)
    if sampling == "reverse_log":
        return high + low - low * math.pow(high / low, 1 - unit)
    return low + unit * (high - low)


def unscale(value: float, low: float, high: float, sampling: str) -> float:
    """The inverse of `scale`; 0.5 where the bounds are equal."""
    if high <= low:
        return 0.5
    if sampling == "log":
        return math.log(value / low) / math.log(high / low)
    if sampling == "reverse_log":
        return 1 - math.log((high + low - value) / low) / math.log(high / low)
    return (value - low) / (high - low)


def count_steps(low: float, high: float, step: float, sampling: str) -> int:
    """How many values `low, low + step, ...` (or `low * step, ...`) do not pass `high`.

    A step that hits the upper bound but for rounding counts: (0, 1) in steps of 0.1 has 11.
    """
    if sampling == "linear":
        return math.floor((high - low) / step * (1 + 1e-12) + 1e-8) + 1
    return math.floor(math.log(high / low) / math.log(step) + 1e-8) + 1


def step_value(index: int, low: float, high: float, step: float, sampling: str) -> float:
    """The value at a step's index, rid of rounding noise and never above `high`."""
    if sampling == "linear":
        value = low + index * step
    elif sampling == "log":
        value = low * math.pow(step, index)
    else:
        value = high + low - low * math.pow(step, index)
    return min(float(f"{value:.12g}"), high)
