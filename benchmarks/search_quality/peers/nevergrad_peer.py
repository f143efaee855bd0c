"""Nevergrad: the optimizer that picks for itself (NGOpt); conditions flattened."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import nevergrad
from problem import Problem
from simulate import Job

from peers.base import Peer
from peers.dimensions import Dimension, active, dimensions_of


def parameter(axis: Dimension) -> Any:
    if axis.values:
        kind = "TransitionChoice" if axis.kind == "ordinal" else "Choice"
        return getattr(nevergrad.p, kind)(list(range(len(axis.values))))
    made = (nevergrad.p.Log if axis.log else nevergrad.p.Scalar)(lower=axis.low, upper=axis.high)
    return made.set_integer_casting() if axis.kind == "int" else made


class Nevergrad(Peer):
    """Asked and told."""

    def __init__(self, problem: Problem, seed: int, budget: int, multi: bool) -> None:
        super().__init__(problem, seed, budget, multi)
        warnings.simplefilter("ignore")
        self.axes = dimensions_of(problem.space)
        made = nevergrad.p.Dict(**{axis.name: parameter(axis) for axis in self.axes})
        made.random_state.seed(seed)
        self.optimizer = nevergrad.optimizers.NGOpt(parametrization=made, budget=budget)
        self.worst = 0.0

    def ask(self) -> Job:
        point = self.optimizer.ask()
        values = {
            axis.name: axis.values[point.value[axis.name]]
            if axis.values
            else point.value[axis.name]
            for axis in self.axes
        }
        return Job(active(self.space, values), token=point)

    def tell(self, job: Job, curve: Sequence[float], failed: bool) -> None:
        loss = self.worst if failed else min(curve)
        self.worst = max(self.worst, loss)
        self.optimizer.tell(job.token, loss)
