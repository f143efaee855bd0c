import numpy as np
import pytest

from afina.surrogates.covariance import Covariance

from .textbook import written

GROUPS = np.array([0, 1, 1], dtype=np.intp)
LENGTHS = np.array([0.4, 0.9])
KNOWN, ASKED = (np.random.default_rng(seed).random((count, 3)) for seed, count in ((0, 70), (1, 5)))


@pytest.mark.parametrize("additive", [0.0, 0.3, 1.0])
def test_covariances_are_those_of_the_written_sum(additive):
    covariance = Covariance(KNOWN, LENGTHS, GROUPS, additive)
    assert covariance.of(ASKED) == pytest.approx(written(ASKED, KNOWN, LENGTHS, GROUPS, additive))
    known = written(KNOWN, KNOWN, LENGTHS, GROUPS, additive)
    assert covariance.among() == pytest.approx(known, abs=1e-6)
    assert (covariance.among(as_others=True) == covariance.of(KNOWN)).all()


@pytest.mark.parametrize("additive", [0.0, 0.3])
def test_slopes_are_those_of_the_covariances(additive):
    covariance = Covariance(KNOWN, LENGTHS, GROUPS, additive)
    cross, slopes = covariance.slopes(ASKED)
    assert cross == pytest.approx(covariance.of(ASKED))
    for feature in range(3):
        step = np.zeros(3)
        step[feature] = 1e-6
        rise = covariance.of(ASKED + step) - covariance.of(ASKED - step)
        assert slopes[:, :, feature] == pytest.approx(rise / 2e-6, abs=1e-6)


def test_a_space_without_hyperparameters_has_configurations_that_are_all_alike():
    nothing = np.zeros((3, 0))
    covariance = Covariance(nothing, np.zeros(0), np.zeros(0, dtype=np.intp), 0.5)
    assert covariance.of(nothing) == pytest.approx(np.ones((3, 3)))
