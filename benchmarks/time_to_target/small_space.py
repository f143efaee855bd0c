"""What decides a search of a small space in which trainings differ by luck, as on Fashion-MNIST.

    python benchmarks/time_to_target/small_space.py [--seeds 8]

Simulates Hyperband (Keras Tuner's rungs, one iteration) and Afina's `ModelBasedHalving`, with and
without repeats, on made-up trainings: 16 widths and 3 learning rates, up to 10 epochs. The levels
at the rate 0.001 and the noise follow the trainings in FINDINGS.md; those of the other rates are
rough. Every training has noise of its own.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np
from simulation import Steps, best_at, searched, until

from afina.search import Hyperband, ModelBasedHalving
from afina.space import Choice, Int, Space

EPOCHS = 10
BUDGET = 300
SPACE = Space((Int("units", 32, 512, step=32), Choice("learning_rate", [1e-2, 1e-3, 1e-4])))
LEVELS = {1e-2: (0.855, 0.004), 1e-3: (0.877, 0.012), 1e-4: (0.860, 0.010)}
"""Validation accuracy after 10 epochs with 64 units, and what 512 units add."""

EARLY = {1e-2: 0.025, 1e-3: 0.043, 1e-4: 0.060}
"""By how much the first epoch lies below."""

NOISE = {1e-2: 0.006, 1e-3: 0.003, 1e-4: 0.0015}
"""Standard deviation of an epoch; that of a training is a third."""


def training(values: Any, rng: np.random.Generator) -> np.ndarray:
    """The accuracy after each epoch."""
    rate, width = values["learning_rate"], math.log2(values["units"] / 64) / 3
    low, gain = LEVELS[rate]
    epochs = np.arange(1.0, EPOCHS + 1)
    curve = low + gain * width - EARLY[rate] * (epochs**-0.9 - EPOCHS**-0.9)
    noise = NOISE[rate]
    return np.asarray(curve + noise / 3 * rng.normal() + noise * rng.normal(size=EPOCHS))


def simulated(search: Any, seed: int, budget: int) -> tuple[Steps, int]:
    return searched(search, SPACE, lambda values, rng: -training(values, rng), seed, budget)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    seeds = range(parser.parse_args().seeds)
    ends = []
    for seed in range(4 * len(seeds)):  # it costs next to nothing
        steps, spent = simulated(Hyperband(max_epochs=EPOCHS, iterations=1, seed=seed), seed, 10**6)
        ends.append(-steps[-1][1])
    targets = np.quantile(ends, [0.5, 0.9])
    print(
        f"Hyperband: {spent} epochs, ends with {np.round(np.quantile(ends, [0, 0.5, 0.9, 1]), 4)}"
    )
    for repeats in (False, True):
        runs = [
            simulated(
                ModelBasedHalving(max_epochs=EPOCHS, seed=seed, prior="roles", repeats=repeats),
                seed,
                BUDGET,
            )[0]
            for seed in seeds
        ]
        means = [-np.mean([best_at(run, epochs) for run in runs]) for epochs in (60, 120, 200, 300)]
        reached = [[until(run, -target) for run in runs] for target in targets]
        print(
            f"repeats={repeats}: best at 60, 120, 200, 300 epochs {np.round(means, 4)}; epochs "
            f"to Hyperband's median end {np.median(reached[0]):.0f}, to its 90 % quantile "
            f"{np.median(reached[1]):.0f}, reached by {np.mean(np.isfinite(reached[1])):.0%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
