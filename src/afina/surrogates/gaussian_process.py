"""A Gaussian process on embedded configurations: fit, posterior, gradients.

It knows nothing of search spaces: a configuration is a row of *features*. The covariance of two
configurations is that of `afina.surrogates.covariance`. Two things are fitted to the data: how fast
the objective varies along each hyperparameter, and how much of it is a sum of effects of single
hyperparameters.

Source: Rasmussen & Williams, "Gaussian Processes for Machine Learning" (2006), chapters 2 and 5.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.optimize import minimize

from afina.surrogates.covariance import Covariance, Groups, rational
from afina.surrogates.distances import squared_distances
from afina.surrogates.memo import remembered

Array = NDArray[np.float64]

LENGTHSCALE_BOUNDS = (0.025, 1e3)
LARGEST_NOISE = 1.0  # targets have variance 1: more noise than that means no signal at all

# arXiv:2402.02229: the typical distance in the unit cube grows with sqrt(d), so lengthscales must.
# The median there is 4.1 sqrt(d), for functions close to linear; here the additive part models
# these. From few trials, a narrower prior with median sqrt(d) predicts untried configurations
# better: the rank correlation is 0.49 instead of 0.47 from 12 trials, and 0.68 instead of 0.67 from
# 25, on average over 11 problems.
LENGTHSCALE_LOG_MEAN = 0.0
LENGTHSCALE_LOG_SD = 1.2
NOISE_LOG_MEAN = -4.0
NOISE_LOG_SD = 1.0
ADDITIVE_LOGIT_SD = 1.5  # about uniform on (0, 1), except at the ends
ADDITIVE_LOGIT_BOUND = 5.0

ITERATIONS = 30


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """The fitted parameters: how fast the objective varies along each group, and its noise."""

    lengthscales: Array
    """(g,), in units of the features."""

    noise: float
    """Variance of the noise, in units of the targets' variance (1)."""

    additive: float = 0.0
    """Part of the variance, from 0 to 1, that is a sum of effects of single groups."""


def kernel_mode(count: int, noise_floor: float) -> Kernel:
    """The most probable kernel for `count` groups before any data: where each fit starts."""
    log_mean = LENGTHSCALE_LOG_MEAN + 0.5 * math.log(max(count, 1))
    lengthscale = max(math.exp(log_mean - LENGTHSCALE_LOG_SD**2), LENGTHSCALE_BOUNDS[0])
    noise = max(math.exp(NOISE_LOG_MEAN - NOISE_LOG_SD**2), noise_floor)
    return Kernel(np.full(count, lengthscale), noise, 0.5)


