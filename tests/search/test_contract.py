import inspect
import json

import numpy as np
import pytest

from afina import search
from afina.errors import ArgumentError
from afina.search import (
    CMAES,
    TPE,
    Auto,
    BayesianOptimization,
    Grid,
    Hyperband,
    ParetoSearch,
    Random,
    Situation,
    Suggestion,
)
from afina.space import Float, Space
from afina.testing import check_algorithm

NEED_ANOTHER = {"StartFrom", "Informed", "InOrder", "Wrapper"}
"""What goes around another algorithm cannot be made without it."""


PUBLIC = {name: getattr(search, name) for name in search.__all__}
ALGORITHMS = {
    name: found
    for name, found in PUBLIC.items()
    if inspect.isclass(found) and isinstance(getattr(found, "name", None), str)
}


def test_random_search_keeps_what_algorithms_promise():
    check_algorithm(lambda seed: Random(seed))


def test_grid_search_keeps_what_algorithms_promise():
    check_algorithm(lambda seed: Grid(), draws=False)


@pytest.mark.first("9")
@pytest.mark.parametrize("max_epochs", [1, 9, 100])
def test_hyperband_keeps_what_algorithms_promise(max_epochs):
    check_algorithm(
        lambda seed: Hyperband(max_epochs=max_epochs, iterations=None, seed=seed),
        trials=40,
        exhausts=False,
    )


@pytest.mark.parametrize("kind", list(ALGORITHMS.values()), ids=list(ALGORITHMS))
def test_every_algorithm_can_be_made_without_arguments(kind):
    algorithm = kind()
    space = Space((Float("rate", 0.0, 1.0),))
    assert isinstance(algorithm.ask(algorithm.init(), Situation(number=0, space=space)), Suggestion)
    assert algorithm.settings().get("seed", 0) == 0


def test_the_algorithms_made_without_arguments_are_all_that_need_no_other():
    asked_and_told = {name for name, found in PUBLIC.items() if hasattr(found, "tell")}
    assert asked_and_told - {"Algorithm"} == ALGORITHMS.keys() | NEED_ANOTHER


@pytest.mark.parametrize("kind", [BayesianOptimization, TPE, CMAES, ParetoSearch])
@pytest.mark.parametrize("wrong", ["3", 2.5, 0, True, [4]])
def test_a_number_of_first_trials_that_is_none_ends_in_a_sentence(kind, wrong):
    with pytest.raises(ArgumentError, match="num_initial_points: must be a whole number from 1 up"):
        kind(num_initial_points=wrong)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (BayesianOptimization, {"alpha": "1e-4"}),
        (BayesianOptimization, {"beta": None}),
        (BayesianOptimization, {"alpha": float("nan")}),
        (TPE, {"candidates": "64"}),
        (CMAES, {"population": "8"}),
        (Auto, {"max_epochs": "9"}),
        (Auto, {"seed": "1"}),
    ],
)
def test_a_setting_of_the_wrong_type_ends_in_a_sentence(kind, wrong):
    (name,) = wrong
    with pytest.raises(ArgumentError, match=f"^{name}: must be .*, but got "):
        kind(**wrong)


@pytest.mark.parametrize("kind", [BayesianOptimization, TPE, CMAES, ParetoSearch])
def test_settings_given_as_numpy_numbers_can_be_kept_as_json(kind):
    settings = kind(seed=np.int64(3), num_initial_points=np.int32(5)).settings()
    assert json.loads(json.dumps(settings)) == settings
    assert (settings["seed"], settings["num_initial_points"]) == (3, 5)
