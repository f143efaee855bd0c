"""How long a search will be, as far as that is known before it ends: for displays."""

from __future__ import annotations

from afina.search.base import Planned
from afina.study.state import SearchState


def planned(state: SearchState) -> Planned | None:
    """The trials of the whole search, and their epochs; None if neither has a limit.

    Args:
        state: The search; it may be running.
    """
    own = getattr(state.algorithm, "planned", None)  # an algorithm need not inherit it
    found = own(state.space) if own is not None else None
    most = state.max_trials
    if found is None or (most is not None and most < found.trials):
        return None if most is None else Planned(most)
    return Planned(max(found.trials, len(state.trials)), found.epochs)