class Likelihood:
    """The negative log posterior density of kernels, for one set of data.

    Squared distances of all pairs of rows are computed once, as they do not depend on the kernel.

    Args:
        features: (n, f) embedded configurations, n >= 1.
        targets: (n,) standardised, lower is better.
        groups: (f,) group of each feature, from 0.
    """

    def __init__(self, features: Array, targets: Array, groups: Groups) -> None:
        n = len(features)
        self.targets = targets
        self.count = int(groups.max()) + 1 if len(groups) else 0
        self._rows, self._columns = np.triu_indices(n, 1)
        self._flat = self._rows * n + self._columns
        self._distances = np.empty((self.count, len(self._rows)))  # (g, pairs), squared
        for group in range(self.count):
            part = features[:, groups == group]
            square = squared_distances(part, part)
            self._distances[group] = square.ravel()[self._flat]
        log_mean = LENGTHSCALE_LOG_MEAN + 0.5 * math.log(max(self.count, 1))
        self._means = np.array([log_mean] * self.count + [NOISE_LOG_MEAN, 0.0])
        spreads = [LENGTHSCALE_LOG_SD] * self.count + [NOISE_LOG_SD, ADDITIVE_LOGIT_SD]
        self._spreads = np.array(spreads)

    @property
    def spreads(self) -> Array:
        """(g + 2,) standard deviations of the priors of what `__call__` takes."""
        return self._spreads

    def __call__(self, logs: Array) -> tuple[float, Array]:
        """The objective of the fit and its gradient.

        Args:
            logs: (g + 2,) natural logarithms of the lengthscales and the noise, and the logit of
                the additive part.

        Returns:
            The negative log posterior, and its gradient, (g + 2,). The densities of the priors
            are those of the values, not of their logarithms (of the additive part: of its logit).
            The constant mean is profiled out: at its best value the gradient through it is 0.
        """
        value, gradient, _ = self.of(logs, self.targets)
        return value, gradient

    def of(self, logs: Array, targets: Array) -> tuple[float, Array, Array]:
        """The same for other targets of the same rows, and the (n,) derivatives by them.

        Source: Rasmussen & Williams, equation 5.9, for the gradient of the likelihood.
        """
        n, count = len(targets), self.count
        weights = np.exp(-2 * logs[:count])
        noise = math.exp(logs[count])
        additive = 1 / (1 + math.exp(-logs[-1]))
        root = np.sqrt(5 * (weights @ self._distances))
        decay = np.exp(-root)
        joint = (1 + root + root * root / 3) * decay
        effects = rational(self._distances * (count * weights)[:, None])  # (g, pairs)
        average = effects.mean(axis=0) if count else np.ones_like(joint)
        covariance = np.zeros((n, n))
        covariance.ravel()[self._flat] = (1 - additive) * joint + additive * average
        np.fill_diagonal(covariance, 1 + noise)
        factor, failed = lapack.dpotrf(covariance.T, lower=1, overwrite_a=1)
        if failed:
            return math.inf, np.zeros_like(logs), np.zeros(n)
        inverse, _ = lapack.dpotri(factor, lower=1)
        # dpotri fills one triangle only; the other one holds the factor's zeros.
        lower = inverse.T.ravel()[self._flat]
        full = np.zeros((n, n))
        full.ravel()[self._flat] = lower
        full += full.T
        diagonal = np.diagonal(inverse)
        np.fill_diagonal(full, diagonal)
        residual = targets - _profiled_mean(full, targets)
        alpha = full @ residual

        value = 0.5 * residual @ alpha + np.log(np.diagonal(factor)).sum()
        by_covariance = alpha[self._rows] * alpha[self._columns] - lower  # minus the derivative
        slope = by_covariance * (1 + root) * decay
        gradient = np.empty_like(logs)
        gradient[:count] = -5 / 3 * (1 - additive) * weights * (self._distances @ slope)
        effects *= effects
        effects *= self._distances
        gradient[:count] -= 2 * additive * weights * (effects @ by_covariance)
        gradient[count] = -0.5 * noise * (alpha @ alpha - diagonal.sum())
        gradient[-1] = additive * (1 - additive) * (by_covariance @ (joint - average))

        scaled = (logs - self._means) / self._spreads
        value += logs[:-1].sum() + 0.5 * (scaled @ scaled)
        gradient += scaled / self._spreads
        gradient[:-1] += 1
        return float(value), gradient, alpha


def fit(features: Array, targets: Array, groups: Groups, *, noise_floor: float = 1e-4) -> Kernel:
    """The most probable kernel given the data (MAP), found by L-BFGS-B from the prior's mode.

    It always starts at the prior's mode, never at an earlier fit. So a resumed search fits the same
    kernel as one that never stopped.

    Args:
        features: (n, f) embedded configurations, n >= 1.
        targets: (n,) mean about 0, variance about 1.
        groups: (f,) group of each feature, from 0.
        noise_floor: Smallest variance of the noise; keeps the covariance invertible.

    Source:
        The lengthscale prior that grows with sqrt(d), and the fixed output scale: Hvarfner et al.,
        arXiv:2402.02229; here d is the number of groups, not of features.
    """
    likelihood = Likelihood(features, targets, groups)
    start, bounds = kernel_start(likelihood.count, noise_floor)
    return kernel_of(minimum(likelihood, start, bounds))


def kernel_start(count: int, noise_floor: float) -> tuple[Array, list[tuple[float, float]]]:
    """Where a fit for `count` groups starts, as `Likelihood` takes it, and the fit's bounds."""
    mode = kernel_mode(count, noise_floor)
    low, high = np.log(LENGTHSCALE_BOUNDS)
    bounds = [(low, high)] * count
    bounds.append((math.log(noise_floor), math.log(max(LARGEST_NOISE, 2 * noise_floor))))
    bounds.append((-ADDITIVE_LOGIT_BOUND, ADDITIVE_LOGIT_BOUND))
    return np.append(np.log(np.append(mode.lengthscales, mode.noise)), 0.0), bounds


