"""Where the good configurations may lie: a Gaussian process's belief, over resamples of the trials.

*Good* means: among the best `GOOD` of the space, as the process sees it. The *promise* of a
configuration is the probability that it is good. Where no trial has been, the process is unsure,
and so the promise is middling: a region is given up because trials there were bad, never because
there were none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afina.advice.sample import Sample
from afina.search.gaussian_process import GaussianProcess, Groups, fit
from afina.search.threads import one_blas_thread

Array = NDArray[np.float64]

GOOD = 0.025  # what the best of 40 random trials belongs to
MODELS = 4
RESAMPLED = 0.8  # part of the trials that the kernels of all models but the first are fitted to
FIT_LIMIT = 100
MODEL_LIMIT = 300
NOISE_FLOOR = 1e-2  # of the variance: no training is more exact than that
DRAWS = 3000
TINY = 1e-9


@dataclass(frozen=True, eq=False)
class Belief:
    """Several processes, each with a kernel of its own, and what each of them calls good."""

    processes: tuple[GaussianProcess, ...]

    levels: tuple[float, ...]
    """Good is a target below this, for each process."""

    def promise(self, features: Array) -> Array:
        """(m,) the probability that configurations are good, mean over the processes."""
        from scipy.special import ndtr

        total = np.zeros(len(features))
        for process, level in zip(self.processes, self.levels, strict=True):
            mean, variance = process.predict(features)
            total += ndtr((level - mean) / np.sqrt(variance + TINY))
        return total / len(self.processes)

    def swing(self) -> Array:
        """(varying entries,) the largest change that the kernels allow from one end of an entry's
        range to the other, in deviations of the results (one sigma, the largest of the models).

        0.05, say: all of its values do the same but for a twentieth of the spread of the results.
        """
        lengths = np.array([process.kernel.lengthscales for process in self.processes])
        root = np.sqrt(5) / lengths
        correlation = (1 + root + root**2 / 3) * np.exp(-root)
        return np.asarray(np.sqrt(2 * (1 - correlation)).max(axis=0))


def believe(sample: Sample, seed: int) -> Belief:
    """Fits the processes.

    Args:
        sample: At least one row.
        seed: Fixes which rows each kernel is fitted to, and where the level of good is measured.
    """
    rng = np.random.default_rng([seed, 2])
    sample = sample.take(_kept(sample))
    features, groups = sample.geometry.embed(sample.points), sample.geometry.groups
    probes = sample.geometry.embed(sample.geometry.uniform(DRAWS, rng))
    processes, levels = [], []
    with one_blas_thread():
        for number in range(MODELS):
            process = _process(features, sample.targets, groups, rng, resampled=number > 0)
            processes.append(process)
            levels.append(_level(process, probes))
    return Belief(tuple(processes), tuple(levels))


def _process(
    features: Array, targets: Array, groups: Groups, rng: np.random.Generator, resampled: bool
) -> GaussianProcess:
    """A process of all rows with a kernel fitted to some of them."""
    count = len(targets)
    size = min(round(RESAMPLED * count) if resampled else count, FIT_LIMIT)
    rows = np.sort(rng.choice(count, max(size, 1), replace=False))
    kernel = fit(features[rows], targets[rows], groups, noise_floor=NOISE_FLOOR)
    return GaussianProcess(kernel, features, targets, groups)


def _level(process: GaussianProcess, probes: Array) -> float:
    """The target that `GOOD` of the space is expected to be below, by bisection."""
    from scipy.special import ndtr

    mean, variance = process.predict(probes)
    deviation = np.sqrt(variance + TINY)
    low = float((mean - 10 * deviation).min())
    high = float((mean + 10 * deviation).max())
    for _ in range(50):
        middle = (low + high) / 2
        if ndtr((middle - mean) / deviation).mean() < GOOD:
            low = middle
        else:
            high = middle
    return high


def _kept(sample: Sample) -> NDArray[np.intp]:
    """Rows to look at where there are many: the best half, and the rest evenly by rank."""
    count = len(sample.targets)
    order = np.argsort(sample.targets, kind="stable")
    half = MODEL_LIMIT // 2
    if count <= MODEL_LIMIT:
        return np.arange(count)
    rest = order[half:][np.linspace(0, count - half - 1, MODEL_LIMIT - half).astype(int)]
    return np.sort(np.concatenate([order[:half], rest]))
