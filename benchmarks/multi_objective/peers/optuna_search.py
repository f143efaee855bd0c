"""Optuna's searches on the same problems. Started by run.py in an interpreter that has Optuna.

Prints a line of JSON a search: the losses of its trials in order, and its CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from typing import Any

import optuna
from problems import PROBLEMS, Problem

SAMPLERS = {
    "nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed),
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed, deterministic_objective=True),
}


def draw(trial: optuna.Trial, problem: Problem) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for entry in problem.entries:
        if not entry.is_active(values):
            continue
        if entry.options:
            values[entry.name] = trial.suggest_categorical(entry.name, entry.options)
        elif entry.whole:
            low, high = int(entry.low), int(entry.high)
            values[entry.name] = trial.suggest_int(entry.name, low, high, log=entry.log)
        else:
            values[entry.name] = trial.suggest_float(
                entry.name, entry.low, entry.high, log=entry.log
            )
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sampler", choices=SAMPLERS)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--seeds", type=int, required=True)
    parser.add_argument("--problems", nargs="*", default=[problem.name for problem in PROBLEMS])
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    for problem in PROBLEMS:
        for seed in range(arguments.seeds) if problem.name in arguments.problems else ():
            study = optuna.create_study(
                directions=["minimize"] * len(problem.reference),
                sampler=SAMPLERS[arguments.sampler](seed),
            )
            # What Afina begins with, too.
            defaults: dict[str, Any] = {}
            for entry in problem.entries:
                if entry.is_active(defaults):
                    defaults[entry.name] = entry.default
            study.enqueue_trial(defaults)
            begun = time.process_time()
            study.optimize(
                lambda trial, problem=problem: problem.losses(draw(trial, problem)),
                n_trials=arguments.trials,
            )
            seconds = time.process_time() - begun
            losses = [trial.values for trial in study.trials]
            found = {"problem": problem.name, "losses": losses, "seconds": seconds}
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
