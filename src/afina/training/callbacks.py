"""Callbacks of a search: they report each epoch's numbers and keep the best state."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from afina.errors import CheckpointError
from afina.training import keras_parts
from afina.training.checkpoint import save_snapshot
from afina.training.guards import scalars
from afina.training.snapshot import Snapshot, take_snapshot
from afina.trials import Decision, Objective, failure_of

OnEpoch = Callable[[int, int, dict[str, float]], Decision | None]
"""Called with the execution, the epoch (both from 0) and the epoch's numbers; ends the training by
returning `Decision.STOP`."""


NO_VARIABLES = "the model has no variables"
"""Why no checkpoint of a model is saved that has nothing to learn."""


class EpochReporter(keras.callbacks.Callback):  # type: ignore[misc]
    """Reports each epoch's numbers, and ends the training if the answer is to stop.

    `on_epoch` shows the numbers, so Keras draws no progress bar, unless `fit` was asked for one.

    Args:
        on_epoch: Called with the execution, the epoch and the numbers.
        execution: Which of a trial's repeated trainings this is, from 0.
    """

    def __init__(self, on_epoch: OnEpoch, execution: int = 0) -> None:
        super().__init__()
        self.on_epoch = on_epoch
        self.execution = execution

    def set_params(self, params: Any) -> None:
        """Makes `fit` silent if its `verbose` was left at "auto"; the bar reads this later."""
        super().set_params(params)
        if isinstance(params, dict) and params.get("verbose") == "auto":
            params["verbose"] = 0

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Reports the epoch."""
        if self.on_epoch(self.execution, epoch, scalars(logs)) is Decision.STOP:
            self.model.stop_training = True


class BestEpoch(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the state of the best epoch of all executions of a trial, in memory.

    Nothing is written before `save`. While no epoch has logged the objective, the latest epoch
    counts as the best, so that there is always something to keep.

    Args:
        objective: Decides which epoch is better.
    """

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.objective = objective
        self.execution = 0
        """Which execution is being trained; `begin` sets it."""
        self.best: Snapshot | None = None
        self.score: float | None = None
        """The objective at the best epoch, as the user measures it."""
        self.best_execution: int | None = None
        self.trouble: str | None = None
        """Why there is nothing to save, if that is known."""

    def begin(self, execution: int) -> None:
        """Begins a new execution, and forgets the model of the one before."""
        self.execution = execution
        self.set_model(None)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Copies the model's state if this epoch is the best."""
        score = self._score(scalars(logs))
        if not self._better(score):
            return
        try:
            snapshot = take_snapshot(self.model, epoch + 1)
        except MemoryError:
            raise
        except Exception as error:  # the score does not need it
            self.trouble = f"its variables cannot be read: {failure_of(error).headline}"
            return
        self.best, self.score, self.best_execution = snapshot, score, self.execution

    def _score(self, numbers: Mapping[str, float]) -> float | None:
        if not self.objective.has_value(numbers):
            return None
        return self.objective.get_value(numbers)

    def _better(self, score: float | None) -> bool:
        if score is None:
            return self.score is None
        if math.isnan(score):
            return False
        return self.score is None or self.objective.better_than(score, self.score)

    def save(self, path: Path) -> bool:
        """Writes the best state as a checkpoint, and leaves the model in that state.

        Returns:
            Whether there was one. There is none if no epoch was trained, none had a number, or the
            model has no variables; `trouble` says why.

        Raises:
            CheckpointError: The model has changed its variables since, or cannot be saved.
        """
        if self.best is None:
            return False
        if not self.best.variables and not keras_parts.overrides(self.model, "save_weights"):
            self.trouble = NO_VARIABLES
            return False
        if self.model is None:
            raise CheckpointError(
                "BestEpoch: the model is gone; save before the next execution begins."
            )
        save_snapshot(self.best, self.model, path)
        return True
