"""Scales: map a point of the unit interval to a number between two bounds, and back.

There are three samplings, as in Keras Tuner: "linear"; "log", where equal ratios have equal widths;
and "reverse_log", its mirror image, finer near the upper bound. With a step, the numbers are
`low + k * step` for "linear" and `low * step**k` for "log". For "reverse_log" they lie as far below
`high` as those of "log" lie above `low`, so step 0 is the upper bound.
"""

from __future__ import annotations

import math
from typing import Any

from afina.errors import SpaceError, wrong

SAMPLINGS = ("linear", "log", "reverse_log")


def check_sampling(name: str, sampling: Any, min_value: float) -> str:
    """The sampling in lower case; None means linear.

    Raises:
        SpaceError: It is unknown, or it is logarithmic and the minimum is not above 0.
    """
    if sampling is None:
        return "linear"
    lower = sampling.lower() if isinstance(sampling, str) else sampling
    if lower not in SAMPLINGS:
        raise SpaceError(wrong(name, f"sampling must be one of {SAMPLINGS}", sampling))
    if lower != "linear" and min_value <= 0:
        rule = f'sampling="{lower}" needs min_value > 0'
        advice = 'Raise min_value, or use sampling="linear".'
        raise SpaceError(wrong(name, rule, min_value, advice))
    return str(lower)


def check_width(name: str, sampling: str, min_value: Any, max_value: Any) -> None:
    """Checks that a float can represent the width of a range.

    Raises:
        SpaceError: The difference of the bounds (linear) or their ratio (log) is too large.
    """
    try:
        low, high = float(min_value), float(max_value)
        width = high - low if sampling == "linear" else high / low
    except OverflowError:
        width = math.inf
    if not math.isfinite(width):
        what = "difference" if sampling == "linear" else "ratio"
        rule = f"the {what} of max_value and min_value must not overflow a float"
        raise SpaceError(wrong(name, rule, (min_value, max_value), "Narrow the range."))


def scale(unit: float, low: float, high: float, sampling: str) -> float:
    """Maps a point of [0, 1] to a number of [low, high].

    Example:
        >>> scale(0.5, 1, 100, "log"), scale(0.5, 1, 100, "reverse_log")
        (10.0, 91.0)
    """
    if sampling == "log":
        return float(low * math.pow(high / low, unit))
    if sampling == "reverse_log":
        return float(mirrored(low * math.pow(high / low, 1 - unit), low, high))
    return low + unit * (high - low)


def mirrored(value: float, low: float, high: float) -> float:
    """Mirrors a number within the range. The result is never below `low`, despite rounding."""
    seen = high + low - value
    return max(seen, low) if value <= high else seen


def unscale(value: float, low: float, high: float, sampling: str) -> float:
    """The inverse of `scale`, also for numbers outside; 0.5 if the bounds are equal.

    If a logarithmic scale does not include a number, the linear scale is used.
    """
    if high <= low:
        return 0.5
    if sampling == "log" and value > 0:
        return math.log(value / low) / math.log(high / low)
    if sampling == "reverse_log" and value < high + low:
        return 1 - math.log(mirrored(value, low, high) / low) / math.log(high / low)
    return (value - low) / (high - low)


def count_steps(low: float, high: float, step: float, sampling: str) -> int:
    """The number of steps within the bounds, including the first.

    A step that misses the end only by rounding counts: (0, 1) in steps of 0.1 has 11.
    """
    steps = steps_between(high, low, high, step, "linear" if sampling == "linear" else "log")
    return math.floor(steps * (1 + 1e-12) + 1e-8) + 1


def steps_between(value: float, low: float, high: float, step: float, sampling: str) -> float:
    """The step of a number, as a real number; also for numbers outside of the bounds."""
    if sampling == "log" and value > 0:
        return math.log(value / low) / math.log(step)
    if sampling == "reverse_log" and value < high + low:
        return math.log(mirrored(value, low, high) / low) / math.log(step)
    return (value - low) / step


def step_value(index: int, low: float, high: float, step: float, sampling: str) -> float:
    """The number at a step, without rounding noise and never outside of the bounds.

    Example:
        >>> 3 * 0.1, step_value(3, 0, 1, 0.1, "linear")
        (0.30000000000000004, 0.3)
    """
    if sampling == "linear":
        value = tidy(low + index * step, max(abs(low), abs(high)))
    else:
        power = low * math.pow(step, index)
        value = tidy(power, power) if sampling == "log" else tidy(high + low - power, high)
    for bound in (low, high):
        # A number that misses a bound only by rounding is that bound.
        if abs(value - bound) <= 1e-9 * min(abs(step), abs(bound) or abs(step)):
            return bound
    return min(max(value, low), high)


def tidy(value: float, size: float) -> float:
    """Removes rounding noise: the nearest number with few digits, if only noise separates them.

    Args:
        value: The result of a few additions and multiplications.
        size: The magnitude of their inputs; noise is relative to it.

    Example:
        >>> tidy(0.1 + 0.2, 1.0), tidy(2 / 3, 1.0)
        (0.3, 0.6666666666666666)
    """
    if size == 0 or not math.isfinite(size):
        return value
    short = round(value, 11 - math.floor(math.log10(size)))
    # Adding 0.0 makes a negative zero a plain one.
    return short + 0.0 if abs(short - value) <= 4e-15 * size else value
