"""Made-up learning curves: where early epochs tell the end, where they mislead, where they fail.

A curve falls from 1 towards a level that the configuration decides, as a power of the epoch, and
may rise again (overfitting), drop late (a smaller rate) or end in NaN. Each epoch has some noise of
its own, the same in every run.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from problem import CurveProblem, Problem, Reference, Values, key_of, reference_of, unguided

from afina.space import Choice, Float, Int, Space

DRAWS = 4000


@dataclass(frozen=True, kw_only=True, eq=False)
class Curves(CurveProblem):
    """Curves by a formula."""

    function: Callable[[Values, np.ndarray], np.ndarray]
    """Configuration and epochs from 1 to losses without noise."""

    best: Values
    """The configuration whose curve has the lowest point."""

    noise: float = 0.003

    curves_only: bool = True

    def curve(self, values: Values, seed: int = 0) -> np.ndarray:
        """The loss after each epoch; all seeds are alike."""
        del seed
        rng = np.random.default_rng(key_of(values))
        exact = self.function(values, np.arange(1.0, self.epochs + 1))
        return exact + self.noise * rng.normal(size=self.epochs)

    def reference(self, seed: int = 0) -> Reference:
        """The best configuration's curve without noise, less the noise that a search may find."""
        del seed
        return _reference(self)


@functools.cache
def _reference(problem: Curves) -> Reference:
    rng = np.random.default_rng(0)
    losses = [problem.loss(problem.space.sample(rng)) for _ in range(DRAWS)]
    exact = problem.function(problem.best, np.arange(1.0, problem.epochs + 1)).min()
    return reference_of(losses, optimum=float(exact) - 4 * problem.noise)


def decades(value: float, best: float) -> float:
    return math.log10(value / best)


def network() -> Space:
    return unguided(
        [
            Float("rate", 1e-5, 1e0, sampling="log"),
            Int("units", 8, 1024, sampling="log"),
            Float("dropout", 0.0, 0.8),
            Float("decay", 1e-8, 1e-1, sampling="log"),
            Choice("batch", [16, 32, 64, 128, 256]),
            Choice("activation", ["relu", "tanh", "gelu"]),
        ]
    )


def level(values: Values) -> float:
    """Where a training would end after endless epochs, overfitting aside."""
    loss = 0.15 + 0.1 * max(decades(300, values["units"]), 0.0) ** 2
    loss += 0.02 * decades(values["decay"], 2e-5) ** 2
    loss += 0.8 * (values["dropout"] - 0.25) ** 2
    loss += 0.04 * decades(values["batch"], 32) ** 2
    return float(loss + {"relu": 0.01, "tanh": 0.05, "gelu": 0.0}[values["activation"]])


def honest(values: Values, epochs: np.ndarray) -> np.ndarray:
    """The better configuration is better from the start; too large a rate diverges."""
    rate = decades(values["rate"], 3e-3 * (values["batch"] / 32) ** 0.5)
    speed = 1.1 * math.exp(-0.35 * rate**2)
    low = level(values) + 0.04 * rate**2
    curve = low + (1.0 - low) * (1 + epochs) ** -speed
    spare = max(decades(values["units"], 300), 0.0) * (0.8 - values["dropout"])
    curve = curve + 0.004 * spare * np.maximum(epochs - 8, 0)
    if rate > 1.5:
        curve = np.where(epochs > 6 / (rate - 1.0), np.nan, curve)
    return curve


def crossing(values: Values, epochs: np.ndarray) -> np.ndarray:
    """Small rates are slow and end best: whoever leads after a third loses in the end."""
    rate = decades(values["rate"], 1e-3)
    speed = 0.25 * math.exp(1.1 * min(max(rate, -2.0), 2.0))
    low = level(values) + 0.05 * (rate - 0.1) ** 2 + (0.10 * rate if rate > 0 else 0.0)
    # What learns at once forgets nothing, but rests on the wrong floor.
    return low + (1.0 - low) * np.exp(-speed * epochs**0.9)


def late(values: Values, epochs: np.ndarray) -> np.ndarray:
    """A warm start says little: the rate falls at two thirds, and only then the level shows."""
    rate = decades(values["rate"], 0.02)
    before = 0.45 + 0.1 * abs(rate + 0.5) + 0.15 * (values["dropout"] - 0.1) ** 2
    low = level(values) + 0.05 * rate**2
    curve = before + (1.1 - before) * np.exp(-0.5 * epochs)
    drop = 1 / (1 + np.exp(-(epochs - 0.66 * epochs[-1])))
    curve = curve + (low - before) * drop
    if rate > 1.4:
        curve = np.where(epochs > 3, np.nan, curve)
    return curve


BEST = {"units": 300, "decay": 2e-5, "dropout": 0.25, "batch": 32, "activation": "gelu"}

MAKERS: dict[str, Callable[[], Problem]] = {
    "curves_honest": lambda: Curves(
        name="curves_honest",
        tuning=True,
        space=network(),
        epochs=27,
        function=honest,
        best={**BEST, "rate": 3e-3},
    ),
    "curves_crossing": lambda: Curves(
        name="curves_crossing",
        tuning=True,
        space=network(),
        epochs=30,
        function=crossing,
        best={**BEST, "rate": 1e-3},
    ),
    "curves_late": lambda: Curves(
        name="curves_late",
        tuning=False,
        space=network(),
        epochs=40,
        function=late,
        best={**BEST, "rate": 0.02},
    ),
}
