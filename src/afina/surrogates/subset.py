"""Which results a model looks at where there are too many: what it costs grows with their cube."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.intp]


def representatives(best_first: Sequence[int], limit: int) -> Index:
    """The results that a model of a search looks at: sorted places in the history.

    Half of them are the best, which say where the optimum is. A quarter are the most recent: they
    were made where the model is uncertain, and must not be proposed again. The rest lie evenly
    over the history and keep the model honest about the whole space.

    Args:
        best_first: All results, by their places in the history.
        limit: How many to keep.

    Returns:
        All places if there are no more than `limit`.

    Example:
        >>> representatives([9, 0, 1, 2, 3, 4, 5, 6, 7, 8], 4)
        array([0, 1, 8, 9])
    """
    count = len(best_first)
    if count <= limit:
        return np.arange(count)
    chosen = {*best_first[: limit // 2], *range(count - limit // 4, count)}
    return filled_up(chosen, [place for place in range(count) if place not in chosen], limit)


def filled_up(chosen: Iterable[int], others: Sequence[int], limit: int) -> Index:
    """The chosen places and so many of the others, evenly spread, that there are `limit`: sorted.

    Args:
        chosen: At most `limit`.
        others: At least as many as are missing.
        limit: How many in all.

    Example:
        >>> filled_up([0, 1], [2, 3, 4, 5, 6], 4)
        array([0, 1, 2, 6])
    """
    kept = list(chosen)
    spread = np.linspace(0, len(others) - 1, limit - len(kept)).astype(int)
    return np.array(sorted([*kept, *(others[place] for place in spread)]), dtype=np.intp)
