"""DEHB: differential evolution over Hyperband's brackets; conditions flattened."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence

import numpy as np
from dehb import DEHB
from loguru import logger
from problem import Problem
from simulate import Job

from peers.base import Peer
from peers.config_space import config_space, values_of


class Dehb(Peer):
    """Asked and told, one worker."""

    def __init__(self, problem: Problem, seed: int, budget: int, multi: bool) -> None:
        super().__init__(problem, seed, budget, multi)
        warnings.simplefilter("ignore")
        logger.remove()
        self.folder = tempfile.TemporaryDirectory(prefix="dehb-")
        np.random.seed(seed)
        space = config_space(problem.space, seed, conditions=False)
        self.dehb = DEHB(
            f=_never,
            cs=space,
            dimensions=len(space),
            min_fidelity=1,
            max_fidelity=problem.epochs,
            n_workers=1,
            seed=seed,
            output_path=self.folder.name,
            save_freq="end",
            log_level="ERROR",
        )
        self.worst = 1.0

    def ask(self) -> Job:
        info = self.dehb.ask()
        values = values_of(self.space, info["config"])
        return self.resumed(values, max(round(info["fidelity"]), 1), info)

    def tell(self, job: Job, curve: Sequence[float], failed: bool) -> None:
        # It knows no failures: they count as twice the worst seen.
        loss = 2 * self.worst if failed else min(curve)
        if not failed:
            self.worst = max(self.worst, loss)
        self.dehb.tell(job.token, {"fitness": float(loss), "cost": float(len(curve))})


def _never(config: object, fidelity: float = 0.0, **more: object) -> dict[str, float]:
    raise AssertionError("DEHB is only asked")
