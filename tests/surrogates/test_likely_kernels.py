"""The kernels that few results leave possible."""

import math

import numpy as np
import pytest

from afina.surrogates.gaussian_process import GaussianProcess, Kernel, Likelihood, fit
from afina.surrogates.likely_kernels import likely_processes

FLOOR = 1e-4


def fitted(count, dim=4, seed=0, noise=0.1):
    rng = np.random.default_rng(seed)
    features, groups = rng.random((count, dim)), np.arange(dim)
    targets = np.sin(4 * features[:, 0]) + noise * rng.standard_normal(count)
    targets = (targets - targets.mean()) / targets.std()
    kernel = fit(features, targets, groups, noise_floor=FLOOR)
    return GaussianProcess(kernel, features, targets, groups)


def logs_of(kernel):
    logit = math.log(kernel.additive / (1 - kernel.additive))
    return np.append(np.log([*kernel.lengthscales, kernel.noise]), logit)


def spread(processes):
    """How far the kernels are from the first, in deviations of the priors."""
    first, *others = [logs_of(each.kernel) for each in processes]
    deviations = Likelihood(processes[0].features, processes[0].targets, np.arange(4)).spreads
    return float(np.mean([np.abs((each - first) / deviations).mean() for each in others]))


def test_the_most_probable_comes_first_and_no_other_weighs_more():
    process = fitted(8)
    processes, weights = likely_processes(process, FLOOR)
    assert processes[0] is process
    assert len(processes) == len(weights) == 5
    assert np.exp(weights).sum() == pytest.approx(1)
    assert weights.argmax() == 0
    likelihood = Likelihood(process.features, process.targets, process.groups)
    least = likelihood(logs_of(process.kernel))[0]
    assert all(likelihood(logs_of(each.kernel))[0] >= least - 1e-3 for each in processes)


def test_the_same_data_give_the_same_kernels_within_bounds():
    one, two = (likely_processes(fitted(7, seed=3), FLOOR) for _ in range(2))
    np.testing.assert_array_equal(one[1], two[1])
    for a, b in zip(one[0], two[0], strict=True):
        np.testing.assert_array_equal(a.kernel.lengthscales, b.kernel.lengthscales)
        assert a.kernel.noise == b.kernel.noise >= FLOOR * (1 - 1e-9)


def test_the_more_results_the_nearer_are_the_kernels():
    few, many = (
        np.mean([spread(likely_processes(fitted(count, seed=s), FLOOR)[0]) for s in range(6)])
        for count in (5, 60)
    )
    assert many < 0.8 * few


def test_of_many_results_most_draws_count():
    # There the posterior is nearly normal, and a draw about as likely as the approximation says.
    sizes = []
    for seed in range(6):
        _, weights = likely_processes(fitted(60, seed=seed, noise=0.5), FLOOR)
        sizes.append(1 / np.exp(2 * weights).sum())  # of a sample of equal weights
    assert np.mean(sizes) > 2.5


def test_at_the_ends_of_what_is_allowed_the_kernels_stay_there():
    process = fitted(6)
    edge = Kernel(np.array([0.025, 1e3, 1.0, 1.0]), FLOOR, 1 / (1 + math.exp(5.0)))
    processes, weights = likely_processes(
        GaussianProcess(edge, process.features, process.targets, process.groups), FLOOR
    )
    assert np.isfinite(weights).all()
    for each in processes:
        assert (each.kernel.lengthscales >= 0.025 * (1 - 1e-9)).all()
        assert (each.kernel.lengthscales <= 1e3 * (1 + 1e-9)).all()
