import itertools

import numpy as np
import pytest

from afina.advice import fanova
from afina.advice.fanova import Leaves, all_pairs, decompose, fit_trees, leaves_of

COUNTS = (3, 4, 2)


def grid():
    """All cells of a small grid, as points of the unit cube."""
    cells = np.array(list(itertools.product(*map(range, COUNTS))))
    return (cells + 0.5) / np.array(COUNTS)


def exact(values):
    """The functional ANOVA of a full table, by its definition."""
    mean = values.mean()
    single = {}
    for axis in range(values.ndim):
        others = tuple(a for a in range(values.ndim) if a != axis)
        single[axis] = values.mean(axis=others, keepdims=True) - mean
    pairs = []
    for a, b in all_pairs(range(values.ndim)):
        others = tuple(axis for axis in range(values.ndim) if axis not in (a, b))
        joint = values.mean(axis=others, keepdims=True) - mean - single[a] - single[b]
        pairs.append((joint**2).mean())
    return values.var(), [(part**2).mean() for part in single.values()], pairs


@pytest.mark.parametrize("seed", range(5))
def test_trees_grown_on_a_full_grid_give_the_exact_decomposition(seed):
    values = np.random.default_rng(seed).normal(size=COUNTS)
    total, single, pairs = exact(values)
    for leaves in fit_trees(grid(), values.ravel(), 3, seed):
        found = decompose(leaves, all_pairs(range(3)))
        assert found.total == pytest.approx(total)
        assert found.single == pytest.approx(single)
        assert found.pairs == pytest.approx(pairs)


def test_a_single_leaf_has_no_variance():
    found = decompose(Leaves(np.zeros((1, 2)), np.ones((1, 2)), np.array([3.0])), [(0, 1)])
    assert (found.total, found.single.tolist(), found.pairs.tolist()) == (0, [0, 0], [0])


def test_xor_is_all_interaction():
    corners = np.array([[0, 0], [0, 0.5], [0.5, 0], [0.5, 0.5]])
    found = decompose(Leaves(corners, corners + 0.5, np.array([1.0, 0, 0, 1])), [(0, 1)])
    assert found.single == pytest.approx([0, 0])
    assert found.pairs == pytest.approx([found.total])


def test_the_leaves_of_a_tree_fill_the_cube_and_predict_as_it_does():
    from sklearn.tree import DecisionTreeRegressor

    rng = np.random.default_rng(0)
    points, targets = rng.random((80, 4)), rng.normal(size=80)
    tree = DecisionTreeRegressor(random_state=0).fit(points, targets)
    leaves = leaves_of(tree.tree_, 4)
    assert (leaves.high - leaves.low).prod(axis=1).sum() == pytest.approx(1)
    probes = rng.random((50, 4)).astype(np.float32).astype(float)
    inside = ((probes[:, None] > leaves.low) & (probes[:, None] <= leaves.high)).all(axis=2)
    assert (inside.sum(axis=1) == 1).all()
    assert inside @ leaves.means == pytest.approx(tree.predict(probes))


def test_many_leaves_are_averaged_on_a_grid_without_losing_much(monkeypatch):
    rng = np.random.default_rng(1)
    points = rng.random((400, 3))
    targets = points[:, 0] + 4 * (points[:, 1] - 0.5) * (points[:, 2] - 0.5)
    (leaves,) = fit_trees(points, targets, 1, 0)
    coarse = decompose(leaves, all_pairs(range(3)))
    monkeypatch.setattr(fanova, "FINEST", 10_000)
    exact_ones = decompose(leaves, all_pairs(range(3)))
    assert coarse.pairs == pytest.approx(exact_ones.pairs, abs=0.02 * coarse.total)
    assert coarse.pairs[2] > 2 * max(coarse.pairs[:2])
