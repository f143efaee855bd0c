import numpy as np
import pytest

from afina.search.fidelity.rung_process import (
    Measurements,
    RungKernel,
    RungLikelihood,
    RungProcess,
    fit_rungs,
    mean_covariance,
)

from ...surrogates.textbook import written

GROUPS = np.array([0, 1, 1], dtype=np.intp)
KERNEL = RungKernel(
    lengthscales=np.array([0.4, 0.9]),
    early_lengthscales=np.array([1.1, 0.3]),
    memory=0.7,
    own=0.2,
    noise=0.01,
    early=0.6,
    early_own=0.3,
    additive=0.4,
)


def rows(count, seed=0, trainings=None):
    rng = np.random.default_rng(seed)
    owners = rng.integers(trainings or count, size=count)
    points = rng.random((count, 3))[owners]
    return Measurements(points, rng.choice([0.0, 0.5, 1.0], count), owners.astype(np.intp))


def covariance(a, b, kernel=KERNEL):
    """The sum in the module's text, term by term."""

    def shared(lengthscales, additive=0.0):
        return written(a.features, b.features, lengthscales, GROUPS, additive)

    fade = np.exp(-np.abs(np.subtract.outer(a.fidelities, b.fidelities)) / kernel.memory)
    same = np.equal.outer(a.owners, b.owners)
    lasting = (shared(kernel.lengthscales, kernel.additive) + kernel.own * same) * fade
    early = kernel.early * shared(kernel.early_lengthscales) + kernel.early_own * same
    early *= np.outer(1 - a.fidelities, 1 - b.fidelities)
    return lasting + early + mean_covariance(a.fidelities, b.fidelities)


def test_predictions_are_those_of_the_written_covariance():
    known, asked = rows(12, trainings=6), rows(5, seed=1)
    asked = Measurements(
        asked.features, asked.fidelities, np.array([-1, 0, 1, 2, -1], dtype=np.intp)
    )
    targets = np.random.default_rng(2).normal(size=12)
    process = RungProcess(KERNEL, known, targets, GROUPS)
    inverse = np.linalg.inv(covariance(known, known) + KERNEL.noise * np.eye(12))
    cross = covariance(asked, known)
    mean, variance = process.predict(asked)
    assert mean == pytest.approx(cross @ inverse @ targets)
    own = KERNEL.own + KERNEL.early_own * (1 - asked.fidelities) ** 2
    prior = np.diag(covariance(asked, asked)) - own * (asked.owners < 0)
    assert variance == pytest.approx(prior - np.diag(cross @ inverse @ cross.T))


def test_the_likelihoods_gradient_is_its_slope():
    data = rows(10, trainings=5)
    likelihood = RungLikelihood(data, np.random.default_rng(3).normal(size=10), GROUPS)
    logs = np.array([-0.3, 0.2, 0.4, -0.6, 0.1, -1.5, -3.0, -0.5, -1.2, 0.7])
    value, gradient = likelihood(logs)
    for place in range(len(logs)):
        step = np.zeros_like(logs)
        step[place] = 1e-5
        slope = (likelihood(logs + step)[0] - likelihood(logs - step)[0]) / 2e-5
        assert gradient[place] == pytest.approx(slope, rel=1e-4, abs=1e-6)
    assert np.isfinite(value)


def test_the_predictions_gradients_are_their_slopes():
    process = RungProcess(KERNEL, rows(8), np.random.default_rng(4).normal(size=8), GROUPS)
    points = np.random.default_rng(5).random((3, 3))
    mean, variance, mean_slope, variance_slope = process.gradients(points, 0.5)
    new = np.full(3, -1, dtype=np.intp)
    again = process.predict(Measurements(points, np.full(3, 0.5), new))
    assert mean == pytest.approx(again[0])
    assert variance == pytest.approx(again[1])
    for feature in range(3):
        step = np.zeros(3)
        step[feature] = 1e-6
        above = process.predict(Measurements(points + step, np.full(3, 0.5), new))
        below = process.predict(Measurements(points - step, np.full(3, 0.5), new))
        assert mean_slope[:, feature] == pytest.approx((above[0] - below[0]) / 2e-6, abs=1e-4)
        assert variance_slope[:, feature] == pytest.approx((above[1] - below[1]) / 2e-6, abs=1e-4)


def trainings(count, correlation):
    """Each at the lowest rung and in full; the end has this correlation with the beginning."""
    rng = np.random.default_rng(6)
    points = rng.random((count, 3))
    early = np.sin(5 * points[:, 0]) + points[:, 1]
    other = np.cos(4 * points[:, 1]) - points[:, 2]
    late = correlation * early + np.sqrt(1 - correlation**2) * other - 2
    owners = np.arange(count, dtype=np.intp)
    data = Measurements(
        np.concatenate([points, points]),
        np.repeat([0.0, 1.0], count),
        np.concatenate([owners, owners]),
    )
    return data, np.concatenate([early, late])


def test_whether_early_epochs_can_be_trusted_is_learnt():
    groups = np.arange(3, dtype=np.intp)

    def kept(correlation):
        """The correlation of the lowest rung with the full training, in what neighbours share."""
        kernel = fit_rungs(*trainings(25, correlation), groups)
        return np.exp(-1 / kernel.memory) / np.sqrt(1 + kernel.early)

    assert kept(1.0) > 0.8
    assert kept(0.0) < 0.5


def test_what_decides_only_the_first_epochs_is_told_from_what_lasts():
    rng = np.random.default_rng(8)
    points = rng.random((40, 2))
    end = np.sin(4 * points[:, 0])
    data = Measurements(
        np.concatenate([points, points[:15]]),
        np.repeat([0.0, 1.0], [40, 15]),
        np.concatenate([np.arange(40), np.arange(15)]).astype(np.intp),
    )
    targets = np.concatenate([end + np.cos(5 * points[:, 1]), end[:15] - 2])
    groups = np.arange(2, dtype=np.intp)
    kernel = fit_rungs(data, targets, groups)
    assert kernel.lengthscales[1] > 3 * kernel.lengthscales[0]
    assert kernel.early_lengthscales[0] > 3 * kernel.early_lengthscales[1]
    unseen = Measurements(points[15:], np.ones(25), np.arange(15, 40, dtype=np.intp))
    mean, _ = RungProcess(kernel, data, targets, groups).predict(unseen)
    assert np.corrcoef(mean, end[15:])[0, 1] > 0.95


def test_losses_that_fall_from_rung_to_rung_do_not_make_all_fresh_ones_look_good():
    # The best four of twenty went on, and fell by 2: so would have the others.
    data, targets = trainings(20, 1.0)
    went = np.argsort(targets[:20])[:4]
    kept = np.concatenate([np.arange(20), went + 20])
    groups = np.arange(3, dtype=np.intp)
    kernel = fit_rungs(data.take(kept), targets[kept], groups)
    process = RungProcess(kernel, data.take(kept), targets[kept], groups)
    others = np.setdiff1d(np.arange(20), went)
    mean, _ = process.predict(data.take(others + 20))
    assert np.abs(mean - targets[others + 20]).mean() < 0.4


def test_believed_rows_take_the_uncertainty_away_and_move_nothing():
    process = RungProcess(KERNEL, rows(8), np.random.default_rng(7).normal(size=8), GROUPS)
    new = Measurements(np.full((1, 3), 0.5), np.ones(1), np.array([99], dtype=np.intp))
    mean, variance = process.predict(new)
    after_mean, after_variance = process.believe(new).predict(new)
    assert after_mean == pytest.approx(mean)
    assert after_variance[0] < 0.1 * variance[0]
