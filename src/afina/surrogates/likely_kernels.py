"""Kernels that few results leave possible, beside the most probable one.

From a handful of results several kernels are about as likely: one holds a hyperparameter for
decisive that the next takes for noise. Whoever proposes by the most probable alone stakes all on
it.
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
"""Draws are taken in opposite pairs around the most probable kernel."""

STEP = 0.1
"""Of the priors' deviations: how far apart gradients are taken for the curvature."""


def likely_processes(
    process: GaussianProcess, noise_floor: float
) -> tuple[list[GaussianProcess], Array]:
    """The process, and others of the same data whose kernels are likely, too.

    The kernels are drawn from the Laplace approximation of their posterior, and weighted by how
    much likelier each is than that says, but not beyond the most probable one. The draws are always
    the same for as many hyperparameters, so that the same history gives the same proposals.

    Args:
        process: Under its most probable kernel; its data are those that this was fitted to.
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
    """(p, p) what independent standard normal numbers are multiplied by to be draws around the
    mode; along no direction wider than the prior."""
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
