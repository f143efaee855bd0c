"""What a tuner prints of itself: the search space, and the best trials."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from afina import html_tables, report
from afina.report.words import summary
from afina.space import HyperParameters
from afina.trials import MultiObjective, Trial, why_no_best
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
        if isinstance(objective, MultiObjective) and trial.score is not None:
            # The score is their sum, which has no unit and hides what was traded for what.
            parts = ((name, trial.metrics.get_best_value(name)) for name in objective.names)
            print(
                printable("Objectives: " + ", ".join(f"{name}: {value}" for name, value in parts))
            )


MOST_SHOWN = 5
"""Configurations that a notebook shows of a tuner."""


def tuner_html(tuner: Any) -> str:
    """What a notebook shows of a tuner: the report's summary and its best configurations.

    Args:
        tuner: A `BaseTuner`; it may be searching.
    """
    head = f"<b>{html_tables.escaped(type(tuner).__name__)}</b>"
    head = f"<p>{head} in {html_tables.escaped(tuner.project_dir)}</p>"
    store = tuner.oracle.search_state.store
    if store.header() is None:
        return head + "<p>The search has not begun yet.</p>"
    facts = report.facts_of(store, tuner.project_name)
    rows = []
    for each in facts.configurations[:MOST_SHOWN]:
        trial = facts.shown(each)
        scores = ["" if value is None else value for value in facts.values_of(trial)]
        values = ", ".join(f"{name} {value}" for name, value in trial.values.items())
        epochs = "" if each.epochs is None else each.epochs
        rows.append((trial.number, *scores, epochs, values))
    names = [objective.name for objective in facts.objectives]
    table = html_tables.table(("trial", *names, "epochs", "values"), rows) if rows else ""
    return head + html_tables.lines("\n".join(summary(facts))) + table
