"""Keras Tuner: its oracles, without its tuners; conditions are native."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Sequence

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras_tuner
from keras_tuner import oracles
from problem import Problem
from simulate import Job

from afina.space import Space
from peers.base import Peer
from peers.dimensions import dimensions_of


def hyperparameters(space: Space) -> keras_tuner.HyperParameters:
    """The same space, as a build would define it."""
    from contextlib import ExitStack

    hp = keras_tuner.HyperParameters()
    for axis in dimensions_of(space):
        with ExitStack() as stack:
            for condition in axis.conditions:
                stack.enter_context(hp.conditional_scope(condition.name, list(condition.values)))
            sampling = "log" if axis.log else "linear"
            if axis.kind == "real":
                hp.Float(axis.name, axis.low, axis.high, sampling=sampling)
            elif axis.kind == "int":
                hp.Int(axis.name, axis.low, axis.high, sampling=sampling)
            elif axis.values == (False, True):
                hp.Boolean(axis.name)
            else:
                hp.Choice(axis.name, list(axis.values), ordered=axis.kind == "ordinal")
    return hp


class KerasTuner(Peer):
    """An oracle that keeps its files in a folder of its own."""

    def __init__(self, problem: Problem, seed: int, budget: int, multi: bool, name: str) -> None:
        super().__init__(problem, seed, budget, multi)
        warnings.simplefilter("ignore")
        self.folder = tempfile.TemporaryDirectory(prefix="keras-tuner-")
        common = {
            "objective": keras_tuner.Objective("loss", "min"),
            "hyperparameters": hyperparameters(problem.space),
            "seed": seed,
            "max_consecutive_failed_trials": 100_000,
        }
        if name == "hyperband":
            self.oracle = oracles.HyperbandOracle(
                max_epochs=problem.epochs, hyperband_iterations=1000, **common
            )
        else:
            self.oracle = oracles.BayesianOptimizationOracle(
                max_trials=100_000 if multi else budget, **common
            )
        self.oracle.verbose = 0
        self.oracle._set_project_dir(self.folder.name, "search")

    def ask(self) -> Job | None:
        trial = self.oracle.create_trial("worker")
        if trial.status != "RUNNING":
            return None
        given = trial.hyperparameters.values
        values = self.space.complete(given, lambda entry: entry.default)
        return Job(values, given.get("tuner/initial_epoch", 0), given.get("tuner/epochs"), trial)

    def tell(self, job: Job, curve: Sequence[float], failed: bool) -> None:
        trial = job.token
        if failed:
            trial.status = "FAILED"
        else:
            for step, loss in enumerate(curve):
                self.oracle.update_trial(trial.trial_id, {"loss": float(loss)}, job.start + step)
            trial.status = "COMPLETED"
        self.oracle.end_trial(trial)
