import math

import numpy as np
import pytest

from afina.advice.ped_anova import densities, divergence, importance


def slow_density(places, cells, width):
    """A kernel of one width at each place, summed cell by cell."""
    found = []
    for cell in range(cells):
        total = 1 / cells
        for place in places:
            heights = [
                math.exp(-(((c + 0.5) / cells - place) ** 2) / (2 * width**2)) for c in range(cells)
            ]
            total += heights[cell] / sum(heights)
        found.append(total / (len(places) + 1))
    return found


def scott(places, cells):
    low, high = np.quantile(places, [0.25, 0.75])
    return max(1.059 * min((high - low) / 1.34, np.std(places)) * len(places) ** -0.2, 1 / cells)


@pytest.mark.parametrize("seed", range(3))
def test_importance_is_the_divergence_worked_out_by_hand(seed):
    rng = np.random.default_rng(seed)
    places = rng.random(30)
    best = np.arange(30) < 6
    top = slow_density(places[best], 50, scott(places[best], 50))
    reference = slow_density(places, 50, scott(places, 50))
    expected = sum(r * (t / r - 1) ** 2 for t, r in zip(top, reference, strict=True))
    assert importance(places, best, None, smooth=True) == pytest.approx(expected)


def test_a_choice_is_counted():
    places = np.array([0.25, 0.25, 0.75, 0.75, 0.75])
    best = np.array([True, True, False, False, False])
    top, reference = np.array([2.5, 0.5]) / 3, np.array([2.5, 3.5]) / 6
    assert importance(places, best, 2, smooth=False) == pytest.approx(divergence(top, reference))


def test_a_conditional_one_is_weighted_by_the_shares_that_have_it():
    places = np.array([0.25, 0.25, 0.75, 0.75, np.nan, np.nan, np.nan, np.nan])
    best = np.array([True, True, False, False, True, True, False, False])
    inside = importance(places[:4], best[:4], 2, smooth=False)
    assert importance(places, best, 2, smooth=False) == pytest.approx(0.5**2 / 0.5 * inside)


def test_densities_sum_to_one_and_leave_no_cell_empty():
    for smooth in (True, False):
        found = densities(np.array([0.1, 0.1, 0.1]), 10, smooth)
        assert found.sum() == pytest.approx(1)
        assert (found > 0).all()


def test_fewer_than_two_of_the_best_say_nothing():
    places = np.array([0.1, np.nan, np.nan])
    assert importance(places, np.array([True, True, False]), None, smooth=True) == 0
