"""A Gaussian process on configurations and how long they were trained: fit, posterior, gradients.

The result of a configuration x at fidelity s (0 the lowest rung, 1 a full training) is the sum of

- an unknown mean that depends on s only. Promoted trainings connect it over the rungs, so it does
  not matter that only good ones were promoted;
- what lasts: covariance `(k(x, x') + own * [x = x']) * exp(-|s - s'| / memory)`, where `own` is the
  configuration's own, which no neighbour shares. k is that of `afina.surrogates.covariance`: in
  part a sum of effects of single hyperparameters, which is all that few results can show about
  distant configurations;
- what shows early and fades, such as the speed of a training:
  `(early * matern'(x, x') + early_own * [x = x']) * (1 - s) * (1 - s')`, with lengthscales of its
  own: a learning rate may decide the first epochs and the units the last;
- noise.

If early epochs say little about the end, the fitted early part is large or the memory short, and
low rungs lose their weight.

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

# The mean over s: a constant plus a Brownian motion. Their variances are large compared with the
# targets' variance of 1, so that the data decide:
LEVEL = 4.0
DRIFT = 4.0

# Normal priors, mean and standard deviation, of the logarithms of the memory, the own part, the
# noise, the early part and its own part; the last one is of the logit of the additive part. Before
# any data, the lowest rung has a correlation of 0.6 with a full training.
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
    """What was measured, or is asked for: in each row a configuration at a fidelity."""

    features: Array
    """(n, f) embedded configurations."""

    fidelities: Array
    """(n,) from 0, the lowest rung, to 1, a full training."""

    owners: Owners
    """(n,) a number for each training; it joins the rows of one training."""

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
    """The parameters that are fitted."""

    lengthscales: Array
    """(g,) lengthscales of the lasting component, in units of the features."""

    early_lengthscales: Array
    """(g,) lengthscales of the early component."""

    memory: float
    """The difference of fidelities over which the lasting component decays to 37 %."""

    own: float
    """Variance of the lasting component that a configuration does not share with its neighbours;
    the shared part has variance 1."""

    noise: float
    """Variance of the noise."""

    early: float
    """Variance, on the lowest rung, of the early component that neighbours share."""

    early_own: float
    """Variance, on the lowest rung, of the early component that they do not share."""

    additive: float
    """Part of the shared lasting component, from 0 to 1, that is a sum of effects of single
    groups."""


def mean_covariance(a: Array, b: Array) -> Array:
    """(n, m) prior covariance of the mean at fidelities (n,) and (m,)."""
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
        # Not the mode itself, at which neighbours share nothing: half-way to the mean.
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
    """A component of the kernel: the lasting one or the early one."""

    covariance: Covariance
    """The correlation of what neighbours share."""

    variance: float
    own: float


class RungProcess:
    """The posterior of results at any fidelity, given data and a kernel.

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
            rows: m of them; an owner below 0 is a configuration that was never trained. For it only
                the shared part is predicted: the variance of its own part would make every
                neighbour of the best a gamble worth taking.
        """
        cross = self._covariance(rows)
        return cross @ self._alpha, self._variance(cross, rows.fidelities, rows.owners >= 0)

    def luck(self, fidelities: Array) -> Array:
        """(m,) variances of results that trainings of one configuration do not share."""
        kernel = self.kernel
        return np.asarray(kernel.own + kernel.early_own * earliness(fidelities) ** 2 + kernel.noise)

    def gradients(self, features: Array, fidelity: float) -> tuple[Array, Array, Array, Array]:
        """`predict` for new configurations, with the derivatives by the features.

        Args:
            features: (m, f).
            fidelity: The fidelity of all of them.

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
        """The process as if each of these rows had exactly its expected result."""
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
        """(m, n) what is left of both components between these fidelities and the measured ones."""
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
