"""What a proposal costs: CPU time of ask and tell, with so many trials told.

    python benchmarks/latency/suggest.py [--kinds tpe random] [--trials 1000] [--replay 10000]
        [--optuna PYTHON] [--keras-tuner PYTHON]

On a space of 10 mixed hyperparameters, one of them under a condition. PYTHON is an interpreter
that has the rival installed; it runs in a process of its own. All take turns at every number of
trials, so that a busy machine slows all of them, and CPU time is counted, of all threads. The
exponent e says how the cost grows between the last two numbers: as n ** e.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from afina.search import (
    CMAES,
    TPE,
    Algorithm,
    Auto,
    BayesianOptimization,
    Hyperband,
    QuasiRandom,
    Random,
    Situation,
    Suggestion,
)
from afina.space import HyperParameters, Space
from afina.trials import Status, Trial

MAKERS = {
    "random": lambda: Random(seed=0),
    "quasi-random": lambda: QuasiRandom(seed=0),
    "tpe": lambda: TPE(seed=0),
    "cma-es": lambda: CMAES(seed=0),
    "bayesian": lambda: BayesianOptimization(seed=0),
    "auto": lambda: Auto(seed=0),
    "hyperband": lambda: Hyperband(seed=0, iterations=None),
}
MARKS = (10, 30, 100, 200, 300, 1000, 3000, 10_000)
# Beyond that some are too slow to wait for; their tables end there.
LIMITS = {"bayesian": 1000, "optuna": 3000, "keras-tuner": 100}
REPEATS, PERIOD = 5, 6


def space() -> HyperParameters:
    hp = HyperParameters()
    for index in range(4):
        hp.Float(f"x{index}", 1e-4, 1.0, sampling="log")
    for index in range(3):
        hp.Int(f"n{index}", 1, 64)
    hp.Choice("kind", ["a", "b", "c"])
    hp.Boolean("flag")
    with hp.conditional_scope("flag", [True]):
        hp.Float("rate", 0.0, 0.5)
    return hp


def loss_of(values: Mapping[str, Any]) -> float:
    return float(np.log(values["x0"]) ** 2 + values["n0"] / 64)


class Contestant(Protocol):
    def cost(self, trials: int) -> float:
        """CPU milliseconds of one ask and one tell after so many trials; never fewer than last."""
        ...


class Own:
    """One of Afina's algorithms. It is told random trials, which come cheaper than its own."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.algorithm: Algorithm[Any] = MAKERS[kind]()
        self.space = space().to_space()
        self.state = self.algorithm.init()
        self.number = 0
        self.rng = np.random.default_rng(0)

    def cost(self, trials: int) -> float:
        while self.number < trials:
            values, schedule = self.space.sample(self.rng), None
            if self.kind == "hyperband":  # promotions follow from what it proposed itself
                answer = self.algorithm.ask(self.state, self.situation())
                assert isinstance(answer, Suggestion)
                values, schedule = dict(answer.values), answer.schedule
            trial = dataclasses.replace(finished(self.number, values), schedule=schedule)
            self.state = self.algorithm.tell(self.state, trial, self.space)
            self.number += 1
        # Each result is kept, as questions asked of the same results would share one fit. Some
        # algorithms plan every second or third proposal otherwise: the dearest of six counts.
        state = self.state
        costs: list[list[float]] = [[] for _ in range(PERIOD)]
        for number in range(self.number, self.number + REPEATS * PERIOD):
            begun = time.process_time()
            answer = self.algorithm.ask(state, Situation(number=number, space=self.space))
            spent = time.process_time() - begun
            assert isinstance(answer, Suggestion)
            trial = finished(number, dict(answer.values))
            trial = dataclasses.replace(trial, schedule=answer.schedule)
            begun = time.process_time()
            state = self.algorithm.tell(state, trial, self.space)
            costs[number % PERIOD].append(spent + time.process_time() - begun)
        return 1000 * max(map(statistics.median, costs))

    def situation(self) -> Situation:
        return Situation(number=self.number, space=self.space)


class Rival:
    """A rival in a process of its own, see `rivals.py`."""

    def __init__(self, kind: str, python: str) -> None:
        script = Path(__file__).with_name("rivals.py")
        self.process = subprocess.Popen(
            [python, str(script), kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def cost(self, trials: int) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(trials, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"{self.process.args}: ended without an answer")
        return float(answer)


def finished(number: int, values: Mapping[str, Any]) -> Trial:
    loss = loss_of(values)
    return Trial(
        number=number,
        values=values,
        status=Status.COMPLETED,
        score=loss,
        loss=loss,
        known=number,
        ended=number,
    )


def replay(kind: str, trials: int) -> float:
    """CPU seconds to rebuild the state of a search from its trials."""
    algorithm: Algorithm[Any] = MAKERS[kind]()
    known: Space = space().to_space()
    rng = np.random.default_rng(0)
    done = [finished(number, known.sample(rng)) for number in range(trials)]
    state, begun = algorithm.init(), time.process_time()
    for trial in done:
        state = algorithm.tell(state, trial, known)
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=MAKERS, default=["random", "tpe", "bayesian"])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--replay", type=int, default=0, metavar="TRIALS")
    parser.add_argument("--optuna", metavar="PYTHON")
    parser.add_argument("--keras-tuner", metavar="PYTHON")
    arguments = parser.parse_args()
    contestants: dict[str, Contestant] = {kind: Own(kind) for kind in arguments.kinds}
    for kind, python in (("optuna", arguments.optuna), ("keras-tuner", arguments.keras_tuner)):
        if python:
            contestants[kind] = Rival(kind, python)
    marks = [mark for mark in MARKS if mark <= arguments.trials]
    costs: dict[str, list[float]] = {kind: [] for kind in contestants}
    for mark in marks:
        for kind, contestant in contestants.items():
            if mark <= LIMITS.get(kind, mark):
                costs[kind].append(contestant.cost(mark))
    print("CPU milliseconds of one ask and one tell, by trials told")
    print(f"{'':14}" + "".join(f"{mark:>9}" for mark in marks) + f"{'exponent':>10}")
    for kind, row in costs.items():
        cells = [f"{cost:9.2f}" for cost in row] + [f"{'':9}"] * (len(marks) - len(row))
        exponent = math.nan
        if len(row) > 1:
            exponent = math.log(row[-1] / row[-2]) / math.log(
                marks[len(row) - 1] / marks[len(row) - 2]
            )
        print(f"{kind:14}{''.join(cells)}{exponent:10.2f}")
    for kind in arguments.kinds if arguments.replay else ():
        seconds = replay(kind, arguments.replay)
        print(f"{kind}: {arguments.replay} trials are replayed in {seconds:.2f} s of CPU time")


if __name__ == "__main__":
    main()
