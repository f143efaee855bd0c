"""One search in one process: the best score after so many seconds and epochs, as a line of JSON.

    python child.py '{"contestant": "kt-hyperband", "job": "F", "seed": 0, "data": "F.npz", ...}'

The search ends when its budget is spent or when the score `stop_at` is reached.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from jobs import JOBS, Job, fit_arguments

TASK: dict[str, Any] = json.loads(sys.argv[1])
JOB: Job = JOBS[TASK["job"]]
SIGN = 1 if JOB.direction == "max" else -1
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # whatever the packages print is no answer


class Record:
    """What was reached when."""

    def __init__(self) -> None:
        self.begun = time.perf_counter(), time.process_time()
        self.epochs = 0
        self.steps: list[tuple[float, float, int, float]] = []

    def see(self, logs: dict[str, Any] | None) -> None:
        """After each epoch of any training."""
        self.epochs += 1
        score = float((logs or {}).get(JOB.objective, np.nan))
        if not np.isnan(score) and (not self.steps or SIGN * (score - self.steps[-1][3]) > 0):
            wall, used = (now - then for now, then in zip(clocks(), self.begun, strict=True))
            self.steps.append((round(wall, 2), round(used, 2), self.epochs, score))
        stop_at = TASK.get("stop_at")
        if stop_at is not None and self.steps and SIGN * (self.steps[-1][3] - stop_at) >= 0:
            self.end("the target is reached")

    def end(self, why: str) -> None:
        """Writes the line and ends the process, whatever runs in it."""
        wall, used = (now - then for now, then in zip(clocks(), self.begun, strict=True))
        spent = {"seconds": round(wall, 2), "processor": round(used, 2), "epochs": self.epochs}
        kept = {name: TASK[name] for name in ("contestant", "job", "seed", "thin", "max_epochs")}
        print(json.dumps({**kept, **spent, "end": why, "steps": self.steps}), file=ANSWERS)
        ANSWERS.flush()
        os._exit(0)


def clocks() -> tuple[float, float]:
    """Wall and processor seconds."""
    return time.perf_counter(), time.process_time()


class Watch(keras.callbacks.Callback):
    """Tells the record of each epoch; the packages copy their callbacks."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        RECORD.see(logs)


def afina(folder: str, data: dict[str, Any], settings: dict[str, Any], max_epochs: int) -> None:
    import afina as kt

    tuner = kt.AutoTuner(
        JOB.build,
        objective(kt),
        max_epochs=max_epochs,
        max_total_epochs=TASK["budget"],
        stop_when_unlikely=False,
        seed=TASK["seed"],
        directory=folder,
    )
    tuner.search(data["x"], data["y"], callbacks=[Watch()], **settings)


def keras_tuner(name: str) -> Callable[..., None]:
    def search(
        folder: str, data: dict[str, Any], settings: dict[str, Any], max_epochs: int
    ) -> None:
        import keras_tuner as kt

        common = {"seed": TASK["seed"], "directory": folder}
        if name == "hyperband":
            tuner = kt.Hyperband(
                JOB.build, objective(kt), max_epochs=max_epochs, factor=3, **common
            )
        else:
            trials = max(TASK["budget"] // max_epochs, 1)
            tuner = kt.BayesianOptimization(JOB.build, objective(kt), max_trials=trials, **common)
            settings = {**settings, "epochs": max_epochs}
        tuner.search(data["x"], data["y"], callbacks=[Watch()], **settings)

    return search


def objective(kt: Any) -> Any:
    return kt.Objective(JOB.objective, JOB.direction)


class OptunaValues:
    """`hp` on a trial of Optuna."""

    def __init__(self, trial: Any) -> None:
        self.trial = trial

    def Int(self, name: str, low: int, high: int, step: int = 1) -> Any:
        return self.trial.suggest_int(name, low, high, step=step)

    def Float(
        self, name: str, low: float, high: float, step: float | None = None, sampling: str = ""
    ) -> Any:
        return self.trial.suggest_float(name, low, high, step=step, log=sampling == "log")

    def Choice(self, name: str, values: list[Any]) -> Any:
        return self.trial.suggest_categorical(name, values)


def optuna(folder: str, data: dict[str, Any], settings: dict[str, Any], max_epochs: int) -> None:
    import optuna as package

    del folder
    package.logging.disable_default_handler()
    study = package.create_study(
        direction="maximize" if SIGN > 0 else "minimize",
        sampler=package.samplers.TPESampler(seed=TASK["seed"]),
        pruner=package.pruners.HyperbandPruner(1, max_epochs, 3),
    )

    class Prune(keras.callbacks.Callback):
        def __init__(self, trial: Any) -> None:
            super().__init__()
            self.trial, self.best = trial, -np.inf

        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            score = float((logs or {})[JOB.objective])
            self.best = max(self.best, SIGN * score)
            self.trial.report(score, epoch)
            if self.trial.should_prune():
                raise package.TrialPruned

    def train(trial: Any) -> float:
        if RECORD.epochs >= TASK["budget"]:
            study.stop()
        model = JOB.build(OptunaValues(trial))
        prune = Prune(trial)
        calls = [Watch(), prune]
        model.fit(data["x"], data["y"], epochs=max_epochs, callbacks=calls, **settings)
        return float(SIGN * prune.best)

    study.optimize(train)


SEARCHES = {
    "afina": afina,
    "kt-hyperband": keras_tuner("hyperband"),
    "kt-bayesian": keras_tuner("bayesian"),
    "optuna": optuna,
}


def main() -> None:
    with np.load(TASK["data"]) as file:
        data = {name: file[name] for name in file.files}
    seed = TASK["seed"]
    random.seed(seed)
    keras.utils.set_random_seed(seed)
    settings = fit_arguments(TASK["job"], data)
    RECORD.begun = clocks()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        SEARCHES[TASK["contestant"]](folder, data, settings, TASK["max_epochs"])
    RECORD.end("the budget is spent")


RECORD = Record()

if __name__ == "__main__":
    main()