def minimum(
    function: Callable[[Array], tuple[float, Array]],
    start: Array,
    bounds: list[tuple[float, float]],
) -> Array:
    """The minimum, found by L-BFGS-B, of a function that returns its value and gradient."""
    # A looser fit than scipy's default costs half and changes no proposal that matters.
    options = {"maxiter": ITERATIONS, "maxfun": 2 * ITERATIONS, "ftol": 1e-5, "gtol": 1e-3}
    found = minimize(function, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return np.asarray(found.x)


def kernel_of(logs: Array) -> Kernel:
    """The kernel from its logarithms, see `Likelihood.__call__`."""
    best = np.exp(logs)
    return Kernel(best[:-2], float(best[-2]), float(best[-1] / (1 + best[-1])))


@remembered(maxsize=8)
def fit_once(features: Array, targets: Array, groups: Groups, noise_floor: float) -> Kernel:
    """`fit`; workers that ask at the same time share one."""
    return fit(features, targets, groups, noise_floor=noise_floor)


class GaussianProcess:
    """The posterior of the objective given data and a kernel.

    Args:
        kernel: Lengthscales and noise, from `fit`.
        features: (n, f) embedded configurations, n >= 1.
        targets: (n,) their standardised results.
        groups: (f,) group of each feature.
        mean: Prior mean; None means its best value given the kernel (generalised least squares).

    Source:
        Rasmussen & Williams, equations 2.25 (mean) and 2.26 (variance).
    """

    def __init__(
        self,
        kernel: Kernel,
        features: Array,
        targets: Array,
        groups: Groups,
        mean: float | None = None,
    ) -> None:
        self.kernel = kernel
        self.features = features
        self.targets = targets
        self.groups = groups
        self._prior = Covariance(features, kernel.lengthscales, groups, kernel.additive)
        covariance = self._prior.among()
        np.fill_diagonal(covariance, 1 + kernel.noise)
        factor = np.linalg.cholesky(covariance)
        self._whiten: Array = lapack.dtrtri(factor, lower=1)[0]  # (n, n), inverse of the factor
        white = self._whiten @ targets
        ones = self._whiten.sum(axis=1)
        self.mean = float(ones @ white / (ones @ ones)) if mean is None else mean
        self._alpha = self._whiten.T @ (white - self.mean * ones)

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Posterior mean and variance of the objective without noise.

        Args:
            features: (m, f).

        Returns:
            Mean (m,) and variance (m,), the variance never below 0.
        """
        cross = self._prior.of(features)
        white = cross @ self._whiten.T
        variance = 1 - np.einsum("mn,mn->m", white, white)
        return self.mean + cross @ self._alpha, np.maximum(variance, 0.0)

    def fitted(self) -> Array:
        """(n,) the posterior mean at the data."""
        return np.asarray(self.mean + self._prior.among(as_others=True) @ self._alpha)

    def cross(self, features: Array) -> Array:
        """(m, n) prior covariances of rows with the data."""
        return self._prior.of(features)

    def solve(self, values: Array) -> Array:
        """(n, k) the inverse covariance of the data, noise included, times (n, k) values."""
        return np.asarray(self._whiten.T @ (self._whiten @ values))

    def mean_deviation(self) -> float:
        """The standard deviation of the constant mean, under a flat prior, in units of targets."""
        ones = self._whiten.sum(axis=1)
        return float(1 / math.sqrt(ones @ ones))

    def gradients(self, features: Array) -> tuple[Array, Array, Array, Array]:
        """`predict` together with the derivatives by the features.

        Returns:
            Mean (m,), variance (m,), gradient of the mean (m, f), gradient of the variance (m, f).
        """
        cross, slopes = self._prior.slopes(features)
        white = cross @ self._whiten.T
        variance = np.maximum(1 - np.einsum("mn,mn->m", white, white), 0.0)
        mean_gradient = np.einsum("n,mnf->mf", self._alpha, slopes)
        variance_gradient = np.einsum("mn,mnf->mf", -2 * white @ self._whiten, slopes)
        return self.mean + cross @ self._alpha, variance, mean_gradient, variance_gradient

    def skill(self) -> float:
        """Correlation of each target with its prediction from all others, from -1 to 1.

        Source:
            Rasmussen & Williams, equation 5.12: leaving one out needs no other posterior. The mean
            and the kernel stay as they are.
        """
        if len(self.targets) < 2:
            return 0.0
        left_out = self.targets - self._alpha / np.square(self._whiten).sum(axis=0)
        spread = self.targets.std() * left_out.std()
        if not spread > 0:
            return 0.0
        centred = (self.targets - self.targets.mean()) * (left_out - left_out.mean())
        return float(centred.mean() / spread)

    def believe(self, features: Array) -> GaussianProcess:
        """The process as if each of these rows had exactly its expected score.

        The mean stays as it was, and the uncertainty around the rows disappears. So a proposal made
        while they are running goes elsewhere.

        Source:
            "Kriging believer": Ginsbourger, Le Riche & Carraro, "Kriging is well-suited to
            parallelize optimization" (2010).
        """
        expected, _ = self.predict(features)
        return GaussianProcess(
            self.kernel,
            np.concatenate([self.features, features]),
            np.concatenate([self.targets, expected]),
            self.groups,
            self.mean,
        )


def _profiled_mean(inverse: Array, targets: Array) -> float:
    """The constant mean that makes the targets most likely, given the inverse covariance."""
    row = inverse.sum(axis=0)
    return float(row @ targets / row.sum())
