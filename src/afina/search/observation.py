"""What a search algorithm keeps of a finished trial."""

from __future__ import annotations

import math
from dataclasses import dataclass

from afina.surrogates.geometry import Values
from afina.trials import Trial


@dataclass(frozen=True, slots=True)
class Observation:
    """A configuration and its result."""

    values: Values
    """Active hyperparameters and their values, in the trial's order."""

    loss: float | None
    """Lower is better; None if the trial failed."""

    losses: tuple[float, ...]
    """The losses of several objectives; empty if there is one objective or the trial failed."""

    order: int
    """Place among all finished trials, from 0, in the order in which they finished."""

    @classmethod
    def of(cls, trial: Trial, order: int) -> Observation:
        """What to keep of a finished trial."""
        values = tuple(trial.values.items())
        losses = () if trial.loss is None else tuple(trial.losses)
        return cls(values, trial.loss, losses, order)

    @property
    def cost(self) -> float:
        """The loss; infinite if the trial failed."""
        return math.inf if self.loss is None else self.loss

    @property
    def objectives(self) -> tuple[float, ...]:
        """One loss for each objective; empty if the trial failed."""
        return self.losses or (() if self.loss is None else (self.loss,))
