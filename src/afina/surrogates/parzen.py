"""Parzen estimators on search spaces: densities made of one kernel for each trial.

A *row* has one number for each entry of the space that can vary: the coordinate in [0, 1] of a
number, the index of a choice's value, or NaN if the entry is inactive. The kernel of a row is a
product over the entries:

- a number: a normal distribution around the row's coordinate, truncated to [0, 1];
- a number of few values: the same, integrated over the cell of each value (if cells are no wider
  than the narrowest kernel, the density at the middle is used instead);
- a choice: most of the probability on the row's own value, the rest evenly on the others;
- NaN: uniform. A trial in which an entry was inactive says nothing about its value.

So a kernel is a density on all configurations, whichever branch they take: an entry that is
inactive in a configuration is integrated out, so its factor is left out. The prior is one more
kernel, that of a row of NaN only.

Source: Bergstra et al., "Algorithms for hyper-parameter optimization", NeurIPS 2011; Falkner et
al., "BOHB", arXiv:1807.01774 (products of kernels); Watanabe, arXiv:2304.11127 (settings).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from afina.space import Space
from afina.surrogates.bandwidths import bandwidths
from afina.surrogates.geometry import Dimension, Geometry, Values, adapted, geometry_of

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Mask = NDArray[np.bool_]

# The smallest bandwidth, in units of the whole range. With narrower kernels, luck would decide.
NARROWEST = 0.03
# The same for entries with few values, in units of the cell: neighbouring values stay possible.
NARROWEST_OF_CELLS = 0.3
# Used instead of 0 before a logarithm.
TINY = 1e-300
NEGLIGIBLE = -100.0
ROOT = math.sqrt(2 * math.pi)


class Columns:
    """The columns of rows: how the entries of a space become numbers and back.

    Args:
        geometry: Of the space.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        parts = geometry.tunable
        self.count = len(parts)
        self.numbers = _index([c for c, part in enumerate(parts) if not _is_category(part)])
        """Columns of numbers, continuous or with a cell for each value."""
        edges = {c: _edges(parts[c]) for c in self.numbers.tolist()}
        self.cells = _index([c for c, own in edges.items() if _is_coarse(own)])
        """Columns of numbers whose kernels are integrated over the cells of their values."""
        self.smooth = _index([c for c, own in edges.items() if not _is_coarse(own)])
        """Columns of all other numbers."""
        self.smooth_numbers = np.searchsorted(self.numbers, self.smooth)
        """The index within `numbers` of each of `smooth`."""
        self.cell_numbers = np.searchsorted(self.numbers, self.cells).tolist()
        """The index within `numbers` of each of `cells`."""
        self.categories = _index([c for c, part in enumerate(parts) if _is_category(part)])
        """Columns of choices, and of all entries with two values, as these have no distances."""
        self.sizes = _index([len(parts[c].values) for c in self.categories.tolist()])
        """How many values each of these has."""
        self.offsets = _index([0, *np.cumsum(self.sizes).tolist()])
        """Where the values of each begin if all of them are in one row."""
        self.edges = {c: own for c, own in edges.items() if len(own)}
        """For each column of numbers with cells: the (values + 1,) borders of the cells, from 0 to
        1."""
        widths = np.zeros(self.count)
        for column, own in self.edges.items():
            widths[column] = 1 / (len(own) - 1)
        self.floor: Array = np.maximum(NARROWEST, NARROWEST_OF_CELLS * widths)[self.numbers]
        """(numbers,) the narrowest bandwidths."""
        self.conditional = any(part.switches or part.rivals for part in parts)
        """Whether any entry can be inactive."""
        places = {id(part): number for number, part in enumerate(geometry.dimensions)}
        self._places = _index([places[id(part)] for part in parts])
        self._columns = {place: column for column, place in enumerate(self._places.tolist())}
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
            # Which end is nearer, 0 or 1; NaN stays NaN.
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
        """(n, columns) whether the entries are active, for rows without NaN."""
        if not self.conditional:
            return np.ones(rows.shape, dtype=bool)

        def choices(number: int) -> Index:
            part, column = self.geometry.dimensions[number], self._columns.get(number)
            if column is None:  # it has one value
                return np.zeros(len(rows), dtype=np.intp)
            if _is_category(part):
                return rows[:, column].astype(np.intp)
            return np.searchsorted(part.middles, rows[:, column])

        return self.geometry.active_by(choices, len(rows))[:, self._places]

    def uniform(self, count: int, rng: np.random.Generator) -> Array:
        """(count, columns) rows without NaN from the whole space."""
        rows = rng.random((count, self.count))
        rows[:, self.categories] = np.floor(rows[:, self.categories] * self.sizes)
        return self.snapped(rows)

    def snapped(self, rows: Array) -> Array:
        """The rows, changed in place: each number with cells moves to the value of its cell."""
        for column, edges in self.edges.items():
            positions = self.geometry.tunable[column].positions
            assert positions is not None
            rows[:, column] = positions[np.searchsorted(edges[1:-1], rows[:, column])]
        return rows


