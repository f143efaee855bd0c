"""Optuna: its samplers, define-by-run, so that conditions are native; its Hyperband pruner."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import optuna
from problem import Problem
from simulate import Job

from afina.space import HyperParameter
from peers.base import Peer
from peers.dimensions import dimension_of


def sampler_of(name: str, seed: int) -> Any:
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    if name == "gp":
        return optuna.samplers.GPSampler(seed=seed)
    return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)


class Optuna(Peer):
    """A study in memory."""

    def __init__(
        self, problem: Problem, seed: int, budget: int, multi: bool, name: str, pruner: bool = False
    ) -> None:
        super().__init__(problem, seed, budget, multi)
        warnings.simplefilter("ignore")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        pruning = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=problem.epochs)
        self.pruned = pruner
        self.study = optuna.create_study(
            sampler=sampler_of(name, seed), pruner=pruning if pruner else None
        )

    def ask(self) -> Job:
        trial = self.study.ask()

        def choose(index: int, entry: HyperParameter) -> Any:
            del index
            axis = dimension_of(entry)
            if axis.kind == "real":
                return trial.suggest_float(axis.name, axis.low, axis.high, log=axis.log)
            if axis.kind == "int":
                return trial.suggest_int(axis.name, axis.low, axis.high, log=axis.log)
            if axis.kind == "ordinal":
                return axis.values[trial.suggest_int(axis.name, 0, len(axis.values) - 1)]
            return trial.suggest_categorical(axis.name, axis.values)

        return Job(self.space.walk(choose), token=[trial, False])

    def stop(self, job: Job, curve: Sequence[float]) -> bool:
        if not self.pruned:
            return False
        job.token[0].report(curve[-1], len(curve))
        job.token[1] = bool(job.token[0].should_prune())
        return job.token[1]  # type: ignore[no-any-return]

    def tell(self, job: Job, curve: Sequence[float], failed: bool) -> None:
        trial, stopped = job.token
        if failed:
            self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
        elif stopped:
            self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            self.study.tell(trial, min(curve))
