"""SMAC: its facade for hyperparameters (S), and the one for Hyperband (M)."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Sequence

from problem import Problem
from simulate import Job
from smac import HyperparameterOptimizationFacade, MultiFidelityFacade, Scenario
from smac.runhistory import StatusType, TrialValue

from peers.base import Peer
from peers.config_space import config_space, values_of


class Smac(Peer):
    """Asked and told; nothing is run by SMAC itself."""

    def __init__(self, problem: Problem, seed: int, budget: int, multi: bool) -> None:
        super().__init__(problem, seed, budget, multi)
        warnings.simplefilter("ignore")
        self.folder = tempfile.TemporaryDirectory(prefix="smac-")
        budgets = {"min_budget": 1, "max_budget": problem.epochs} if multi else {}
        scenario = Scenario(
            config_space(problem.space, seed, conditions=True),
            deterministic=True,
            n_trials=100_000 if multi else budget,
            seed=seed,
            output_directory=self.folder.name,
            **budgets,
        )
        facade = MultiFidelityFacade if multi else HyperparameterOptimizationFacade
        kept = facade.get_intensifier(scenario, eta=3) if multi else None
        self.smac = facade(
            scenario, _never, overwrite=True, logging_level=logging.ERROR, intensifier=kept
        )
        self.worst = 1.0

    def ask(self) -> Job | None:
        info = self.smac.ask()
        if info is None or info.config is None:
            return None
        values = values_of(self.space, info.config)
        if not self.multi:
            return Job(values, token=info)
        return self.resumed(values, max(round(info.budget or self.epochs), 1), info)

    def tell(self, job: Job, curve: Sequence[float], failed: bool) -> None:
        status = StatusType.CRASHED if failed else StatusType.SUCCESS
        cost = float("inf") if failed else float(min(curve))
        if self.multi:
            # On Hyperband's rungs its model breaks off at an infinite cost: failures count as
            # twice the worst seen.
            self.worst = self.worst if failed else max(self.worst, cost)
            cost = 2 * self.worst if failed else cost
        self.smac.tell(job.token, TrialValue(cost=cost, time=0.01, status=status))


def _never(config: object, seed: int = 0, budget: float = 0.0) -> float:
    raise AssertionError("SMAC is only asked")
