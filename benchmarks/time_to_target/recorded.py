"""Epochs until Hyperband's final score, simulated on recorded trainings of a job.

    python benchmarks/time_to_target/recorded.py TABULAR [--seeds 16] [--epochs 100]

The mean curve of any configuration comes from a Gaussian process through the recordings of
`record_curves.py`. What luck adds is a whole curve: by how much one of the repeated trainings
nearby differs from their mean. Hyperband is `afina.search.Hyperband`, whose plan is Keras Tuner's.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from simulation import Steps, best_at, searched, until

from afina.search import Hyperband, ModelBasedHalving
from afina.space import Space
from afina.surrogates.geometry import encoded, geometry_of

Array = NDArray[np.float64]
RECORDINGS = Path(__file__).with_name("recordings")
NEAREST = 3
HYPERBANDS = 100


def matern(a: Array, b: Array) -> Array:
    """Matern-5/2 of rows that are divided by their lengthscales."""
    apart = np.sqrt(5 * np.maximum(((a[:, None] - b[None]) ** 2).sum(axis=2), 1e-18))
    return np.asarray((1 + apart + apart**2 / 3) * np.exp(-apart))


class Recorded:
    """A job whose trainings are drawn from its recordings."""

    def __init__(self, job: str) -> None:
        kept = json.loads((RECORDINGS / f"{job}.json").read_text(encoding="utf-8"))
        self.space = Space.from_config(kept["space"])
        self._geometry = geometry_of(self.space)
        groups: dict[str, list[Array]] = {}
        values: dict[str, Mapping[str, Any]] = {}
        for row, curve in kept["rows"]:
            if curve and np.isfinite(curve).all():
                values[repr(row)] = row
                groups.setdefault(repr(row), []).append(np.array(curve))
        rows = self._rows(list(values.values()))
        means = np.array([np.mean(curves, axis=0) for curves in groups.values()])
        counts = np.array([len(curves) for curves in groups.values()])
        self.epochs = means.shape[1]
        self.luck = [
            (np.array(curves) - mean) * math.sqrt(len(curves) / (len(curves) - 1))
            for curves, mean in zip(groups.values(), means, strict=True)
            if len(curves) > 1
        ]
        self._middle = means.mean(axis=0)
        self._scales, noise = self._fitted(rows, means - self._middle, counts)
        self._known = rows / self._scales
        self._lucky = self._known[counts > 1]
        covariance = matern(self._known, self._known) + np.diag(noise / counts + 1e-6)
        self._weights = np.linalg.solve(covariance, means - self._middle)

    def _rows(self, values: Sequence[Mapping[str, Any]]) -> Array:
        listed = [tuple(each.items()) for each in values]
        return self._geometry.embed(encoded(self._geometry, listed))

    def _fitted(self, rows: Array, gaps: Array, counts: Array) -> tuple[Array, float]:
        """Lengthscales and noise, by the last third of the epochs."""
        ends = gaps[:, -max(self.epochs // 3, 1) :].mean(axis=1)
        ends = ends / ends.std()
        size = rows.shape[1]

        def worse(logs: Array) -> float:
            scaled = rows / np.exp(logs[:size])
            covariance = matern(scaled, scaled) + np.diag(np.exp(logs[size]) / counts + 1e-6)
            lower = np.linalg.cholesky(covariance)
            white = np.linalg.solve(lower, ends)
            fit = 0.5 * white @ white + np.log(np.diag(lower)).sum()
            believed = ((logs[:size] - 0.5) ** 2).sum() + ((logs[size] + 2) / 1.5) ** 2
            return float(fit + 0.5 * believed)

        start, bounds = np.append(np.zeros(size), -2.0), [(-2, 3)] * size + [(-6, 1)]
        best = minimize(worse, start, method="L-BFGS-B", bounds=bounds).x
        return np.exp(best[:size]), math.exp(best[size])

    def mean(self, values: Mapping[str, Any]) -> Array:
        """The loss after each epoch without luck."""
        row = self._rows([values]) / self._scales
        return np.asarray(self._middle + (matern(row, self._known) @ self._weights)[0])

    def training(self, values: Mapping[str, Any], rng: np.random.Generator) -> Array:
        """The loss after each epoch of one training."""
        row = self._rows([values]) / self._scales
        near = np.argsort(((self._lucky - row) ** 2).sum(axis=1))[:NEAREST]
        curves = self.luck[near[rng.integers(len(near))]]
        return np.asarray(
            self.mean(values) + curves[rng.integers(len(curves))] * rng.choice([-1, 1])
        )


def simulated(search: Any, job: Recorded, seed: int, budget: int) -> Steps:
    return searched(search, job.space, job.training, seed, budget)[0]


def report(title: str, runs: Sequence[Steps], target: float, budget: int) -> None:
    points = [epochs for epochs in (25, 50, 75, 100, 200) if epochs <= budget]
    means = [round(float(np.mean([best_at(run, at) for run in runs])), 4) for at in points]
    needed = np.array([until(run, target) for run in runs])
    quartiles = np.quantile(needed, [0.25, 0.5, 0.75], method="lower")
    print(f"{title}: loss at {points} epochs {means}; to the target {quartiles} (quartiles)")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("job", choices=sorted(path.stem for path in RECORDINGS.glob("*.json")))
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=100)
    options = parser.parse_args()
    job = Recorded(options.job)
    rivals = [
        simulated(Hyperband(max_epochs=job.epochs, iterations=1, seed=seed), job, seed, 10**6)
        for seed in range(HYPERBANDS)
    ]
    target = float(np.median([run[-1][1] for run in rivals]))
    print(f"Hyperband ends with a median loss of {target:.4f}")
    report("Hyperband", rivals, target, 10**6)
    begun = time.process_time()
    runs = [
        simulated(
            ModelBasedHalving(max_epochs=job.epochs, seed=seed, prior="roles", repeats=True),
            job,
            1000 + seed,
            options.epochs,
        )
        for seed in range(options.seeds)
    ]
    report("ModelBasedHalving", runs, target, options.epochs)
    print(f"{(time.process_time() - begun) / options.seeds:.1f} s of processor time a search")


if __name__ == "__main__":
    main()
