import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from afina.space import Boolean, Choice, Float, Int, Parent, Space
from afina.surrogates.acquisition import (
    Averaged,
    Feasible,
    LogExpectedImprovement,
    LowerConfidenceBound,
    fresh,
    log_improvement,
    maximise,
    step_reaches,
)
from afina.surrogates.gaussian_process import GaussianProcess, Kernel
from afina.surrogates.geometry import Geometry


def process(dim=3, n=12, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.random((n, dim))
    targets = np.sin(4 * features).sum(axis=1)
    targets = (targets - targets.mean()) / targets.std()
    kernel = Kernel(np.linspace(0.3, 1.0, dim), 1e-3)
    return GaussianProcess(kernel, features, targets, np.arange(dim))


def averaged(model, best):
    parts = [LogExpectedImprovement(each, best) for each in (model, process(seed=3))]
    return Averaged(parts, np.log([0.8, 0.2]))


@pytest.mark.parametrize("z", [-30.0, -8.0, -2.0, -1.0, -0.999, 0.0, 1.5, 6.0, 40.0])
def test_log_improvement_is_the_log_of_the_integral(z):
    # E[max(z + e, 0)] with e normal; exp(-z²/2) is taken out where z < 0 so that nothing underflows
    low = max(-z, 0.0)
    integral, _ = quad(
        lambda t: (t + low + z) * math.exp(-0.5 * t * t - t * low), 0, 40, epsabs=0, limit=200
    )
    if z > 0:
        integral, _ = quad(lambda e: (z + e) * math.exp(-0.5 * e * e), -min(z, 38), 38, limit=200)
    expected = math.log(integral) - 0.5 * low**2 - 0.5 * math.log(2 * math.pi)
    assert log_improvement(np.array([z]))[0][0] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("z", [-99.0, -100.5, -1e3, -1e4, -1e6])
def test_log_improvement_follows_its_series_far_out(z):
    # h(z) / pdf(z) = sum over k of (-1)^k (2k + 1)!! / z^(2k + 2), in exact arithmetic
    exact, term = Fraction(0), 1 / Fraction(z) ** 2
    for k in range(12):
        exact += term
        term *= -Fraction(2 * k + 3) / Fraction(z) ** 2
    value, pdf, cdf = (part[0] for part in log_improvement(np.array([z])))
    assert value + 0.5 * z * z + 0.5 * math.log(2 * math.pi) == pytest.approx(
        math.log(exact), rel=1e-11, abs=1e-15 * z * z
    )
    assert pdf == pytest.approx(float(1 / exact), rel=1e-11)
    assert cdf == pytest.approx(float((1 - exact) / -Fraction(z) / exact), rel=1e-9)


@pytest.mark.parametrize("z", [-50.0, -3.0, -1.0, -0.5, 2.0])
def test_the_ratios_are_those_of_the_normal_distribution(z):
    value, pdf, cdf = (part[0] for part in log_improvement(np.array([z])))
    assert math.log(pdf) == pytest.approx(norm.logpdf(z) - value, abs=1e-9)
    assert math.log(cdf) == pytest.approx(norm.logcdf(z) - value, abs=1e-9)


def test_log_improvement_rises_without_a_step_where_its_formulas_meet():
    for seam in (-1.0, -100.0):
        z = seam + np.linspace(-1e-6, 1e-6, 21)
        steps = np.diff(log_improvement(z)[0])
        assert (steps > 0).all()
        assert steps.max() < 1.01 * steps.min()


@pytest.mark.parametrize("best", [-0.5, -30.0])
@pytest.mark.parametrize("kind", ["log_ei", "lcb", "averaged", "feasible", "barely feasible"])
def test_gradients_are_those_of_finite_differences(kind, best):
    model = process()
    acquisition = {
        "log_ei": LogExpectedImprovement(model, best),
        "lcb": LowerConfidenceBound(model, 2),
        "averaged": averaged(model, best),
        "feasible": Feasible(LogExpectedImprovement(model, best), process(seed=3), 0.3),
        "barely feasible": Feasible(LogExpectedImprovement(model, best), process(seed=3), -2.0),
    }[kind]
    points = np.random.default_rng(1).random((5, 3))
    value, slope = acquisition.gradient(points)
    np.testing.assert_allclose(value, acquisition.value(points), rtol=1e-9)
    for axis in range(3):
        step = 1e-6 * np.eye(3)[axis]
        numeric = (acquisition.value(points + step) - acquisition.value(points - step)) / 2e-6
        np.testing.assert_allclose(slope[:, axis], numeric, rtol=1e-4, atol=1e-5)


def test_expected_improvement_is_that_of_many_draws():
    model = process()
    points = np.random.default_rng(1).random((4, 3))
    mean, variance = model.predict(points)
    draws = mean + np.sqrt(variance) * np.random.default_rng(2).standard_normal((200_000, 4))
    gain = np.maximum(0.3 - draws, 0).mean(axis=0)
    value = LogExpectedImprovement(model, 0.3).value(points)
    np.testing.assert_allclose(np.exp(value), gain, rtol=0.03)


def test_the_average_is_of_improvements_not_of_their_logarithms():
    points = np.random.default_rng(1).random((4, 3))
    one, two = (LogExpectedImprovement(each, 0.3) for each in (process(), process(seed=3)))
    mean = 0.8 * np.exp(one.value(points)) + 0.2 * np.exp(two.value(points))
    np.testing.assert_allclose(np.exp(averaged(process(), 0.3).value(points)), mean)
    far = averaged(process(), -1e4).value(points)  # where an improvement itself is 0 in floats
    assert np.isfinite(far).all()


def test_the_maximum_found_is_as_good_as_that_of_a_fine_grid():
    geometry = Geometry(Space((Float("a", 0.0, 1.0), Float("b", 0.0, 1.0))))
    acquisition = LogExpectedImprovement(process(dim=2), -1.0)
    axis = np.linspace(0, 1, 120)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    points = maximise(acquisition, geometry, process(dim=2).features, np.random.default_rng(0))
    values = acquisition.value(geometry.embed(points))
    assert values[0] >= acquisition.value(grid).max() - 1e-6
    assert (np.diff(values) <= 1e-9).all()


def mixed():
    sgd = [Parent("optimizer", ["sgd"])]
    return Space(
        (
            Choice("optimizer", ["adam", "sgd", "rms"]),
            Float("momentum", 0.0, 1.0, conditions=sgd),
            Boolean("nesterov", conditions=sgd),
            Choice("nest", ["a", "b", "c"], conditions=[*sgd, Parent("nesterov", [True])]),
            Int("units", 1, 1000, sampling="log"),
            Float("rate", 1e-4, 1e-1, sampling="log"),
        )
    )


def test_activity_of_points_is_that_of_the_space():
    space = mixed()
    geometry = Geometry(space)
    points = geometry.uniform(200, np.random.default_rng(0))
    for point, active in zip(points, geometry.active(points), strict=True):
        values = geometry.decode(point)
        assert [entry.name in values for entry in space] == active.tolist()
        on = ~np.isnan(geometry.encode([values])[0])
        np.testing.assert_allclose(geometry.encode([values])[0][on], point[on], atol=1e-12)


def test_of_entries_of_one_name_only_the_active_one_counts():
    space = Space(
        (
            Boolean("deep"),
            Int("units", 1, 4, conditions=[Parent("deep", [True])]),
            Int("units", 5, 9, conditions=[Parent("deep", [False])]),
            Float("rate", 0.0, 1.0, conditions=[Parent("units", [4, 9])]),
        )
    )
    geometry = Geometry(space)
    points = geometry.uniform(100, np.random.default_rng(0))
    for point, active in zip(points, geometry.active(points), strict=True):
        values = geometry.decode(point)
        assert active.tolist() == [True, values["deep"], not values["deep"], "rate" in values]
        assert ("rate" in values) == (values["units"] in (4, 9))


def distance(geometry, one, other):
    a, b = geometry.embed(geometry.encode([one, other]))
    return ((a - b) ** 2).sum()


def test_choices_differ_by_1_and_activity_differs_by_1_whatever_the_value():
    geometry = Geometry(mixed())
    base = {"units": 1, "rate": 1e-4}
    adam, rms = {"optimizer": "adam", **base}, {"optimizer": "rms", **base}
    assert distance(geometry, adam, adam) == 0
    assert distance(geometry, adam, rms) == pytest.approx(1)
    for momentum in (0.0, 0.3, 1.0):
        sgd = {"optimizer": "sgd", "momentum": momentum, "nesterov": False, **base}
        assert distance(geometry, adam, sgd) == pytest.approx(3)  # choice, momentum, nesterov
        nesterov = {**sgd, "nesterov": True, "nest": "b"}
        assert distance(geometry, sgd, nesterov) == pytest.approx(
            4 * math.sin(0.5) ** 2 + 1  # the ends of an arc of length 1, and activity of nest
        )
        assert distance(geometry, nesterov, {**nesterov, "nest": "c"}) == pytest.approx(1)
    assert distance(geometry, adam, {**adam, "units": 1000}) == pytest.approx(1)
    assert distance(geometry, adam, {**adam, "rate": 1e-1}) == pytest.approx(1)


def test_slopes_pulled_back_to_the_axes_are_those_of_finite_differences():
    geometry = Geometry(mixed())
    points = geometry.uniform(30, np.random.default_rng(0))
    active = geometry.active(points)
    weights = np.random.default_rng(1).standard_normal(geometry.embed(points).shape[1])
    slopes = geometry.pull_back(points, active, np.tile(weights, (30, 1)))
    for axis in geometry.real_axes:
        step = 1e-6 * np.eye(geometry.dim)[axis]
        numeric = (geometry.embed(points + step) - geometry.embed(points - step)) @ weights / 2e-6
        np.testing.assert_allclose(slopes[:, axis], numeric, atol=1e-6)


def test_neighbours_differ_in_one_active_discrete_entry():
    space = mixed()
    geometry = Geometry(space)
    rng = np.random.default_rng(0)
    for point in geometry.uniform(20, rng):
        here = geometry.decode(point)
        moved = [geometry.decode(other) for other in geometry.neighbours(point, rng)]
        for there in moved:
            changed = [name for name in here if name in there and here[name] != there[name]]
            assert len(changed) == 1
            assert changed[0] in ("optimizer", "nesterov", "nest", "units")
        assert {there["optimizer"] for there in moved} == {"adam", "sgd", "rms"}
        assert any(abs(there["units"] - here["units"]) == 1 for there in moved)


def test_perturbations_are_points_of_the_space_near_the_given_one():
    space = mixed()
    geometry = Geometry(space)
    base = {"optimizer": "adam", "units": 30, "rate": 1e-2}
    points = geometry.perturbed(geometry.encode([base])[0], 300, np.random.default_rng(0))
    rows = [geometry.decode(point) for point in points]
    assert all(entry.contains(row[entry.name]) for row in rows for entry in space.active(row))
    kept = [
        (row["optimizer"] == "adam")
        + (row["units"] == 30)
        + math.isclose(row["rate"], 1e-2, rel_tol=1e-9)
        for row in rows
    ]
    assert 1.5 < np.mean(kept) < 2.5
    assert {row["optimizer"] for row in rows} == {"adam", "sgd", "rms"}


def test_improvement_counts_as_often_as_a_training_is_expected_to_end():
    model, labels = process(), process(seed=3)
    points = np.random.default_rng(1).random((6, 3))
    plain = LogExpectedImprovement(model, 0.0)
    mean, variance = labels.predict(points)
    chance = norm.cdf((3.0 - mean) / np.sqrt(variance + labels.kernel.noise))
    value = Feasible(plain, labels, 3.0).value(points)
    np.testing.assert_allclose(np.exp(value), np.exp(plain.value(points)) * chance)


class Flat:
    def value(self, features):
        return np.zeros(len(features))

    def gradient(self, features):
        return np.zeros(len(features)), np.zeros_like(features)


def steps(points):
    """A loss that is constant on squares of a quarter."""
    return np.floor(points[:, 0] * 4) + 10 * np.floor(points[:, 1] * 4)


def test_where_neighbours_share_their_loss_the_surroundings_of_trials_are_worth_less():
    points = np.random.default_rng(0).random((40, 2))
    losses, steady = steps(points), np.zeros(2, dtype=bool)
    reaches = step_reaches(points, losses)
    assert 0.07 <= reaches.min() < reaches.max() <= 0.6
    worth = fresh(Flat(), points, losses, steady)
    moves = np.array([[0.02, 0.01], [0.05, -0.05], [0.1, 0.1], [2.0, 2.0]])
    asked = points[:4] + moves
    value, slope = worth.gradient(asked)
    np.testing.assert_allclose(value, worth.value(asked))
    gaps = (np.linalg.norm(asked[:, None] - points, axis=2) / reaches).min(axis=1)
    np.testing.assert_allclose(np.exp(value), (1 - np.exp(-0.5 * gaps**4)) ** 3, rtol=1e-6)
    assert value[-1] == pytest.approx(0, abs=1e-9)
    for axis in range(2):
        step = 1e-7 * np.eye(2)[axis]
        numeric = (worth.value(asked + step) - worth.value(asked - step)) / 2e-7
        np.testing.assert_allclose(slope[:, axis], numeric, rtol=1e-3, atol=1e-4)


def test_the_more_trials_end_on_a_step_the_farther_it_reaches():
    points = np.random.default_rng(0).random((40, 2))
    more = np.concatenate([points, 0.05 + 0.01 * np.random.default_rng(1).random((6, 2))])
    before, after = (step_reaches(p, steps(p)) for p in (points, more))
    corner = steps(more) == 0
    assert (after[corner] / after[~corner].min()).min() > (before / before.min()).min()
    assert after[corner].max() >= 1.2**4 * after.min()


@pytest.mark.parametrize("seed", range(5))
def test_losses_that_are_equal_by_chance_say_nothing_of_neighbours(seed):
    rng = np.random.default_rng(seed)
    points = rng.random((40, 2))
    for losses in (rng.integers(0, 6, 40).astype(float), rng.random(40), np.zeros(40)):
        assert step_reaches(points, losses) is None
    assert isinstance(fresh(Flat(), points, rng.random(40), np.zeros(2, dtype=bool)), Flat)


def test_what_differs_in_a_choice_is_no_neighbour():
    points = np.random.default_rng(0).random((40, 2))
    features = np.column_stack([points, np.repeat([0.0, 1.0], 20)])
    losses, steady = steps(points), np.array([False, False, True])
    worth = fresh(Flat(), features, losses, steady)
    other = features[:1] + np.array([[0.0, 0.0, 1.0]])
    gaps = np.linalg.norm(points[20:] - points[0], axis=1) / worth.reaches[20:]
    assert np.exp(worth.value(features[:1])) < 1e-5
    expected = (1 - math.exp(-0.5 * gaps.min() ** 4)) ** 3
    assert np.exp(worth.value(other)) == pytest.approx(expected)
