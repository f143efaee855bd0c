"""The unit cube that search algorithms work in: configurations as points, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from afina.space.categorical import Boolean, Choice, Fixed
from afina.space.conditions import Value
from afina.space.parameters import HyperParameter
from afina.space.space import Space

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Axis:
    """One coordinate of the unit cube."""

    entry_index: int
    """Place in the space of the hyperparameter that it belongs to."""

    name: str
    """Of that hyperparameter."""

    kind: Literal["real", "int", "category"]
    """"real": continuous; "int": ordered cells; "category": 1 for this category, 0 for others."""

    category: int | None = None
    """For "category": which of the choice's values."""

    cells: int | None = None
    """For "int": how many cells; a value lies at the middle of its cell."""


class Encoding:
    """Maps configurations to points of the unit cube.

    A number has one axis, on its sampling's scale. A choice of more than two values whose order
    means nothing has one axis for each; a Boolean, a choice of two or an ordered one has a single
    axis. `Fixed` has none. Axes of inactive hyperparameters hold NaN.

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
        self._first: dict[int, int] = {}
        for index, entry in enumerate(space.entries):
            self._first[index] = len(axes)
            axes += _axes_of(index, entry)
        self.axes = tuple(axes)
        self.dim = len(axes)

    def encode(self, values: Mapping[str, Any]) -> Points:
        """The point of a configuration, (dim,); NaN on inactive axes."""
        point = np.full(self.dim, math.nan)
        seen: set[str] = set()
        for index, entry in enumerate(self.space.entries):
            if entry.name in seen or entry.name not in values:
                continue
            if not self.space.is_active(entry, values):
                continue
            seen.add(entry.name)
            self._write(point, index, entry, values[entry.name])
        return point

    def _write(self, point: Points, index: int, entry: HyperParameter, value: Any) -> None:
        start = self._first[index]
        if start == self.dim or self.axes[start].entry_index != index:
            return  # Fixed
        if self.axes[start].kind == "category":
            assert isinstance(entry, Choice)
            point[start : start + entry.count] = 0.0
            point[start + entry.index_of(value)] = 1.0
        else:
            point[start] = entry.value_to_prob(value)

    def encode_many(self, configurations: Sequence[Mapping[str, Any]]) -> Points:
        """The points of n configurations, (n, dim)."""
        if not configurations:
            return np.empty((0, self.dim))
        return np.stack([self.encode(values) for values in configurations])

    def decode(self, point: Points) -> dict[str, Value]:
        """The configuration nearest to a point; NaN reads as the default."""
        indices = {id(entry): index for index, entry in enumerate(self.space.entries)}
        return self.space.complete({}, lambda entry: self._read(point, indices[id(entry)], entry))

    def _read(self, point: Points, index: int, entry: HyperParameter) -> Any:
        start = self._first[index]
        if start == self.dim or self.axes[start].entry_index != index:
            return entry.default
        if self.axes[start].kind == "category":
            assert isinstance(entry, Choice)
            part = point[start : start + entry.count]
            return entry.default if np.isnan(part).any() else entry.values[int(np.argmax(part))]
        unit = float(point[start])
        return entry.default if math.isnan(unit) else entry.prob_to_value(min(max(unit, 0), 1))

    def snap(self, point: Points) -> Points:
        """The point of the configuration nearest to a point."""
        return self.encode(self.decode(point))


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
