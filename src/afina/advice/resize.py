"""Hyperparameters with other bounds or fewer values.

No function here widens a number beyond its natural limits. A number that is never negative stays
so, a logarithmic one stays above 0, and one between 0 and 1 (dropout, momentum) stays below 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from afina.errors import SpaceError
from afina.space import Choice, Fixed, HyperParameter, Int, Value
from afina.space.conditions import same_value
from afina.space.parameters import Numerical

Side = Literal["low", "high"]
Limits = tuple[float | None, float | None]

GROWTH = 0.5  # a range grows by this part of its length, on its own scale
LARGEST_FACTOR = 10.0  # a logarithmic range grows by at most this factor


def with_values(entry: HyperParameter, values: Sequence[Value], default: Value) -> HyperParameter:
    """The entry with only some of its values.

    Args:
        entry: A choice, a boolean, or a number with few values. For a number, `values` stand for
            the range from the smallest to the largest.
        values: At least one value of the entry.
        default: The new default if it is one of them; otherwise the first one is.
    """
    if isinstance(entry, Numerical):
        return with_range(entry, min(values), max(values), default)  # type: ignore[type-var]
    kept = [v for v in entry.values if any(same_value(v, other) for other in values)]
    if len(kept) == entry.count and not isinstance(entry, Choice):
        return _changed(entry, default=default) if entry.contains(default) else entry
    first = default if any(same_value(default, v) for v in kept) else kept[0]
    if len(kept) == 1 and kept[0] is not None:
        return Fixed(entry.name, kept[0], conditions=entry.conditions)
    assert isinstance(entry, Choice)  # a boolean has both of its values or one of them
    return _changed(entry, values=kept, default=first)


def with_range(entry: Numerical, low: Any, high: Any, default: Value) -> HyperParameter:
    """The number with other bounds and the same steps; unchanged if its steps do not allow that.

    Args:
        entry: A number.
        low: The new lower bound: a value of the entry, or one that its steps reach beyond it.
        high: The new upper bound.
        default: Moved to the nearest value.
    """
    whole = isinstance(entry, Int)
    low, high = (int(low), int(high)) if whole else (float(low), float(high))
    if low == high:
        return Fixed(entry.name, low, conditions=entry.conditions)
    try:
        changed = _changed(entry, min_value=low, max_value=high, default=None)
    except SpaceError:
        return entry
    # Steps of a reverse logarithm depend on both bounds: new bounds may give other values.
    hanging = entry.step is not None and entry.sampling == "reverse_log"
    if hanging and not all(entry.contains(value) for value in changed.values):
        return entry
    return _changed(changed, default=changed.clip(default))


def part_of(entry: Numerical, start: float, end: float, default: Value) -> HyperParameter:
    """The number between two points of its scale, with bounds rounded outwards to two digits.

    Args:
        entry: A number.
        start: In [0, 1); 0 keeps the lower bound.
        end: In (0, 1]; 1 keeps the upper bound.
        default: Moved to the nearest value.
    """
    if entry.count is not None and (entry.step is not None or entry.count <= 1000):
        low, high = entry.prob_to_value(start), entry.prob_to_value(math.nextafter(end, 0.0))
        return with_range(entry, low, high, default)
    low, high = entry.prob_to_value(start), entry.prob_to_value(end)
    span = float(high - low)
    low = entry.min_value if start <= 0 else max(_rounded(low, span, math.floor), entry.min_value)
    high = entry.max_value if end >= 1 else min(_rounded(high, span, math.ceil), entry.max_value)
    return with_range(entry, low, high, default)


def fixed(entry: HyperParameter, value: Value) -> HyperParameter:
    """The entry with a single value; a choice of one value if the value is None."""
    if value is None:
        return Choice(entry.name, [None], conditions=entry.conditions)
    return Fixed(entry.name, value, conditions=entry.conditions)


def widened(entry: HyperParameter, side: Side, limits: Limits = (None, None)) -> HyperParameter:
    """The entry with more room at one end; unchanged if there is no room.

    Args:
        entry: A number, or a choice of ordered numbers. A choice gets one more value, as far from
            the last one as that is from the one before.
        side: Which end.
        limits: The user's bounds; None means no bound.

    Example:
        >>> from afina.space import Float
        >>> widened(Float("rate", 1e-4, 1e-2, sampling="log"), "high").max_value
        0.1
        >>> widened(Float("dropout", 0.0, 0.5), "low").min_value
        0.0
        >>> widened(Choice("units", [16, 32, 64]), "high").values
        [16, 32, 64, 128]
    """
    if isinstance(entry, Choice):
        return _longer(entry, side, limits)
    if not isinstance(entry, Numerical) or entry.count == 1:
        return entry
    low, high = float(entry.min_value), float(entry.max_value)
    reached = _beyond(entry, side)
    if side == "low":
        reached = max(reached, _floor(low), -math.inf if limits[0] is None else limits[0])
        reached = _stepped(entry, reached)
        if not reached < low:
            return entry
        return with_range(entry, reached, entry.max_value, entry.default)
    reached = min(reached, _ceiling(entry, low, high), math.inf if limits[1] is None else limits[1])
    # The last step may end below the upper bound: then the widened range would be narrower.
    reached = _stepped(entry, reached)
    if not reached > high:
        return entry
    return with_range(entry, entry.min_value, reached, entry.default)


def joined(entry: HyperParameter, other: HyperParameter) -> HyperParameter:
    """The entry with all values of both, where `other` is the same one with other bounds."""
    if isinstance(entry, Numerical) and isinstance(other, Numerical):
        low = min(entry.min_value, other.min_value)
        high = max(entry.max_value, other.max_value)
        wide = with_range(entry, low, high, entry.default)
        return wide if wide.contains(entry.default) else entry
    if isinstance(entry, Choice) and isinstance(other, Choice):
        added = [value for value in other.values if not entry.contains(value)]
        return _changed(entry, values=_in_order([*entry.values, *added], entry))
    return entry


def _in_order(values: Sequence[Any], entry: Choice) -> list[Any]:
    """Values in the order of an ordered choice: a model takes neighbours for alike."""
    rising = entry.ordered and list(entry.values) == sorted(entry.values)
    return sorted(values) if rising else list(values)


def _beyond(entry: Numerical, side: Side) -> float:
    """Where the end would be without limits."""
    low, high = float(entry.min_value), float(entry.max_value)
    if entry.sampling == "log":
        factor = min((high / low) ** GROWTH, LARGEST_FACTOR)
        reached = high * factor if side == "high" else low / factor
    else:
        grown = GROWTH * (high - low)
        reached = high + grown if side == "high" else low - grown
        if side == "low" and low > 0:
            reached = max(reached, low / LARGEST_FACTOR)
    rounding = math.ceil if side == "high" else math.floor
    return _rounded(reached, abs(reached), rounding)


def _floor(low: float) -> float:
    """The smallest possible lower bound: a positive one stays above 0, and 0 stays 0."""
    if low > 0:
        return math.nextafter(0.0, 1.0)
    return 0.0 if low == 0 else -math.inf


def _ceiling(entry: Numerical, low: float, high: float) -> float:
    """The largest possible upper bound: a range between 0 and 1 stays there."""
    if isinstance(entry, Int) or entry.sampling == "log" or low < 0 or high > 1:
        return math.inf
    return high if high == 1 else _rounded((1 + high) / 2, 1 - high, math.floor)


def _stepped(entry: Numerical, reached: float) -> float:
    """The last value that the entry's steps reach, or a whole number, not beyond `reached`."""
    low, high = entry.min_value, entry.max_value
    end, sign = (high, 1) if reached > high else (low, -1)
    if entry.step is None:
        return math.trunc(reached) if isinstance(entry, Int) else reached
    if entry.sampling == "reverse_log":
        return float(end)
    last = entry.value_at(entry.index_of(end))
    if entry.sampling == "log":
        steps = math.floor(abs(math.log(reached / last)) / math.log(entry.step) + 1e-9)
        value = float(last) * float(entry.step) ** (sign * steps)
        whole = value == round(value) or not isinstance(entry, Int)
        return value if whole else float(end)
    steps = math.floor(abs(reached - last) / entry.step + 1e-9)
    return float(last + sign * steps * entry.step)


