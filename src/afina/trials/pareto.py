"""Which results are best if there are several objectives, and how good a set of them is.

The functions take an array of losses: a row for each trial, a column for each objective, lower is
better. A row *dominates* another one if it is nowhere worse and somewhere better. A row with a NaN
is no result: it dominates nothing, ranks behind all others and is on no front. Infinite losses are
compared like other numbers.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from afina.errors import ArgumentError, wrong
from afina.trials.trial import Status, Trial

Array = NDArray[np.float64]
Ranks = NDArray[np.intp]


def non_dominated_ranks(losses: Array) -> Ranks:
    """How many fronts lie before each row: 0 on the Pareto front, 1 on the front of the rest ...

    Args:
        losses: (n, m).

    Returns:
        (n,) from 0 up. Equal rows share a rank. Rows that hold a NaN come one behind the last.

    Source:
        The idea of fronts: Goldberg, "Genetic algorithms" (1989). Rows in lexicographic order are
        dominated by earlier ones only: Zhang et al., "An efficient approach to nondominated
        sorting", IEEE Transactions on Evolutionary Computation 19 (2015). For two objectives only
        the last row of each front matters: Jensen, "Reducing the run-time complexity of
        multiobjective EAs", same journal 7 (2003).

    Example:
        >>> non_dominated_ranks(np.array([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [3.0, 3.0]])).tolist()
        [0, 0, 1, 2]
    """
    losses = _checked(losses)
    ranks: Ranks = np.zeros(len(losses), dtype=np.intp)
    real = ~np.isnan(losses).any(axis=1)
    if real.any():
        rows, inverse = np.unique(losses[real], axis=0, return_inverse=True)
        by_row = _ranks_of_two(rows) if rows.shape[1] == 2 else _ranks_of_many(rows)
        ranks[real] = by_row[inverse.reshape(-1)]
        ranks[~real] = by_row.max() + 1
    return ranks


def _ranks_of_two(rows: Array) -> Ranks:
    """Ranks of different rows (n, 2) in lexicographic order, in O(n log n)."""
    lowest: list[float] = []  # the second loss of the last row of each front; it only falls
    ranks = np.empty(len(rows), dtype=np.intp)
    for index, second in enumerate(rows[:, 1].tolist()):
        # That row dominates this one if its second loss is no higher. Later fronts' are higher.
        rank = bisect.bisect_right(lowest, second)
        lowest[rank : rank + 1] = [second]
        ranks[index] = rank
    return ranks


def _ranks_of_many(rows: Array) -> Ranks:
    """Ranks of different rows (n, m) in lexicographic order, in O(n * n * m)."""
    ranks = np.zeros(len(rows), dtype=np.intp)
    columns = np.ascontiguousarray(rows[:, 1:].T)  # the first one is in order already
    for index in range(1, len(rows)):
        dominating = (columns[:, :index] <= columns[:, index, None]).all(axis=0)
        ranks[index] = ranks[:index][dominating].max(initial=-1) + 1
    return ranks


def pareto_front(losses: Array) -> Ranks:
    """The rows that no other row dominates, including equal ones.

    Args:
        losses: (n, m).

    Returns:
        Their sorted indices; empty if every row holds a NaN.

    Example:
        >>> pareto_front(np.array([[1.0, 2.0], [np.nan, 0.0], [2.0, 1.0], [2.0, 2.0]])).tolist()
        [0, 2]
    """
    losses = _checked(losses)
    real = np.flatnonzero(~np.isnan(losses).any(axis=1))
    if not len(real):
        return real
    rows, inverse = np.unique(losses[real], axis=0, return_inverse=True)
    return real[_undominated(rows)[inverse.reshape(-1)]]


def front_of(trials: Iterable[Trial]) -> list[Trial]:
    """The completed trials on the Pareto front, by number; with one objective, the best ones.

    If several trials train one model further and further, each of them counts by itself.
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


def _undominated(rows: Array) -> NDArray[np.bool_]:
    """(n,) which of these different rows, in lexicographic order, none dominates."""
    if rows.shape[1] == 2:
        lowest = np.minimum.accumulate(rows[:, 1])
        return np.concatenate([[True], rows[1:, 1] < lowest[:-1]])
    kept = np.ones(len(rows), dtype=bool)
    for index in range(len(rows)):
        if kept[index]:
            later = rows[index + 1 :]
            kept[index + 1 :] &= (later < rows[index]).any(axis=1)
    return kept


def crowding_distances(losses: Array) -> Array:
    """The crowding distance of each row: the size of the gaps around it.

    Args:
        losses: (n, m) the rows of one front, without NaN.

    Returns:
        (n,) from 0 up: over all objectives, the sum of the distances between the next rows below
        and above, as parts of the objective's range. Infinite for a lowest and a highest row of
        each objective. Equal rows count once and share their distance, so that the order of the
        rows does not matter.

    Source:
        Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE
        Transactions on Evolutionary Computation 6 (2002), section III-B.

    Example:
        >>> crowding_distances(np.array([[0.0, 4.0], [1.0, 2.0], [4.0, 0.0]])).tolist()
        [inf, 2.0, inf]
    """
    losses = _checked(losses)
    if not len(losses):
        return np.zeros(0)
    rows, inverse = np.unique(losses, axis=0, return_inverse=True)
    distances = np.zeros(len(rows))
    for column in rows.T:
        finite = column[np.isfinite(column)]
        if not len(finite) or len(rows) == 1:
            continue
        order = np.argsort(column, kind="stable")
        values = np.clip(column[order], finite.min(), finite.max())
        extent = values[-1] - values[0]
        if extent > 0:
            distances[order[1:-1]] += (values[2:] - values[:-2]) / extent
        if column[order[0]] < column[order[-1]]:
            distances[order[[0, -1]]] = np.inf
    if len(rows) == 1:
        distances[:] = np.inf
    return np.asarray(distances[inverse.reshape(-1)])


