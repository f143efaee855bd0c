"""Targets that a Gaussian process can model, from the losses of trainings.

Losses are not normally distributed: those of diverged trainings are larger by orders of magnitude,
and some trainings fail. A model of the raw numbers would mostly describe how bad the bad ones are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Array = NDArray[np.float64]

LARGEST = 1e150  # its square is a float still
WALL = 3.0  # in widths of the better half above the median; nearly all of a normal lies below
ROUNDING = 1e-12  # smaller differences, as a part of the losses' size, are rounding
POWERS = np.linspace(-1.0, 3.0, 17)  # 1 leaves the values as they are


def standardised(losses: Sequence[float | None]) -> Array:
    """Targets of mean 0 and variance 1, lower is better, in the order of the losses.

    Invariant to scaling and shifting of the losses. The better half keeps its proportions, except
    for a smooth warp; in the worse half only the order counts. A failed trial (None) is as bad as
    the worst one: the search avoids its neighbourhood, without an invented extreme number. Infinite
    losses count as the worst finite one, or the best if they are negative.

    Args:
        losses: (n,) lower is better; None for failed trials.

    Returns:
        (n,) targets; all 0 if the losses are equal.
    """
    values = _filled(losses)
    return _scaled(_power_warped(_scaled(_half_ranked(values)))) if len(values) else values


def tamed(losses: Sequence[float | None]) -> Array:
    """Losses relative to their median, in units of the spread of their better half.

    Proportions are kept, also in the worse half: the walls of a bowl show where its bottom is.
    Above `WALL` a loss counts by its logarithm only, so that diverged trainings do not hide the
    differences of the others. Invariant to scaling and shifting of the losses. Failed trials and
    infinite losses count as in `standardised`.

    Args:
        losses: (n,) lower is better; None for failed trials.

    Returns:
        (n,) values; all 0 if the losses are equal.
    """
    values = _filled(losses)
    if not len(values):
        return values
    median = float(np.median(values))
    values -= median
    width = math.sqrt(float(np.mean(values[values <= 0] ** 2)))
    rounding = ROUNDING * abs(median)
    if width <= rounding:
        # More than half are equally good, so that their spread is 0.
        worse = values[values > rounding]
        if not len(worse):
            return np.zeros_like(values)
        width = float(np.median(worse))
    values /= width
    return np.where(values > WALL, WALL + np.log1p(np.maximum(values - WALL, 0)), values)


def _filled(losses: Sequence[float | None]) -> Array:
    """A finite number for each loss; all 0 if none is finite."""
    finite = [loss for loss in losses if loss is not None and math.isfinite(loss)]
    if not finite:
        return np.zeros(len(losses))
    best, worst = min(finite), max(finite)
    filled = [worst if loss is None else min(max(loss, best), worst) for loss in losses]
    values: Array = np.clip(np.array(filled, dtype=float), -LARGEST, LARGEST)
    return values


def _scaled(values: Array) -> Array:
    """Values shifted and scaled to mean 0 and variance 1; all 0 if they are equal."""
    spread = values.std()
    if not spread > 1e-12 * max(1.0, float(np.abs(values).max())):
        return np.zeros_like(values)
    return np.asarray((values - values.mean()) / spread, dtype=float)


def _half_ranked(values: Array) -> Array:
    """Values, with those above the median replaced by the normal quantiles of their ranks.

    The normal's width is that of the better half, so the two halves meet without a gap.

    Source:
        The first of the warps in Song et al., "The Vizier Gaussian Process Bandit Algorithm",
        arXiv:2408.11527.
    """
    median = float(np.median(values))
    worse = values > median
    width = math.sqrt(float(np.mean((values[~worse] - median) ** 2)))
    if not width > 0:
        return values  # more than half are equally good, so that their spread is 0
    ordered = np.sort(values)
    # Ties share the middle of their ranks.
    low, high = np.searchsorted(ordered, values), np.searchsorted(ordered, values, side="right")
    quantiles = ndtri((low + high) / (2 * len(values)))
    return np.where(worse, median + width * np.maximum(quantiles, 0.0), values)


def _power_warped(values: Array) -> Array:
    """The Yeo-Johnson transform with the power of a coarse grid that fits a normal best.

    Source:
        Yeo & Johnson, "A new family of power transformations to improve normality or symmetry",
        Biometrika 87 (2000). Warping the output this way: Cowen-Rivers et al., "HEBO",
        arXiv:2012.03826.
    """
    logs = np.sign(values) * np.log1p(np.abs(values))
    best, warped = -math.inf, values
    for power in POWERS:
        candidate = _yeo_johnson(values, float(power))
        variance = float(candidate.var())
        if variance <= 0:
            continue
        fit = -0.5 * len(values) * math.log(variance) + (power - 1) * float(logs.sum())
        if fit > best + 1e-9:
            best, warped = fit, candidate
    return warped


def _yeo_johnson(values: Array, power: float) -> Array:
    """The Yeo-Johnson transform; it increases with the values for every power."""
    sizes = np.log1p(np.abs(values))

    def one_side(exponent: float) -> Array:
        if exponent == 0:
            return sizes
        return np.asarray(np.expm1(exponent * sizes) / exponent, dtype=float)

    return np.where(values >= 0, one_side(power), -one_side(2 - power))
