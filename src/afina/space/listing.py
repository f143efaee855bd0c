"""The values of a discrete hyperparameter, one by one."""

from __future__ import annotations

from collections.abc import Iterable

from afina.space.conditions import Value, same_value
from afina.space.parameters import HyperParameter, Int


def all_values(entry: HyperParameter) -> tuple[Value, ...]:
    """Every value of a discrete entry, the default first.

    `entry.values` is not enough: for an Int on a log scale it holds a sample of ten.
    """
    values: Iterable[Value] = entry.values
    if isinstance(entry, Int) and entry.count != len(entry.values):
        values = range(entry.min_value, entry.max_value + 1)
    return default_first(entry.default, values)


def default_first(default: Value, values: Iterable[Value]) -> tuple[Value, ...]:
    """The values in their order, but the default before all others."""
    return (default, *(value for value in values if not same_value(value, default)))
