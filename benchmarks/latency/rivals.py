"""What a proposal of a rival costs; `suggest.py` starts it where the rival is installed.

For each number of trials on a line of its own it answers with a line: CPU milliseconds of one ask
and one tell after so many trials. It knows nothing of Afina.
"""

from __future__ import annotations

import math
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

REPEATS = 9


def optuna() -> Callable[[int], float]:
    import optuna
    from optuna.distributions import CategoricalDistribution as Category
    from optuna.distributions import FloatDistribution as Float
    from optuna.distributions import IntDistribution as Int

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    draw = random.Random(0)
    fixed: dict[str, Any] = {f"x{i}": Float(1e-4, 1.0, log=True) for i in range(4)}
    fixed |= {f"n{i}": Int(1, 64) for i in range(3)}
    fixed |= {"kind": Category(["a", "b", "c"]), "flag": Category([False, True])}

    def drawn() -> Any:
        params: dict[str, Any] = {f"x{i}": 10 ** draw.uniform(-4, 0) for i in range(4)}
        params |= {f"n{i}": draw.randint(1, 64) for i in range(3)}
        params |= {"kind": draw.choice("abc"), "flag": draw.random() < 0.5}
        ranges = dict(fixed)
        if params["flag"]:
            params["rate"], ranges["rate"] = draw.uniform(0, 0.5), Float(0.0, 0.5)
        value = loss_of(params)
        return optuna.trial.create_trial(params=params, distributions=ranges, value=value)

    def once() -> None:
        trial = study.ask()
        params = {name: trial._suggest(name, ranges) for name, ranges in fixed.items()}
        if params["flag"]:
            trial.suggest_float("rate", 0.0, 0.5)
        study.tell(trial, loss_of(params))

    def cost(trials: int) -> float:
        study.add_trials([drawn() for _ in range(trials - len(study.get_trials(deepcopy=False)))])
        return median(once)

    return cost


def keras_tuner() -> Callable[[int], float]:
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    for index in range(4):
        hp.Float(f"x{index}", 1e-4, 1.0, sampling="log")
    for index in range(3):
        hp.Int(f"n{index}", 1, 64)
    hp.Choice("kind", ["a", "b", "c"])
    hp.Boolean("flag")
    with hp.conditional_scope("flag", [True]):
        hp.Float("rate", 0.0, 0.5)
    oracle = keras_tuner.oracles.BayesianOptimizationOracle(
        objective=keras_tuner.Objective("loss", "min"), max_trials=10**6, seed=0, hyperparameters=hp
    )
    oracle._set_project_dir(tempfile.mkdtemp(), "latency")
    done = 0

    def once() -> None:
        nonlocal done
        trial = oracle.create_trial("tuner0")
        oracle.update_trial(trial.trial_id, {"loss": loss_of(trial.hyperparameters.values)})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
        done += 1

    def cost(trials: int) -> float:
        while done < trials:
            once()
        return median(once)

    return cost


def loss_of(values: dict[str, Any]) -> float:
    return math.log(values["x0"]) ** 2 + values["n0"] / 64


def median(once: Callable[[], None]) -> float:
    costs = []
    for _ in range(REPEATS):
        begun = time.process_time()
        once()
        costs.append(1000 * (time.process_time() - begun))
    return statistics.median(costs)


def main() -> None:
    cost = {"optuna": optuna, "keras-tuner": keras_tuner}[sys.argv[1]]()
    answers, sys.stdout = sys.stdout, sys.stderr  # what the rival prints is no answer
    for line in sys.stdin:
        print(cost(int(line)), file=answers, flush=True)


if __name__ == "__main__":
    main()
