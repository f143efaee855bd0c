"""Parzen estimators on search spaces: densities made of one kernel for each trial.

A *row* has one number for each entry of the space that can vary: the coordinate in [0, 1] of a
number, the place of a choice's value, NaN where the entry is inactive. The kernel of a row is a
product over the entries:

- a number: a normal distribution around the row's coordinate, cut off at 0 and 1;
- a number of few values: the same, integrated over the cell of each value (where cells are no
  wider than the narrowest kernel, the density at the middle serves instead);
- a choice: most of the probability on the row's own value, the rest evenly on the others;
- NaN: uniform. A trial in which an entry was inactive says nothing about its value.

So a kernel is a density on all configurations whatever branch they take: entries that are inactive
in a configuration are integrated out of it, which means that their factors are left out. And the
prior is one more kernel, that of a row of NaN alone.

Source: Bergstra et al., "Algorithms for hyper-parameter optimization", NeurIPS 2011; Falkner et
al., "BOHB", arXiv:1807.01774 (products of kernels); Watanabe, arXiv:2304.11127 (settings).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from afina.search.candidates import Geometry, Part

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Mask = NDArray[np.bool_]

# Bandwidths in units of the whole range. A kernel narrower than that would let luck decide.
NARROWEST = 0.03
WIDEST = 1.0
# Of an entry with few values: in units of the cell. Neighbouring values stay possible.
NARROWEST_OF_CELLS = 0.3
# Below the smallest number whose logarithm is finite lies nothing of importance.
TINY = 1e-300


class Columns:
    """How the entries of a space are read as the numbers of a row, for arrays of many rows.

    Args:
        geometry: Of the space.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        parts = geometry.tunable
        self.count = len(parts)
        self.numbers = _index([c for c, part in enumerate(parts) if not _is_category(part)])
        """Columns of numbers, on a continuum or in cells."""
        edges = {c: _edges(parts[c]) for c in self.numbers.tolist()}
        self.cells = _index([c for c, own in edges.items() if _is_coarse(own)])
        """Those of them whose kernels are integrated over the cells of their values."""
        self.smooth = _index([c for c, own in edges.items() if not _is_coarse(own)])
        """The others."""
        self.categories = _index([c for c, part in enumerate(parts) if _is_category(part)])
        """Columns of choices; and of whatever has two values, which know no distance."""
        self.sizes = _index([len(parts[c].values) for c in self.categories.tolist()])
        """How many values each of these has."""
        self.offsets = _index([0, *np.cumsum(self.sizes).tolist()])
        """Where the values of each begin when all are laid in one line."""
        self.edges = {c: own for c, own in edges.items() if len(own)}
        """By column of numbers with a value in each of their cells: the (values + 1,) borders of
        these from 0 to 1."""
        widths = np.zeros(self.count)
        for column, own in self.edges.items():
            widths[column] = 1 / (len(own) - 1)
        self.floor: Array = np.maximum(NARROWEST, NARROWEST_OF_CELLS * widths)[self.numbers]
        """(numbers,) the narrowest bandwidths."""
        self.conditional = any(part.switches or part.rivals for part in parts)
        """Whether any entry can be inactive."""
        places = {id(part): number for number, part in enumerate(geometry.parts)}
        self._places = _index([places[id(part)] for part in parts])
        self._hot = [(c, part) for c, part in enumerate(parts) if part.one_hot]
        single = [(c, part) for c, part in enumerate(parts) if not part.one_hot]
        self._single = _index([c for c, _ in single])
        self._axes = _index([int(part.axes[0]) for _, part in single])
        self._pairs = _index([c for c, part in single if _is_category(part)])
        ends = [part.positions for _, part in single if _is_category(part)]
        self._low, self._high = np.array(ends, dtype=float).reshape(-1, 2).T

    def read(self, points: Array) -> Array:
        """(n, columns) the rows of points (n, dim), full or encoded."""
        rows = np.empty((len(points), self.count))
        rows[:, self._single] = points[:, self._axes]
        if len(self._pairs):
            # Which end is nearer, 0 or 1; NaN stays.
            own = (rows[:, self._pairs] - self._low) / (self._high - self._low)
            rows[:, self._pairs] = np.rint(own)
        for column, part in self._hot:
            own = points[:, part.axes]
            rows[:, column] = np.where(np.isnan(own[:, 0]), np.nan, own.argmax(axis=1))
        return rows

    def write(self, rows: Array) -> Array:
        """(n, dim) the full points of rows without NaN."""
        points = np.zeros((len(rows), self.geometry.dim))
        points[:, self._axes] = rows[:, self._single]
        if len(self._pairs):
            own = rows[:, self._pairs]
            axes = self._axes[np.searchsorted(self._single, self._pairs)]
            points[:, axes] = self._low + own * (self._high - self._low)
        for column, part in self._hot:
            points[np.arange(len(rows)), part.axes[rows[:, column].astype(np.intp)]] = 1.0
        return points

    def active(self, rows: Array) -> Mask:
        """(n, columns) where the entries are active in rows without NaN."""
        if not self.conditional:
            return np.ones(rows.shape, dtype=bool)
        return self.geometry.active(self.write(rows))[:, self._places]

    def uniform(self, count: int, rng: np.random.Generator) -> Array:
        """(count, columns) rows without NaN from all over the space."""
        rows = rng.random((count, self.count))
        rows[:, self.categories] = np.floor(rows[:, self.categories] * self.sizes)
        return self.snapped(rows)

    def snapped(self, rows: Array) -> Array:
        """The rows with numbers that have cells moved to the value of their cell. In place."""
        for column, edges in self.edges.items():
            positions = self.geometry.tunable[column].positions
            assert positions is not None
            rows[:, column] = positions[np.searchsorted(edges[1:-1], rows[:, column])]
        return rows


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """A weighted sum of kernels; the last one is the prior."""

    columns: Columns

    rows: Array
    """(kernels, columns) the rows that the kernels belong to."""

    log_weights: Array
    """(kernels,) their logarithms add up to a sum of 1."""

    widths: Array
    """(kernels, numbers) bandwidths of the numbers; 1 where the row has NaN."""

    own: Array
    """(categories,) what probability a kernel gives to its row's own value."""

    def log_density(self, rows: Array, active: Mask) -> Array:
        """(m,) the logarithm of the density at rows.

        Numbers without cells count as a density on [0, 1], all others as probabilities.

        Args:
            rows: (m, columns), without NaN.
            active: (m, columns) where their entries are active.
        """
        parts = self._matrix(rows, active)
        parts += self.log_weights
        top = parts.max(axis=1)
        np.exp(np.subtract(parts, top[:, None], out=parts), out=parts)
        return np.asarray(top + np.log(parts.sum(axis=1)))

    def _matrix(self, rows: Array, active: Mask) -> Array:
        """(m, kernels) log densities of the single kernels, without weights.

        All but the cells is one product of matrices: the exponent of a normal density is a
        polynomial, and the probabilities of a choice are picked by its one-hot code.
        """
        columns = self.columns
        smooth, on = rows[:, columns.smooth], active[:, columns.smooth].astype(float)
        features = [on, on * smooth, on * smooth * smooth]
        hot = np.zeros((len(rows), columns.offsets[-1]))
        if len(columns.categories):
            spots = columns.offsets[:-1] + rows[:, columns.categories].astype(np.intp)
            np.put_along_axis(hot, spots, active[:, columns.categories].astype(float), axis=1)
        matrix = np.concatenate([*features, hot], axis=1) @ self._coefficients().T
        if len(columns.cells):
            matrix += self._cell_logs(rows, active)
        return np.asarray(matrix)

    def _coefficients(self) -> Array:
        """(kernels, features) see `_matrix`."""
        columns = self.columns
        picked = np.searchsorted(columns.numbers, columns.smooth)
        known, means, widths = self._numbers()
        known, means, widths = known[:, picked], means[:, picked], widths[:, picked]
        precision = known / (widths * widths)
        mass = ndtr((1 - means) / widths) - ndtr(-means / widths)
        scale = np.where(known, np.log(mass * widths) + 0.5 * math.log(2 * math.pi), 0.0)
        blocks = [
            -0.5 * means * means * precision - scale,
            means * precision,
            -0.5 * precision,
        ]
        blocks.append(self._choice_logs())
        return np.concatenate(blocks, axis=1)

    def _choice_logs(self) -> Array:
        """(kernels, values of all choices) the log probabilities of each value."""
        columns = self.columns
        logs = np.empty((len(self.rows), columns.offsets[-1]))
        if not len(columns.categories):
            return logs
        own = self.rows[:, columns.categories]
        unknown = np.isnan(own)
        others = np.log((1 - self.own) / (columns.sizes - 1))
        spread = np.where(unknown, -np.log(columns.sizes), others)
        logs[:] = np.repeat(spread, columns.sizes, axis=1)
        kernels, choices = np.nonzero(~unknown)
        spots = columns.offsets[choices] + own[kernels, choices].astype(np.intp)
        logs[kernels, spots] = np.log(self.own)[choices]
        return logs

    def _numbers(self) -> tuple[Mask, Array, Array]:
        """(kernels, numbers) whether known, means, bandwidths; finite where unknown too."""
        means = self.rows[:, self.columns.numbers]
        known = ~np.isnan(means)
        return known, np.where(known, means, 0.5), self.widths

    def _cell_logs(self, rows: Array, active: Mask) -> Array:
        """(m, kernels) the sum over the columns with cells of log probabilities."""
        columns = self.columns
        picked = np.searchsorted(columns.numbers, columns.cells)
        known, means, widths = (part[:, picked] for part in self._numbers())
        total = np.zeros((len(rows), len(self.rows)))
        for place, column in enumerate(columns.cells.tolist()):
            edges = columns.edges[column]
            cells = np.searchsorted(edges[1:-1], rows[:, column])
            if len(edges) - 1 > len(cells):  # fewer cells are met than there are
                met, cells = np.unique(cells, return_inverse=True)
            else:
                met = np.arange(len(edges) - 1)
            low, high = edges[met], edges[met + 1]
            mean, width = means[:, place, None], widths[:, place, None]
            if len(met) == len(edges) - 1:
                below = ndtr((edges - mean) / width)  # (kernels, edges)
                mass, whole = np.diff(below, axis=1), below[:, -1:] - below[:, :1]
            else:
                mass = ndtr((high - mean) / width) - ndtr((low - mean) / width)
                whole = ndtr((1 - mean) / width) - ndtr(-mean / width)
            logs = np.log(np.maximum(mass / whole, TINY))
            logs[~known[:, place]] = np.log(high - low)
            total += logs.T[cells] * active[:, column, None]
        return total

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        """(count, columns) rows drawn from the mixture, without NaN.

        Columns that are inactive in what was drawn hold what their kernel gave them.
        """
        columns = self.columns
        bounds = np.cumsum(np.exp(self.log_weights))
        chosen = np.searchsorted(bounds[:-1] / bounds[-1], rng.random(count), side="right")
        units = rng.random((count, columns.count))
        switches = rng.random((count, len(columns.categories)))
        rows = units.copy()  # uniform where nothing is known

        known, means, widths = (part[chosen] for part in self._numbers())
        low, high = ndtr(-means / widths), ndtr((1 - means) / widths)
        drawn = means + widths * ndtri(low + units[:, columns.numbers] * (high - low))
        rows[:, columns.numbers] = np.where(
            known, np.clip(drawn, 0.0, 1.0), units[:, columns.numbers]
        )

        centres = self.rows[chosen][:, columns.categories]
        known = ~np.isnan(centres)
        spots = units[:, columns.categories]
        others = np.floor(spots * (columns.sizes - 1))
        others += others >= centres  # all but the row's own
        kept = np.where(switches < self.own, centres, others)
        rows[:, columns.categories] = np.where(known, kept, np.floor(spots * columns.sizes))
        return columns.snapped(rows)


