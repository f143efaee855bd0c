"""Random, grid and Bayesian search as seen through their tuners."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

import afina as kt


def tuner_of(base: Any, score: Any, project: dict[str, Any], **kwargs: Any) -> Any:
    """A tuner that scores each trial by `score(hp)`, after the search."""

    class Scoring(base):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            return float(score(trial.hyperparameters))

    tuner = Scoring(**{**project, **kwargs})
    tuner.search(verbose=0)
    return tuner


def tried(tuner: Any, *names: str) -> list[tuple[Any, ...]]:
    return [
        tuple(trial.hyperparameters.values.get(name) for name in names)
        for trial in tuner.oracle.trials.values()
    ]


def small(hp: Any) -> int:
    return hp.Int("a", 0, 2) + 10 * hp.Choice("b", [0, 1, 2]) + 100 * hp.Boolean("c")


def test_grid_search_tries_every_combination_once(project: dict[str, Any]) -> None:
    tuner = tuner_of(kt.GridSearch, small, project)
    found = tried(tuner, "a", "b", "c")
    expected = set(itertools.product(range(3), range(3), (False, True)))
    assert len(found) == 18
    assert set(found) == expected
    assert tuner.get_best_hyperparameters()[0].values == {"a": 0, "b": 0, "c": False}


def test_grid_search_begins_with_the_defaults_and_turns_the_last_first(
    project: dict[str, Any],
) -> None:
    def score(hp: Any) -> int:
        return hp.Int("a", 0, 2, default=1) + hp.Choice("b", [5, 6], default=6)

    hp = kt.HyperParameters()
    score(hp)
    tuner = tuner_of(kt.GridSearch, score, project, hyperparameters=hp)
    assert tried(tuner, "a", "b") == [(1, 6), (1, 5), (0, 6), (0, 5), (2, 6), (2, 5)]


def test_grid_search_follows_conditions(project: dict[str, Any]) -> None:
    def score(hp: Any) -> int:
        kind = hp.Choice("kind", ["x", "y"])
        with hp.conditional_scope("kind", ["x"]):
            if kind == "x":
                return hp.Int("n", 1, 3)
        with hp.conditional_scope("kind", ["y"]):
            return 10 * hp.Int("m", 1, 2)

    found = tried(tuner_of(kt.GridSearch, score, project), "kind", "n", "m")
    assert set(found) == {
        ("x", 1, None),
        ("x", 2, None),
        ("x", 3, None),
        ("y", None, 1),
        ("y", None, 2),
    }
    assert len(found) == 5


def test_grid_search_keeps_to_max_trials_and_fixed_values(project: dict[str, Any]) -> None:
    def score(hp: Any) -> int:
        hp.Fixed("f", 7)
        return hp.Int("a", 0, 50)

    tuner = tuner_of(kt.GridSearch, score, project, max_trials=4)
    assert tried(tuner, "f", "a") == [(7, 0), (7, 1), (7, 2), (7, 3)]


def test_grid_search_cuts_a_float_without_step_in_ten(project: dict[str, Any]) -> None:
    tuner = tuner_of(kt.GridSearch, lambda hp: hp.Float("r", 0.0, 10.0), project)
    found = sorted(r for (r,) in tried(tuner, "r"))
    assert found == pytest.approx([0.0] + [k + 0.5 for k in range(10)])


def test_grid_search_gives_ints_of_a_logarithmic_range(
    project: dict[str, Any], mended: bool
) -> None:
    tuner = tuner_of(kt.GridSearch, lambda hp: hp.Int("n", 2, 16, step=2, sampling="log"), project)
    found = [n for (n,) in tried(tuner, "n")]
    assert sorted(found) == [2, 4, 8, 16]
    assert all(type(n) is int for n in found) is mended


def test_random_search_finds_all_of_a_small_space(project: dict[str, Any], mended: bool) -> None:
    tuner = tuner_of(kt.RandomSearch, small, project, max_trials=18, seed=4)
    found = tried(tuner, "a", "b", "c")
    assert len(found) == len(set(found))
    # Keras Tuner gives up after twenty draws in a row of what it has tried.
    assert len(found) == 18 if mended else len(found) <= 18


def test_random_search_ends_when_nothing_is_left(project: dict[str, Any]) -> None:
    tuner = tuner_of(kt.RandomSearch, lambda hp: hp.Int("a", 0, 1), project, max_trials=50)
    assert set(tried(tuner, "a")) == {(0,), (1,)}
    assert len(tuner.oracle.trials) == 2


def test_random_search_draws_on_the_scale_of_the_sampling(project: dict[str, Any]) -> None:
    hp = kt.HyperParameters()
    hp.Float("rate", 1e-6, 1.0, sampling="log")
    tuner = tuner_of(
        kt.RandomSearch, lambda hp: 0, project, max_trials=60, seed=3, hyperparameters=hp
    )
    small_ones = sum(rate < 1e-3 for (rate,) in tried(tuner, "rate"))
    assert 18 <= small_ones <= 42


def bowl(hp: Any) -> float:
    return (hp.Float("x", 0.0, 1.0) - 0.3) ** 2 + (hp.Float("y", 0.0, 1.0) - 0.6) ** 2


def test_bayesian_optimization_comes_close_to_a_minimum(project: dict[str, Any]) -> None:
    tuner = tuner_of(kt.BayesianOptimization, bowl, project, max_trials=14, seed=1)
    assert len(tuner.oracle.trials) == 14
    assert tuner.oracle.get_best_trials()[0].score < 0.02


def test_bayesian_optimization_takes_its_settings(project: dict[str, Any]) -> None:
    tuner = tuner_of(
        kt.BayesianOptimization,
        bowl,
        project,
        objective=kt.Objective("score", "min"),
        max_trials=6,
        num_initial_points=3,
        alpha=1e-3,
        beta=1.5,
        seed=2,
    )
    oracle = tuner.oracle
    assert (oracle.num_initial_points, oracle.alpha, oracle.beta) == (3, 1e-3, 1.5)
    assert len(oracle.trials) == 6


def test_bayesian_optimization_handles_every_kind_of_hyperparameter(
    project: dict[str, Any],
) -> None:
    def score(hp: Any) -> float:
        total = hp.Float("f", 1e-3, 1.0, sampling="log") + hp.Int("i", 1, 9, step=2)
        total += {"u": 0, "v": 1, "w": 2}[hp.Choice("c", ["u", "v", "w"])]
        if hp.Boolean("b"):
            total += hp.Float("deep", 0, 1, parent_name="b", parent_values=[True])
        return total + hp.Fixed("k", 1)

    tuner = tuner_of(
        kt.BayesianOptimization, score, project, max_trials=8, num_initial_points=3, seed=1
    )
    values = [t.hyperparameters.values for t in tuner.oracle.trials.values()]
    assert len(values) == 8
    assert all(v["i"] in (1, 3, 5, 7, 9) and v["c"] in ("u", "v", "w") for v in values)
    assert all(("deep" in v) == v["b"] for v in values)


@pytest.mark.afina_only
def test_bayesian_optimization_does_not_repeat_itself(project: dict[str, Any]) -> None:
    def score(hp: Any) -> int:
        return hp.Int("a", 0, 4) + hp.Int("b", 0, 3)

    tuner = tuner_of(kt.BayesianOptimization, score, project, max_trials=15, seed=1)
    found = tried(tuner, "a", "b")
    assert len(set(found)) == len(found) == 15


@pytest.mark.afina_only
def test_bayesian_optimization_shuns_where_the_objective_is_infinite(
    project: dict[str, Any],
) -> None:
    def score(hp: Any) -> float:
        x = hp.Float("x", 0.0, 1.0)
        return float("inf") if x > 0.7 else (x - 0.2) ** 2

    tuner = tuner_of(
        kt.BayesianOptimization,
        score,
        project,
        max_trials=16,
        num_initial_points=6,
        max_consecutive_failed_trials=99,
        seed=1,
    )
    late = [x for (x,) in tried(tuner, "x")][8:]
    assert sum(x > 0.7 for x in late) <= 3


@pytest.mark.parametrize(
    "name", ["RandomSearch", "GridSearch", "BayesianOptimization", "Hyperband"]
)
def test_every_oracle_works_in_a_plain_tuner(name: str, project: dict[str, Any]) -> None:
    hp = kt.HyperParameters()
    hp.Int("a", 0, 99)
    settings = {"objective": kt.Objective("score", "max"), "seed": 1, "hyperparameters": hp}
    settings |= {"max_epochs": 2} if name == "Hyperband" else {"max_trials": 4}
    oracle = getattr(kt.oracles, f"{name}Oracle")(**settings)
    tuner = tuner_of(
        kt.engine.base_tuner.BaseTuner, lambda hp: hp.Int("a", 0, 99), project, oracle=oracle
    )
    best = oracle.get_best_trials()[0]
    assert best.score == max(t.score for t in oracle.trials.values())
    assert tuner.get_best_hyperparameters()[0].get("a") == best.score


@pytest.mark.parametrize("name", ["RandomSearch", "GridSearch", "BayesianOptimization"])
def test_a_space_of_fixed_values_is_one_trial(
    name: str, project: dict[str, Any], mended: bool
) -> None:
    def score(hp: Any) -> float:
        return hp.Fixed("f", 2.0)

    tuner = tuner_of(getattr(kt, name), score, project, max_trials=2)
    count = len(tuner.oracle.trials)
    assert count == 1 if mended else count in (1, 2)
    assert tuner.get_best_hyperparameters()[0].get("f") == 2.0


def test_a_space_without_hyperparameters_is_tried(tmp_path: Path) -> None:
    project = {"directory": str(tmp_path), "project_name": "p"}
    tuner = tuner_of(kt.RandomSearch, lambda hp: 4.0, project, max_trials=1)
    assert [t.score for t in tuner.oracle.trials.values()] == [4.0]
