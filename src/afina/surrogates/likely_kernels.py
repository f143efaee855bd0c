"""Several likely kernels in place of the single most probable one.

With few results, several kernels are about equally likely. For one of them a hyperparameter is
decisive, for the next it is noise. A proposal by the most probable kernel alone ignores the others.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from afina.surrogates.gaussian_process import (
    GaussianProcess,
    Likelihood,
    kernel_of,
    kernel_start,
)

Array = NDArray[np.float64]

PAIRS = 2
"""How many pairs of opposite draws around the most probable kernel are used."""

STEP = 0.1
"""Distance of gradients for the curvature, in standard deviations of the priors."""


def likely_processes(
    process: GaussianProcess, noise_floor: float
) -> tuple[list[GaussianProcess], Array]:
    """The process, and processes of the same data with other likely kernels.

    The kernels are drawn from the Laplace approximation of their posterior. A kernel's weight is
    its posterior density divided by that of the approximation, but at most that of the most
    probable one. The draws depend only on the number of hyperparameters, so that the same history
    gives the same proposals.

    Args:
        process: A process with its most probable kernel, fitted to all of its data.
        noise_floor: Smallest variance of the noise.

    Returns:
        The processes, the given one first, and the logarithms of their weights, which sum to 1.

    Source:
        Why to average: Snoek, Larochelle & Adams, "Practical Bayesian optimization of machine
        learning algorithms", arXiv:1206.2944, section 3.2, there with slice sampling. Laplace's
        approximation: Rasmussen & Williams, section 5.2.
    """
    likelihood = Likelihood(process.features, process.targets, process.groups)
    _, bounds = kernel_start(likelihood.count, noise_floor)
    low, high = np.array(bounds).T
    best, additive = process.kernel, process.kernel.additive
    mode = np.log(np.append(best.lengthscales, [best.noise, additive / (1 - additive)]))
    least, slope = likelihood(mode)
    deviations = _deviations(likelihood, mode, slope, high)
    processes, logs = [process], [0.0]
    for draw in _draws(len(mode)):
        point = np.clip(mode + deviations @ draw, low, high)
        value, _ = likelihood(point)
        if not math.isfinite(value):
            continue
        kernel = kernel_of(point)
        processes.append(GaussianProcess(kernel, process.features, process.targets, process.groups))
        logs.append(min(0.0, least - value + 0.5 * float(draw @ draw)))
    weights = np.array(logs)
    return processes, weights - np.logaddexp.reduce(weights)


def _deviations(likelihood: Likelihood, mode: Array, slope: Array, high: Array) -> Array:
    """(p, p) matrix that turns standard normal numbers into draws around the mode.

    The draws are in no direction wider than the prior.
    """
    spreads, count = likelihood.spreads, len(mode)
    curvature = np.empty((count, count))
    for place in range(count):
        step = STEP * spreads[place]
        moved = mode.copy()
        moved[place] += step if mode[place] + step <= high[place] else -step
        curvature[place] = (likelihood(moved)[1] - slope) / (moved[place] - mode[place])
    curvature = (curvature + curvature.T) / 2 * np.outer(spreads, spreads)
    curvature = np.where(np.isfinite(curvature), curvature, 0.0)
    precisions, directions = np.linalg.eigh(curvature)
    return np.asarray(spreads[:, None] * directions / np.sqrt(np.maximum(precisions, 1.0)))


def _draws(count: int) -> Array:
    """(2 PAIRS, count) standard normal numbers, always the same."""
    half = np.random.default_rng(count).standard_normal((PAIRS, count))
    return np.concatenate([half, -half])
