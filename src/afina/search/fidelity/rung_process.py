"""A Gaussian process on configurations and how long they were trained: fit, posterior, gradients.

The result of a configuration x after a part s of the way (0 the lowest rung, 1 the full training)
is the sum of

- a mean that hangs on s alone, unknown, which the trials that went on tie together over the rungs,
  so that it does not matter that only good ones did;
- what lasts: covariance `(k(x, x') + own * [x = x']) * exp(-|s - s'| / memory)`, where `own` is the
  configuration's own and no neighbour shares it, and k, of `afina.surrogates.covariance`, is in
  part a sum of effects of single hyperparameters: with few results nothing else can be told of
  places far from them;
- what shows early and is gone in the end, as the speed of a training:
  `(early * matern'(x, x') + early_own * [x = x']) * (1 - s) * (1 - s')`, with lengthscales of its
  own, so that a learning rate may decide the first epochs and the units the last;
- noise.

Where early epochs say little about the end, the early part is fitted large or the memory short, and
low rungs stop to count.

Source:
    Swersky, Snoek & Adams, "Freeze-thaw Bayesian optimization", arXiv:1406.3896, for one process
    over configurations and their curves; Klein et al., "Model-based asynchronous hyperparameter
    and neural architecture search", arXiv:2003.10865, for its use on rungs; Wu et al., "Practical
    multi-fidelity Bayesian optimization for hyperparameter tuning", arXiv:1903.04703, for a second
    part that fades towards the full fidelity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from afina.surrogates.covariance import Covariance, Groups, matern, matern_slope, rational
from afina.surrogates.distances import squared_distances
from afina.surrogates.gaussian_process import (
    ADDITIVE_LOGIT_BOUND,
    ADDITIVE_LOGIT_SD,
    LENGTHSCALE_BOUNDS,
    LENGTHSCALE_LOG_MEAN,
    LENGTHSCALE_LOG_SD,
    minimum,
)

Array = NDArray[np.float64]
Owners = NDArray[np.intp]

# The mean over s: a constant and a Brownian motion, wide beside targets of variance 1, so that
# the data decide. Their variances:
LEVEL = 4.0
DRIFT = 4.0

# Memory, own part, noise, early part and its own part, as normal priors of their logarithms: mean
# and standard deviation; at last the same of the logit of the additive part. Before any data a
# lowest rung correlates with a full training by 0.6.
PRIORS = (
    (math.log(3.0), 1.0),
    (math.log(0.1), 1.0),
    (-5.0, 1.0),
    (math.log(0.3), 1.0),
    (math.log(0.1), 1.0),
    (0.0, ADDITIVE_LOGIT_SD),
)
BOUNDS = ((0.05, 50.0), (1e-3, 2.0), (1e-4, 1.0), (1e-3, 10.0), (1e-3, 10.0))

SMALLEST_VARIANCE = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class Measurements:
    """What was measured, or is asked for: one row a configuration at one place of the way."""

    features: Array
    """(n, f) embedded configurations."""

    fidelities: Array
    """(n,) part of the way to a full training, 0 to 1."""

    owners: Owners
    """(n,) a number for each configuration; rows of one number are one training."""

    def __len__(self) -> int:
        return len(self.fidelities)

    def take(self, places: NDArray[np.intp]) -> Measurements:
        """Some of the rows."""
        return Measurements(self.features[places], self.fidelities[places], self.owners[places])

    def joined(self, other: Measurements) -> Measurements:
        """These rows, then the others."""
        return Measurements(
            np.concatenate([self.features, other.features]),
            np.concatenate([self.fidelities, other.fidelities]),
            np.concatenate([self.owners, other.owners]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class RungKernel:
    """What is fitted."""

    lengthscales: Array
    """(g,) of what lasts, in units of the features."""

    early_lengthscales: Array
    """(g,) of what shows early."""

    memory: float
    """Part of the way over which what lasts decays to 37 %."""

    own: float
    """Variance of what lasts and a configuration does not share with its neighbours; what it shares
    has variance 1."""

    noise: float
    """Variance of the noise."""

    early: float
    """Variance, on the lowest rung, of what shows early and neighbours share."""

    early_own: float
    """The same of what they do not share."""

    additive: float
    """Part of what lasts and neighbours share, from 0 to 1, that is a sum of effects of single
    groups."""


def mean_covariance(a: Array, b: Array) -> Array:
    """Prior covariance (n, m) of the mean at two places of the way, (n,) and (m,)."""
    return np.asarray(LEVEL + DRIFT * np.minimum.outer(a, b))


def earliness(fidelities: Array) -> Array:
    """(n,) how much of what shows early is left: 1 on the lowest rung, 0 in the end."""
    return np.maximum(1 - fidelities, 0.0)


class RungLikelihood:
    """The negative log posterior density of kernels, for one set of data.

    Args:
        rows: n of them, n >= 1.
        targets: (n,) about standardised, lower is better.
        groups: (f,) group of each feature, from 0.
    """

    def __init__(self, rows: Measurements, targets: Array, groups: Groups) -> None:
        n = len(rows)
        self.targets = targets
        self.count = int(groups.max()) + 1 if len(groups) else 0
        self._squares = np.empty((self.count, n * n))
        for group in range(self.count):
            part = rows.features[:, groups == group]
            self._squares[group] = squared_distances(part, part).ravel()
        self._apart = np.abs(np.subtract.outer(rows.fidelities, rows.fidelities))
        self._same = np.equal.outer(rows.owners, rows.owners).astype(float)
        self._early = np.outer(earliness(rows.fidelities), earliness(rows.fidelities))
        self._mean = mean_covariance(rows.fidelities, rows.fidelities)
        log_mean = LENGTHSCALE_LOG_MEAN + 0.5 * math.log(max(self.count, 1))
        spread = LENGTHSCALE_LOG_SD
        # The lengthscales' prior is a density of the values: in logarithms its mode moves.
        mode = log_mean - spread**2
        self._centre = np.array([mode] * 2 * self.count + [mean for mean, _ in PRIORS])
        self._spread = np.array([spread] * 2 * self.count + [sd for _, sd in PRIORS])
        # Not the mode itself, where neighbours know nothing of each other: half-way to the mean.
        half = log_mean - 0.5 * spread**2
        self.start = np.array([half] * 2 * self.count + [mean for mean, _ in PRIORS])

    def __call__(self, logs: Array) -> tuple[float, Array]:
        """The objective of the fit and its gradient.

        Args:
            logs: (2 g + 6,) natural logarithms of the lengthscales of what lasts, of those of what
                shows early, of memory, own part, noise, early part and its own part; the logit of
                the additive part.
        """
        n, count = len(self.targets), self.count
        weights, early_weights = np.exp(-2 * logs[: 2 * count]).reshape(2, count)
        memory, own, noise, early, early_own, odds = np.exp(logs[2 * count :])
        additive = odds / (1 + odds)
        squares = (weights @ self._squares).reshape(n, n)
        early_squares = (early_weights @ self._squares).reshape(n, n)
        effects = rational(self._squares * (count * weights)[:, None])  # (g, n * n)
        joint = matern(squares.copy())
        average = effects.mean(axis=0).reshape(n, n) if count else joint
        fade = np.exp(-self._apart / memory)
        lasting = ((1 - additive) * joint + additive * average + own * self._same) * fade
        first = matern(early_squares.copy()) * self._early
        first_own = self._same * self._early
        covariance = lasting + early * first + early_own * first_own + self._mean
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
        faded = pull * fade
        slope = (faded * matern_slope(squares)).ravel()
        early_slope = (pull * self._early * matern_slope(early_squares)).ravel()
        # The derivative of 1 / (1 + d s) by s is -d / (1 + d s) ** 2.
        effects *= effects
        effects *= self._squares
        by_effects = -additive * (effects @ faded.ravel())
        gradient = np.concatenate(
            [
                weights * ((1 - additive) * (self._squares @ slope) + by_effects),
                early * early_weights * (self._squares @ early_slope),
                [
                    -0.5 / memory * np.einsum("ij,ij,ij->", pull, lasting, self._apart),
                    -0.5 * own * np.einsum("ij,ij,ij->", pull, self._same, fade),
                    -0.5 * noise * np.trace(pull),
                    -0.5 * early * np.einsum("ij,ij->", pull, first),
                    -0.5 * early_own * np.einsum("ij,ij->", pull, first_own),
                    0.5 * additive * (1 - additive) * np.einsum("ij,ij->", faded, joint - average),
                ],
            ]
        )

        scaled = (logs - self._centre) / self._spread
        return float(value + 0.5 * (scaled**2).sum()), gradient + scaled / self._spread


def fit_rungs(rows: Measurements, targets: Array, groups: Groups) -> RungKernel:
    """The most probable kernel given the data (MAP), by L-BFGS-B; a pure function of the data.

    Args:
        rows: n of them, n >= 1; the cost grows with the cube of n.
        targets: (n,) about standardised.
        groups: (f,) group of each feature, from 0.
    """
    likelihood = RungLikelihood(rows, targets, groups)
    count = likelihood.count
    bounds = [tuple(np.log(LENGTHSCALE_BOUNDS))] * 2 * count
    bounds += [tuple(np.log(pair)) for pair in BOUNDS]
    bounds.append((-ADDITIVE_LOGIT_BOUND, ADDITIVE_LOGIT_BOUND))
    best = np.exp(minimum(likelihood, likelihood.start, bounds))
    best[-1] /= 1 + best[-1]
    return RungKernel(best[:count], best[count : 2 * count], *best[2 * count :].tolist())


class _Component(NamedTuple):
    """A part of the kernel."""

    covariance: Covariance
    """Of what neighbours share, but for its variance."""

    variance: float
    own: float


class RungProcess:
    """The posterior of results at any place of the way, given data and a kernel.

    Args:
        kernel: From `fit_rungs`.
        rows: n of them, n >= 1.
        targets: (n,) their results.
        groups: (f,) group of each feature.
    """

    def __init__(
        self, kernel: RungKernel, rows: Measurements, targets: Array, groups: Groups
    ) -> None:
        self.kernel = kernel
        self.rows = rows
        self.targets = targets
        self.groups = groups
        features = rows.features
        self._components = (
            _Component(
                Covariance(features, kernel.lengthscales, groups, kernel.additive), 1.0, kernel.own
            ),
            _Component(
                Covariance(features, kernel.early_lengthscales, groups),
                kernel.early,
                kernel.early_own,
            ),
        )
        covariance = self._covariance(rows)
        covariance.ravel()[:: len(rows) + 1] += kernel.noise
        factor = np.linalg.cholesky(covariance)
        self._whiten: Array = lapack.dtrtri(factor, lower=1)[0]
        self._alpha: Array = self._whiten.T @ (self._whiten @ targets)

    def predict(self, rows: Measurements) -> tuple[Array, Array]:
        """Posterior mean and variance, (m,) each, of results without noise.

        Args:
            rows: m of them; an owner below 0 is a configuration that was never trained. Of it only
                what it shares with others is predicted: its own part would make a neighbour of
                the best look as if it were worth a draw in a lottery.
        """
        cross = self._covariance(rows)
        return cross @ self._alpha, self._variance(cross, rows.fidelities, rows.owners >= 0)

    def gradients(self, features: Array, fidelity: float) -> tuple[Array, Array, Array, Array]:
        """`predict` for new configurations, with the derivatives by the features.

        Args:
            features: (m, f).
            fidelity: Of all of them.

        Returns:
            Mean (m,), variance (m,), gradient of the mean (m, f), gradient of the variance (m, f).
        """
        fidelities = np.full(len(features), fidelity)
        cross = mean_covariance(fidelities, self.rows.fidelities)
        slopes: Array = np.zeros((*cross.shape, features.shape[1]))
        for part, left in zip(self._components, self._left(fidelities), strict=True):
            shared, by_features = part.covariance.slopes(features)
            cross += part.variance * left * shared
            slopes += (part.variance * left)[:, :, None] * by_features
        white = cross @ self._whiten.T
        return (
            cross @ self._alpha,
            self._variance(cross, fidelities, np.zeros(len(fidelities), dtype=bool)),
            np.einsum("n,mnf->mf", self._alpha, slopes),
            np.einsum("mn,mnf->mf", -2 * white @ self._whiten, slopes),
        )

    def believe(self, rows: Measurements) -> RungProcess:
        """The process as if each of these rows had come out just as is expected of it."""
        expected, _ = self.predict(rows)
        targets = np.concatenate([self.targets, expected])
        return RungProcess(self.kernel, self.rows.joined(rows), targets, self.groups)

    def _covariance(self, rows: Measurements) -> Array:
        """With the measured rows, without noise."""
        same = np.equal.outer(rows.owners, self.rows.owners)
        covariance = mean_covariance(rows.fidelities, self.rows.fidelities)
        for part, left in zip(self._components, self._left(rows.fidelities), strict=True):
            shared = part.covariance.of(rows.features)
            covariance += (part.variance * shared + part.own * same) * left
        return covariance

    def _left(self, fidelities: Array) -> tuple[Array, Array]:
        """(m, n) what is left of either part from these places to those measured."""
        apart = np.abs(np.subtract.outer(fidelities, self.rows.fidelities))
        early = np.outer(earliness(fidelities), earliness(self.rows.fidelities))
        return np.exp(-apart / self.kernel.memory), early

    def _variance(self, cross: Array, fidelities: Array, own: NDArray[np.bool_]) -> Array:
        white = cross @ self._whiten.T
        lasting, early = self._components
        prior = LEVEL + DRIFT * fidelities + lasting.variance + lasting.own * own
        prior += (early.variance + early.own * own) * earliness(fidelities) ** 2
        known: Array = np.einsum("mn,mn->m", white, white)
        return np.asarray(np.maximum(prior - known, SMALLEST_VARIANCE))
