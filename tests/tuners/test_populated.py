"""The door between the search and `Oracle.populate_space`."""

import pytest

import afina as kt
from afina.tuners.grid_search import GridSearchOracle
from afina.tuners.hyperband import HyperbandOracle
from afina.tuners.random_search import RandomSearchOracle

GOAL = kt.Objective("score", "max")


class Choosy(RandomSearchOracle):
    def populate_space(self, trial_id):
        return super().populate_space(trial_id)


class Locked(RandomSearchOracle):
    @kt.synchronized
    def populate_space(self, trial_id):
        return super().populate_space(trial_id)


class Own(kt.Oracle):
    def populate_space(self, trial_id):
        return {"status": "STOPPED"}


@pytest.mark.parametrize(
    ("oracle", "free"),
    [
        (RandomSearchOracle(GOAL, max_trials=3), True),
        (GridSearchOracle(GOAL), True),
        (HyperbandOracle(GOAL), True),
        (kt.oracles.BayesianOptimizationOracle(GOAL, max_trials=3), False),
        (Choosy(GOAL, max_trials=3), False),
        (Locked(GOAL, max_trials=3), False),
        (Own(GOAL), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_afina_s_own_choices_are_known_not_to_hang_on_who_ends_first(oracle, free):
    assert oracle.study.algorithm.order_independent is free
