"""The two printed summaries, in the form that Keras Tuner's users and their scripts know."""

from __future__ import annotations

from typing import Any

from afina.space import HyperParameters
from afina.trials import why_no_best
from afina.trials.text import printable


def search_space_summary(hp: HyperParameters) -> None:
    """Prints each hyperparameter with its arguments."""
    print("Search space summary")
    print(f"Default search space size: {len(hp.space)}")
    for entry in hp.space:
        config = entry.get_config()
        name = config.pop("name")
        print(f"{printable(name)} ({type(entry).__name__})")
        print(printable(str(config)))


def results_summary(project_dir: str, oracle: Any, num_trials: int) -> None:
    """Prints the best trials with their hyperparameters and scores."""
    print("Results summary")
    print(f"Results in {project_dir}")
    print(f"Showing {num_trials} best trials")
    print(oracle.objective)
    if not oracle.study.best_trials(1):
        print(why_no_best(oracle.study.trials.values()))
    for trial in oracle.get_best_trials(num_trials):
        print()
        trial.summary()
