"""Searches on simulated trainings: how low the loss is after so many epochs.

For `small_space.py` and `recorded.py`, which say what a training looks like.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from afina.search import Done, Situation, Suggestion
from afina.space import Space
from afina.trials import Decision, Status, Trial

Steps = list[tuple[int, float]]
"""Epochs spent, and the lowest loss so far, at each gain."""

Training = Callable[[Any, np.random.Generator], np.ndarray]
"""The loss after each epoch of one training of these values."""


def searched(
    search: Any, space: Space, training: Training, seed: int, budget: int
) -> tuple[Steps, int]:
    """Runs a search until it is done or has spent its epochs.

    Args:
        search: An algorithm.
        space: What it searches.
        training: Draws a training's losses.
        seed: Of what the trainings owe to luck.
        budget: Epochs.

    Returns:
        Its gains, and the epochs spent.
    """
    state, number, spent = search.init(), 0, 0
    steps: Steps = [(0, math.inf)]
    curves: dict[int, np.ndarray] = {}
    while spent < budget:
        answer = search.ask(state, Situation(number=number, space=space))
        if isinstance(answer, Done):
            break
        assert isinstance(answer, Suggestion)
        trial = Trial(number=number, values=answer.values, schedule=answer.schedule)
        rng = np.random.default_rng([seed, number])
        curves[number] = (
            training(trial.values, rng) if trial.parent is None else curves[trial.parent]
        )
        losses: list[float] = []
        for loss in curves[number][trial.start_epoch : trial.end_epoch].tolist():
            losses.append(loss)
            spent += 1
            if loss < steps[-1][1]:
                steps.append((spent, loss))
            if search.stop_early(state, trial, tuple(losses)) is Decision.STOP:
                break
        best = min(losses)
        trial = dataclasses.replace(
            trial, status=Status.COMPLETED, curve=tuple(losses), loss=best, score=best
        )
        state = search.tell(state, trial, space)
        number += 1
    return steps, spent


def best_at(steps: Steps, epochs: float) -> float:
    """The lowest loss after so many epochs."""
    return [best for spent, best in steps if spent <= epochs][-1]


def until(steps: Steps, target: float) -> float:
    """The epochs until the loss is as low as this; infinite if it never is."""
    return next((spent for spent, best in steps if best <= target), math.inf)
