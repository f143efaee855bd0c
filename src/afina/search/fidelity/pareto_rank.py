"""An order for the trials of a rung when there are several objectives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from afina.trials.pareto import pareto_keys


class Scored(Protocol):
    """A trial, or what a search keeps of one."""

    @property
    def loss(self) -> float | None:
        """Lower is better; None if the trial failed."""
        ...

    @property
    def losses(self) -> tuple[float, ...]:
        """The losses of several objectives, lower is better; empty if there is one objective."""
        ...


def several_objectives(trials: Sequence[Scored]) -> bool:
    """Whether at least one of them has the losses of several objectives."""
    return any(len(trial.losses) > 1 for trial in trials)


def pareto_ranks(trials: Sequence[Scored]) -> list[tuple[float, float]]:
    """A sort key for each trial, the best first.

    The trial's front decides. Within a front the least crowded trials come first, so that the few
    that are promoted still spread over the whole front. With one objective the loss decides.

    Args:
        trials: The trials of a rung. Failed trials come last, and so do trials that lack losses
            which others have.

    Returns:
        (front, minus crowding distance) or (loss, 0.0). Equal for trials with equal losses, and
        independent of the order of the trials.

    Source:
        Halving by fronts: Schmucker et al., "Multi-objective asynchronous successive halving",
        arXiv:2106.12639; the order within a front is that of NSGA-II.
    """
    if not several_objectives(trials):
        return [(np.inf if trial.loss is None else trial.loss, 0.0) for trial in trials]
    count = max(len(trial.losses) for trial in trials)
    missing = (np.nan,) * count
    rows = [
        trial.losses if trial.loss is not None and len(trial.losses) == count else missing
        for trial in trials
    ]
    keys = pareto_keys(np.array(rows, dtype=float))
    return [(front, crowding) for front, crowding in keys.tolist()]
