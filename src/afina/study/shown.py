"""What a notebook shows of a study: where it stands, and its best trials."""

from __future__ import annotations

from collections import Counter

from afina import html_tables
from afina.study.state import SearchState
from afina.trials import MultiObjective, Objective, Trial, epochs_of

MOST_SHOWN = 5
"""Trials in the table."""


def study_html(study: SearchState) -> str:
    """The study as HTML, all escaped.

    Args:
        study: It may be searching.
    """
    name = html_tables.escaped(type(study).__name__)
    head = f"<p><b>{name}</b> {html_tables.escaped(_aim(study.objective))}</p>"
    if not study.trials:
        return head + "<p>The search has not begun yet.</p>"
    counts = Counter(trial.status.value for trial in study.trials.values())
    said = [", ".join(f"{count} {status}" for status, count in counts.items()) + "."]
    if study.stop_reason is not None:
        said.append(f"The search has ended: {study.stop_reason}.")
    several = isinstance(study.objective, MultiObjective)
    best = study.get_pareto_front() if several else study.best_trials(MOST_SHOWN)
    rows = [_row(study.objective, trial) for trial in best]
    kind = "The Pareto front:" if several else "The best trials:"
    table = ""
    if rows:
        columns = ("trial", *(part.name for part in _parts(study.objective)), "epochs", "values")
        table = html_tables.lines(kind) + html_tables.table(columns, rows)
    return head + html_tables.lines("\n".join(said)) + table


def _parts(objective: Objective) -> tuple[Objective, ...]:
    return objective.objectives if isinstance(objective, MultiObjective) else (objective,)


def _aim(objective: Objective) -> str:
    words = {"min": "minimizes", "max": "maximizes"}
    return ", ".join(f"{words[part.direction]} {part.name}" for part in _parts(objective))


def _row(objective: Objective, trial: Trial) -> tuple[object, ...]:
    scores: list[object] = [trial.score]
    if isinstance(objective, MultiObjective):
        scores = [trial.metrics.get(part.name, "") for part in objective.objectives]
    values = ", ".join(f"{name} {value}" for name, value in trial.values.items())
    return (trial.number, *scores, epochs_of(trial) or "", values)
