"""The models that trials leave on disk: kept, loaded, given to promoted trials, removed.

A promoted trial gets its weights here: `Tuner._try_build` builds its model and calls
`continue_parent`, which loads what the parent's `save_best` wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from afina import training
from afina.errors import CheckpointError, wrong
from afina.space import HyperParameters
from afina.study import SearchState
from afina.tuners.reserved_keys import own_values
from afina.tuners.trial import Trial

NO_CHECKPOINT = "checkpoint"
"""The note of a trial that says why its model was not saved."""

PROMOTION = "promotion"
"""The note of a promoted trial that says why it starts from scratch."""


def of_fold(path: Path, fold: int | None) -> Path:
    """The checkpoint of one fold of a cross-validated trial, beside the trial's own, which it is
    for None."""
    return path if fold is None else path.with_name(f"fold_{fold}.{path.name}")


def save_best(trial: Trial, best: training.BestEpoch, path: Path) -> None:
    """Writes the model of the best epoch; a trial without one keeps its score all the same."""
    trial.notes.pop(NO_CHECKPOINT, None)
    try:
        saved = best.save(path)
        why = best.trouble or "the callbacks of the search were told of no epoch"
    except CheckpointError as error:
        saved, why = False, str(error)
    if not saved:
        trial.notes[NO_CHECKPOINT] = f"none: {why}"


def why_none(trial: Trial) -> str | None:
    """Why a trial has left no model; None if nothing is known of it."""
    return trial.notes.get(NO_CHECKPOINT, "").removeprefix("none: ") or None


def load_best(model: Any, trial: Trial, path: Path, *, left_out: Callable[[str], None]) -> None:
    """Puts the model into the state of the trial's best epoch.

    Args:
        model: Built as the trial's was.
        trial: It was trained before.
        path: Its checkpoint.
        left_out: Called with a warning where a part of the state cannot be restored.

    Raises:
        CheckpointError: The trial has left nothing that can be loaded.
    """
    why = None if path.is_file() else why_none(trial)
    if why == training.NO_VARIABLES:
        return
    if why is not None:
        rule, advice = "must have left a model to load", "Train it anew by retrain_best()."
        raise CheckpointError(wrong(f"trial {trial.trial_id}", rule, f"none: {why}", advice))
    # A model that only `HyperModel.fit` compiles has no optimizer yet to restore.
    compiled = getattr(model, "compiled", False)
    training.load_state(model, path, optimizer=compiled, left_out=left_out)


def continue_parent(
    model: Any,
    hp: HyperParameters,
    parent: Trial,
    path: Path,
    *,
    left_out: Callable[[str], None],
) -> None:
    """Puts a promoted model into its parent's state: weights and optimizer.

    Args:
        model: Newly built.
        hp: Its hyperparameters. Where they differ from the parent's, as in population-based
            training, the model keeps its own learning rate.
        parent: The trial that it continues.
        path: The parent's checkpoint.
        left_out: As for `load_best`.

    Raises:
        CheckpointError: The parent has left nothing that can be loaded.
    """
    before = own_values(parent.hyperparameters.values)
    changed = any(hp.values.get(name) != value for name, value in before.items())
    rate = training.learning_rate(model) if changed else None
    try:
        training.load_state(model, path, left_out=left_out)
    except CheckpointError as error:
        raise CheckpointError(why_none(parent) or str(error)) from error
    if rate is not None:
        model.optimizer.learning_rate = rate


class Cleaner:
    """Removes the checkpoints that nobody needs, during the search."""

    def __init__(self) -> None:
        self._there: set[int] = set()  # numbers of trials whose checkpoint may be there
        self._looked_at = 0  # how many of the finished trials have been considered

    def clean(
        self,
        keep: int | None,
        state: SearchState,
        needed: set[int],
        remove: Callable[[int], None],
    ) -> None:
        """Removes the checkpoints of all finished trials but the best and the needed ones.

        Args:
            keep: Of how many trials, best first, the models stay; None keeps all.
            state: The search.
            needed: Numbers of the trials that others may continue.
            remove: Removes the files of a trial, by its number.
        """
        if keep is None:
            return
        kept = {trial.number for trial in state.best_trials(keep)} | needed
        self._there |= set(state.ended[self._looked_at :])
        self._looked_at = len(state.ended)
        for number in self._there - kept:
            remove(number)
        self._there &= kept
