"""What limits a search beside the number of its trials: epochs in all, and wall time."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from afina.errors import ArgumentError, wrong
from afina.trials import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits of a search; each may be None.

    Raises:
        ArgumentError: A limit is not above 0.
    """

    epochs: float | None = None
    """Epochs trained in all; those that a promoted trial goes on from count once."""

    seconds: float | None = None
    """Wall time from the first trial that this process asks for. A training that runs when it ends
    is stopped after its epoch and keeps its score."""

    def __post_init__(self) -> None:
        for name, limit in (("max_total_epochs", self.epochs), ("time_budget", self.seconds)):
            if limit is None:
                continue
            number = isinstance(limit, int | float) and not isinstance(limit, bool)
            if not number or not 0 < limit < math.inf:
                raise ArgumentError(wrong(name, "must be above 0 and finite, or None", limit))


MOST_UNSPENT = 500
"""Trials in a row without an epoch after which a budget of epochs alone will never be spent, most
likely: all models are too large, or all configurations are refused."""


class Spending:
    """How much of a budget is spent.

    Args:
        budget: The limits.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.epochs = 0
        """Trained by the trials that have finished."""
        self.unspent = 0
        """Trials since the last one that has a score or has trained an epoch."""
        self._began: float | None = None

    def begin(self) -> None:
        """Starts the clock; does nothing where it runs."""
        if self._began is None:
            self._began = time.monotonic()

    def end(self) -> None:
        """Stops the clock: the next `begin` starts it from 0."""
        self._began = None

    def add(self, trial: Trial) -> None:
        """Counts the epochs of a finished trial."""
        planned = 0 if trial.end_epoch is None else trial.end_epoch - trial.start_epoch
        # Who reports no epochs has trained what was asked for, unless it failed.
        trained = len(trial.curve) or (planned if trial.loss is not None else 0)
        self.epochs += trained
        self.unspent = 0 if trained or trial.loss is not None else self.unspent + 1

    def out_of_time(self) -> bool:
        """Whether the time is over."""
        limit = self.budget.seconds
        if limit is None or self._began is None:
            return False
        return time.monotonic() - self._began >= limit

    def why_over(self, running: Sequence[Trial]) -> str | None:
        """Why no more trials are to begin, as a sentence's end; None where they may.

        Args:
            running: Trials whose epochs are still to come; they count as if done.
        """
        self.begin()
        if self.out_of_time():
            return f"time_budget={self.budget.seconds:g} seconds are over"
        limit = self.budget.epochs
        if limit is not None:
            planned = sum((t.end_epoch or t.start_epoch) - t.start_epoch for t in running)
            if self.epochs + planned >= limit:
                return f"max_total_epochs={limit:g} epochs have been trained"
            if self.unspent >= MOST_UNSPENT and self.budget.seconds is None:
                return f"{self.unspent} trials in a row have not trained a single epoch"
        return None
