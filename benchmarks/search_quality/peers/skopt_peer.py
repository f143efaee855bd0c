"""scikit-optimize: its default Gaussian process; conditions flattened."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from problem import Problem
from simulate import Job
from skopt import Optimizer
from skopt.space import Categorical, Integer, Real

from peers.base import Peer
from peers.dimensions import active, dimensions_of


class Skopt(Peer):
    """`skopt.Optimizer` with its defaults."""

    def __init__(self, problem: Problem, seed: int, budget: int, multi: bool) -> None:
        super().__init__(problem, seed, budget, multi)
        warnings.simplefilter("ignore")
        self.axes = dimensions_of(problem.space)
        axes = []
        for axis in self.axes:
            prior = "log-uniform" if axis.log else "uniform"
            if axis.kind == "real":
                axes.append(Real(axis.low, axis.high, prior=prior))
            elif axis.kind == "int":
                axes.append(Integer(axis.low, axis.high, prior=prior))
            elif axis.kind == "ordinal":
                axes.append(Integer(0, len(axis.values) - 1))
            else:
                axes.append(Categorical(list(range(len(axis.values)))))
        self.optimizer = Optimizer(axes, base_estimator="GP", random_state=seed)
        self.worst = 0.0

    def ask(self) -> Job:
        point = self.optimizer.ask()
        values = {
            axis.name: axis.values[int(place)] if axis.values else place
            for axis, place in zip(self.axes, point, strict=True)
        }
        return Job(active(self.space, values), token=point)

    def tell(self, job: Job, curve: Sequence[float], failed: bool) -> None:
        # It knows no failures: they count as the worst seen.
        loss = self.worst if failed else min(curve)
        self.worst = max(self.worst, loss)
        self.optimizer.tell(job.token, loss)
