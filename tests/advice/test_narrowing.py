"""A search that narrows its space by itself."""

import numpy as np
import pytest

from afina.advice import Narrowing
from afina.errors import ArgumentError
from afina.search import BayesianOptimization, Grid, Hyperband, Random
from afina.testing import check_algorithm
from afina.testing.toys import conditional_loss, conditional_space, run, sphere, sphere_space

pytestmark = pytest.mark.usefixtures("coarse")


def test_it_keeps_the_promises_of_every_algorithm():
    check_algorithm(lambda seed: Narrowing(Random(seed=seed), every=12, seed=seed))


@pytest.mark.service  # a comparison over seeds
def test_random_search_gets_better_by_it():
    def best(make):
        return np.mean([run(make(s), sphere, sphere_space(4), 60).best for s in range(3)])

    narrowed = best(lambda seed: Narrowing(Random(seed=seed), every=20))
    assert narrowed < best(lambda seed: Random(seed=seed)) / 2


@pytest.mark.parametrize("inner", [BayesianOptimization(seed=1), Hyperband(max_epochs=4, seed=1)])
def test_what_it_proposes_is_of_the_whole_space_and_active(inner):
    space = conditional_space()
    done = run(Narrowing(inner, every=12), conditional_loss, space, 30)
    for trial in done.trials:
        assert set(trial.values) == {entry.name for entry in space.active(trial.values)}


def test_a_grid_and_empty_stages_are_refused():
    with pytest.raises(ArgumentError, match="Grid"):
        Narrowing(Grid(), every=10)
    with pytest.raises(ArgumentError, match="every"):
        Narrowing(Random(seed=0), every=0)
