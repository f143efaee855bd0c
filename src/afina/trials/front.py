"""The Pareto front of a search: the trials of which none is better in every objective."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from afina.trials.pareto import pareto_front
from afina.trials.trial import Status, Trial


def front_of(trials: Iterable[Trial]) -> list[Trial]:
    """The completed trials that no other one dominates, by number.

    With one objective those of the best score. Where trainings go on, each part counts by itself.

    Args:
        trials: Of a search.
    """
    completed = [trial for trial in trials if trial.status is Status.COMPLETED]
    if not completed:
        return []
    width = max(len(trial.losses) for trial in completed)
    rows = [trial.losses if width else (trial.loss,) for trial in completed]
    known = [place for place, row in enumerate(rows) if len(row) == max(width, 1)]
    losses = np.array([rows[place] for place in known], dtype=float)
    front = [completed[known[place]] for place in pareto_front(losses).tolist()]
    return sorted(front, key=lambda trial: trial.number)
