"""Kernels drawn from their posterior, in place of the single most probable one.

Forty trials do not determine a kernel. After a Bayesian search they do so even less: its trials are
crowded around the best, and the most probable kernel extrapolates from there. The drawn kernels
cover what is possible, so a region is given up only if it is poor under most kernels that fit.

Source: Neal, "MCMC using Hamiltonian dynamics", arXiv:1206.1901: leapfrog steps, reflected at
bounds (5.5.1.5); Rasmussen & Williams, "Gaussian Processes for Machine Learning" (2006), 5.2.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from afina.surrogates.covariance import Groups
from afina.surrogates.gaussian_process import (
    LARGEST_NOISE,
    LENGTHSCALE_BOUNDS,
    Kernel,
    Likelihood,
    fit,
)

Array = NDArray[np.float64]

MOVES = 8  # between two kernels that are kept
BURNT = 2  # how many kernels are dropped at the start, while the step is tuned
LEAPS = 5
STEP = 0.25  # in standard deviations of the prior
ACCEPTED = 0.75  # the acceptance rate that the step is tuned to


def draw_kernels(
    features: Array,
    targets: Array,
    groups: Groups,
    count: int,
    rng: np.random.Generator,
    noise_floor: float,
) -> list[Kernel]:
    """Kernels from their distribution given the data, by Hamiltonian Monte Carlo.

    Args:
        features: (n, f) embedded configurations, n >= 1.
        targets: (n,) mean about 0, variance about 1.
        groups: (f,) group of each feature, from 0.
        count: How many to draw; they are some moves apart, but not independent.
        rng: Every draw comes from it.
        noise_floor: Smallest variance of the noise.
    """
    chain = _Chain(features, targets, groups, noise_floor)
    found: list[Kernel] = []
    taken = 0
    for move in range((count + BURNT) * MOVES):
        taken += chain.move(rng)
        if move < BURNT * MOVES:
            chain.step *= 1.1 if taken / (move + 1) > ACCEPTED else 0.95
        elif (move + 1) % MOVES == 0:
            found.append(chain.kernel())
    return found


class _Chain:
    """A Markov chain of kernels in logarithms; it starts at the most probable one."""

    def __init__(self, features: Array, targets: Array, groups: Groups, noise_floor: float) -> None:
        self.likelihood = Likelihood(features, targets, groups)
        count = self.likelihood.count
        begin = fit(features, targets, groups, noise_floor=noise_floor)
        odds = math.log(begin.additive / (1 - begin.additive))
        low, high = np.log(LENGTHSCALE_BOUNDS)
        self.low = np.array([low] * count + [math.log(noise_floor), -math.inf])
        self.high = np.array([high] * count + [math.log(LARGEST_NOISE), math.inf])
        logs = np.append(np.log(np.append(begin.lengthscales, begin.noise)), odds)
        self.logs = np.clip(logs, self.low, self.high)
        self.step = STEP
        self.value, self.slope = self._energy(self.logs)

    def kernel(self) -> Kernel:
        """The current kernel."""
        values = np.exp(self.logs[:-1])
        return Kernel(values[:-1], float(values[-1]), float(1 / (1 + math.exp(-self.logs[-1]))))

    def move(self, rng: np.random.Generator) -> bool:
        """Makes some leaps; returns whether they were accepted."""
        spreads = self.likelihood.spreads
        step = self.step * (0.7 + 0.6 * rng.random()) * spreads
        speed = rng.standard_normal(len(self.logs))
        chance = math.log(max(rng.random(), 1e-300))
        before = self.value + 0.5 * float(speed @ speed)
        logs, value, slope = self.logs, self.value, self.slope
        speed = speed - 0.5 * step * slope
        for leap in range(LEAPS):
            logs, speed = self._reflected(logs + step * speed, speed)
            value, slope = self._energy(logs)
            if not math.isfinite(value):
                return False
            speed = speed - (1.0 if leap < LEAPS - 1 else 0.5) * step * slope
        if chance >= before - value - 0.5 * float(speed @ speed):
            return False
        self.logs, self.value, self.slope = logs, value, slope
        return True

    def _reflected(self, logs: Array, speed: Array) -> tuple[Array, Array]:
        below, above = logs < self.low, logs > self.high
        logs = np.where(below, 2 * self.low - logs, logs)
        logs = np.where(above, 2 * self.high - logs, logs)
        return np.clip(logs, self.low, self.high), np.where(below | above, -speed, speed)

    def _energy(self, logs: Array) -> tuple[float, Array]:
        """Minus the log density of the logarithms. `Likelihood` has the density of the values."""
        value, slope = self.likelihood(logs)
        if not math.isfinite(value):
            return math.inf, np.zeros_like(logs)
        slope = slope.copy()
        slope[:-1] -= 1
        return value - float(logs[:-1].sum()), slope
