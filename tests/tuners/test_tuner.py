"""Tuners that train real Keras models: what Keras Tuner has, and what it gets wrong."""

from pathlib import Path

import keras
import numpy as np
import pytest

import afina as kt
from afina.errors import (
    ArgumentError,
    DataError,
    FatalTypeError,
    FatalValueError,
    ProjectLockedError,
    ProjectMismatchError,
    SearchFailedError,
)
from tests.tuners import models


@pytest.fixture
def place(tmp_path):
    return {"directory": tmp_path, "project_name": "p"}


def search(tuner, **kwargs):
    x, y = models.data()
    tuner.search(x, y, **{"epochs": 2, "validation_split": 0.25, "verbose": 0, **kwargs})
    return tuner


def test_every_epoch_of_every_execution_is_kept(place):
    make = lambda: kt.RandomSearch(  # noqa: E731
        models.build, "val_loss", max_trials=2, executions_per_trial=2, seed=0, **place
    )
    search(make())
    for tuner in (make(),):  # the project, opened again
        trial = tuner.oracle.get_best_trials()[0]
        assert [(r.execution, r.step) for r in trial.history] == [(0, 0), (0, 1), (1, 0), (1, 1)]
        losses = [
            [r.metrics["val_loss"] for r in trial.history if r.execution == e] for e in (0, 1)
        ]
        assert trial.score == pytest.approx(np.mean([min(each) for each in losses]))


def test_a_promoted_trial_goes_on_with_its_optimizer(place):
    steps = {}

    class Spy(kt.HyperModel):
        def build(self, hp):
            return models.build(hp)

        def fit(self, hp, model, *args, **kwargs):
            before = int(model.optimizer.iterations)
            history = model.fit(*args, **kwargs)
            steps[hp.values.get("tuner/initial_epoch")] = before
            return history

    search(kt.Hyperband(Spy(), "val_loss", max_epochs=4, factor=2, seed=0, **place))
    assert steps[0] == 0
    assert steps[2] > 0


def test_the_best_model_is_the_one_that_was_scored(place):
    tuner = search(kt.RandomSearch(models.build, "val_loss", max_trials=3, seed=1, **place))
    x, y = models.data()
    model = tuner.get_best_models()[0]
    loss, _ = model.evaluate(x[72:], y[72:], verbose=0)
    assert loss == pytest.approx(tuner.oracle.get_best_trials()[0].score, rel=1e-5)


def test_only_the_best_checkpoints_stay(place):
    tuner = kt.RandomSearch(
        models.build, "val_loss", max_trials=5, seed=0, keep_checkpoints=2, **place
    )
    search(tuner, epochs=1)
    found = {path.parent.name for path in Path(tuner.project_dir).glob("*/*.h5")}
    best = {f"trial_{t.trial_id}" for t in tuner.oracle.get_best_trials(2)}
    assert found == best
    assert len(tuner.get_best_models(2)) == 2


def test_an_objective_that_nobody_logs_is_refused_after_the_first_epoch(place):
    tuner = kt.RandomSearch(models.build, kt.Objective("val_acc", "max"), max_trials=3, **place)
    with pytest.raises(FatalValueError, match="val_accuracy"):
        search(tuner, epochs=5)


def test_an_objective_on_validation_needs_validation_data(place):
    tuner = kt.RandomSearch(models.build, "val_loss", max_trials=3, **place)
    with pytest.raises((DataError, FatalValueError), match="validation"):
        search(tuner, validation_split=0.0)


def test_a_diverging_trial_fails_with_its_reason_and_the_search_goes_on(place):
    def build(hp):
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(hp.Choice("rate", [1e-3, 1e30, 1e-2])), loss="mse")
        return model

    tuner = kt.GridSearch(build, "val_loss", max_trials=4, max_consecutive_failed_trials=9, **place)
    search(tuner)
    trials = tuner.oracle.trials.values()
    failed = [t for t in trials if t.status == "FAILED"]
    assert 0 < len(failed) < len(trials)
    assert all(t.failure.kind.value == "not-a-number" for t in failed)
    assert all("Diverged in epoch 1" in t.message for t in failed)


def test_the_same_seed_gives_the_same_scores(tmp_path):
    scores = []
    for name in ("a", "b"):
        tuner = kt.RandomSearch(
            models.build, "val_loss", max_trials=2, seed=4, directory=tmp_path, project_name=name
        )
        search(tuner)
        scores.append([t.score for t in tuner.oracle.trials.values()])
    assert scores[0] == scores[1]


def test_bounds_that_depend_on_another_value_are_respected_in_every_trial(place):
    seen = []

    def build(hp):
        first = hp.Int("first", 2, 12)
        second = hp.Int("second", 1, first)
        seen.append((first, second))
        model = keras.Sequential(
            [keras.Input((6,)), keras.layers.Dense(first), keras.layers.Dense(1)]
        )
        model.compile("sgd", loss="mse")
        return model

    tuner = kt.RandomSearch(build, "val_loss", max_trials=6, seed=0, **place)
    search(tuner, epochs=1)
    assert all(second <= first for first, second in seen)
    assert max(second for _, second in seen) > 2  # not frozen at the first build's bounds
    for trial in tuner.oracle.trials.values():
        values = dict(trial.hyperparameters.values)
        tuner.hypermodel.build(trial.hyperparameters.copy())
        assert seen[-1] == (values["first"], values["second"])


