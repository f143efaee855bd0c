"""How long an algorithm takes to propose a trial, with so many trials told.

    python benchmarks/latency/suggest.py [--kind bayesian] [--trials 200]

Prints the median over a few asks, wall and CPU milliseconds, at growing numbers of trials, on a
space of 10 mixed hyperparameters.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time

import numpy as np

from afina.search import BayesianOptimization, Hyperband, Random, Situation, Suggestion
from afina.space import HyperParameters
from afina.trials import Status, Trial

MAKERS = {
    "random": lambda: Random(seed=0),
    "bayesian": lambda: BayesianOptimization(seed=0),
    "hyperband": lambda: Hyperband(seed=0, iterations=None),
}


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=MAKERS, default="bayesian")
    parser.add_argument("--trials", type=int, default=200)
    arguments = parser.parse_args()
    algorithm = MAKERS[arguments.kind]()
    hp = space().to_space()
    state = algorithm.init()
    rng = np.random.default_rng(0)
    marks = [n for n in (10, 25, 50, 100, 200, 400, 1000, 2000) if n <= arguments.trials]
    for number in range(arguments.trials + 1):
        situation = Situation(number=number, space=hp)
        if number in marks:
            measure(algorithm, state, situation)
        values = hp.sample(rng)
        schedule = None
        if arguments.kind == "hyperband":  # promotions follow from what it proposed itself
            answer = algorithm.ask(state, situation)
            assert isinstance(answer, Suggestion)
            values, schedule = dict(answer.values), answer.schedule
        trial = Trial(number=number, values=values, schedule=schedule, ended=number)
        loss = float(np.log(values["x0"]) ** 2 + values["n0"] / 64)
        state = algorithm.tell(
            state, dataclasses.replace(trial, status=Status.COMPLETED, score=loss, loss=loss), hp
        )


def measure(algorithm: object, state: object, situation: Situation) -> None:
    wall, cpu = [], []
    for repeat in range(5):
        asked = dataclasses.replace(situation, number=situation.number + repeat)
        begun, used = time.perf_counter(), time.process_time()
        algorithm.ask(state, asked)  # type: ignore[attr-defined]
        wall.append(1000 * (time.perf_counter() - begun))
        cpu.append(1000 * (time.process_time() - used))
    print(
        f"{situation.number:>5} trials told: ask {statistics.median(wall):7.2f} ms wall, "
        f"{statistics.median(cpu):7.2f} ms CPU"
    )


if __name__ == "__main__":
    main()
