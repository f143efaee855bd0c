"""Fronts and hypervolumes, against versions that are slow and plain."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afina.errors import ArgumentError
from afina.trials.pareto import (
    crowding_distances,
    hypervolume,
    non_dominated_ranks,
    pareto_front,
    pareto_keys,
    pareto_order,
)

# Few different values, so that ties and dominated rows are common.
FEW = st.sampled_from([0.0, -0.0, 1.0, 2.0, 3.0, math.inf, -math.inf])
GRID = st.integers(0, 4).map(float)


def tables(values, most=12, widths=(1, 2, 3, 4)):
    return st.sampled_from(widths).flatmap(
        lambda m: st.lists(st.lists(values, min_size=m, max_size=m), max_size=most).map(
            lambda rows: np.array(rows, dtype=float).reshape(len(rows), m)
        )
    )


def dominates(a, b):
    pairs = list(zip(a, b, strict=True))
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


def peeled(losses):
    """The ranks by taking off one front after another."""
    ranks = [-1] * len(losses)
    left = [i for i, row in enumerate(losses) if not any(math.isnan(x) for x in row)]
    rank = 0
    while left:
        front = [i for i in left if not any(dominates(losses[j], losses[i]) for j in left)]
        for i in front:
            ranks[i] = rank
        left = [i for i in left if i not in front]
        rank += 1
    return [rank if r < 0 else r for r in ranks]


def cells(losses, side=5):
    """The hypervolume of whole losses up to `side`: the unit cells that some row covers."""
    m = losses.shape[1]
    return sum(
        any(all(x <= c for x, c in zip(row, cell, strict=True)) for row in losses)
        for cell in itertools.product(range(side), repeat=m)
    )


@settings(max_examples=60)
@given(tables(st.one_of(FEW, st.just(math.nan))))
def test_ranks_are_those_of_peeling_off_fronts(losses):
    ranks = non_dominated_ranks(losses)
    assert ranks.tolist() == peeled(losses.tolist())
    front = [i for i, r in enumerate(ranks) if r == 0 and not np.isnan(losses[i]).any()]
    assert pareto_front(losses).tolist() == front


@settings(max_examples=60)
@given(tables(st.floats(allow_nan=False), widths=(2, 3)))
def test_ranks_hold_for_all_floats(losses):
    assert non_dominated_ranks(losses).tolist() == peeled(losses.tolist())


def test_ten_thousand_rows_are_ranked_in_no_time():
    rng = np.random.default_rng(0)
    two = np.repeat(rng.random((5000, 2)), 2, axis=0)
    ranks = non_dominated_ranks(two)
    third = non_dominated_ranks(np.column_stack([two, np.zeros(len(two))]))
    assert (ranks == third).all()  # the two ways agree
    assert (ranks[::2] == ranks[1::2]).all()


@settings(max_examples=60)
@given(tables(FEW), st.randoms(use_true_random=False))
def test_crowding_and_order_do_not_hang_on_the_order_of_the_rows(losses, random):
    moved = list(range(len(losses)))
    random.shuffle(moved)
    distances = crowding_distances(losses)
    assert not np.isnan(distances).any()
    assert (distances >= 0).all()
    assert crowding_distances(losses[moved]).tolist() == distances[moved].tolist()
    keys = pareto_keys(losses)
    assert pareto_keys(losses[moved]).tolist() == keys[moved].tolist()
    order = pareto_order(losses)
    assert [tuple(keys[i]) for i in order] == sorted(map(tuple, keys.tolist()))


def test_crowding_is_the_sum_of_the_gaps_as_parts_of_the_ranges():
    losses = np.array([[0.0, 10.0], [1.0, 6.0], [1.5, 5.0], [4.0, 0.0]])
    assert crowding_distances(losses) == pytest.approx(
        [math.inf, 1.5 / 4 + 5 / 10, 3 / 4 + 6 / 10, math.inf]
    )
    assert crowding_distances(np.zeros((0, 2))).tolist() == []
    assert crowding_distances(np.ones((3, 2))).tolist() == [math.inf] * 3
    with_constant = np.column_stack([losses, np.ones(4)])
    assert crowding_distances(with_constant).tolist() == crowding_distances(losses).tolist()


def test_rows_without_a_result_come_last():
    losses = np.array([[math.nan, 0.0], [9.0, 9.0], [math.inf, 0.0], [0.0, 0.0]])
    assert non_dominated_ranks(losses).tolist() == [2, 1, 1, 0]
    assert pareto_front(losses).tolist() == [3]
    assert pareto_order(losses).tolist() == [3, 1, 2, 0]
    nothing = np.full((2, 2), math.nan)
    assert pareto_front(nothing).tolist() == []
    assert non_dominated_ranks(nothing).tolist() == [0, 0]
    assert non_dominated_ranks(np.zeros((0, 2))).tolist() == []


@settings(max_examples=60)
@given(tables(GRID, most=8))
def test_the_hypervolume_of_whole_losses_is_the_number_of_covered_cells(losses):
    reference = np.full(losses.shape[1], 5.0)
    assert hypervolume(losses, reference) == cells(losses)


@settings(max_examples=60)
@given(tables(st.floats(-1.0, 2.0), most=6, widths=(1, 2, 3, 4, 5)))
def test_the_hypervolume_of_reals_is_that_of_adding_and_subtracting_overlaps(losses):
    gains = np.maximum(1.0 - losses, 0.0)
    total = 0.0
    for size in range(1, len(gains) + 1):
        for some in itertools.combinations(gains, size):
            total -= (-1) ** size * np.min(some, axis=0).prod()
    assert hypervolume(losses, np.ones(losses.shape[1])) == pytest.approx(total, abs=1e-9)


def test_infinite_and_missing_losses_have_infinite_and_no_volume():
    reference = np.zeros(2)
    assert hypervolume(np.array([[-math.inf, -1.0]]), reference) == math.inf
    assert hypervolume(np.array([[-math.inf, 1.0], [math.nan, -1.0]]), reference) == 0


def test_what_is_no_table_of_losses_is_refused():
    with pytest.raises(ArgumentError, match="losses"):
        pareto_front(np.zeros(3))
    with pytest.raises(ArgumentError, match="reference"):
        hypervolume(np.zeros((1, 2)), np.ones(3))
    with pytest.raises(ArgumentError, match="reference"):
        hypervolume(np.zeros((1, 2)), np.array([1.0, math.inf]))
