"""Ticks at round numbers, for axes that Plotly cannot lay out itself."""

from __future__ import annotations

import math


def round_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers within a range, at equal distances.

    Args:
        low: The lower end.
        high: The upper end.
        most: At most so many.

    Example:
        >>> round_ticks(0.03, 0.66)
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
        >>> round_ticks(3, 3)
        [3]
    """
    if not high > low:
        return [low]
    power = math.floor(math.log10((high - low) / most))
    for factor in (1, 2, 5, 10, 20, 50):
        step = factor * 10.0**power
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            return [round(place * step, 12 - power) for place in range(first, last + 1)]
    return [low, high]


def log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Powers of ten within a range; for a short range, also their doubles and fives.

    Example:
        >>> log_ticks(0.0002, 0.09)
        [0.001, 0.01]
        >>> log_ticks(10, 300)
        [10, 20, 50, 100, 200]
        >>> log_ticks(1e-9, 1)
        [1e-09, 1e-07, 1e-05, 0.001, 0.1]
    """
    start, end = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1,)):
        found = [
            value
            for power in range(start, end + 1)
            for factor in factors
            if low <= (value := _exact(factor, power)) <= high
        ]
        if 2 <= len(found) <= most:
            return found
    if len(found) > most:
        every = math.ceil(len(found) / most)
        return found[::every]
    return [low, high] if high > low else [low]


def _exact(factor: int, power: int) -> float:
    return factor * 10**power if power >= 0 else float(f"{factor}e{power}")
