"""Learning curves for the page: on demand, and thinned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from afina.page.rows import number_or_none
from afina.page.thinning import evenly
from afina.trials import Objective, Report, Trial

MOST_POINTS = 300
"""Points of one curve: more are not told apart on a screen."""

LONGEST_CHAIN = 1000
"""Trainings that continue one another."""


def series_of(
    reports: Sequence[Report], attempt: int, objective: Objective
) -> list[tuple[int, float]]:
    """The objective's value after each epoch, as the user measures it; mean over the executions.

    Args:
        reports: Of one trial.
        attempt: The attempt that counts.
        objective: What to draw; any metric will do.
    """
    found: dict[int, list[float]] = {}
    for each in reports:
        if each.attempt == attempt and objective.has_value(each.metrics):
            found.setdefault(each.step, []).append(objective.get_value(each.metrics))
    return [(step, math.fsum(values) / len(values)) for step, values in sorted(found.items())]


def thinned(series: Sequence[tuple[int, float]], most: int = MOST_POINTS) -> list[list[Any]]:
    """Epochs, counted from 1, and values; at most `most`, the first and the last among them.

    Example:
        >>> thinned([(0, 0.5), (1, 0.25)])
        [[1, 2], [0.5, 0.25]]
    """
    kept = [series[place] for place in evenly(len(series), most)]
    return [[step + 1 for step, _ in kept], [number_or_none(value) for _, value in kept]]


def line_of(trial: Trial, trials: Mapping[int, Trial]) -> list[Trial]:
    """The trial and those whose trainings it continues, the first one first."""
    line = [trial]
    while len(line) < LONGEST_CHAIN:
        parent = trials.get(-1 if line[0].parent is None else line[0].parent)
        if parent is None or parent in line:
            break
        line.insert(0, parent)
    return line