def mixture(columns: Columns, rows: Array, weights: Array, prior: float) -> Mixture:
    """The density of rows.

    Args:
        columns: Of their space.
        rows: (n, columns); n may be 0.
        weights: (n,) from 0 up.
        prior: Weight of the prior, above 0.

    Source:
        Bandwidths: `bandwidths`. Choices: a kernel gives (N + 1) / (N + C) to its own value and
        1 / (N + C) to each of the other C - 1, where N rows know the choice: what is seen once
        among N counts as much as one more, even observation.
    """
    numbers = rows[:, columns.numbers]
    widths = np.ones((len(rows) + 1, len(columns.numbers)))
    widths[:-1] = bandwidths(numbers, columns.floor)
    seen = (~np.isnan(rows[:, columns.categories])).sum(axis=0)
    own = (seen + 1) / (seen + columns.sizes)
    total = weights.sum() + prior
    with np.errstate(divide="ignore"):  # a weight of 0 takes its kernel away
        log_weights = np.log(np.append(weights, prior) / total)
    everything = np.concatenate([rows, np.full((1, columns.count), np.nan)])
    return Mixture(columns, everything, log_weights, widths, own)


def bandwidths(numbers: Array, floor: Array) -> Array:
    """(n, c) how wide the kernels of coordinates (n, c) are; 1 for NaN.

    The distance to the farther one of both neighbours among the sorted coordinates of a column; to
    the only one at the ends; for a single coordinate to the farther bound.

    Args:
        numbers: (n, c) in [0, 1], or NaN.
        floor: (c,) the narrowest.

    Source:
        The rule: Bergstra et al., NeurIPS 2011. The floor: Watanabe, arXiv:2304.11127, section
        3.3.4; while few rows are known it is 1 / (N + 1) ** 2.
    """
    count = len(numbers)
    if not count or not numbers.shape[1]:
        return np.ones(numbers.shape)
    order = np.argsort(numbers, axis=0)  # NaN at the end
    ordered = np.take_along_axis(numbers, order, axis=0)
    gaps = np.diff(ordered, axis=0)  # NaN beyond the last known
    gaps = np.where(np.isnan(gaps), 0.0, gaps)
    widest = np.zeros(numbers.shape)
    widest[1:] = gaps
    widest[:-1] = np.maximum(widest[:-1], gaps)
    known = ~np.isnan(ordered)
    seen = known.sum(axis=0)
    alone = np.flatnonzero(seen == 1)
    widest[0, alone] = np.maximum(ordered[0, alone], 1 - ordered[0, alone])
    widths = np.clip(widest, np.maximum(floor, (seen + 1.0) ** -2), WIDEST)
    result = np.empty(numbers.shape)
    np.put_along_axis(result, order, np.where(known, widths, 1.0), axis=0)
    return result


def _is_category(part: Part) -> bool:
    return part.one_hot or len(part.values) == 2


def _is_coarse(edges: Array) -> bool:
    """Whether a kernel may vary much within a cell: where not, its middle stands for all of it."""
    return len(edges) > 0 and bool(np.diff(edges).max() > NARROWEST)


def _edges(part: Part) -> Array:
    """The borders of the cells of a number's values, halfway between neighbours; empty where it is
    on a continuum, or as good as that."""
    if part.positions is None:
        return np.zeros(0)
    middles = (part.positions[1:] + part.positions[:-1]) / 2
    return np.concatenate([[0.0], middles, [1.0]])


def _index(numbers: list[int]) -> Index:
    return np.array(numbers, dtype=np.intp)
