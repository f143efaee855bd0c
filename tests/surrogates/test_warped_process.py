import numpy as np
import pytest
from scipy.optimize import approx_fprime

from afina.surrogates.gaussian_process import Likelihood
from afina.surrogates.warped_process import WarpedLikelihood, fit_warped, fitted_process, warped

GROUPS = np.array([0, 1])


def data(count=20, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.random((count, 2))
    return features, np.sin(4 * features[:, 0]) + features[:, 1] ** 2


@pytest.mark.parametrize("power", [-1.0, 0.0, 0.5, 1.0, 2.0, 3.0])
def test_a_warp_keeps_the_order_and_its_derivatives_are_those_of_finite_differences(power):
    values, rows = np.random.default_rng(0).standard_normal(12), np.arange(3, 9)
    warp = warped(values, power, rows)
    assert (np.argsort(warp.targets) == np.argsort(values)).all()
    assert (warp.targets.mean(), warp.targets.var()) == pytest.approx((0, 1))
    above, below = warped(values, power + 1e-5, rows), warped(values, power - 1e-5, rows)
    numeric = (above.targets - below.targets) / 2e-5
    np.testing.assert_allclose(warp.by_power, numeric, atol=1e-6)
    assert (above.stretch - below.stretch) / 2e-5 == pytest.approx(warp.stretch_by_power, abs=1e-6)


def test_the_stretch_is_the_logarithm_of_the_slope():
    values, rows = np.array([-1.3, -0.2, 0.4, 2.0]), np.arange(4)
    spread = 1e-6 * np.array([1.0, -1.0, 1.0, -1.0])  # small beside the standardisation
    far = np.concatenate([values, np.linspace(-3, 3, 4000)])

    def at(step):
        moved = far.copy()
        moved[:4] += step * spread
        return warped(moved, 0.3, rows).targets[:4]

    slopes = (at(1) - at(-1)) / (2 * spread)
    assert warped(far, 0.3, rows).stretch == pytest.approx(np.log(slopes).sum(), abs=1e-2)


def test_the_gradient_of_the_fit_is_that_of_finite_differences():
    features, values = data()
    likelihood = WarpedLikelihood(features[5:], values, np.arange(5, 20), GROUPS)
    logs = np.array([-0.5, 0.3, -3.0, 0.4, 0.6])
    numeric = approx_fprime(logs, lambda x: likelihood(x)[0], 1e-6)
    np.testing.assert_allclose(likelihood(logs)[1], numeric, rtol=1e-4, atol=1e-4)


def test_a_power_of_1_changes_nothing_of_the_likelihood_but_a_constant():
    features, values = data()
    values = (values - values.mean()) / values.std()
    whole = WarpedLikelihood(features, values, np.arange(20), GROUPS)
    plain = Likelihood(features, values, GROUPS)
    one, two = np.array([-0.5, 0.3, -3.0, 0.4]), np.array([0.2, 0.1, -2.0, -0.4])
    gap = [whole(np.append(logs, 1.0))[0] - plain(logs)[0] for logs in (one, two)]
    assert gap[0] == pytest.approx(gap[1])


def test_the_scale_is_found_on_which_the_losses_are_smooth():
    features, values = data(40)
    bent = np.exp(2 * values) - np.exp(2 * np.median(values))
    _, targets = fit_warped(features, bent / 3, np.arange(40), GROUPS, 1e-4)
    straight = (values - values.mean()) / values.std()
    bent = (bent - bent.mean()) / bent.std()
    assert np.abs(targets - straight).mean() < 0.5 * np.abs(bent - straight).mean()


def test_equal_losses_give_a_process_that_expects_no_difference():
    features, _ = data()
    process = fitted_process(features, np.zeros(20), np.arange(20), GROUPS, 1e-4)
    mean, variance = process.predict(features)
    assert (mean == 0).all()
    assert np.isfinite(variance).all()