def read_trials(trials: Sequence[Values], columns: Columns) -> Array:
    """(n, columns) the rows of trials, see `adapted`; NaN where entries are inactive.

    Args:
        trials: The names and values of each.
        columns: Of the space.
    """
    if not trials:
        return np.zeros((0, columns.count))
    space = columns.geometry.space
    complete = [adapted(values, space) for values in trials]
    if len(complete) == 1:  # much faster than as a table
        return columns.read(columns.geometry.encoding.encode(complete[0])[None])
    return columns.read(columns.geometry.encode(complete))


@functools.lru_cache(maxsize=4)
def compiled(space: Space) -> Columns:
    """The columns of a space, made once: a cache of a pure function."""
    return Columns(geometry_of(space))


@dataclass(frozen=True, eq=False)
class Mixture:
    """A weighted sum of kernels, one of which is the prior; or several sums side by side."""

    columns: Columns

    rows: Array
    """(kernels, columns) the rows that the kernels belong to."""

    log_weights: Array
    """(kernels,) logarithms of the weights, which add up to 1 in each sum."""

    widths: Array
    """(numbers, kernels) bandwidths; 1 where the row has NaN."""

    own: Array
    """(categories, kernels) the probability that a kernel gives to its row's own value."""

    priors: Index
    """(sums,) the index of each sum's prior, which is the last of its kernels."""

    def kernel_logs(self, rows: Array, active: Mask) -> Array:
        """(m, kernels) the weighted log densities of the single kernels, at rows.

        Their sum is a density on [0, 1] for numbers without cells, and a probability for others.

        Args:
            rows: (m, columns), without NaN.
            active: (m, columns) whether their entries are active.
        """
        parts = self._products(rows, active)
        if len(self.columns.cells):
            parts += self._cell_logs(rows, active)
        return parts

    def beside(self, other: Mixture) -> Mixture:
        """Both mixtures in one: `kernel_logs` then costs little more than for one of them."""
        return Mixture(
            self.columns,
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.log_weights, other.log_weights]),
            np.concatenate([self.widths, other.widths], axis=1),
            np.concatenate([self.own, other.own], axis=1),
            np.concatenate([self.priors, other.priors + len(self.rows)]),
        )

    def _products(self, rows: Array, active: Mask) -> Array:
        """(m, kernels) the weighted log densities of the single kernels, without the cells.

        One product of matrices: the exponent of a normal density is a polynomial, and the
        probabilities of a choice are picked by its one-hot code.
        """
        columns, smooth = self.columns, self.columns.smooth
        count, width = len(rows), len(smooth)
        features = np.zeros((count, 1 + 3 * width + columns.offsets[-1]))
        features[:, 0] = 1.0
        on = active[:, smooth]
        features[:, 1 : 1 + width] = on
        first = features[:, 1 + width : 1 + 2 * width]
        np.multiply(rows[:, smooth], on, out=first)
        np.multiply(first, first, out=features[:, 1 + 2 * width : 1 + 3 * width])
        if len(columns.categories):
            spots = rows[:, columns.categories].astype(np.intp) + columns.offsets[:-1]
            spots += 1 + 3 * width
            features[np.arange(count)[:, None], spots] = active[:, columns.categories]
        return np.asarray(features @ self._table)

    @functools.cached_property
    def _table(self) -> Array:
        """(features, kernels) what `_products` multiplies the features of rows with."""
        table = [self.log_weights[None], *self._normal_logs(), self._choice_logs()]
        return np.concatenate(table)

    def _normal_logs(self) -> tuple[Array, Array, Array]:
        """Each (smooth numbers, kernels): the polynomials of log densities, constants first."""
        columns = self.columns
        picked = slice(None) if not len(columns.cells) else columns.smooth_numbers
        inverse = 1 / self.widths[picked]
        means = np.take(self.rows.T, columns.smooth, axis=0)
        unknown = np.isnan(means) if columns.conditional else np.zeros((len(means), 0), bool)
        if columns.conditional:
            means = np.where(unknown, 0.5, means)
        else:
            means[:, self.priors] = 0.5
        scaled = means * inverse
        mass = ndtr(inverse - scaled) - ndtr(-scaled)
        constant = np.log(inverse / (mass * ROOT)) - 0.5 * scaled * scaled
        first, second = scaled * inverse, -0.5 * inverse * inverse
        for part in (constant, first, second):
            if columns.conditional:  # of priors nothing is known
                np.copyto(part, 0.0, where=unknown)
            else:
                part[:, self.priors] = 0.0
        return constant, first, second

    def _choice_logs(self) -> Array:
        """(values of all choices, kernels) the log probability of each value."""
        columns = self.columns
        if not len(columns.categories):
            return np.zeros((0, len(self.rows)))
        own = self.rows[:, columns.categories].T
        unknown = np.isnan(own)
        others = np.log((1 - self.own) / (columns.sizes - 1)[:, None])
        spread = np.where(unknown, -np.log(columns.sizes)[:, None], others)
        logs = np.repeat(spread, columns.sizes, axis=0)
        choices, kernels = np.nonzero(~unknown)
        spots = columns.offsets[choices] + own[choices, kernels].astype(np.intp)
        logs[spots, kernels] = np.log(self.own[choices, kernels])
        return logs

    def _cell_logs(self, rows: Array, active: Mask) -> Array:
        """(m, kernels) the sum over the columns with cells of log probabilities."""
        columns = self.columns
        total = np.zeros((len(rows), len(self.rows)))
        for number, column in zip(columns.cell_numbers, columns.cells.tolist(), strict=True):
            edges = columns.edges[column]
            cells = np.searchsorted(edges[1:-1], rows[:, column])
            mean, width = self.rows[:, column], self.widths[number]
            unknown = np.isnan(mean)
            mean = np.where(unknown, 0.5, mean)
            if len(edges) <= 2 * len(cells):
                below = ndtr((edges[:, None] - mean) / width)  # (edges, kernels)
                mass, whole, sizes = np.diff(below, axis=0), below[-1] - below[0], np.diff(edges)
            else:  # fewer cells are met than there are
                met, cells = np.unique(cells, return_inverse=True)
                low, high = edges[met, None], edges[met + 1, None]
                mass = ndtr((high - mean) / width) - ndtr((low - mean) / width)
                whole = ndtr((1 - mean) / width) - ndtr(-mean / width)
                sizes = (high - low)[:, 0]
            mass /= whole
            mass[:, unknown] = sizes[:, None]
            logs = np.log(np.maximum(mass, TINY, out=mass), out=mass)
            total += logs[cells] * active[:, column, None]
        return total

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        """(count, columns) rows drawn from the mixture, without NaN.

        Columns that are inactive in a drawn row hold a value from their kernel.
        """
        columns = self.columns
        bounds = np.cumsum(np.exp(self.log_weights))
        chosen = np.searchsorted(bounds[:-1] / bounds[-1], rng.random(count), side="right")
        rows = rng.random((count, columns.count))
        switches = rng.random((count, len(columns.categories)))

        means, widths, low, part = (of_kernels[chosen] for of_kernels in self._bells)
        plain = rows[:, columns.numbers]
        drawn = means + widths * ndtri(low + plain * part)
        np.clip(drawn, 0.0, 1.0, out=drawn)  # NaN stays NaN: nothing is known there
        np.copyto(drawn, plain, where=np.isnan(drawn))

        own, spots = self.rows[:, columns.categories][chosen], rows[:, columns.categories]
        others = np.floor(spots * (columns.sizes - 1))
        others += others >= own  # all but the row's own
        kept = np.where(switches < self.own[:, chosen].T, own, others)
        unknown = np.isnan(own)
        rows[:, columns.categories] = np.where(unknown, np.floor(spots * columns.sizes), kept)
        rows[:, columns.numbers] = drawn
        return columns.snapped(rows)

    @functools.cached_property
    def _bells(self) -> tuple[Array, Array, Array, Array]:
        """Each (kernels, numbers): means, bandwidths, which part of a normal distribution lies
        below 0, and which between 0 and 1."""
        means, widths = self.rows[:, self.columns.numbers], self.widths.T
        low = ndtr(-means / widths)
        return means, widths, low, ndtr((1 - means) / widths) - low


