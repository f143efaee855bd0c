"""How much of the results' variance each hyperparameter explains: functional ANOVA.

A forest of regression trees is fitted to the results. A tree is constant on boxes. So its mean over
all but one hyperparameter (its *marginal*), and the variance of the marginal, are exact sums over
its leaves, without sampling.

Source: Hutter, Hoos & Leyton-Brown, "An efficient approach for assessing hyperparameter
importance", ICML 2014.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Pairs = Sequence[tuple[int, int]]

# Marginals of pairs are computed on a grid; smaller leaves are averaged within its cells.
FINEST = 64


@dataclass(frozen=True, slots=True, eq=False)
class Leaves:
    """The leaves of a tree: boxes that fill the unit cube."""

    low: Array
    """(leaves, columns) the lower corners."""

    high: Array
    """(leaves, columns) the upper corners."""

    means: Array
    """(leaves,) the tree's prediction in each leaf."""


@dataclass(frozen=True, slots=True, eq=False)
class Decomposition:
    """The variance of one tree, and the parts that hyperparameters explain."""

    total: float
    """Variance of the tree's prediction over the unit cube."""

    single: Array
    """(columns,) variance that each column explains alone."""

    pairs: Array
    """(pairs,) variance that each pair explains beyond its two columns."""


def fit_trees(
    points: Array, targets: Array, count: int, seed: int, least_leaf: int = 1
) -> list[Leaves]:
    """The leaves of `count` randomised regression trees, each grown on all of the rows.

    Args:
        points: (n, columns) in the unit cube.
        targets: (n,).
        count: How many trees.
        seed: Fixes every draw.
        least_leaf: Fewest rows of a leaf.
    """
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        count,
        bootstrap=False,  # the caller resamples, to measure the uncertainty
        max_features=0.7 if points.shape[1] > 1 else 1.0,
        min_samples_leaf=least_leaf,
        max_leaf_nodes=256,
        random_state=seed,
    )
    forest.fit(points, targets)
    return [leaves_of(tree.tree_, points.shape[1]) for tree in forest.estimators_]


def leaves_of(tree: Any, columns: int) -> Leaves:
    """The leaves of a fitted tree of scikit-learn (`estimator.tree_`), cut at the unit cube."""
    low, high, means = [], [], []
    todo = [(0, np.zeros(columns), np.ones(columns))]
    while todo:
        node, below, above = todo.pop()
        column, threshold = tree.feature[node], tree.threshold[node]
        if tree.children_left[node] == tree.children_right[node]:
            low.append(below)
            high.append(above)
            means.append(float(tree.value[node].ravel()[0]))
            continue
        middle = min(max(float(threshold), below[column]), above[column])
        left_above, right_below = above.copy(), below.copy()
        left_above[column] = right_below[column] = middle
        todo.append((tree.children_left[node], below, left_above))
        todo.append((tree.children_right[node], right_below, above))
    return Leaves(np.array(low), np.array(high), np.array(means))


def decompose(leaves: Leaves, pairs: Pairs = ()) -> Decomposition:
    """The functional ANOVA of one tree under the uniform distribution on the unit cube.

    Example:
        >>> half = Leaves(np.array([[0.0, 0], [0.5, 0]]), np.array([[0.5, 1], [1, 1]]),
        ...     np.array([0.0, 2]))
        >>> parts = decompose(half)
        >>> parts.total, parts.single.tolist()
        (1.0, [1.0, 0.0])
    """
    sides = leaves.high - leaves.low
    volumes = sides.prod(axis=1)
    mean = float(volumes @ leaves.means)
    total = float(volumes @ (leaves.means - mean) ** 2)
    columns = range(leaves.low.shape[1])
    single = np.array([_variance(leaves, volumes, column, mean) for column in columns])
    lines = {
        column: _Line(leaves, volumes, column, mean, FINEST)
        for column in {column for pair in pairs for column in pair}
    }
    shares = np.zeros(len(pairs))
    for place, (a, b) in enumerate(pairs):
        one, other = lines[a], lines[b]
        marginal = (one.density * leaves.means[:, None] * volumes[:, None]).T @ other.density
        cells = np.outer(one.lengths, other.lengths)
        variance = float((cells * (marginal - mean) ** 2).sum())
        shares[place] = max(variance - one.variance - other.variance, 0.0)
    return Decomposition(total, single, shares)


def _variance(leaves: Leaves, volumes: Array, column: int, mean: float) -> float:
    """The variance of one column's marginal: a step function that rises where a leaf begins and
    falls where it ends."""
    low, high = leaves.low[:, column], leaves.high[:, column]
    edges = np.unique(np.concatenate([low, high]))
    sides = high - low
    rise = np.divide(leaves.means * volumes, sides, out=np.zeros_like(sides), where=sides > 0)
    steps = np.bincount(np.searchsorted(edges, low), rise, len(edges))
    steps -= np.bincount(np.searchsorted(edges, high), rise, len(edges))
    marginal = np.cumsum(steps)[:-1]
    return float(np.diff(edges) @ (marginal - mean) ** 2)


class _Line:
    """The marginal of one column of a tree, cell by cell.

    A cell lies between two ends of leaves. If there were more than `finest` cells, they form an
    even grid.
    """

    def __init__(
        self, leaves: Leaves, volumes: Array, column: int, mean: float, finest: int
    ) -> None:
        low, high = leaves.low[:, column, None], leaves.high[:, column, None]
        edges = np.unique(np.concatenate([low, high]))
        if len(edges) > finest + 1:
            edges = np.linspace(0.0, 1.0, finest + 1)
        self.lengths = np.diff(edges)
        inside = np.maximum(np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1]), 0.0)
        sides = high - low
        # The share of a leaf in a cell, divided by the cell's length; 0 for leaves without volume.
        self.density = np.divide(inside, sides, out=np.zeros_like(inside), where=sides > 0)
        self.density /= self.lengths
        marginal = (leaves.means * volumes) @ self.density
        self.variance = float(self.lengths @ (marginal - mean) ** 2)


def all_pairs(columns: Sequence[int]) -> list[tuple[int, int]]:
    """Every two of some columns."""
    return list(itertools.combinations(columns, 2))
