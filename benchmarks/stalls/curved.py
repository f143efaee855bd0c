"""Generated problems with curves, for searches that pause trainings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from generated import generated
from stall_problems import Planted

from problem import CurveProblem, Reference, Values  # isort: skip
from afina.space import Choice

EPOCHS = 27
FALL, SPEED = 0.5, 6.0
SPREAD = 0.3
"""Where trainings cross: the deviation of the logarithm of the speed among families, and within
one."""


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Crossing(Curved):
    """A planted problem whose loss falls at a speed of its own in each configuration.

    So early epochs show what is fast rather than what is good. All end at their planted loss.
    """

    choices: Mapping[str, Mapping[Any, float]]
    """What the values of a choice add to the logarithm of the speed."""

    slopes: Mapping[str, float]
    """What a number adds from one end of its range to the other."""

    def curve(self, values: Values, seed: int = 0) -> np.ndarray:
        """The planted loss, and what training has still to gain: nothing in the last epoch."""
        numbers = [entry for entry in self.space if entry.name in values.keys() & self.slopes]
        log = sum(
            self.slopes[entry.name] * (entry.value_to_prob(values[entry.name]) - 0.5)
            for entry in numbers
        ) / math.sqrt(max(len(numbers), 1))
        log += sum(added[values[name]] for name, added in self.choices.items() if name in values)
        fall = np.exp(-np.arange(1, EPOCHS + 1) / (SPEED * math.exp(log)))
        left = FALL * (fall - fall[-1]) / (1 - fall[-1])
        return np.asarray(self.planted.loss(values, seed) + left)

    def reference(self, seed: int = 0) -> Reference:
        """That of the planted problem."""
        return self.planted.reference(seed)


def crossing(number: int) -> Crossing:
    """The problem of a number, see `generated`, with speeds."""
    planted = generated(number)
    rng = np.random.default_rng([number, 7])
    choices: dict[str, dict[Any, float]] = {}
    slopes: dict[str, float] = {}
    for entry in planted.space:
        if isinstance(entry, Choice):
            choices[entry.name] = {value: SPREAD * rng.normal() for value in entry.values}
        else:  # the variance of an even draw from a range of length 1 is 1 / 12
            slopes[entry.name] = SPREAD * math.sqrt(12) * rng.normal()
    return Crossing(**_around(planted), choices=choices, slopes=slopes)


def curved(number: int) -> Curved:
    """The problem of a number, see `generated`."""
    return Curved(**_around(generated(number)))


def _around(planted: Any) -> dict[str, Any]:
    """What a problem with curves takes from the planted one."""
    return {
        "name": planted.name,
        "tuning": planted.tuning,
        "space": planted.space,
        "epochs": EPOCHS,
        "curves_only": True,
        "planted": planted,
    }
