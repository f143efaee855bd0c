"""The geometry of a search space: its points, their distances, and moves among them.

A *full point* is a row of the unit cube of `Encoding` without NaN: axes that are inactive under
the point's own choices hold the value they would have if they were active. So a move that activates
a branch finds values there, and moves of many points at once are plain array operations.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afina.space import Encoding, HyperParameter, Parent, Space, Value
from afina.space.parameters import all_values
from afina.surrogates.covariance import Groups

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Values = tuple[tuple[str, Value], ...]
"""A trial's active hyperparameters and their values, in the trial's order."""

# Squared distance up to which points are one configuration: encoding and decoding changes the last
# digits of real values, so equality would miss repeats.
SAME = 1e-12

# An entry with more values counts as continuous: it is rounded when the point is decoded.
DISCRETE_LIMIT = 1000
# How many single changes of one choice or integer a step compares at most.
MOVES_LIMIT = 16
# Perturbations of a good point: the range of widths, and how many entries change on average.
WIDTHS = (0.01, 0.3)
CHANGED = 2.0

HALF_ROOT = math.sqrt(0.5)


@dataclass(frozen=True, eq=False)
class Dimension:
    """One entry of the space, as coordinates of a point."""

    name: str

    axes: NDArray[np.intp]
    """Its axes: one for each category, or a single one. Empty for an entry that cannot vary."""

    values: tuple[Value, ...]
    """The values of a discrete entry, in the order of its categories or positions; else empty."""

    positions: Array | None
    """(count,) sorted coordinates of the values of a discrete entry with a single axis."""

    switches: tuple[tuple[tuple[int, Mask], ...], ...]
    """For each condition, pairs of a dimension's number and a mask of its values. The condition is
    met if one of these dimensions is active and its value is marked. The entry is active if all
    conditions are met."""

    rivals: tuple[int, ...]
    """Numbers of earlier dimensions of the same name; this one is inactive if one of them is
    active."""

    @property
    def one_hot(self) -> bool:
        """Whether each category has its own axis."""
        return len(self.axes) > 1

    @functools.cached_property
    def middles(self) -> Array:
        """(count - 1,) the borders between `positions`."""
        assert self.positions is not None
        return (self.positions[1:] + self.positions[:-1]) / 2


class Geometry:
    """A space compiled for operations on many points at once.

    Distances between embedded points say how different two configurations are:

    - Numbers differ by their distance in the unit cube; both ends are at distance 1.
    - Choices that differ are at distance 1, however many categories there are.
    - A conditional entry that is active in one configuration only is at distance 1, whatever its
      value. If it is inactive in both, the distance is 0. To make that possible in a Euclidean
      space, the values of a conditional number lie on an arc of radius 1 and length 1 around the
      point "inactive", and "inactive" is one more category of a conditional choice. A default value
      in place of "inactive" would be close to some values and far from others.

    Args:
        space: The search space.

    Source:
        Hutter & Osborne, "A kernel for hierarchical parameter spaces", arXiv:1310.5738 (the arc);
        Horn et al., "Surrogates for hierarchical search spaces", GECCO 2019 (comparison).
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.encoding = Encoding(space)
        self.dim = self.encoding.dim
        self.dimensions = tuple(_dimensions(space, self.encoding))
        self.tunable = tuple(dimension for dimension in self.dimensions if len(dimension.axes))
        real = [p.axes[0] for p in self.tunable if not p.one_hot and p.positions is None]
        self.real_axes: NDArray[np.intp] = np.array(real, dtype=np.intp)
        """Axes along which a point can move continuously."""
        self._layout()

    def _layout(self) -> None:
        """Decides which features each axis has."""
        linear: list[tuple[int, int]] = []
        arcs: list[tuple[int, int]] = []
        hot: list[tuple[int, int]] = []
        idle: list[tuple[int, int]] = []
        groups: list[int] = []
        self._scale, self._shift = np.ones(self.dim), np.zeros(self.dim)
        for group, dimension in enumerate(self.tunable):
            conditional = bool(dimension.switches or dimension.rivals)
            if dimension.one_hot:
                hot += [(axis, group) for axis in dimension.axes]
                idle += [(self.dimensions.index(dimension), group)] if conditional else []
                continue
            axis = dimension.axes[0]
            if dimension.positions is not None and len(dimension.positions) > 1:
                low, high = dimension.positions[[0, -1]]
                self._scale[axis], self._shift[axis] = 1 / (high - low), low
            (arcs if conditional else linear).append((axis, group))
        for columns in (linear, arcs, arcs, hot, idle):
            groups += [group for _, group in columns]
        self.groups: Groups = np.array(groups, dtype=np.intp)
        """(f,) the entry, counted among those that vary, that each feature belongs to."""
        stepped = [
            dimension.one_hot or dimension.positions is not None for dimension in self.tunable
        ]
        self.steady: Mask = np.array(stepped, dtype=bool)[self.groups]
        """(f,) whether a feature changes in steps, because its entry is discrete."""
        self._linear, self._arcs, self._hot, self._idle = (
            np.array([column for column, _ in columns], dtype=np.intp)
            for columns in (linear, arcs, hot, idle)
        )
        owners = np.zeros(self.dim, dtype=np.intp)
        for index, dimension in enumerate(self.dimensions):
            owners[dimension.axes] = index
        self._owners = owners

    def encode(self, rows: Sequence[Mapping[str, Value]]) -> Array:
        """(n, dim) the points of configurations, NaN on inactive axes."""
        return np.asarray(self.encoding.encode_many(list(rows)), dtype=float)

    def decode(self, point: Array) -> dict[str, Value]:
        """The configuration at a full point."""
        return dict(self.encoding.decode(point))

    def active(self, points: Array) -> Mask:
        """(n, dimensions) which entries of the space are active at these points."""
        return self.active_by(lambda number: _choices(self.dimensions[number], points), len(points))

    def active_by(self, choices: Callable[[int], NDArray[np.intp]], count: int) -> Mask:
        """(count, dimensions) the same, from the values of the points' discrete dimensions.

        Args:
            choices: From a dimension's number to (count,) indices of its values.
            count: How many points there are.
        """
        active = np.ones((count, len(self.dimensions)), dtype=bool)
        for index, dimension in enumerate(self.dimensions):
            for pairs in dimension.switches:
                met = np.zeros(count, dtype=bool)
                for parent, allowed in pairs:
                    met |= active[:, parent] & allowed[choices(parent)]
                active[:, index] &= met
            for rival in dimension.rivals:
                active[:, index] &= ~active[:, rival]
        return active

    def embed(self, points: Array, active: Mask | None = None) -> Array:
        """(n, f) features of points, full or encoded.

        Args:
            points: (n, dim).
            active: The result of `active` for them, if it is known; saves half of the time.
        """
        points = np.where(np.isnan(points), 0.5, points)
        if active is None:
            active = self.active(points)
        on = active[:, self._owners].astype(float)
        lines = (points - self._shift) * self._scale
        angles = lines[:, self._arcs]
        return np.concatenate(
            [
                lines[:, self._linear],
                np.sin(angles) * on[:, self._arcs],
                np.cos(angles) * on[:, self._arcs],
                HALF_ROOT * points[:, self._hot] * on[:, self._hot],
                HALF_ROOT * ~active[:, self._idle],
            ],
            axis=1,
        )

    def pull_back(self, points: Array, active: Mask, slopes: Array) -> Array:
        """Derivatives by the features (n, f) as derivatives by the single axes (n, dim)."""
        on = active[:, self._owners]
        angles = (points - self._shift) * self._scale
        split = np.cumsum([len(self._linear), len(self._arcs), len(self._arcs)])
        by_line, by_sine, by_cosine, _ = np.split(slopes, split, axis=1)
        result = np.zeros_like(points)
        result[:, self._linear] = by_line
        angles = angles[:, self._arcs]
        result[:, self._arcs] = by_sine * np.cos(angles) - by_cosine * np.sin(angles)
        return np.asarray(result * on * self._scale)

    def place(self, units: Array) -> Array:
        """Full points from one number in [0, 1) for each entry that varies.

        Args:
            units: (n, tunable entries). Equal parts of [0, 1) fall on each category.
        """
        points = np.zeros((len(units), self.dim))
        for column, dimension in enumerate(self.tunable):
            unit = units[:, column]
            if dimension.one_hot:
                chosen = (unit * len(dimension.axes)).astype(int)
                points[np.arange(len(units)), dimension.axes[chosen]] = 1
            else:
                points[:, dimension.axes[0]] = _snapped(dimension, unit)
        return points

    def allowed(self, points: Array) -> Mask:
        """(n,) whether the configurations at full points satisfy the constraints of the space."""
        rules = self.space.constraints
        rows = (self.decode(point) for point in points) if rules else ()
        found = [self.space.allows(values) for values in rows]
        return np.array(found, dtype=bool) if rules else np.ones(len(points), dtype=bool)

    def uniform(self, count: int, rng: np.random.Generator) -> Array:
        """(count, dim) full points from the whole space."""
        return self.place(rng.random((count, len(self.tunable))))

    def perturbed(self, point: Array, count: int, rng: np.random.Generator) -> Array:
        """(count, dim) full points near an encoded one, each changed in some entries.

        Inactive axes (NaN) are drawn anew for each point, for variety in branches that a change
        activates.
        """
        fresh = self.uniform(count, rng)
        points = np.where(np.isnan(point), fresh, point)
        entries = len(self.tunable)
        changed = rng.random((count, entries)) < min(1.0, CHANGED / max(entries, 1))
        if entries:
            changed[np.arange(count), rng.integers(entries, size=count)] = True
        low, high = np.log(WIDTHS)
        widths = np.exp(rng.uniform(low, high, count))
        steps = rng.standard_normal((count, entries)) * widths[:, None]
        for column, dimension in enumerate(self.tunable):
            rows = np.flatnonzero(changed[:, column])
            if dimension.one_hot:
                points[np.ix_(rows, dimension.axes)] = fresh[np.ix_(rows, dimension.axes)]
                continue
            axis = dimension.axes[0]
            step = steps[rows, column]
            if dimension.positions is not None:
                # At least to the next value: a step that is rounded to nothing is wasted.
                step += np.copysign(0.75 / len(dimension.positions), step)
            moved = points[rows, axis] + step
            moved = np.abs(moved)  # reflected at the bounds, where clipping would collect points
            points[rows, axis] = _snapped(dimension, np.clip(1 - np.abs(1 - moved), 0, 1))
        return points

    def neighbours(self, point: Array, rng: np.random.Generator) -> Array:
        """(m, dim) full points that differ from this one in one active discrete entry."""
        active = self.active(point[None])[0]
        moves = []
        for dimension in self.tunable:
            if not active[self._owners[dimension.axes[0]]]:
                continue
            if dimension.one_hot:
                others = np.flatnonzero(
                    np.arange(len(dimension.axes)) != point[dimension.axes].argmax()
                )
                if len(others) > MOVES_LIMIT:
                    others = rng.choice(others, MOVES_LIMIT, replace=False)
                moved = np.tile(point, (len(others), 1))
                moved[:, dimension.axes] = 0
                moved[np.arange(len(others)), dimension.axes[others]] = 1
                moves.append(moved)
            elif dimension.positions is not None:
                here = int(np.abs(dimension.positions - point[dimension.axes[0]]).argmin())
                steps = np.array(_steps(len(dimension.positions)), dtype=int)
                reached = here + steps
                reached = reached[(reached >= 0) & (reached < len(dimension.positions))]
                moved = np.tile(point, (len(reached), 1))
                moved[:, dimension.axes[0]] = dimension.positions[reached]
                moves.append(moved)
        return np.concatenate(moves) if moves else np.zeros((0, self.dim))


