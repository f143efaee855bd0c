"""What the trials leave possible: kernels, functions, and the box that they make of it."""

import numpy as np
import pytest

from afina.advice.belief import believe
from afina.advice.box import peel
from afina.advice.evidence import gather
from afina.advice.functions import Functions
from afina.advice.kernels import draw_kernels
from afina.advice.sample import sample_of
from afina.search import Random
from afina.space import Float, Space
from afina.surrogates.gaussian_process import LENGTHSCALE_BOUNDS, GaussianProcess, Kernel
from afina.testing.toys import run

GROUPS = np.array([0, 1, 2, 2])


def data(n):
    rng = np.random.default_rng(0)
    features = rng.random((n, 4))
    targets = np.sin(5 * features[:, 0]) + features[:, 1] ** 2 + 0.1 * rng.standard_normal(n)
    return features, (targets - targets.mean()) / targets.std()


@pytest.mark.parametrize("additive", [0.01, 0.5, 0.99])
def test_functions_have_the_mean_and_variance_of_their_process(additive):
    features, targets = data(12)
    kernel = Kernel(np.array([0.4, 0.8, 1.5]), 0.05, additive)
    process = GaussianProcess(kernel, features, targets, GROUPS)
    points = np.random.default_rng(1).random((40, 4))
    # Several batches, as each has cosines of its own.
    batches = [Functions(process, 100, np.random.default_rng(seed))(points) for seed in range(20)]
    drawn = np.concatenate(batches, axis=1)
    mean, variance = process.predict(points)
    # The functions know, besides, how unsure the constant mean is.
    ones = 1 - process.cross(points) @ process.solve(np.ones((12, 1)))[:, 0]
    variance = variance + (ones * process.mean_deviation()) ** 2
    assert np.abs(drawn.mean(axis=1) - mean).max() < 0.12
    assert drawn.var(axis=1) == pytest.approx(variance, rel=0.25, abs=0.01)


def test_kernels_are_drawn_within_bounds_and_around_what_the_data_say():
    features, targets = data(40)
    drawn = draw_kernels(features, targets, GROUPS, 12, np.random.default_rng(0), 1e-2)
    again = draw_kernels(features, targets, GROUPS, 12, np.random.default_rng(0), 1e-2)
    lengths = np.array([kernel.lengthscales for kernel in drawn])
    assert (lengths == np.array([kernel.lengthscales for kernel in again])).all()
    assert ((lengths >= LENGTHSCALE_BOUNDS[0]) & (lengths <= LENGTHSCALE_BOUNDS[1])).all()
    assert all(1e-2 <= kernel.noise <= 1 and 0 < kernel.additive < 1 for kernel in drawn)
    assert len({kernel.noise for kernel in drawn}) > 6
    # The third group has no effect, the first a strong one.
    assert np.median(lengths[:, 2]) > np.median(lengths[:, 0])


def boxed(loss, count=40, entries=3):
    space = Space(tuple(Float(f"x{i}", 0, 1) for i in range(entries)))
    sample = sample_of(gather(run(Random(0), loss, space, count).trials, space))
    return peel(sample, believe(sample, 0), 0), sample


def test_a_box_is_worth_it_where_there_is_something_to_see():
    box, _ = boxed(lambda v: (v["x0"] - 0.3) ** 2 + 0.5 * (v["x1"] - 0.7) ** 2)
    assert box.chance > 0.7
    assert 3 / 40 <= box.volume < 0.5
    assert box.kept[0][4]
    assert not box.kept[0][15]
    assert 0.3 < box.promise <= 1


def test_a_box_is_the_whole_space_where_there_is_nothing_to_see():
    box, _ = boxed(lambda v: 1.0)
    assert all(kept.all() for kept in box.kept)
    assert (box.volume, box.chance, box.promise) == (1, 0.5, 1)


def test_the_best_trials_stay_in_the_box():
    box, sample = boxed(lambda v: (v["x0"] - 0.1) ** 2 + 0.01 * v["x2"])
    for row in sample.best(3):
        for column, kept in enumerate(box.kept):
            assert kept[min(int(sample.places[row, column] * len(kept)), len(kept) - 1)]
