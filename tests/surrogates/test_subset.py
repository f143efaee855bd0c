import numpy as np
import pytest

from afina.surrogates.subset import filled_up, representatives


@pytest.mark.parametrize("count", [1, 39, 40, 41, 100, 1000])
def test_representatives_are_as_many_as_allowed_sorted_and_different(count):
    best_first = np.random.default_rng(count).permutation(count).tolist()
    kept = representatives(best_first, 40)
    assert len(kept) == min(count, 40)
    assert (np.diff(kept) > 0).all()


def test_the_best_half_and_the_latest_quarter_are_among_the_representatives():
    best_first = np.random.default_rng(1).permutation(500).tolist()
    kept = set(representatives(best_first, 40).tolist())
    assert set(best_first[:20]) <= kept
    assert set(range(490, 500)) <= kept


def test_the_rest_of_the_representatives_covers_the_history():
    # The best are the first ones, so that only the even part can lie in the middle.
    kept = representatives(list(range(1000)), 40)
    middle = kept[(kept >= 20) & (kept < 990)]
    assert len(middle) == 10
    assert np.diff(middle).max() <= 1.1 * 970 / 9


def test_what_is_filled_up_holds_what_was_chosen_and_both_ends_of_the_others():
    assert filled_up([50, 3], list(range(10, 20)), 5).tolist() == [3, 10, 14, 19, 50]


def test_nothing_is_added_where_enough_is_chosen():
    assert filled_up([2, 1], [5, 6], 2).tolist() == [1, 2]