@functools.lru_cache(maxsize=32)
def geometry_of(space: Space) -> Geometry:
    """The geometry of a space, compiled once: a cache of a pure function."""
    return Geometry(space)


@functools.lru_cache(maxsize=4096)
def _row(geometry: Geometry, values: Values) -> Array:
    """(1, dim) the encoded point of a trial."""
    return geometry.encode([adapted(values, geometry.space)])


def adapted(values: Values, space: Space) -> dict[str, Value]:
    """The configuration of a trial, in a space that may have changed since.

    Entries that the space has learnt since are at their defaults; values that it no longer allows
    are moved to its nearest ones.
    """
    own = dict(values)

    def choose(entry: HyperParameter) -> Value:
        return entry.clip(own[entry.name]) if entry.name in own else entry.default

    return space.complete(own, choose)


def encoded(geometry: Geometry, rows: Sequence[Values]) -> Array:
    """(n, dim) the encoded points of trials, NaN on inactive axes."""
    empty = np.zeros((0, geometry.dim))
    return np.concatenate([empty, *(_row(geometry, values) for values in rows)])


def _dimensions(space: Space, encoding: Encoding) -> list[Dimension]:
    """The dimensions of the space, one for each entry, in order."""
    dimensions: list[Dimension] = []
    for index, entry in enumerate(space):
        axes = np.array(
            [number for number, axis in enumerate(encoding.axes) if axis.entry_index == index],
            dtype=np.intp,
        )
        values: tuple[Value, ...] = ()
        if len(axes) > 1:
            values = tuple(entry.values)
        elif entry.count is not None and entry.count <= DISCRETE_LIMIT:
            values = tuple(sorted(all_values(entry), key=entry.value_to_prob))
        positions = None
        if len(axes) == 1 and values:
            positions = np.array([entry.value_to_prob(value) for value in values])
        switches = tuple(_pairs(condition, dimensions) for condition in entry.conditions)
        rivals = tuple(
            number for number, other in enumerate(dimensions) if other.name == entry.name
        )
        dimensions.append(Dimension(entry.name, axes, values, positions, switches, rivals))
    return dimensions


