"""Syne Tune's ASHA, its searcher random, or BOHB's, or conformal regression; stopping type."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from problem import Problem
from simulate import Job
from syne_tune import config_space as spaces
from syne_tune.backend.trial_status import Trial
from syne_tune.optimizer import baselines

from peers.base import Peer
from peers.dimensions import Dimension, active, dimensions_of


def domain(axis: Dimension) -> Any:
    if axis.kind == "real":
        return (spaces.loguniform if axis.log else spaces.uniform)(axis.low, axis.high)
    if axis.kind == "int":
        return (spaces.lograndint if axis.log else spaces.randint)(axis.low, axis.high)
    if axis.kind == "ordinal":
        return spaces.randint(0, len(axis.values) - 1)
    return spaces.choice([str(place) for place in range(len(axis.values))])


class SyneTune(Peer):
    """Its scheduler, driven as its tuner does, one worker."""

    def __init__(
        self, problem: Problem, seed: int, budget: int, multi: bool, name: str = "ASHA"
    ) -> None:
        super().__init__(problem, seed, budget, multi)
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        np.random.seed(seed)  # it draws brackets from there
        self.axes = dimensions_of(problem.space)
        self.scheduler = getattr(baselines, name)(
            {axis.name: domain(axis) for axis in self.axes},
            metric="loss",
            time_attr="epoch",
            max_t=problem.epochs,
            random_seed=seed,
        )
        self.started = 0

    def ask(self) -> Job | None:
        suggestion = self.scheduler.suggest()
        if suggestion is None:
            return None
        trial = Trial(self.started, suggestion.config, datetime(2026, 1, 1))
        self.started += 1
        self.scheduler.on_trial_add(trial)
        values = {
            axis.name: axis.values[int(trial.config[axis.name])]
            if axis.values
            else trial.config[axis.name]
            for axis in self.axes
        }
        return Job(active(self.space, values), token=[trial, False])

    def stop(self, job: Job, curve: Sequence[float]) -> bool:
        answer = self.scheduler.on_trial_result(job.token[0], self._result(curve))
        job.token[1] = answer != "CONTINUE"
        return job.token[1]  # type: ignore[no-any-return]

    def tell(self, job: Job, curve: Sequence[float], failed: bool) -> None:
        trial, stopped = job.token
        if failed:
            self.scheduler.on_trial_error(trial)
        elif stopped:
            self.scheduler.on_trial_remove(trial)
        else:
            self.scheduler.on_trial_complete(trial, self._result(curve))

    def _result(self, curve: Sequence[float]) -> dict[str, float]:
        return {"loss": float(curve[-1]), "epoch": len(curve)}
