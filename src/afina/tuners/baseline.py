"""What plain random search finds for the same training: the baseline of every search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from afina.advice.judgement import ValidationScore
from afina.errors import ArgumentError, wrong
from afina.tuners.random_search import RandomSearch
from afina.tuners.tuner import Tuner


def random_baseline(
    tuner: Tuner, *fit_args: Any, epochs: int, **fit_kwargs: Any
) -> ValidationScore:
    """Searches at random for as many epochs as a search has trained.

    The trials have a project of their own within the tuner's, so a second call, or one after an
    interruption, continues them.

    Args:
        tuner: Its search is over.
        fit_args: As given to its `search`.
        epochs: Of a full training; every trial gets them.
        fit_kwargs: As given to its `search`.

    Returns:
        The best score on the validation data, for `evaluate_best(..., baselines={"random search":
        ...})`, which compares it with the score of the search, not with that on the test data.

    Raises:
        ArgumentError: The search has trained fewer epochs than one full training.
    """
    spent = tuner.oracle.search_state.stop_rules.epochs
    if not 1 <= epochs <= spent:
        rule = f"must be from 1 to {spent}, the epochs that the search has trained"
        raise ArgumentError(wrong("epochs", rule, epochs))
    baseline = RandomSearch(
        tuner.hypermodel,
        tuner.oracle.objective,
        max_trials=spent // epochs,
        seed=tuner.oracle.seed,
        hyperparameters=tuner.oracle.get_space(),
        directory=str(Path(tuner.project_dir)),
        project_name="random_baseline",
        executions_per_trial=tuner.executions_per_trial,
        max_model_size=tuner.max_model_size,
        optimizer=tuner.optimizer,
        loss=tuner.loss,
        metrics=tuner.metrics,
        training=tuner.training,
        workers=tuner.workers,
        train_on=tuner.train_on,
        keep_checkpoints=1,
    )
    baseline.oracle.verbose = 0
    baseline.search(*fit_args, epochs=epochs, **fit_kwargs)
    return ValidationScore(baseline.oracle.search_state.best_trials(1)[0].score or 0.0)
