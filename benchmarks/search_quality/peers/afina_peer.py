"""Afina's algorithms, driven without a study, and plain random search."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from problem import Problem
from simulate import Job

from afina.trials import Decision, Failure, FailureKind, Status, Trial
from peers.base import Peer

ALGORITHMS = {
    "random": ("random", "Random"),
    "bayesian": ("bayesian", "BayesianOptimization"),
    "tpe": ("tpe", "TPE"),
    "cma": ("cma", "CMAES"),
    "auto": ("auto", "Auto"),
    "hyperband": ("hyperband", "Hyperband"),
    "asha": ("asha", "AsynchronousHalving"),
    "model_halving": ("model_halving", "ModelBasedHalving"),
}
MULTI = {"hyperband", "asha", "model_halving", "auto"}
"""Those that take `max_epochs`."""


def algorithm(name: str, seed: int, max_epochs: int | None, **settings: Any) -> Any:
    """Afina's algorithm of a name, with its defaults."""
    module, kind = ALGORITHMS[name]
    found = importlib.import_module(f"afina.search.{module}")
    made = getattr(found, kind)
    if name in MULTI and max_epochs is not None:
        settings["max_epochs"] = max_epochs
        if name == "hyperband":
            settings["iterations"] = None
    return made(seed=seed, **settings)


class Afina(Peer):
    """Keeps the state and the finished trials' order that a study would."""

    def __init__(
        self, problem: Problem, seed: int, budget: int, multi: bool, name: str, **settings: Any
    ) -> None:
        super().__init__(problem, seed, budget, multi)
        self.search = algorithm(name, seed, self.epochs if multi else None, **settings)
        self.state = self.search.init()
        self.started = self.ended = 0

    def ask(self) -> Job | None:
        from afina.search import Done, Situation, Suggestion

        situation = Situation(
            number=self.started,
            space=self.space,
            max_trials=None if self.multi else self.budget,
        )
        answer = self.search.ask(self.state, situation)
        if isinstance(answer, Done):
            return None
        assert isinstance(answer, Suggestion), "Wait was answered while nothing runs"
        trial = Trial(
            number=self.started,
            values=dict(answer.values),
            schedule=answer.schedule,
            known=self.ended,
        )
        self.started += 1
        return Job(trial.values, trial.start_epoch, trial.end_epoch, trial)

    def stop(self, job: Job, curve: Sequence[float]) -> bool:
        decision = self.search.stop_early(self.state, job.token, tuple(curve))
        return bool(decision is Decision.STOP)

    def tell(self, job: Job, curve: Sequence[float], failed: bool) -> None:
        kept = tuple(curve) if self.multi else ()
        trial: Trial = replace(job.token, ended=self.ended, curve=kept)
        self.ended += 1
        if failed:
            failure = Failure(FailureKind.NOT_A_NUMBER, "the loss is nan")
            trial = replace(trial, status=Status.FAILED, failure=failure)
        else:
            loss = min(curve)
            step = trial.start_epoch + list(curve).index(loss)
            trial = replace(trial, status=Status.COMPLETED, score=loss, loss=loss, best_step=step)
            assert math.isfinite(loss)
        self.state = self.search.tell(self.state, trial, self.space)


class PlainRandom(Peer):
    """Independent draws: what regrets are measured against."""

    def __init__(self, problem: Problem, seed: int, budget: int, multi: bool) -> None:
        super().__init__(problem, seed, budget, multi)
        self.rng = np.random.default_rng([seed, 77])

    def ask(self) -> Job:
        return Job(self.space.sample(self.rng))

    def tell(self, job: Job, curve: Sequence[float], failed: bool) -> None:
        pass
