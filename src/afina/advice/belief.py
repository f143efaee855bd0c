"""Where the good configurations may lie: functions drawn from a posterior of the objective.

A configuration is *good* if it is as good as the best result that as many random trials of the
whole space would find, including the noise of trainings. Each function has its own good region.
Where there are no trials, the functions disagree. So a region is given up because its trials were
bad, never because it has none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afina.advice.functions import Functions
from afina.advice.kernels import draw_kernels
from afina.advice.sample import Sample
from afina.surrogates.gaussian_process import GaussianProcess
from afina.surrogates.subset import filled_up
from afina.surrogates.threads import one_blas_thread

Array = NDArray[np.float64]

KERNELS = 6
FUNCTIONS = 16  # of each kernel
FIT_LIMIT = 100
MODEL_LIMIT = 300
LEAST_GOOD, MOST_GOOD = 0.01, 0.1  # share of the space that is good; fewer draws say too little
NOISE_FLOOR = 1e-2  # of the variance: no training is more exact
DRAWS = 2000


@dataclass(frozen=True, eq=False)
class Belief:
    """Functions that fit the trials, and where each of them is good."""

    functions: tuple[Functions, ...]
    """For each kernel, its functions."""

    levels: tuple[Array, ...]
    """For each kernel, the target of each function below which a result is good."""

    parts: Array
    """(all functions,) the share of the space that is good."""

    def richness(self, features: Array) -> Array:
        """(m, all functions) the probability that a configuration is good, divided by that of a
        random configuration."""
        from scipy.special import ndtr

        found = [
            ndtr((levels - drawn(features)) / drawn.deviation)
            for drawn, levels in zip(self.functions, self.levels, strict=True)
        ]
        return np.asarray(np.concatenate(found, axis=1) / self.parts)

    def mean(self, features: Array) -> Array:
        """(m,) expected targets, mean over the kernels."""
        predicted = [drawn.process.predict(features)[0] for drawn in self.functions]
        return np.asarray(np.mean(predicted, axis=0))


def believe(sample: Sample, seed: int) -> Belief:
    """Draws the functions.

    Args:
        sample: At least one row.
        seed: Fixes every draw.
    """
    rng = np.random.default_rng([seed, 2])
    good = min(max(1 / len(sample.targets), LEAST_GOOD), MOST_GOOD)
    sample = sample.take(_kept(sample))
    features, groups = sample.geometry.embed(sample.points), sample.geometry.groups
    probes = sample.geometry.embed(sample.geometry.uniform(DRAWS, rng))
    count = len(features)
    rows = np.sort(rng.choice(count, min(count, FIT_LIMIT), replace=False))
    functions, levels, parts = [], [], []
    with one_blas_thread():
        for kernel in draw_kernels(
            features[rows], sample.modelled[rows], groups, KERNELS, rng, NOISE_FLOOR
        ):
            process = GaussianProcess(kernel, features, sample.modelled, groups)
            drawn = Functions(process, FUNCTIONS, rng)
            level, part = _level(drawn(probes), drawn.deviation, good)
            functions.append(drawn)
            levels.append(level)
            parts.append(part)
    return Belief(tuple(functions), tuple(levels), np.concatenate(parts))


def _level(values: Array, deviation: float, good: float) -> tuple[Array, Array]:
    """For each function, the target that a share `good` of all results is below, by bisection; and
    the share that really is below."""
    from scipy.special import ndtr

    low, high = values.min(axis=0) - 5 * deviation, values.max(axis=0) + 5 * deviation
    for _ in range(30):
        middle = (low + high) / 2
        less = ndtr((middle - values) / deviation).mean(axis=0) < good
        low, high = np.where(less, middle, low), np.where(less, high, middle)
    return high, np.asarray(ndtr((high - values) / deviation).mean(axis=0))


def _kept(sample: Sample) -> NDArray[np.intp]:
    """Rows for the model if there are too many: the best half, and the rest evenly by rank."""
    count = len(sample.targets)
    order = np.argsort(sample.targets, kind="stable")
    half = MODEL_LIMIT // 2
    if count <= MODEL_LIMIT:
        return np.arange(count)
    return filled_up(order[:half].tolist(), order[half:].tolist(), MODEL_LIMIT)
