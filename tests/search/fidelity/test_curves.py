import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from afina.search.fidelity.curves import hopeful_end, is_hopeless

QUICK = [1 / epoch for epoch in range(1, 31)]
FLAT = [1.0, 0.8, 0.7, 0.66, *[0.65] * 8]


def test_a_flat_curve_far_above_the_best_is_hopeless():
    assert is_hopeless(FLAT, 30, 0.05, [QUICK] * 3)


def test_nothing_is_hopeless_before_there_is_something_to_compare_with():
    assert not is_hopeless(FLAT[:5], 30, 0.05, [QUICK] * 3), "too few epochs"
    assert not is_hopeless(FLAT, 30, 0.05, [QUICK] * 2), "too few others"
    assert not is_hopeless(FLAT, 30, 0.05, [QUICK[:20]] * 5), "none of them went the whole way"
    assert not is_hopeless([math.nan] * 12, 30, 0.05, [QUICK] * 3)
    assert not is_hopeless(FLAT, 30, math.inf, [QUICK] * 3)


def test_a_curve_that_still_falls_is_waited_for():
    falling = [1 - 0.07 * epoch for epoch in range(12)]
    assert not is_hopeless(falling, 30, 0.02, [QUICK] * 3)


def test_where_others_bloomed_late_all_are_waited_for():
    late = [0.9] * 20 + [0.05] * 10
    assert not is_hopeless(FLAT, 30, 0.05, [QUICK, QUICK, late])


def test_gaps_in_curves_do_no_harm():
    gaps = [loss if epoch % 2 else math.nan for epoch, loss in enumerate(FLAT)]
    assert is_hopeless(gaps, 30, 0.05, [[math.nan, *QUICK[1:]]] * 3)


@given(
    st.floats(0, 1), st.floats(0.1, 5), st.sampled_from([0.25, 0.5, 1.0, 2.0]), st.integers(8, 40)
)
def test_the_hopeful_end_of_a_power_law_is_no_worse_than_its_end(level, scale, power, done):
    curve = level + scale * np.arange(1.0, done + 1) ** -power
    assert hopeful_end(curve, 50) <= level + scale * 50.0**-power + 1e-6
    assert hopeful_end(curve, 50) >= level - 0.6 * scale
