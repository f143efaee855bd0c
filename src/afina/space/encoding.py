"""Maps configurations to points of the unit cube, in which search algorithms work, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from afina.space.categorical import Boolean, Choice, Fixed
from afina.space.conditions import Parent, Value
from afina.space.parameters import Float, HyperParameter, Int, Numerical
from afina.space.space import Space, all_hold

Points = NDArray[np.float64]
Rows = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Axis:
    """One coordinate of the unit cube."""

    entry_index: int
    """Place of its hyperparameter in the space."""

    name: str
    """Name of its hyperparameter."""

    kind: Literal["real", "int", "category"]
    """"real": continuous; "int": ordered cells; "category": 1 for this category, 0 for others."""

    category: int | None = None
    """For "category": the index of the choice's value."""

    cells: int | None = None
    """For "int": the number of cells; a value lies at the middle of its cell."""


class Encoding:
    """Maps configurations to points of the unit cube.

    A number has one axis, on the scale of its sampling. An unordered choice of more than two values
    has one axis for each value. An ordered choice, a choice of two and a Boolean have one axis. An
    entry with only one value, such as `Fixed`, has none. Axes of inactive entries hold NaN.

    Args:
        space: The search space.

    Example:
        >>> from afina.space import Choice, Float, Space
        >>> cube = Encoding(Space((Float("rate", 0.01, 1, sampling="log"),)))
        >>> cube.encode({"rate": 0.1})
        array([0.5])
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        axes: list[Axis] = []
        self._slices: list[slice] = []
        for index, entry in enumerate(space.entries):
            own = _axes_of(index, entry)
            self._slices.append(slice(len(axes), len(axes) + len(own)))
            axes += own
        self.axes = tuple(axes)
        self.dim = len(axes)

    def encode(self, values: Mapping[str, Any]) -> Points:
        """The point of a configuration, (dim,); NaN on inactive axes."""
        point = np.full(self.dim, math.nan)
        chosen: dict[str, Any] = {}
        for entry, own in zip(self.space.entries, self._slices, strict=True):
            if entry.name in chosen or entry.name not in values:
                continue
            if entry.conditions and not all_hold(entry.conditions, chosen):
                continue
            value = chosen[entry.name] = values[entry.name]
            if own.stop - own.start > 1:
                assert isinstance(entry, Choice)
                point[own] = 0.0
                point[own.start + entry.index_of(value)] = 1.0
            elif own.stop > own.start:
                point[own] = entry.value_to_prob(entry.clip(value))
        return point

    def encode_many(self, configurations: Sequence[Mapping[str, Any]]) -> Points:
        """The points of n configurations, (n, dim): the same as `encode`, but faster."""
        table = _Table(configurations)
        points = np.full((len(configurations), self.dim), math.nan)
        for entry, own in zip(self.space.entries, self._slices, strict=True):
            rows = np.flatnonzero(table.claim(entry))
            if own.stop == own.start or not len(rows):
                continue
            column = table.column(entry.name)
            values = column if len(rows) == len(column) else [column[row] for row in rows]
            if own.stop - own.start > 1:
                assert isinstance(entry, Choice)
                points[rows, own] = 0.0
                hot = np.fromiter(map(entry.index_of, values), dtype=np.intp, count=len(rows))
                points[rows, own.start + hot] = 1.0
            else:
                points[rows, own.start] = _units(entry, values)
        return points

    def decode(self, point: Points) -> dict[str, Value]:
        """The configuration nearest to a point; NaN reads as the default."""
        coordinates = point.tolist()
        return self.space.walk(lambda index, entry: _read(entry, coordinates[self._slices[index]]))


class _Table:
    """Configurations by column, and the rows in which each name is active."""

    def __init__(self, configurations: Sequence[Mapping[str, Any]]) -> None:
        self.configurations = configurations
        self._columns: dict[str, list[Any]] = {}
        self._active: dict[str, Rows] = {}

    def column(self, name: str) -> list[Any]:
        """The values of a name; `_MISSING` in rows without one."""
        if name not in self._columns:
            self._columns[name] = [row.get(name, _MISSING) for row in self.configurations]
        return self._columns[name]

    def claim(self, entry: HyperParameter) -> Rows:
        """The rows in which the entry is active, and no earlier entry of the same name."""
        column = self.column(entry.name)
        rows = np.fromiter((v is not _MISSING for v in column), dtype=np.bool_, count=len(column))
        for condition in entry.conditions:
            rows &= self._holds(condition)
        taken = self._active.get(entry.name)
        if taken is not None:
            rows &= ~taken
        self._active[entry.name] = rows if taken is None else taken | rows
        return rows

    def _holds(self, condition: Parent) -> Rows:
        active = self._active.get(condition.name)
        if active is None:
            return np.zeros(len(self.configurations), dtype=np.bool_)
        column = self.column(condition.name)
        holds = map(condition.allows, column)
        return active & np.fromiter(holds, dtype=np.bool_, count=len(column))


_MISSING = object()


def _axes_of(index: int, entry: HyperParameter) -> list[Axis]:
    if isinstance(entry, Fixed) or entry.count == 1:
        return []
    if isinstance(entry, Choice) and not entry.ordered and entry.count > 2:
        return [
            Axis(index, entry.name, "category", category=category)
            for category in range(entry.count)
        ]
    if isinstance(entry, Choice | Boolean) or entry.count is not None:
        return [Axis(index, entry.name, "int", cells=entry.count)]
    return [Axis(index, entry.name, "real")]


def _read(entry: HyperParameter, units: list[float]) -> Value:
    """The value at an entry's coordinates."""
    if not units or any(map(math.isnan, units)):
        return entry.default
    if len(units) > 1:
        return entry.values[units.index(max(units))]  # type: ignore[no-any-return]
    return entry.prob_to_value(min(max(units[0], 0.0), 1.0))  # type: ignore[no-any-return]


def _units(entry: HyperParameter, values: Sequence[Any]) -> Points:
    """`value_to_prob` for many values, (n,)."""
    if isinstance(entry, Numerical) and entry.step is None:
        try:
            numbers = np.array(values, dtype=np.float64)
        except (TypeError, ValueError):
            numbers = np.array([math.nan])
        if np.isfinite(numbers).all():
            return _scaled(entry, numbers)
    # Steps, choices, or values that are not numbers: those count as the default, as in `encode`.
    seen: dict[Any, float] = {}
    units = np.empty(len(values))
    for row, value in enumerate(values):
        key = (value.__class__, value)
        if key not in seen:
            seen[key] = entry.value_to_prob(entry.clip(value))
        units[row] = seen[key]
    return units


def _scaled(entry: Numerical, values: Points) -> Points:
    """`unscale` for many numbers of a range without steps, (n,)."""
    assert isinstance(entry, Int | Float)
    low, high = float(entry.min_value), float(entry.max_value)
    inside = np.clip(values, low, high)
    if isinstance(entry, Int):
        inside, high = np.rint(inside) + 0.5, high + 1
    if entry.sampling == "linear":
        return (inside - low) / (high - low)
    if entry.sampling == "log":
        return np.log(inside / low) / math.log(high / low)
    seen = np.maximum(high + low - inside, low)  # see `sampling.mirrored`
    units: Points = 1 - np.log(seen / low) / math.log(high / low)
    return units
