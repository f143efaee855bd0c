"""Folds that are trained together: the same trials as one fold after the other."""

import json

import keras
import numpy as np
import pytest
from sklearn.model_selection import KFold

import afina as kt
from afina.errors import ArgumentError
from afina.training.fused.group import Group
from afina.trials import FailureKind, Status
from afina.tuners import fold_group
from afina.tuners.fold_group import FoldGroups
from afina.tuners.fold_run import DROPPED, SCORES
from tests.tuners.grouped import TOLERANCE, assert_same, trials_of

RNG = np.random.default_rng(5)
X = RNG.normal(size=(48, 3)).astype("float32")
Y = (X @ [1.0, -2.0, 0.5] + RNG.normal(scale=0.2, size=48)).astype("float32")[:, None]


def build(hp):
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dropout(0.2), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(hp.Float("rate", 1e-3, 0.3, sampling="log")), "mse")
    return model


def searched(kind, folder, together, **options):
    known = {
        "seed": 0,
        "directory": folder,
        "project_name": f"p{together}",
        "group_trials": together,
    }
    known |= {"cv": KFold(4), **options}
    if kind == "hyperband":
        tuner = kt.Hyperband(build, "val_loss", max_epochs=2, factor=2, **known)
    else:
        tuner = kt.RandomSearch(build, "val_loss", **{"max_trials": 3, **known})
    tuner.search(X, Y, epochs=2, batch_size=8, verbose=0)
    return tuner


@pytest.mark.first("random")
@pytest.mark.parametrize("kind", ["random", "hyperband"])
def test_folds_together_give_the_same_trials_curves_and_models_as_one_by_one(kind, tmp_path):
    one, many = (searched(kind, tmp_path, together) for together in (1, 8))
    assert_same(trials_of(one), trials_of(many))
    found = [trial.notes for trial in many.oracle.search_state.trials.values()]
    assert any(notes.get("group") == "4 folds together" for notes in found)
    assert all(notes["training"] == "fused" for notes in found)
    for mine, other in zip(many.get_best_models(2), one.get_best_models(2), strict=True):
        for a, b in zip(mine.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, atol=TOLERANCE)


def test_folds_of_other_sizes_are_trained_alone_and_come_to_the_same(tmp_path):
    rows = np.arange(48)
    sizes = [(rows[n:], rows[:n]) for n in (12, 12, 13)]
    one, many = (searched("random", tmp_path, together, cv=sizes) for together in (1, 8))
    assert_same(trials_of(one), trials_of(many))
    note = many.oracle.search_state.trials[0].notes["group"]
    assert note == "2 folds together; alone: no other fold of its size and program"


@pytest.mark.service  # two whole searches
def test_a_hopeless_trial_is_judged_after_two_folds_and_before_the_others(tmp_path):
    points = [0.05, 0.06, 0.07, 1e-6]
    hps = kt.HyperParameters()
    hps.Choice("rate", points)

    def make(hp):
        return build(hp)

    found = {}
    for together in (1, 8):
        tuner = kt.GridSearch(
            make,
            "val_loss",
            hyperparameters=hps.copy(),
            cv=KFold(5),
            seed=0,
            directory=tmp_path,
            project_name=f"p{together}",
            group_trials=together,
        )
        tuner.search(X[:45], Y[:45], epochs=12, batch_size=9, verbose=0)
        trials = tuner.oracle.search_state.trials.values()
        found[together] = [(len(json.loads(t.notes[SCORES])), t.score) for t in trials]
        last = list(trials)[-1]
        assert last.notes[DROPPED].startswith("2 of 5")
    assert [n for n, _ in found[8]] == [n for n, _ in found[1]] == [5, 5, 5, 2]
    scores = [[score for _, score in each] for each in found.values()]
    assert scores[0] == pytest.approx(scores[1], rel=1e-4)


def test_the_training_of_a_fold_that_fails_fails_the_trial(tmp_path):
    def make(hp):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(hp.Choice("rate", [1e30, 0.01])), "mse")
        return model

    tuner = kt.GridSearch(make, "val_loss", cv=KFold(2), directory=tmp_path, group_trials=8)
    tuner.search(X, Y, epochs=3, verbose=0)
    trial, other = tuner.oracle.search_state.trials.values()
    assert other.status is Status.COMPLETED
    assert trial.status is Status.FAILED
    assert trial.failure.kind is FailureKind.NOT_A_NUMBER


def test_a_group_is_made_only_where_enough_steps_are_seen_and_it_pays(tmp_path, monkeypatch):
    few = searched("random", tmp_path / "few", "auto")
    notes = [t.notes["group"] for t in few.oracle.search_state.trials.values()]
    assert notes == ["alone: too few steps to compile a program for several"] * 3
    monkeypatch.setattr(fold_group, "CPU_WORTH", 0)
    for gain, note in ((1.0, "alone: together only 1.00 times as fast"), (2.0, "4 folds together")):
        monkeypatch.setattr(Group, "gain", lambda self, gain=gain, **kwargs: gain)
        tuner = searched("random", tmp_path / str(gain), "auto", max_trials=1)
        assert tuner.oracle.search_state.trials[0].notes["group"] == note


def test_convolutions_are_not_grouped_on_a_cpu_unless_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(fold_group, "CPU_WORTH", 0)

    def make(hp):
        hp.Int("n", 1, 9)
        model = keras.Sequential(
            [keras.Input((3, 1)), keras.layers.Conv1D(2, 2), keras.layers.GlobalMaxPooling1D()]
        )
        model.compile("adam", "mse")
        return model

    tuner = kt.RandomSearch(make, "val_loss", max_trials=1, cv=KFold(2), directory=tmp_path, seed=0)
    tuner.search(X[..., None], Y, verbose=0)
    note = tuner.oracle.search_state.trials[0].notes["group"]
    assert note == "alone: convolutions of several models are slow on a CPU"


def test_with_own_code_or_workers_folds_are_trained_one_by_one(tmp_path):
    class Fit(kt.HyperModel):
        def build(self, hp):
            return build(hp)

        def fit(self, hp, model, *args, **kwargs):
            return model.fit(*args, **kwargs)

    class Hook(kt.RandomSearch):
        def on_epoch_end(self, trial, model, epoch, logs=None):
            pass

    options = {"max_trials": 1, "cv": 2, "directory": tmp_path}
    width = FoldGroups().width
    assert width(kt.RandomSearch(Fit(), "val_loss", **options)) == 1
    assert width(Hook(build, "val_loss", **options)) == 1
    assert width(Hook(build, "val_loss", group_trials=3, **options)) == 3
    assert width(kt.RandomSearch(build, "val_loss", workers=2, **options)) == 1
    assert width(kt.RandomSearch(build, "val_loss", training="fit", **options)) == 1
    with pytest.raises(ArgumentError, match="must be 1"):
        kt.RandomSearch(build, "val_loss", group_trials=3, workers=2, **options)