def test_a_search_that_keeps_failing_ends_with_the_reason_and_keeps_what_it_has(place):
    def build(hp):
        if hp.Int("n", 1, 9) > 1:
            raise RuntimeError("no such luck")
        return models.build(hp)

    make = lambda: kt.GridSearch(build, "val_loss", **place)  # noqa: E731
    hp_error = pytest.raises(SearchFailedError, match="no such luck")
    with hp_error:
        search(make(), epochs=1)
    statuses = [t.status for t in make().oracle.trials.values()]
    assert statuses.count("FAILED") >= 3
    assert "COMPLETED" in statuses


def test_a_space_that_contradicts_the_project_s_trials_is_refused_by_name(place):
    def build(hp):
        hp.Int("depth", 1, 3)
        return models.build(hp)

    search(kt.RandomSearch(build, "val_loss", max_trials=1, **place), epochs=1)

    def other(hp):
        hp.Int("depth", 7, 9)
        return models.build(hp)

    with pytest.raises(ProjectMismatchError, match=r"'depth': .*but trial 0 has [123]\."):
        kt.RandomSearch(other, "val_loss", max_trials=1, **place)
    with pytest.raises(ProjectMismatchError, match="'depth' is gone"):
        kt.RandomSearch(models.build, "val_loss", max_trials=1, **place)
    fresh = kt.RandomSearch(other, "val_loss", max_trials=1, overwrite=True, **place)
    assert len(fresh.oracle.trials) == 0


def test_a_builder_that_returns_nothing_is_told_so(place):
    with pytest.raises(FatalTypeError, match="return model"):
        search(kt.RandomSearch(lambda hp: None, "val_loss", **place))


@pytest.mark.parametrize(
    ("data", "message"),
    [((np.zeros((0, 6)), np.zeros(0)), "empty|0"), ((np.zeros((9, 6)), np.zeros(8)), "9.*8|8.*9")],
)
def test_data_that_cannot_be_used_is_refused_before_the_first_trial(place, data, message):
    tuner = kt.RandomSearch(models.build, "loss", max_trials=2, **place)
    with pytest.raises(DataError, match=message):
        tuner.search(*data, verbose=0)
    assert len(tuner.oracle.trials) == 0


def test_a_process_cannot_join_the_search_of_another_kind(place, tmp_path):
    import subprocess
    import sys

    code = (
        "import sys, time; from pathlib import Path; from afina.store import open_store, Header;"
        "s = open_store(Path(sys.argv[1])); s.begin(Header(algorithm='random', settings={},"
        "objective={}, seed=0, space={'space': [], 'values': {}}));"
        "print('held', flush=True); time.sleep(60)"
    )
    tuner = kt.RandomSearch(models.build, "val_loss", max_trials=1, **place)
    child = subprocess.Popen(
        [sys.executable, "-c", code, tuner.project_dir], stdout=subprocess.PIPE
    )
    try:
        assert child.stdout.readline() == b"held\n"
        with pytest.raises((ProjectLockedError, ProjectMismatchError)):
            search(tuner)
    finally:
        child.kill()
        child.communicate()


@pytest.mark.parametrize(
    "bad",
    [
        {"executions_per_trial": 0},
        {"executions_per_trial": "2"},
        {"executions_per_trial": 2.0},
        {"max_trials": 0},
        {"nonsense": 1},
        {"seed": "x"},
    ],
)
def test_wrong_arguments_are_refused_with_the_rule(place, bad):
    with pytest.raises(ArgumentError, match=r"must|Unrecognized"):
        kt.RandomSearch(models.build, "val_loss", **{**place, **bad})


TUNERS = [kt.RandomSearch, kt.Hyperband, kt.BayesianOptimization, kt.GridSearch, kt.AutoTuner]


@pytest.mark.parametrize("tuner", TUNERS)
def test_no_tuner_trains_without_a_hypermodel(place, tuner):
    with pytest.raises(ArgumentError, match="Received `hypermodel=None`"):
        tuner(None, "val_loss", **place)


def test_a_tuner_with_its_own_run_trial_needs_none(place):
    class Own(kt.AutoTuner):
        def run_trial(self, trial, *args, **kwargs):
            return trial.hyperparameters.Float("x", 0.0, 1.0)

    tuner = Own(objective=kt.Objective("loss", "min"), max_epochs=4, max_trials=3, **place)
    tuner.search(verbose=0)
    assert len(tuner.oracle.trials) == 3


def test_a_search_with_nothing_left_to_run_and_no_score_says_so(place):
    is_broken = []

    def build(hp):
        if is_broken:
            raise ValueError("no such luck")
        return models.build(hp)

    def tuner():
        is_broken.clear()
        made = kt.RandomSearch(build, "val_loss", max_trials=3, **place)
        is_broken.append(True)
        return made

    with pytest.raises(SearchFailedError, match="raise it, or begin anew with overwrite=True"):
        search(tuner())
    with pytest.warns(UserWarning, match=r"nothing was left to run \(max_trials=3 .* have failed"):
        search(tuner())
