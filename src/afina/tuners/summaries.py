"""What a tuner prints of itself: the search space, and the best trials."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from afina.space import HyperParameters
from afina.trials import Trial, why_no_best
from afina.trials.text import printable


def print_space(hp: HyperParameters) -> None:
    """Prints each hyperparameter with its arguments."""
    print("Search space summary")
    print(f"Default search space size: {len(hp.space)}")
    for entry in hp.space:
        config = entry.get_config()
        name = config.pop("name")
        print(f"{printable(name)} ({type(entry).__name__})")
        print(printable(str(config)))


def print_results(
    folder: str, objective: Any, shown: int, best: Iterable[Any], trials: Iterable[Trial]
) -> None:
    """Prints the best trials with their hyperparameters and scores.

    Args:
        folder: Of the project.
        objective: What the scores measure.
        shown: How many trials were asked for.
        best: The trials to print, as users see them.
        trials: All of the search, as it keeps them.
    """
    trials = list(trials)
    print("Results summary")
    print(f"Results in {folder}")
    print(f"Showing {shown} best trials")
    print(objective)
    if not any(trial.loss is not None for trial in trials):
        print(why_no_best(trials))
    for trial in best:
        print()
        trial.summary()
