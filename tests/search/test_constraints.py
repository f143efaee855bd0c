"""Every algorithm proposes only configurations that satisfy the constraints of the space."""

import math

import pytest

import afina
from afina.errors import ArgumentError
from afina.search import (
    CMAES,
    TPE,
    AsynchronousHalving,
    Auto,
    BayesianOptimization,
    Done,
    Grid,
    Hyperband,
    ModelBasedHalving,
    ParetoSearch,
    PopulationBasedTraining,
    QuasiRandom,
    Random,
    StartFrom,
)
from afina.space import Boolean, Choice, Constraint, Float, Int, Parent, Space
from afina.testing.toys import run
from afina.trials import Status

FALLING = Constraint(lambda v: v["a"] >= v["b"])
NUMBERS = Space(
    (Int("a", 1, 12), Int("b", 1, 12, default=6), Float("c", 0.0, 1.0)),
    (FALLING, Constraint(lambda v: v["c"] * v["a"] <= 4)),
)
SMALL = Space((Int("a", 1, 4), Int("b", 1, 4, default=3), Choice("k", ["x", "y"])), (FALLING,))
BELOW = Space(
    (Boolean("deep"), Int("a", 1, 4), Int("b", 1, 4, conditions=[Parent("deep", True)])),
    (FALLING,),
)
NOTHING = Space((Int("a", 1, 4), Int("b", 5, 9)), (FALLING,))
NOTHING_REAL = Space((Float("a", 0.0, 1.0), Float("b", 2.0, 3.0)), (FALLING,))

ALGORITHMS = {
    "random": Random(seed=0),
    "quasi-random": QuasiRandom(seed=0),
    "grid": Grid(),
    "bayesian": BayesianOptimization(seed=0, num_initial_points=4),
    "lcb": BayesianOptimization(seed=0, num_initial_points=4, acquisition="lcb"),
    "tpe": TPE(seed=0, num_initial_points=4),
    "cma": CMAES(seed=0, num_initial_points=4),
    "hyperband": Hyperband(max_epochs=9, seed=0),
    "hyperband with a model": Hyperband(max_epochs=9, seed=0, sampler="model"),
    "asha": AsynchronousHalving(max_epochs=9, seed=0),
    "asha with a model": AsynchronousHalving(max_epochs=9, seed=0, sampler="model"),
    "halving": ModelBasedHalving(max_epochs=9, seed=0),
    "population": PopulationBasedTraining(max_epochs=9, interval=3, seed=0, population=4),
    "auto": Auto(seed=0),
    "auto with epochs": Auto(seed=0, max_epochs=9),
    "several objectives": ParetoSearch(seed=0, num_initial_points=4),
}


def loss(values):
    return abs(values["a"] - 7) + abs(values.get("b", 0) - 3) + values.get("c", 0.0)


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("space", [NUMBERS, SMALL, BELOW], ids=["numbers", "small", "conditional"])
def test_all_trials_satisfy_the_constraints(name, space):
    found = run(ALGORITHMS[name], loss, space, 14, workers=3)
    assert len(found.trials) >= 6
    assert [t.values for t in found.trials if not space.allows(t.values)] == []


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("space", [NOTHING, NOTHING_REAL], ids=["whole", "real"])
def test_constraints_that_nothing_satisfies_end_the_search_with_a_sentence(name, space):
    found = run(ALGORITHMS[name], loss, space, 6)
    assert not any(space.allows(t.values) for t in found.trials)
    assert isinstance(found.done, Done)
    assert found.trials == ()
    assert "no combination of values satisfies the constraints" in found.done.reason
    assert "test_constraints.py" in found.done.reason


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("space", [SMALL, BELOW], ids=["small", "conditional"])
def test_a_grid_tries_exactly_the_allowed_combinations(space, workers):
    found = run(Grid(), loss, space, 100, workers)
    tried = [tuple(trial.values.items()) for trial in found.trials]
    free = run(Grid(), loss, Space(space.entries), 100)
    wanted = [tuple(t.values.items()) for t in free.trials if space.allows(t.values)]
    assert sorted(tried) == sorted(wanted)
    if workers == 1:
        assert tried == wanted  # in the same order
    assert found.done == Done(f"all {len(wanted)} combinations have been tried")