def _pairs(condition: Parent, dimensions: Sequence[Dimension]) -> tuple[tuple[int, Mask], ...]:
    """One condition of `Dimension.switches`. A continuous parent never has one of single values."""
    return tuple(
        (
            number,
            np.array(
                [condition.is_active({dimension.name: value}) for value in dimension.values], bool
            ),
        )
        for number, dimension in enumerate(dimensions)
        if dimension.name == condition.name and dimension.values
    )


def _choices(dimension: Dimension, points: Array) -> NDArray[np.intp]:
    """(n,) the index of the value that a discrete dimension has at full points."""
    if not len(dimension.axes):
        return np.zeros(len(points), dtype=np.intp)
    if dimension.one_hot:
        return np.asarray(points[:, dimension.axes].argmax(axis=1), dtype=np.intp)
    return np.searchsorted(dimension.middles, points[:, dimension.axes[0]])


def _snapped(dimension: Dimension, coordinates: Array) -> Array:
    """Coordinates of a single axis, moved to the nearest value if the dimension is discrete."""
    if dimension.positions is None:
        return coordinates
    return dimension.positions[np.searchsorted(dimension.middles, coordinates)]


def _steps(count: int) -> list[int]:
    """Steps from one of `count` ordered values: to each other value, or doubling if many."""
    if count <= MOVES_LIMIT // 2:
        return [step for step in range(1 - count, count) if step]
    sizes = [2**power for power in range(count.bit_length() - 1)]
    return [-size for size in reversed(sizes)] + sizes
