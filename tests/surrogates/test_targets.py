import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.surrogates.targets import standardised, tamed

LOSSES = [0.9, 0.2, 0.5, 0.21, 3.0, 0.4, 0.7]


def test_targets_have_mean_0_and_variance_1_and_keep_the_order():
    targets = standardised(LOSSES)
    assert targets.mean() == pytest.approx(0)
    assert targets.var() == pytest.approx(1)
    assert targets.argsort().tolist() == np.argsort(LOSSES).tolist()


def test_shifting_and_scaling_the_losses_changes_nothing():
    moved = [1e4 * loss - 700 for loss in LOSSES]
    np.testing.assert_allclose(standardised(moved), standardised(LOSSES), atol=1e-6)


def test_how_bad_the_worst_is_does_not_matter():
    for worst in (1e6, 1e300):
        wild = [worst if loss == 3.0 else loss for loss in LOSSES]
        np.testing.assert_allclose(standardised(wild), standardised(LOSSES), atol=1e-9)


def test_failed_trials_and_infinite_losses_are_as_bad_as_the_worst():
    targets = standardised([*LOSSES, None, math.inf])
    assert targets[-2] == targets[-1] == targets[4] == targets.max()


def test_a_loss_of_minus_infinity_is_as_good_as_the_best_and_no_better():
    targets = standardised([*LOSSES, -math.inf])
    assert targets[-1] == targets[1] == targets.min()


def test_tamed_losses_keep_their_proportions_but_for_the_worst():
    losses = [1.0, 2.0, 3.0, 4.0, 5.0, 1e9]
    tame = tamed(losses)
    np.testing.assert_allclose(np.diff(tame[:5]), tame[1] - tame[0])
    assert tame[4] < tame[5] < 30
    np.testing.assert_allclose(tamed([7 * loss - 50 for loss in losses]), tame)


def test_tamed_losses_of_which_most_are_equally_good_are_measured_by_the_others():
    assert tamed([0.5, 0.5, 0.5, 0.5, 0.6, 0.7, 0.8]) == pytest.approx([0, 0, 0, 0, 0.5, 1, 1.5])


@pytest.mark.parametrize("transform", [standardised, tamed])
@pytest.mark.parametrize("losses", [[], [None, None], [1.0], [2.0, 2.0, None], [0.0, 0.0]])
def test_losses_that_tell_nothing_give_zeros(transform, losses):
    assert transform(losses).tolist() == [0.0] * len(losses)


@pytest.mark.parametrize("transform", [standardised, tamed])
@given(losses=st.lists(st.none() | st.floats(allow_nan=False), max_size=30))
def test_targets_are_finite_and_never_turn_the_order_around(transform, losses):
    targets = transform(losses)
    assert np.isfinite(targets).all()
    known = [i for i, loss in enumerate(losses) if loss is not None and math.isfinite(loss)]
    known.sort(key=lambda i: losses[i])
    assert (np.diff(targets[known]) >= -1e-9).all()