def pareto_keys(losses: Array) -> Array:
    """Two numbers for each row, by which rows are sorted from the best to the worst.

    Args:
        losses: (n, m).

    Returns:
        (n, 2) the rank of the row's front, and minus its crowding distance there. Rows with equal
        losses have equal keys, whatever the order of the rows.

    Source:
        The order of NSGA-II, see `crowding_distances`.
    """
    losses = _checked(losses)
    ranks = non_dominated_ranks(losses)
    lonely = np.zeros(len(losses))
    real = ~np.isnan(losses).any(axis=1)
    for rank in np.unique(ranks[real]):
        same = real & (ranks == rank)
        lonely[same] = crowding_distances(losses[same])
    return np.column_stack([ranks, -lonely])


def pareto_order(losses: Array) -> Ranks:
    """The rows from the best to the worst: by front, then by crowding distance, largest first.

    Args:
        losses: (n, m).

    Returns:
        Their indices; among equals the earlier one comes first, and rows with a NaN come last.

    Example:
        >>> pareto_order(np.array([[5.0, 5.0], [1.0, 3.0], [2.0, 2.0], [4.0, 1.0]])).tolist()
        [1, 3, 2, 0]
    """
    keys = pareto_keys(losses)
    return np.lexsort((keys[:, 1], keys[:, 0]))


def hypervolume(losses: Array, reference: Array) -> float:
    """The volume of all losses that some row reaches or beats, up to a reference point.

    The larger, the better the set: it grows with every new point of the Pareto front.

    Args:
        losses: (n, m). Rows that are not below the reference in every objective add nothing.
        reference: (m,) finite; a loss in each objective that is just not acceptable.

    Returns:
        At least 0; infinite if a row below the reference holds an infinite loss. Hundreds of rows
        take milliseconds with up to three objectives, and a second with four. Each further
        objective multiplies the time by about the number of rows.

    Raises:
        ArgumentError: The reference is not finite, or has another length.

    Source:
        Zitzler & Thiele, "Multiobjective optimization using evolutionary algorithms", PPSN 1998
        (the measure); While, Bradstreet & Barone, "A fast way of calculating exact hypervolumes",
        IEEE Transactions on Evolutionary Computation 16 (2012) (the recursion).

    Example:
        >>> hypervolume(np.array([[1.0, 2.0], [2.0, 1.0]]), np.array([3.0, 3.0]))
        3.0
    """
    gains = _gains(losses, reference)
    return _volume(gains[(gains > 0).all(axis=1)])


def _gains(losses: Array, reference: Array) -> Array:
    """(n, m) how far the rows are below the reference; NaN becomes 0."""
    losses, limit = _checked(losses), np.asarray(reference, dtype=float)
    if limit.shape != losses.shape[1:] or not np.isfinite(limit).all():
        rule = f"must be {losses.shape[1]} finite numbers, one for each objective"
        raise ArgumentError(wrong("reference", rule, reference))
    gains = limit - losses
    return np.where(np.isnan(gains), 0.0, gains)


def _volume(gains: Array) -> float:
    """The volume of the union of boxes from the origin to these points (n, m), all above 0."""
    if not len(gains):
        return 0.0
    if np.isinf(gains).any():
        return float("inf")
    if gains.shape[1] == 1:
        return float(gains.max())
    if gains.shape[1] == 2:
        wide = gains[np.argsort(-gains[:, 0], kind="stable")]
        steps = wide[:, 0] - np.append(wide[1:, 0], 0.0)
        return float(steps @ np.maximum.accumulate(wide[:, 1]))
    rows = np.unique(-gains, axis=0)
    gains = -rows[_undominated(rows)]
    gains = gains[np.argsort(gains[:, -1], kind="stable")]
    base, heights = gains[:, :-1], gains[:, -1]
    total = 0.0
    for index, height in enumerate(heights):
        # The part of this box that no later box covers. Later boxes are at least as high, so only
        # their bases matter.
        shared = _volume(np.minimum(base[index + 1 :], base[index]))
        total += height * (float(base[index].prod()) - shared)
    return float(total)


def _checked(losses: Array) -> Array:
    """The losses as a matrix of floats in which zero has one sign."""
    matrix = np.asarray(losses, dtype=float)
    if matrix.ndim != 2 or not matrix.shape[1]:
        rule = "must have a row for each trial and a column for each objective"
        raise ArgumentError(wrong("losses", rule, f"an array of shape {matrix.shape}"))
    return matrix + 0.0
