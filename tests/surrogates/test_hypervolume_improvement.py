"""The expected gain in hypervolume, against counting boxes, sampling and finite differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afina.surrogates.acquisition import LogExpectedImprovement
from afina.surrogates.gaussian_process import GaussianProcess, Kernel
from afina.surrogates.hypervolume_improvement import LogExpectedHypervolumeImprovement, free_boxes
from afina.trials.pareto import hypervolume, pareto_front

FRONTS = st.integers(1, 4).flatmap(
    lambda m: st.lists(
        st.lists(st.integers(0, 5).map(float), min_size=m, max_size=m), max_size=7
    ).map(lambda rows: np.array(rows, dtype=float).reshape(len(rows), m))
)


@settings(max_examples=60)
@given(FRONTS)
def test_the_boxes_fill_just_what_the_front_leaves_and_do_not_overlap(front):
    m = front.shape[1]
    reference = np.full(m, 4.0)
    lower, upper = free_boxes(front, reference)
    # Cells of whole numbers from -1: each is in one box where it is free, in none where not.
    for corner in np.ndindex(*(5,) * m):
        cell = np.array(corner, dtype=float) - 1.0
        free = not (front <= cell).all(axis=1).any()
        inside = ((lower <= cell) & (cell + 1 <= upper)).all(axis=1).sum()
        assert inside == free


def test_boxes_of_two_and_three_objectives_are_few():
    rng = np.random.default_rng(0)
    for m, most in ((2, 41), (3, 130)):
        rows = np.abs(rng.standard_normal((40, m)))
        rows /= np.linalg.norm(rows, axis=1)[:, None]
        lower, _ = free_boxes(rows, np.full(m, 2.0))
        assert len(lower) <= most


def processes(count, seed=0):
    """Models of `count` objectives of two numbers, of ten trials."""
    rng = np.random.default_rng(seed)
    features = rng.random((10, 2))
    groups = np.arange(2)
    kernel = Kernel(np.full(2, 0.4), 1e-2)
    targets = rng.standard_normal((count, 10))
    return [GaussianProcess(kernel, features, column, groups) for column in targets]


def acquisition(count, seed=0):
    models = processes(count, seed)
    expected = np.array([model.predict(model.features)[0] for model in models]).T
    front = expected[pareto_front(expected)]
    reference = expected.max(axis=0) + 1.0
    return LogExpectedHypervolumeImprovement(models, front, reference), front, reference


@pytest.mark.parametrize("count", [2, 3])
def test_it_is_the_mean_gain_over_draws_from_the_models(count):
    worth, front, reference = acquisition(count)
    rng = np.random.default_rng(1)
    before = hypervolume(front, reference)
    for point in rng.random((2, 2)):
        mean, variance = np.array([m.predict(point[None]) for m in worth.processes])[:, :, 0].T
        draws = mean + np.sqrt(variance) * rng.standard_normal((500, count))
        gains = [hypervolume(np.vstack([front, d]), reference) - before for d in draws]
        error = np.std(gains) / np.sqrt(len(gains))
        assert np.exp(worth.value(point[None])[0]) == pytest.approx(
            np.mean(gains), abs=4 * error + 1e-6
        )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_its_slopes_are_those_of_its_values(count):
    worth, _, _ = acquisition(count, seed=3)
    points = np.random.default_rng(2).random((5, 2))
    value, slope = worth.gradient(points)
    assert value == pytest.approx(worth.value(points))
    for axis in range(2):
        step = np.zeros(2)
        step[axis] = 1e-6
        difference = (worth.value(points + step) - worth.value(points - step)) / 2e-6
        assert slope[:, axis] == pytest.approx(difference, rel=1e-4, abs=1e-6)


def test_with_one_objective_it_is_the_expected_improvement():
    worth, front, _ = acquisition(1)
    points = np.random.default_rng(2).random((6, 2))
    plain = LogExpectedImprovement(worth.processes[0], float(front.min()))
    assert worth.value(points) == pytest.approx(plain.value(points))
    assert worth.gradient(points)[1] == pytest.approx(plain.gradient(points)[1])


def test_it_has_slopes_where_no_gain_is_to_be_expected():
    models = processes(2)
    worth = LogExpectedHypervolumeImprovement(models, np.full((1, 2), -60.0), np.full(2, -59.0))
    value, slope = worth.gradient(np.array([[0.1, 0.9]]))
    assert -1e5 < value[0] < -1000  # e to this is 0 in floats
    assert np.isfinite(slope).all()
    assert np.abs(slope).max() > 1
