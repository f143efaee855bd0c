"""Expected hypervolume improvement: how much a candidate may add to the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afina.surrogates.acquisition import SMALLEST_DEVIATION, log_improvement
from afina.surrogates.gaussian_process import GaussianProcess
from afina.trials.pareto import pareto_front

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Box = tuple[tuple[float, float], ...]

# The thinnest box, in units of the objectives' deviations. A thinner one holds no gain, and the
# difference of the expectations at its two sides would have no digits.
THINNEST = 1e-7


def free_boxes(front: Array, reference: Array) -> tuple[Array, Array]:
    """Boxes that fill the region which no row of a front dominates, up to a reference point.

    The region is cut into slabs between the rows' last losses. Each slab is filled with the boxes
    of the other objectives; a box extends through all slabs in which it is the same.

    Args:
        front: (k, m) finite, lower is better. Dominated rows, and rows that are not below the
            reference, make no difference.
        reference: (m,) upper ends of the region.

    Returns:
        Lower and upper corners, each (b, m), of boxes that do not overlap. The lower sides of many
        are minus infinity. For two objectives b is at most k + 1, for three about 3 k.

    Source:
        Up to a factor, there are as few boxes for up to three objectives as in Yang et al.,
        "Efficient computation of expected hypervolume improvement using box decomposition
        algorithms", Journal of Global Optimization 75 (2019).

    Example:
        >>> lower, upper = free_boxes(np.array([[1.0, 2.0], [2.0, 1.0]]), np.array([3.0, 3.0]))
        >>> upper.tolist()
        [[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]]
        >>> lower.tolist()
        [[-inf, -inf], [1.0, -inf], [2.0, -inf]]
    """
    rows = front[(front < reference).all(axis=1)]
    rows = np.unique(rows[pareto_front(rows)], axis=0)
    corners = np.array(_boxes(rows, reference.tolist()), dtype=float)
    corners = corners.reshape(-1, len(reference), 2)
    return corners[:, :, 0], corners[:, :, 1]


def _boxes(rows: Array, reference: list[float]) -> list[Box]:
    """The boxes of `free_boxes`, for rows in lexicographic order, none of them dominated."""
    *others, last = reference
    if not others:
        return [((-math.inf, float(rows[:, 0].min(initial=last))),)]
    if len(others) == 1:
        # From row to row, to the right: each box ends at the second loss of the row before.
        edges = [-math.inf, *rows[:, 0].tolist(), others[0]]
        tops = [last, *rows[:, 1].tolist()]
        return [
            ((a, b), (-math.inf, top))
            for a, b, top in zip(edges[:-1], edges[1:], tops, strict=True)
        ]
    finished: list[Box] = []
    begun: dict[Box, float] = {}  # boxes of one objective less, and where they begin in the last
    levels = np.unique(rows[:, -1])
    bottom = -math.inf
    for top in [*levels.tolist(), last]:
        below = rows[rows[:, -1] <= bottom, :-1]
        below = np.unique(below[pareto_front(below)], axis=0)
        here = _boxes(below, others)
        finished += [(*box, (begun[box], bottom)) for box in begun.keys() - set(here)]
        begun = {box: begun.get(box, bottom) for box in here}
        bottom = top
    return sorted([*finished, *((*box, (start, last)) for box, start in begun.items())])


@dataclass(frozen=True, slots=True)
class Gain:
    """One objective's factor of the expected gain of candidates in each box.

    It is the expected length of a box's side that a candidate dominates: the whole side if its loss
    is below the lower end, a part of it if its loss is inside. That is the expected improvement on
    the upper end minus that on the lower end.
    """

    log: Array
    """(c, b) the logarithm of that length."""

    by_mean: Array
    """(c, b) its derivative by the mean of the prediction."""

    by_deviation: Array
    """(c, b) its derivative by the deviation of the prediction."""


class LogExpectedHypervolumeImprovement:
    """The logarithm of the hypervolume that a candidate is expected to add to a front.

    It is exact for any number of objectives with independent models: the sum over the boxes of
    `free_boxes` of the product over the objectives of `Gain`. With one objective it is the
    logarithm of the expected improvement.

    Args:
        processes: A model of each objective.
        front: (k, m) losses to improve on, in the units of the models' targets.
        reference: (m,) losses from which on a gain does not count.

    Source:
        Emmerich, Giannakoglou & Naujoks, "Single- and multiobjective evolutionary optimization
        assisted by Gaussian random field metamodels", IEEE Transactions on Evolutionary Computation
        10 (2006); by boxes: Yang et al. (2019), see `free_boxes`. In logarithms, which have slopes
        where the worth itself is 0 in floats: Ament et al., arXiv:2310.20708.
    """

    def __init__(
        self, processes: Sequence[GaussianProcess], front: Array, reference: Array
    ) -> None:
        self.processes = tuple(processes)
        lower, upper = free_boxes(front, reference)
        thick = (upper - lower > THINNEST).all(axis=1)
        sides = [(lower[thick, j], upper[thick, j]) for j in range(len(reference))]
        self._sides = [_Sides.of(low, high) for low, high in sides]

    def value(self, features: Array) -> Array:
        """See `Acquisition`."""
        total: Array = np.zeros(1)
        for process, sides in zip(self.processes, self._sides, strict=True):
            mean, variance = process.predict(features)
            total = total + sides.gain(mean, _deviation(variance), slopes=False).log
        return _log_sum(total)

    def gradient(self, features: Array) -> tuple[Array, Array]:
        """See `Acquisition`."""
        predicted = [process.gradients(features) for process in self.processes]
        gains = [
            sides.gain(mean, _deviation(variance), slopes=True)
            for sides, (mean, variance, _, _) in zip(self._sides, predicted, strict=True)
        ]
        each = np.sum([gain.log for gain in gains], axis=0)
        value = _log_sum(each)
        shares = np.exp(each - value[:, None])
        slope = np.zeros_like(features)
        for gain, (_, variance, mean_slope, variance_slope) in zip(gains, predicted, strict=True):
            by_mean = (shares * gain.by_mean).sum(axis=1)
            by_variance = (shares * gain.by_deviation).sum(axis=1) / (2 * _deviation(variance))
            slope += by_mean[:, None] * mean_slope + by_variance[:, None] * variance_slope
        return value, slope


@dataclass(frozen=True, slots=True, eq=False)
class _Sides:
    """The sides of all boxes along one objective."""

    levels: Array
    """(l,) the different finite ends of the sides, sorted."""

    lower: Index
    """(b,) the index of each lower end among the levels; that of the upper end if the lower end is
    infinite."""

    upper: Index
    """(b,) the index of each upper end among the levels."""

    open: NDArray[np.bool_]
    """(b,) whether the lower end is infinite."""

    @classmethod
    def of(cls, lower: Array, upper: Array) -> _Sides:
        """From the ends themselves, each (b,)."""
        endless = np.isneginf(lower)
        levels = np.unique(np.concatenate([upper, lower[~endless]]))
        places = np.searchsorted(levels, np.where(endless, upper, lower))
        return cls(levels, places, np.searchsorted(levels, upper), endless)

    def gain(self, mean: Array, deviation: Array, *, slopes: bool) -> Gain:
        """The gain in each box of candidates with these predictions, (c,) each."""
        z = (self.levels - mean[:, None]) / deviation[:, None]
        height, pdf, cdf = log_improvement(z)
        log = height[:, self.upper] + np.log(deviation)[:, None]
        # Expected improvement on the lower end, as a part of that on the upper one.
        part = np.exp(height[:, self.lower] - height[:, self.upper])
        part[:, self.open] = 0.0
        rest = np.maximum(1 - part, np.finfo(float).tiny)
        log += np.log(rest)
        if not slopes:
            return Gain(log, log, log)
        scale = rest * deviation[:, None]
        return Gain(
            log,
            (part * cdf[:, self.lower] - cdf[:, self.upper]) / scale,
            (pdf[:, self.upper] - part * pdf[:, self.lower]) / scale,
        )


def _deviation(variance: Array) -> Array:
    return np.maximum(np.sqrt(variance), SMALLEST_DEVIATION)


def _log_sum(logs: Array) -> Array:
    """(c,) the logarithms of the sums of the rows' exponentials, (c, b)."""
    largest = logs.max(axis=1)
    return np.asarray(largest + np.log(np.exp(logs - largest[:, None]).sum(axis=1)))
