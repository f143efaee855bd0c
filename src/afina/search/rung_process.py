"""A Gaussian process on configurations and how long they were trained: fit, posterior, gradients.

The result of a configuration x after a part s of the way (0 the lowest rung, 1 the full training)
is the sum of

- a mean that hangs on s alone, unknown, which the trials that went on tie together over the rungs,
  so that it does not matter that only good ones did;
- what x promises: covariance `matern(x, x') * exp(-|s - s'| / memory)`;
- what is the configuration's own and no neighbour shares:
  `own * [x = x'] * exp(-|s - s'| / memory)`;
- noise.

The memory is fitted: where early epochs say little about the end it is short, and low rungs stop
to count. All features belong to groups with a lengthscale each, as in
`afina.search.gaussian_process`.

Source:
    Swersky, Snoek & Adams, "Freeze-thaw Bayesian optimization", arXiv:1406.3896, for one process
    over configurations and their curves; Klein et al., "Model-based asynchronous hyperparameter
    and neural architecture search", arXiv:2003.10865, for its use on rungs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from afina.search.gaussian_process import (
    LENGTHSCALE_BOUNDS,
    LENGTHSCALE_LOG_MEAN,
    LENGTHSCALE_LOG_SD,
    Groups,
    minimum,
    squared_distances,
)

Array = NDArray[np.float64]
Owners = NDArray[np.intp]

# The mean over s: a constant and a Brownian motion, wide beside targets of variance 1, so that
# the data decide. Their variances:
LEVEL = 4.0
DRIFT = 4.0

# Memory, own part and noise, as normal priors of their logarithms: mean and standard deviation.
# Before any data a lowest rung is trusted to a correlation of exp(-1) with the full training.
PRIORS = ((0.0, 1.0), (math.log(0.1), 1.0), (-5.0, 1.0))
BOUNDS = ((0.05, 20.0), (1e-3, 2.0), (1e-4, 1.0))

SMALLEST_VARIANCE = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What was measured, or is asked for: one row a configuration at one place of the way."""

    features: Array
    """(n, f) embedded configurations."""

    ways: Array
    """(n,) part of the way to a full training, 0 to 1."""

    owners: Owners
    """(n,) a number for each configuration; rows of one number are one training."""

    def __len__(self) -> int:
        return len(self.ways)

    def take(self, places: NDArray[np.intp]) -> Rows:
        """Some of the rows."""
        return Rows(self.features[places], self.ways[places], self.owners[places])

    def joined(self, other: Rows) -> Rows:
        """These rows, then the others."""
        return Rows(
            np.concatenate([self.features, other.features]),
            np.concatenate([self.ways, other.ways]),
            np.concatenate([self.owners, other.owners]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class RungKernel:
    """What is fitted."""

    lengthscales: Array
    """(g,), in units of the features."""

    memory: float
    """Part of the way over which what a rung says decays to 37 %."""

    own: float
    """Variance of what a configuration does not share with its neighbours."""

    noise: float
    """Variance of the noise; the shared part has variance 1."""


def mean_covariance(a: Array, b: Array) -> Array:
    """Prior covariance (n, m) of the mean at two places of the way, (n,) and (m,)."""
    return np.asarray(LEVEL + DRIFT * np.minimum.outer(a, b))


class RungLikelihood:
    """The negative log posterior density of kernels, for one set of data.

    Args:
        rows: n of them, n >= 1.
        targets: (n,) about standardised, lower is better.
        groups: (f,) group of each feature, from 0.
    """

    def __init__(self, rows: Rows, targets: Array, groups: Groups) -> None:
        n = len(rows)
        self.targets = targets
        self.count = int(groups.max()) + 1 if len(groups) else 0
        self._squares = np.empty((self.count, n * n))
        for group in range(self.count):
            part = rows.features[:, groups == group]
            self._squares[group] = squared_distances(part, part).ravel()
        self._apart = np.abs(np.subtract.outer(rows.ways, rows.ways))
        self._same = np.equal.outer(rows.owners, rows.owners).astype(float)
        self._mean = mean_covariance(rows.ways, rows.ways)
        log_mean = LENGTHSCALE_LOG_MEAN + 0.5 * math.log(max(self.count, 1))
        spread = LENGTHSCALE_LOG_SD
        # The lengthscales' prior is a density of the values: in logarithms its mode moves.
        mode = log_mean - spread**2
        self._centre = np.array([mode] * self.count + [mean for mean, _ in PRIORS])
        self._spread = np.array([spread] * self.count + [sd for _, sd in PRIORS])
        # Not the mode itself, where neighbours know nothing of each other: half-way to the mean.
        half = log_mean - 0.5 * spread**2
        self.start = np.array([half] * self.count + [mean for mean, _ in PRIORS])

    def __call__(self, logs: Array) -> tuple[float, Array]:
        """The objective of the fit and its gradient.

        Args:
            logs: (g + 3,) natural logarithms of the lengthscales, memory, own part and noise.
        """
        n, count = len(self.targets), self.count
        weights = np.exp(-2 * logs[:count])
        memory, own, noise = np.exp(logs[count:])
        root = np.sqrt(5 * (weights @ self._squares)).reshape(n, n)
        decay = np.exp(-root)
        fade = np.exp(-self._apart / memory)
        shared = ((1 + root + root * root / 3) * decay + own * self._same) * fade
        covariance = shared + self._mean
        covariance.ravel()[:: n + 1] += noise
        factor, failed = lapack.dpotrf(covariance, lower=1, overwrite_a=1)
        if failed:
            return math.inf, np.zeros_like(logs)
        value = np.log(np.diagonal(factor)).sum()
        inverse, _ = lapack.dpotri(factor, lower=1)
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        alpha = inverse @ self.targets
        value += 0.5 * self.targets @ alpha

        pull = np.outer(alpha, alpha) - inverse  # -2 times the derivative by the covariance
        gradient = np.empty_like(logs)
        slope = (pull * fade * (1 + root) * decay).ravel()
        gradient[:count] = -5 / 6 * weights * (self._squares @ slope)
        gradient[count] = -0.5 / memory * np.einsum("ij,ij,ij->", pull, shared, self._apart)
        gradient[count + 1] = -0.5 * own * np.einsum("ij,ij,ij->", pull, self._same, fade)
        gradient[count + 2] = -0.5 * noise * np.trace(pull)

        scaled = (logs - self._centre) / self._spread
        return float(value + 0.5 * (scaled**2).sum()), gradient + scaled / self._spread


def fit_rungs(rows: Rows, targets: Array, groups: Groups) -> RungKernel:
    """The most probable kernel given the data (MAP), by L-BFGS-B; a pure function of the data.

    Args:
        rows: n of them, n >= 1; the cost grows with the cube of n.
        targets: (n,) about standardised.
        groups: (f,) group of each feature, from 0.
    """
    likelihood = RungLikelihood(rows, targets, groups)
    bounds = [tuple(np.log(LENGTHSCALE_BOUNDS))] * likelihood.count
    bounds += [tuple(np.log(pair)) for pair in BOUNDS]
    best = np.exp(minimum(likelihood, likelihood.start, bounds))
    memory, own, noise = best[likelihood.count :].tolist()
    return RungKernel(best[: likelihood.count], memory, own, noise)


class RungProcess:
    """The posterior of results at any place of the way, given data and a kernel.

    Args:
        kernel: From `fit_rungs`.
        rows: n of them, n >= 1.
        targets: (n,) their results.
        groups: (f,) group of each feature.
    """

    def __init__(self, kernel: RungKernel, rows: Rows, targets: Array, groups: Groups) -> None:
        self.kernel = kernel
        self.rows = rows
        self.targets = targets
        self.groups = groups
        self._weights = 1 / kernel.lengthscales[groups] if len(groups) else np.zeros(0)
        self._scaled = rows.features * self._weights
        covariance = self._covariance(self._scaled, rows.ways, rows.owners)
        covariance.ravel()[:: len(rows) + 1] += kernel.noise
        factor = np.linalg.cholesky(covariance)
        self._whiten: Array = lapack.dtrtri(factor, lower=1)[0]
        self._alpha: Array = self._whiten.T @ (self._whiten @ targets)

    def predict(self, rows: Rows) -> tuple[Array, Array]:
        """Posterior mean and variance, (m,) each, of results without noise.

        Args:
            rows: m of them; an owner below 0 is a configuration that was never trained. Of it only
                what it shares with others is predicted: its own part would make a neighbour of
                the best look as if it were worth a draw in a lottery.
        """
        cross = self._covariance(rows.features * self._weights, rows.ways, rows.owners)
        return cross @ self._alpha, self._variance(cross, rows.ways, rows.owners >= 0)

    def gradients(self, features: Array, way: float) -> tuple[Array, Array, Array, Array]:
        """`predict` for new configurations, with the derivatives by the features.

        Args:
            features: (m, f).
            way: Of all of them.

        Returns:
            Mean (m,), variance (m,), gradient of the mean (m, f), gradient of the variance (m, f).
        """
        scaled = features * self._weights
        root = np.sqrt(5 * squared_distances(scaled, self._scaled))
        ways = np.full(len(features), way)
        faded = np.exp(-root) * self._fade(ways)
        cross = (1 + root + root * root / 3) * faded + mean_covariance(ways, self.rows.ways)
        slope = -5 / 6 * (1 + root) * faded
        white = cross @ self._whiten.T

        def by_features(outer: Array) -> Array:
            pull = outer * slope  # as in `GaussianProcess.gradients`
            total = pull.sum(axis=1, keepdims=True)
            return np.asarray(2 * (total * scaled - pull @ self._scaled) * self._weights)

        return (
            cross @ self._alpha,
            self._variance(cross, ways, np.zeros(len(ways), dtype=bool)),
            by_features(self._alpha[None]),
            by_features(-2 * white @ self._whiten),
        )

    def believe(self, rows: Rows) -> RungProcess:
        """The process as if each of these rows had come out just as is expected of it."""
        expected, _ = self.predict(rows)
        targets = np.concatenate([self.targets, expected])
        return RungProcess(self.kernel, self.rows.joined(rows), targets, self.groups)

    def _covariance(self, scaled: Array, ways: Array, owners: Owners) -> Array:
        """With the measured rows, without noise."""
        root = np.sqrt(5 * squared_distances(scaled, self._scaled))
        shared = (1 + root + root * root / 3) * np.exp(-root)
        shared += self.kernel.own * np.equal.outer(owners, self.rows.owners)
        return np.asarray(shared * self._fade(ways) + mean_covariance(ways, self.rows.ways))

    def _fade(self, ways: Array) -> Array:
        apart = np.abs(np.subtract.outer(ways, self.rows.ways))
        faded: Array = np.exp(-apart / self.kernel.memory)
        return faded

    def _variance(self, cross: Array, ways: Array, own: NDArray[np.bool_]) -> Array:
        white = cross @ self._whiten.T
        prior = 1 + self.kernel.own * own + LEVEL + DRIFT * ways
        known: Array = np.einsum("mn,mn->m", white, white)
        return np.asarray(np.maximum(prior - known, SMALLEST_VARIANCE))