def mixture(columns: Columns, rows: Array, weights: Array, prior: float) -> Mixture:
    """The density of rows.

    Args:
        columns: Of their space.
        rows: (n, columns); n may be 0.
        weights: (n,) from 0 up.
        prior: Weight of the prior, above 0.

    Source:
        Bandwidths: see `bandwidths`. Choices: if N rows have the choice, a kernel gives
        (N + 1) / (N + C) to its own value and 1 / (N + C) to each of the other C - 1 values. That
        is Laplace's rule of succession for N observations of its own value.
    """
    count = len(rows)
    everything = np.full((count + 1, columns.count), np.nan)
    everything[:count] = rows
    widths = np.ones((len(columns.numbers), count + 1))
    widths[:, :count] = bandwidths(np.take(rows.T, columns.numbers, axis=0), columns.floor)
    seen = count - np.isnan(rows[:, columns.categories]).sum(axis=0)
    own = (seen + 1) / (seen + columns.sizes)
    shares = np.append(weights, prior)
    shares /= shares.sum()
    # A weight of 0 removes its kernel.
    log_weights = np.log(np.maximum(shares, TINY))
    owns = np.repeat(own[:, None], count + 1, axis=1)
    return Mixture(columns, everything, log_weights, widths, owns, np.array([count]))