def _longer(entry: Choice, side: Side, limits: Limits) -> HyperParameter:
    """An ordered choice of at least two numbers with one more value; others are unchanged."""
    if not entry.ordered or entry.count < 2 or any(isinstance(v, bool) for v in entry.values):
        return entry
    ranked = sorted(entry.values)
    last, before = (ranked[-1], ranked[-2]) if side == "high" else (ranked[0], ranked[1])
    geometric = last * before > 0
    reached = last * (last / before) if geometric else last + (last - before)
    if all(isinstance(value, int) for value in ranked):
        reached = round(reached)
    elif isinstance(reached, float):
        reached = float(f"{reached:.6g}")
    low, high = limits
    inside = (low is None or reached >= low) and (high is None or reached <= high)
    fraction = ranked[0] >= 0 and ranked[-1] <= 1 and reached >= 1
    negative = ranked[0] >= 0 and reached < 0
    if not inside or fraction or negative or entry.contains(reached):
        return entry
    return _changed(entry, values=_in_order([*entry.values, reached], entry))


def _rounded(value: float, span: float, rounding: Any) -> float:
    """The next number with two digits, relative to a span."""
    if value == 0 or not span > 0 or not math.isfinite(value):
        return value
    digits = 1 - math.floor(math.log10(min(span, abs(value))))
    grid = 10.0**-digits
    near = round(value / grid)
    count = near if math.isclose(near * grid, value, rel_tol=1e-9) else rounding(value / grid)
    return float(round(count * grid, max(digits, 0) + 2))


def _changed(entry: HyperParameter, **fields: Any) -> HyperParameter:
    return type(entry).from_config({**entry.get_config(), **fields})
