"""How far a search is, and how long it will go on, from its limits and its trials so far."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from afina.search.fidelity.brackets import plan as plan_brackets
from afina.store import Header
from afina.trials import Trial

RECENT = 50
"""Trials that say how long the next ones will take."""


def total_of(header: Header, plan: Mapping[str, Any]) -> int | None:
    """How many trials the search will have; None if that is not known.

    Args:
        header: Of the store.
        plan: What the search says that it is up to; see `study.requests.plan_of`.
    """
    known = plan.get("max_trials")
    totals = [known] if isinstance(known, int) else []
    settings = header.settings
    if header.algorithm == "hyperband" and settings.get("iterations"):
        brackets = plan_brackets(int(settings["max_epochs"]), settings["factor"])
        totals.append(int(settings["iterations"]) * sum(each.trials for each in brackets))
    return min(totals, default=None)


def seconds_left(
    plan: Mapping[str, Any],
    total: int | None,
    trials: Iterable[Trial],
    epochs: Mapping[int, int],
    workers: int,
) -> float | None:
    """An estimate of the seconds until the first limit is reached; None if nothing tells.

    Args:
        plan: The limits.
        total: How many trials the search will have.
        trials: All of them so far.
        epochs: How many epochs each has trained, by number.
        workers: How many trials run side by side.
    """
    if plan.get("reason"):
        return 0.0
    finished = sorted((t for t in trials if t.ended is not None), key=lambda t: t.ended or 0)
    recent = finished[-RECENT:]
    guesses = []
    spent = sum(trial.seconds for trial in recent)
    if recent and total is not None:
        guesses.append((total - len(finished)) * spent / len(recent) / max(workers, 1))
    trained = sum(_own_epochs(trial, epochs) for trial in recent)
    most = plan.get("max_total_epochs")
    if trained and most:
        done = sum(_own_epochs(trial, epochs) for trial in finished)
        guesses.append((most - done) * spent / trained / max(workers, 1))
    if plan.get("time_budget") and plan.get("began"):
        guesses.append(plan["began"] + plan["time_budget"] - time.time())
    return max(min(guesses), 0.0) if guesses else None


def _own_epochs(trial: Trial, epochs: Mapping[int, int]) -> int:
    return max(epochs.get(trial.number, trial.end_epoch or 0) - trial.start_epoch, 0)


def counts_of(trials: Sequence[Trial]) -> dict[str, int]:
    """How many trials are in each state, by its name."""
    counts: dict[str, int] = {}
    for trial in trials:
        counts[trial.status.value] = counts.get(trial.status.value, 0) + 1
    return counts
