import math

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import lognorm, multivariate_normal

from afina.surrogates.gaussian_process import (
    LENGTHSCALE_BOUNDS,
    GaussianProcess,
    Kernel,
    Likelihood,
    fit,
    kernel_mode,
)

from .textbook import written

GROUPS = np.array([0, 1, 2, 2])  # the last two features belong to one hyperparameter


def prior(a, b, kernel):
    return written(a, b, kernel.lengthscales, GROUPS, kernel.additive)


def logs_of(kernel):
    logit = math.log(kernel.additive / (1 - kernel.additive))
    return np.append(np.log([*kernel.lengthscales, kernel.noise]), logit)


def data(n=9, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.random((n, 4))
    targets = np.sin(5 * features[:, 0]) + features[:, 1] ** 2 + 0.1 * rng.standard_normal(n)
    return features, (targets - targets.mean()) / targets.std()


@pytest.fixture
def kernel():
    return Kernel(np.array([0.3, 0.8, 1.5]), 0.01, 0.4)


def test_the_posterior_is_that_of_the_textbook(kernel):
    features, targets = data()
    points = np.random.default_rng(1).random((5, 4))
    process = GaussianProcess(kernel, features, targets, GROUPS)

    inverse = np.linalg.inv(prior(features, features, kernel) + 0.01 * np.eye(9))
    ones = np.ones(9)
    mean = ones @ inverse @ targets / (ones @ inverse @ ones)
    cross = prior(points, features, kernel)
    expected = mean + cross @ inverse @ (targets - mean)
    variance = 1 - np.diag(cross @ inverse @ cross.T)

    np.testing.assert_allclose(process.mean, mean, rtol=1e-9)
    np.testing.assert_allclose(process.predict(points), (expected, variance), rtol=1e-9)


def test_the_fit_maximises_likelihood_times_priors(kernel):
    features, targets = data()
    likelihood = Likelihood(features, targets, GROUPS)
    value, _ = likelihood(logs_of(kernel))

    covariance = prior(features, features, kernel) + 0.01 * np.eye(9)
    mean = GaussianProcess(kernel, features, targets, GROUPS).mean
    log_density = multivariate_normal(np.full(9, mean), covariance).logpdf(targets)
    log_density += lognorm(1.2, scale=math.sqrt(3)).logpdf(kernel.lengthscales).sum()
    log_density += lognorm(1, scale=math.exp(-4)).logpdf(kernel.noise)
    log_density -= 0.5 * (math.log(0.4 / 0.6) / 1.5) ** 2

    constants = 9 / 2 * math.log(2 * math.pi) + 4 / 2 * math.log(2 * math.pi)
    constants += 3 * math.log(1.2)
    assert value == pytest.approx(constants * -1 - log_density, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_of_the_fit_is_that_of_finite_differences(seed):
    likelihood = Likelihood(*data(15, seed), GROUPS)
    logs = np.append(np.log([0.2, 1.0, 4.0, 0.02]), 0.5)
    logs += 0.3 * np.random.default_rng(seed).standard_normal(5)
    numeric = approx_fprime(logs, lambda x: likelihood(x)[0], 1e-6)
    np.testing.assert_allclose(likelihood(logs)[1], numeric, rtol=1e-4, atol=1e-4)


def test_the_gradients_of_the_posterior_are_those_of_finite_differences(kernel):
    process = GaussianProcess(kernel, *data(), GROUPS)
    points = np.random.default_rng(2).random((6, 4))
    mean, variance, mean_slope, variance_slope = process.gradients(points)
    np.testing.assert_allclose((mean, variance), process.predict(points), rtol=1e-10)
    for feature in range(4):
        step = 1e-6 * np.eye(4)[feature]
        above, below = process.predict(points + step), process.predict(points - step)
        np.testing.assert_allclose(mean_slope[:, feature], (above[0] - below[0]) / 2e-6, atol=1e-6)
        slope = (above[1] - below[1]) / 2e-6
        np.testing.assert_allclose(variance_slope[:, feature], slope, atol=1e-6)


def test_without_noise_it_interpolates_and_is_sure_there():
    features, targets = data()
    process = GaussianProcess(Kernel(np.full(3, 0.7), 1e-9), features, targets, GROUPS)
    mean, variance = process.predict(features)
    np.testing.assert_allclose(mean, targets, atol=1e-5)
    assert variance.max() < 1e-6


def test_far_from_all_data_it_knows_the_prior_only(kernel):
    process = GaussianProcess(kernel, *data(), GROUPS)
    mean, variance = process.predict(np.full((1, 4), 1e3))
    np.testing.assert_allclose(mean, process.mean)
    np.testing.assert_allclose(variance, 1)


def test_a_fit_finds_which_hyperparameters_matter_and_how_noisy_they_are():
    rng = np.random.default_rng(0)
    features = rng.random((80, 4))
    targets = np.sin(8 * features[:, 0]) + 0.1 * rng.standard_normal(80)
    targets = (targets - targets.mean()) / targets.std()
    kernel = fit(features, targets, GROUPS)
    assert 3 * kernel.lengthscales[0] < kernel.lengthscales[1:].min()
    assert 0.005 < kernel.noise < 0.05  # 0.1 ** 2 against a signal of variance 0.5


def test_a_fit_is_a_maximum():
    features, targets = data(30)
    kernel = fit(features, targets, GROUPS)
    likelihood = Likelihood(features, targets, GROUPS)
    best = likelihood(logs_of(kernel))[0]
    for axis in range(5):
        for step in (-0.3, 0.3):
            assert likelihood(logs_of(kernel) + step * np.eye(5)[axis])[0] > best


def test_the_noise_never_falls_below_its_floor():
    rng = np.random.default_rng(0)
    features = rng.random((20, 4))
    targets = features[:, 0] - 0.5
    assert fit(features, targets, GROUPS, noise_floor=0.02).noise >= 0.02 * (1 - 1e-12)


@pytest.mark.parametrize("targets", [np.zeros(6), np.array([1.0, -1, 1, -1, 1, -1])])
def test_repeated_rows_and_equal_targets_do_no_harm(targets):
    features = np.full((6, 4), 0.5)
    kernel = fit(features, targets, GROUPS)
    mean, variance = GaussianProcess(kernel, features, targets, GROUPS).predict(features)
    assert np.isfinite(mean).all()
    assert ((variance >= 0) & (variance <= 1)).all()
    assert (kernel.lengthscales >= LENGTHSCALE_BOUNDS[0] * (1 - 1e-9)).all()


def test_the_prior_expects_longer_lengthscales_in_more_dimensions():
    few, many = kernel_mode(4, 1e-4), kernel_mode(64, 1e-4)
    assert many.lengthscales[0] == pytest.approx(4 * few.lengthscales[0])
    assert few.lengthscales[0] == pytest.approx(math.exp(-1.44) * 2)


def test_believing_takes_the_uncertainty_and_keeps_the_expectation(kernel):
    process = GaussianProcess(kernel, *data(), GROUPS)
    points = np.random.default_rng(3).random((2, 4))
    mean, variance = process.predict(points)
    believing = process.believe(points)
    new_mean, new_variance = believing.predict(points)
    np.testing.assert_allclose(new_mean, mean, atol=1e-9)
    assert (new_variance < kernel.noise).all()  # as after any one measurement
    assert (variance > 5 * kernel.noise).all()


def test_effects_of_single_hyperparameters_are_learnt_from_few_rows():
    rng = np.random.default_rng(0)
    groups = np.arange(8)
    features = (rng.random((240, 8)) < 0.5).astype(float)
    effects = features @ rng.standard_normal(8)
    targets = (effects - effects[:24].mean()) / effects[:24].std()
    kernel = fit(features[:24], targets[:24], groups)
    assert kernel.additive > 0.5
    unseen = features[24:]
    mean, _ = GaussianProcess(kernel, features[:24], targets[:24], groups).predict(unseen)
    assert np.corrcoef(mean, targets[24:])[0, 1] > 0.97


def test_skill_is_the_correlation_with_what_is_predicted_for_each_row_left_out(kernel):
    features, targets = data(14)
    process = GaussianProcess(kernel, features, targets, GROUPS)
    left_out = []
    for row in range(14):
        others = np.arange(14) != row
        rest = GaussianProcess(kernel, features[others], targets[others], GROUPS, process.mean)
        left_out.append(rest.predict(features[[row]])[0][0])
    assert process.skill() == pytest.approx(np.corrcoef(targets, left_out)[0, 1])


def test_a_process_of_chance_has_no_skill_and_one_row_says_nothing():
    rng = np.random.default_rng(0)
    features, targets = rng.random((40, 4)), rng.standard_normal(40)
    assert GaussianProcess(kernel_mode(3, 1e-4), features, targets, GROUPS).skill() < 0.3
    assert GaussianProcess(kernel_mode(3, 1e-4), features[:1], targets[:1], GROUPS).skill() == 0
    equal = np.zeros(40)
    assert GaussianProcess(kernel_mode(3, 1e-4), features, equal, GROUPS).skill() == 0
