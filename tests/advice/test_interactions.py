"""The test of a pair of hyperparameters: what its fit follows, and what it finds."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from afina.advice.interactions import PairTest

LOGS = np.array([-0.5, -0.3, 0.2, 0.5, -3.0, -1.0])
BOUNDS = [(-4.0, 4.0)] * 4 + [(-8.0, 2.0), (-6.0, 6.0)]


def pair_test(results):
    """Of the first two of four hyperparameters, whose places are drawn."""
    rng = np.random.default_rng(0)
    places = rng.random((60, 4))
    targets = results(places) + 0.05 * rng.normal(size=60)
    targets = (targets - targets.mean()) / targets.std()
    distances = np.square(places[:, None] - places[None]).transpose(2, 0, 1).copy()
    return PairTest(distances, targets, LOGS, BOUNDS, (0, 1))


@pytest.mark.parametrize(
    "some",
    [
        [-0.5, -0.3, -2.0, -1.0, 0.3],
        [0.4, -1.0, -1.0, 2.0, -0.3],
        [-0.5, -0.3, -2.0, -1.0, 0.3, -0.7],
        [0.5, -0.3, -3.0, 1.0, -1.3, 1.7],
    ],
)
def test_the_slopes_are_those_of_the_loss(some):
    test = pair_test(lambda x: np.sin(5 * x[:, 0] * x[:, 1]) + x[:, 2])
    slopes = test.loss(np.array(some))[1]
    nearly = approx_fprime(np.array(some), lambda each: test.loss(each)[0], 1e-6)
    np.testing.assert_allclose(slopes, nearly, rtol=1e-4, atol=1e-4)


def test_a_valley_gains_by_an_interaction_and_a_sum_does_not():
    assert pair_test(lambda x: np.square(3 * (x[:, 0] - x[:, 1])) + x[:, 2]).gain() > 10
    assert pair_test(lambda x: np.square(3 * x[:, 0]) + 3 * x[:, 1] + x[:, 2]).gain() < 2
