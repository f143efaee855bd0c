"""What a tuner adds around training, by trial: everything but build, compile and fit.

    python benchmarks/overhead/run.py [--trials 2000] [--kind random]

Each trial "trains" by returning a number after two reported epochs, so that all time is the tuner's
own: choosing, storing, scoring, showing. Prints processor milliseconds a trial over the trials so
far and the exponent of growth; opening the finished project again is timed as well.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import tempfile
import time
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import afina as kt

SPACE = 10


def build(hp: kt.HyperParameters) -> None:
    for index in range(SPACE // 2):
        hp.Float(f"x{index}", 1e-4, 1.0, sampling="log")
        hp.Int(f"n{index}", 1, 64)


class Untrained(kt.engine.base_tuner.BaseTuner):
    """Scores a configuration without training."""

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
        hp = trial.hyperparameters
        self.hypermodel.build(hp)
        for epoch in range(2):
            self._epoch_ended(trial, 0, epoch, {"score": 1.0 / (1 + epoch)})
        return sum(math.log(hp.get(f"x{i}")) ** 2 + hp.get(f"n{i}") for i in range(SPACE // 2))


def make(kind: str, trials: int, folder: str) -> Untrained:
    objective = kt.Objective("score", "min")
    oracles = {
        "random": lambda: kt.oracles.RandomSearchOracle(objective, max_trials=trials, seed=0),
        "grid": lambda: kt.oracles.GridSearchOracle(objective, max_trials=trials, seed=0),
        "bayesian": lambda: kt.oracles.BayesianOptimizationOracle(
            objective, max_trials=trials, seed=0
        ),
        "hyperband": lambda: kt.oracles.HyperbandOracle(objective, hyperband_iterations=0, seed=0),
    }
    return Untrained(oracles[kind](), build, directory=folder, project_name="p")


class Stop(kt.errors.FatalError):
    """Ends a search that would go on for ever."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--kind", default="random")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tuner = make(arguments.kind, arguments.trials, folder)
        marks: list[float] = []

        def mark() -> None:
            if len(marks) > arguments.trials:
                raise Stop
            marks.append(time.process_time())

        tuner.pre_create_trial = mark  # type: ignore[method-assign]
        with contextlib.suppress(Stop):
            tuner.search(verbose=0)
        report(marks)
        begun, spent = time.perf_counter(), time.process_time()
        again = make(arguments.kind, arguments.trials, folder)
        took, spent = time.perf_counter() - begun, time.process_time() - spent
        print(f"opening {len(again.oracle.trials)} trials again: {took:.2f} s ({spent:.2f} s)")


def report(marks: list[float]) -> None:
    last = len(marks) - 1
    rows = []
    for end in sorted({100, 200, 500, 1000, 2000, 5000, last}):
        if end > last:
            continue
        begin = max(0, end - 100)
        rows.append((end, 1000 * (marks[end] - marks[begin]) / (end - begin)))
        print(f"trials {begin:>5}-{end:<5} {rows[-1][1]:8.2f} ms a trial")
    if len(rows) > 1:
        (n0, t0), (n1, t1) = rows[0], rows[-1]
        print(f"growth exponent {math.log(t1 / t0) / math.log(n1 / n0):.2f}")


if __name__ == "__main__":
    main()
