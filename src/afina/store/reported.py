"""How many epochs trials have reported, read without decoding their metrics."""

from __future__ import annotations

from collections.abc import Iterable

from afina.store.base import TrialStore


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
