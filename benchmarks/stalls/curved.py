"""Generated problems with curves, for searches that pause trainings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from generated import generated
from stall_problems import Planted

from problem import CurveProblem, Reference, Values  # isort: skip

EPOCHS = 27
FALL, SPEED = 0.5, 6.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Curved(CurveProblem):
    """A planted problem whose loss falls alike everywhere: the first epoch has the final order.

    So a search that stalls here is not misled by early epochs.
    """

    planted: Planted

    def curve(self, values: Values, seed: int = 0) -> np.ndarray:
        """The planted loss, and what training has still to gain."""
        fall = FALL * np.exp(-np.arange(1, EPOCHS + 1) / SPEED)
        return np.asarray(self.planted.loss(values, seed) + fall)

    def reference(self, seed: int = 0) -> Reference:
        """That of the planted problem, at the end of a training."""
        rest, known = FALL * math.exp(-EPOCHS / SPEED), self.planted.reference(seed)
        return Reference(known.optimum + rest, known.random + rest)


def curved(number: int) -> Curved:
    """The problem of a number, see `generated`."""
    planted = generated(number)
    return Curved(
        name=planted.name,
        tuning=planted.tuning,
        space=planted.space,
        epochs=EPOCHS,
        curves_only=True,
        planted=planted,
    )
