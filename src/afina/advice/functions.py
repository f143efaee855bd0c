"""Functions drawn from a Gaussian process: each one gives a score for every configuration.

Source:
    Rahimi & Recht, "Random features for large-scale kernel machines", NeurIPS 2007: functions of
    the prior as sums of cosines. Wilson et al., "Efficiently sampling functions from Gaussian
    process posteriors", arXiv:2002.09309: such a function, moved to where the data are.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from afina.surrogates.covariance import Groups
from afina.surrogates.gaussian_process import GaussianProcess
from afina.surrogates.threads import one_blas_thread

Array = NDArray[np.float64]

COSINES = 128  # of each of the kernel's two parts


class Functions:
    """Functions drawn from the posterior of a process.

    Args:
        process: The process.
        count: How many functions.
        rng: Every draw comes from it.
    """

    def __init__(self, process: GaussianProcess, count: int, rng: np.random.Generator) -> None:
        self.process = process
        kernel, groups = process.kernel, process.groups
        weights = 1 / kernel.lengthscales[groups]
        self._waves = np.concatenate(
            [_joint(weights, rng), _single(weights, groups, len(kernel.lengthscales), rng)]
        ).T
        self._phases = 2 * np.pi * rng.random(2 * COSINES)
        parts = np.repeat([1 - kernel.additive, kernel.additive], COSINES)
        heights = np.sqrt(2 * parts / COSINES)[:, None]
        self._heights = (heights * rng.standard_normal((2 * COSINES, count))).astype(np.float32)
        means = process.mean + process.mean_deviation() * rng.standard_normal(count)
        noise = math.sqrt(kernel.noise) * rng.standard_normal((len(process.targets), count))
        missed = process.targets[:, None] - means - self._prior(process.features) - noise
        self._means, self._moved = means, process.solve(missed)

    @property
    def deviation(self) -> float:
        """The standard deviation of a result's noise."""
        return math.sqrt(self.process.kernel.noise)

    def __call__(self, features: Array) -> Array:
        """(m, count) the value of each function, without noise, at rows (m, f)."""
        with one_blas_thread():
            moved = self.process.cross(features) @ self._moved
            return np.asarray(self._means + self._prior(features) + moved)

    def _prior(self, features: Array) -> Array:
        angles = features @ self._waves + self._phases
        return np.asarray(np.cos(angles.astype(np.float32)) @ self._heights, dtype=float)


def _joint(weights: Array, rng: np.random.Generator) -> Array:
    """(COSINES, f) frequencies of Matern-5/2: Student's t with five degrees of freedom."""
    normal = rng.standard_normal((COSINES, len(weights)))
    return np.asarray(normal * np.sqrt(5 / rng.chisquare(5, COSINES))[:, None] * weights)


def _single(weights: Array, groups: Groups, count: int, rng: np.random.Generator) -> Array:
    """(COSINES, f) frequencies of the additive part, each along a single group.

    1 / (1 + d s) is the mean of exp(-t d s) over exponentially distributed t.
    """
    own = rng.integers(max(count, 1), size=COSINES)
    widths = np.sqrt(2 * count * rng.exponential(size=COSINES))[:, None]
    normal = rng.standard_normal((COSINES, len(weights)))
    return np.asarray(normal * widths * weights * (groups[None] == own[:, None]))