def test_a_random_search_tries_all_allowed_combinations():
    found = run(Random(seed=3), loss, SMALL, 100, 2)
    assert len(found.trials) == 20
    assert found.done == Done("all 20 combinations have been tried")


@pytest.mark.parametrize("name", ["bayesian", "tpe"])
def test_a_model_searches_along_the_border_of_what_is_allowed(name):
    # Without the constraint the best is at a = b = 1; with it, on the line a + b = 1.
    entries = (Float("a", 0.0, 1.0), Float("b", 0.0, 1.0))
    space = Space(entries, (Constraint(lambda v: v["a"] + v["b"] <= 1),))

    def off(values):
        return (values["a"] - 1) ** 2 + (values["b"] - 1) ** 2

    found = run(ALGORITHMS[name], off, space, 30)
    assert found.best == pytest.approx(0.5, abs=0.02)
    assert found.best < run(Random(0), off, space, 30).best


def test_a_given_point_that_breaks_a_constraint_is_refused():
    def build(hp):
        hp.Int("a", 1, 9)
        hp.Int("b", 1, 9)
        hp.constraint(lambda v: v["a"] >= v["b"], name="a is not below b")

    with pytest.raises(ArgumentError, match=r"start_from.0.: must satisfy the a is not below b"):
        afina.Study(build, objective="loss", start_from=[{"a": 1, "b": 2}])
    found = run(StartFrom(Random(), [{"a": 3, "b": 4}]), loss, SMALL, 1)
    assert SMALL.allows(found.trials[0].values)  # a rule that came later


def build(hp):
    hp.Int("a", 1, 9)
    hp.Int("b", 1, 9, default=4)
    hp.constraint(lambda v: v["a"] > v["b"])


def test_a_study_that_is_resumed_goes_on_with_the_constraints(tmp_path):
    def trials(folder, parts):
        for most in parts:
            study = afina.Study(build, objective="loss", seed=1, max_trials=most, store=folder)
            study.optimize(lambda trial: trial.values["a"] - 2 * trial.values["b"])
            study.close()
        return [dict(trial.values) for trial in study.trials.values()]

    whole, resumed = trials(tmp_path / "a", [12]), trials(tmp_path / "b", [5, 12])
    assert whole == resumed
    assert all(values["a"] > values["b"] for values in whole)


def test_a_project_opened_without_its_build_keeps_the_trials_and_has_no_constraints(tmp_path):
    with_build = afina.Study(build, objective="loss", seed=1, max_trials=4, store=tmp_path)
    with_build.optimize(lambda trial: trial.values["a"])
    with_build.close()
    alone = afina.HyperParameters.from_config(with_build.hp.get_config())
    study = afina.Study(alone, objective="loss", seed=1, max_trials=30, store=tmp_path)
    assert len(study.trials) == 4
    assert study.space.constraints == ()
    study.optimize(lambda trial: trial.values["a"])
    assert any(trial.values["a"] <= trial.values["b"] for trial in study.trials.values())


def test_a_trial_that_somebody_else_chose_is_refused_and_does_not_count_as_broken():
    study = afina.Study(build, objective="loss", algorithm=Random(), max_trials=3, seed=0)
    study.algorithm = StartFrom(Random(), [{"a": 1, "b": 4}])
    study.hp._constraints.clear()  # as if the rule were met in a trial first
    study._algorithm_state = study.algorithm.init()
    study.optimize(lambda trial: trial.values["a"])
    first = study.trials[0]
    assert first.status is Status.FAILED
    assert first.failure.is_refusal
    assert "must hold" in first.failure.headline
    later = [trial for trial in study.trials.values() if trial.number > 0]
    assert all(math.isfinite(trial.score) for trial in later)  # the study has learnt the rule


def test_defaults_that_break_a_rule_do_not_break_the_first_build():
    def fragile(hp):
        size = hp.Int("size", 1, 9)
        kernel = hp.Int("kernel", 1, 9, default=5)
        hp.constraint(lambda v: v["kernel"] <= v["size"])
        if kernel > size:
            raise ValueError("the kernel is larger than the picture")
        hp.Boolean("after")

    study = afina.Study(fragile, objective="loss", seed=0, max_trials=5)
    study.optimize(lambda trial: trial.values["size"])
    assert [trial.status for trial in study.trials.values()] == [Status.COMPLETED] * 5
    assert [entry.name for entry in study.space] == ["size", "kernel", "after"]
