"""A Gaussian process that learns the scale of the losses together with its kernel.

A Gaussian process rarely fits the losses themselves, or their logarithms. A transform that makes
their distribution normal does not help: it bends the walls of a bowl, and turns noise at the bottom
into cliffs. What matters is whether the transformed losses are smooth over the space. So the power
of the transform is one more parameter of the fit, with the same likelihood as lengthscales and
noise.

Source: Snelson, Rasmussen & Ghahramani, "Warped Gaussian processes" (NIPS 2003), here with the
transform of Yeo & Johnson, "A new family of power transformations to improve normality or
symmetry", Biometrika 87 (2000).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afina.surrogates.covariance import Groups
from afina.surrogates.gaussian_process import (
    GaussianProcess,
    Kernel,
    Likelihood,
    kernel_of,
    kernel_start,
    minimum,
)
from afina.surrogates.memo import remembered

Array = NDArray[np.float64]

# Without evidence, values stay as they are (power 1). The prior's deviation is half of the
# difference to a logarithm (power 0).
POWER_MEAN, POWER_SD = 1.0, 0.5
POWER_BOUNDS = (-1.0, 3.0)
NEAR_LOGARITHM = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Warp:
    """Values after the power transform, and how they change with the power."""

    targets: Array
    """(n,) transformed values of mean 0 and variance 1, in the order of the values."""

    by_power: Array
    """(n,) their derivatives by the power."""

    stretch: float
    """Sum over the chosen rows of the logarithm of the transform's slope."""

    stretch_by_power: float
    """Its derivative by the power."""


def warped(values: Array, power: float, rows: Groups) -> Warp:
    """The Yeo-Johnson transform, standardised; it increases with the values for every power.

    Args:
        values: (n,) at least two different ones, on a scale on which they are of the order of 1.
        power: 1 keeps the values; a smaller power compresses large values and spreads small ones.
        rows: The values that `stretch` is for.
    """
    sizes = np.log1p(np.abs(values))
    upper = values >= 0
    exponents = np.where(upper, power, 2 - power)
    near = np.abs(exponents) < NEAR_LOGARITHM
    divisors = np.where(near, 1.0, exponents)
    grown = np.expm1(exponents * sizes)
    lengths = np.where(near, sizes, grown / divisors)
    slopes = np.where(near, sizes * sizes / 2, ((grown + 1) * sizes - lengths) / divisors)
    signed = np.where(upper, sizes, -sizes)

    raw = np.where(upper, lengths, -lengths)
    spread = float(raw.std())
    targets = (raw - raw.mean()) / spread
    slopes -= slopes.mean()
    growth = float((slopes * targets).mean()) / spread  # of the spread, relative
    total = float(signed[rows].sum())
    return Warp(
        targets,
        slopes / spread - growth * targets,
        (power - 1) * total - len(rows) * math.log(spread),
        total - len(rows) * growth,
    )


class WarpedLikelihood:
    """The negative log posterior density of kernels and powers, for one set of data.

    Args:
        features: (m, f) embedded configurations of the chosen rows, m >= 1.
        values: (n,) all values; the chosen ones are standardised together with them.
        rows: (m,) indices of the chosen ones.
        groups: (f,) group of each feature, from 0.
    """

    def __init__(self, features: Array, values: Array, rows: Groups, groups: Groups) -> None:
        self._values, self._rows = values, rows
        self.kernels = Likelihood(features, values[rows], groups)

    def __call__(self, logs: Array) -> tuple[float, Array]:
        """See `Likelihood.__call__`; the power is one more number at the end."""
        power = float(logs[-1])
        warp = warped(self._values, power, self._rows)
        value, gradient, by_targets = self.kernels.of(logs[:-1], warp.targets[self._rows])
        scaled = (power - POWER_MEAN) / POWER_SD
        by_power = by_targets @ warp.by_power[self._rows] - warp.stretch_by_power
        value += 0.5 * scaled * scaled - warp.stretch
        return value, np.append(gradient, by_power + scaled / POWER_SD)


def fit_warped(
    features: Array, values: Array, rows: Groups, groups: Groups, noise_floor: float
) -> tuple[Kernel, Array]:
    """The most probable kernel and power, and the targets of that power; see `fit`.

    Args:
        features: (n, f) embedded configurations.
        values: (n,) see `afina.surrogates.targets.tamed`.
        rows: Indices of the values to fit; the targets are those of all values.
        groups: (f,) group of each feature, from 0.
        noise_floor: Smallest variance of the noise.

    Returns:
        The kernel, and (n,) targets of mean 0 and variance 1; all 0 if the values are equal.
    """
    if not float(np.ptp(values)) > 0:
        start, _ = kernel_start(int(groups.max()) + 1 if len(groups) else 0, noise_floor)
        return kernel_of(start), np.zeros_like(values)
    likelihood = WarpedLikelihood(features[rows], values, rows, groups)
    start, bounds = kernel_start(likelihood.kernels.count, noise_floor)
    found = minimum(likelihood, np.append(start, POWER_MEAN), [*bounds, POWER_BOUNDS])
    return kernel_of(found[:-1]), warped(values, float(found[-1]), rows).targets


@remembered(maxsize=8)
def fitted_process(
    features: Array, values: Array, rows: Groups, groups: Groups, noise_floor: float
) -> GaussianProcess:
    """The process with the kernel and targets of `fit_warped`; equal arguments share one fit."""
    kernel, targets = fit_warped(features, values, rows, groups, noise_floor)
    return GaussianProcess(kernel, features, targets, groups)