def compare(both: Mixture, rows: Array, marked: Mask) -> tuple[Array, Array]:
    """Compares two densities.

    Args:
        both: The first mixture beside the second, from `Mixture.beside`.
        rows: (m, columns), without NaN.
        marked: (kernels of the second,) which kernels to measure the share of.

    Returns:
        (m,) the log ratio of the first density to the second, and (m,) the share of the second
        density that comes from the marked kernels.
    """
    logs = both.kernel_logs(rows, both.columns.active(rows))
    first = both.priors[0] + 1
    top, parts = _relative(logs[:, :first])
    other_top, others = _relative(logs[:, first:])
    total = others.sum(axis=1)
    ratio = top - other_top + np.log(parts.sum(axis=1) / total)
    share = others[:, marked].sum(axis=1) / total if marked.any() else np.zeros(len(rows))
    return np.asarray(ratio), np.asarray(share)


def _relative(logs: Array) -> tuple[Array, Array]:
    """(m,) the largest logarithm of each row, and (m, kernels) all numbers relative to it."""
    top = logs.max(axis=1)
    logs = logs - top[:, None]
    # Most kernels are so far away that they add nothing to a sum of at least 1. Skipping their
    # exponentials saves time.
    return top, np.exp(logs, out=np.zeros_like(logs), where=logs > NEGLIGIBLE)


def _is_category(part: Dimension) -> bool:
    return part.one_hot or len(part.values) == 2


def _is_coarse(edges: Array) -> bool:
    """Whether a kernel may vary much within a cell; if not, the middle represents the cell."""
    return len(edges) > 0 and bool(np.diff(edges).max() > NARROWEST)


def _edges(part: Dimension) -> Array:
    """The borders of the cells of a number's values, halfway between neighbours.

    Empty if the number is continuous or has very many values.
    """
    if part.positions is None:
        return np.zeros(0)
    return np.concatenate([[0.0], part.middles, [1.0]])


def _index(numbers: list[int]) -> Index:
    return np.array(numbers, dtype=np.intp)
