"""What many trials have reported: their epochs, without decoding metrics, and their histories."""

from __future__ import annotations

from collections.abc import Iterable

from afina.store.base import TrialStore
from afina.trials import Report

AT_ONCE = 500
"""Trials whose reports are read together; databases limit how many numbers a statement may name."""


def epochs_reported(store: TrialStore, numbers: Iterable[int] | None = None) -> dict[int, int]:
    """The last reported step plus one, by trial; trials without reports are left out.

    Args:
        store: Any store.
        numbers: The trials; None for all.

    Example:
        >>> from afina.store import MemoryStore
        >>> from afina.trials import Report
        >>> store = MemoryStore()
        >>> store.report(Report(trial=4, step=2, metrics={"loss": 1.0}))
        >>> epochs_reported(store)
        {4: 3}
    """
    wanted = None if numbers is None else sorted(set(numbers))
    fast = getattr(store, "last_steps", None)
    if fast is not None:
        return {number: step + 1 for number, step in fast(wanted).items()}
    found: dict[int, int] = {}
    for each in [None] if wanted is None else wanted:
        for report in store.history(each):
            found[report.trial] = max(found.get(report.trial, 0), report.step + 1)
    return found


def histories(store: TrialStore, numbers: Iterable[int]) -> dict[int, list[Report]]:
    """The histories of some trials, by number: those of a file in few reads.

    Args:
        store: Any store.
        numbers: The trials.

    Example:
        >>> from afina.store import MemoryStore
        >>> store = MemoryStore()
        >>> store.report(Report(trial=4, step=2, metrics={"loss": 1.0}))
        >>> {number: len(history) for number, history in histories(store, [5, 4]).items()}
        {4: 1, 5: 0}
    """
    wanted = sorted(set(numbers))
    fast = getattr(store, "histories", None)
    if fast is None:
        return {number: list(store.history(number)) for number in wanted}
    found: dict[int, list[Report]] = {number: [] for number in wanted}
    for first in range(0, len(wanted), AT_ONCE):
        for report in fast(wanted[first : first + AT_ONCE]):
            found[report.trial].append(report)
    return found
