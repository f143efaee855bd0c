"""Cross-validation of Keras models: `cv=` on every tuner."""

import json
import statistics

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold, KFold, RepeatedKFold, StratifiedKFold

import afina as kt
from afina.errors import ArgumentError, DataError
from afina.trials import Objective, Status, Trial
from afina.tuners.fold_run import DROPPED, SCORES, Rival, _rival, residual
from afina.tuners.folds import Folds, shuffled_folds

RNG = np.random.default_rng(3)
X = RNG.normal(size=(60, 3)).astype("float32")
Y = (X @ [1.0, -2.0, 0.5] + RNG.normal(scale=0.2, size=60)).astype("float32")[:, None]


def build(hp):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(hp.Float("rate", 1e-3, 0.3, sampling="log")), "mse")
    return model


def tuner_of(kind, folder, **options):
    known = {"seed": 0, "directory": folder, "cv": 3, **options}
    if kind == "hyperband":
        return kt.Hyperband(build, "val_loss", max_epochs=2, factor=2, **known)
    classes = {
        "random": kt.RandomSearch,
        "grid": kt.GridSearch,
        "bayesian": kt.BayesianOptimization,
        "auto": kt.AutoTuner,
    }
    return classes[kind](build, "val_loss", max_trials=3, **known)


@pytest.mark.first("random", "auto", "hyperband")
@pytest.mark.parametrize("kind", ["random", "grid", "bayesian", "auto", "hyperband"])
def test_every_tuner_trains_each_fold_and_keeps_mean_and_spread(kind, tmp_path):
    tuner = tuner_of(kind, tmp_path)
    tuner.search(X, Y, epochs=2, verbose=0)
    trials = list(tuner.oracle.search_state.trials.values())
    assert all(trial.status is Status.COMPLETED for trial in trials)
    for trial in trials:
        scores = json.loads(trial.notes[SCORES])
        if DROPPED not in trial.notes:
            assert len(scores) == 3
            assert trial.score == pytest.approx(statistics.fmean(scores), rel=1e-5)
        assert trial.metrics["val_loss_std"] == pytest.approx(statistics.stdev(scores), rel=1e-4)
        executions = {each.execution for each in tuner.oracle.search_state.history(trial.number)}
        assert executions == set(range(len(scores)))
    assert tuner.get_best_models()[0].predict(X, verbose=0).shape == (60, 1)
    final = tuner.retrain_best(X, Y, verbose=0)
    assert 1 <= final.epochs <= 4  # as many as were best on average


def test_the_score_of_a_fold_is_that_of_training_on_the_other_rows(tmp_path):
    splits = list(KFold(3).split(X))
    tuner = kt.RandomSearch(
        build, "val_loss", max_trials=1, seed=0, directory=tmp_path, cv=KFold(3)
    )
    seen = []

    class Rows(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append(self.params["steps"])

    tuner.search(X, Y, batch_size=1, epochs=1, verbose=0, callbacks=[Rows()])
    assert seen == [len(train) for train, _ in splits]
    model = tuner.get_best_models()[0]
    trial = tuner.oracle.search_state.trials[0]
    scores = json.loads(trial.notes[SCORES])
    test = splits[scores.index(min(scores))][1]  # its model is that of the best fold
    assert model.evaluate(X[test], Y[test], verbose=0) == pytest.approx(min(scores), rel=1e-4)


def test_one_number_of_epochs_counts_for_all_folds(tmp_path):
    curves = {0: [3.0, 1.0, 2.0], 1: [3.0, 4.0, 1.0]}

    class Fit(kt.HyperModel):
        def build(self, hp):
            return build(hp)

        def fit(self, hp, model, *args, **kwargs):
            history = keras.callbacks.History()
            history.history = {"val_loss": curves[tuner._folds.current]}
            return history

    tuner = kt.RandomSearch(Fit(), "val_loss", max_trials=1, directory=tmp_path, cv=2)
    tuner.search(X, Y, verbose=0)
    trial = tuner.oracle.search_state.trials[0]
    assert trial.score == 1.5  # after the third epoch; the best of each fold would be 1.0
    assert trial.best_step == 2
    assert json.loads(trial.notes[SCORES]) == [2.0, 1.0]


def test_a_fit_that_returns_a_number_is_averaged(tmp_path):
    class Fit(kt.HyperModel):
        def build(self, hp):
            return build(hp)

        def fit(self, hp, model, x, y, validation_data, **kwargs):
            return float(len(validation_data[0]) + tuner._folds.current)

    tuner = kt.RandomSearch(Fit(), "val_loss", max_trials=1, directory=tmp_path, cv=3)
    tuner.search(X, Y, verbose=0)
    trial = tuner.oracle.search_state.trials[0]
    assert (trial.score, trial.metrics["val_loss_std"]) == (21.0, 1.0)


@pytest.mark.first("dict", "frame")
@pytest.mark.parametrize("form", ["dict", "list", "frame", "jax"])
def test_every_form_of_arrays_is_split(form, tmp_path):
    import jax.numpy as jnp

    shapes = {"a": 2, "b": 1}
    parts = {"a": X[:, :2], "b": X[:, 2:]}

    def two(hp):
        inputs = {name: keras.Input((n,), name=name) for name, n in shapes.items()}
        output = keras.layers.Dense(1)(keras.layers.concatenate(list(inputs.values())))
        model = keras.Model(inputs if form == "dict" else list(inputs.values()), output)
        model.compile("sgd", "mse")
        hp.Int("n", 1, 9)
        return model

    x = {"dict": parts, "list": list(parts.values())}.get(form, X)
    x = pd.DataFrame(X) if form == "frame" else jnp.asarray(X) if form == "jax" else x
    chosen = build if form in ("frame", "jax") else two
    tuner = kt.RandomSearch(chosen, "val_loss", max_trials=1, directory=tmp_path, cv=2, seed=0)
    weights = np.ones(60)
    tuner.search(x, Y, sample_weight=weights, epochs=1, verbose=0)
    assert tuner.oracle.search_state.trials[0].status is Status.COMPLETED


def test_sample_weights_go_with_their_rows():
    weight = np.arange(60.0)
    folds = Folds(KFold(3))
    folds.prepare((X, Y), {"sample_weight": weight})
    args, kwargs = folds.arguments(1, (X, Y), {"sample_weight": weight})
    test = np.arange(20, 40)
    np.testing.assert_array_equal(args[0], np.delete(X, test, axis=0))
    np.testing.assert_array_equal(kwargs["sample_weight"], np.delete(weight, test))
    for got, whole in zip(kwargs["validation_data"], (X, Y, weight), strict=True):
        np.testing.assert_array_equal(got, whole[test])


def test_a_splitter_gets_labels_and_groups(tmp_path):
    labels, groups = np.repeat([0, 1], 30), np.arange(60) // 10
    stratified = Folds(StratifiedKFold(3))
    stratified.prepare((X, np.eye(2)[labels]), {})
    assert all(labels[test].mean() == 0.5 for _, test in stratified.splits)
    grouped = Folds(GroupKFold(3))
    grouped.prepare((X, Y), {"groups": groups})
    assert all(not set(groups[a]) & set(groups[b]) for a, b in grouped.splits)
    tuner = kt.RandomSearch(build, "val_loss", max_trials=1, directory=tmp_path, cv=GroupKFold(2))
    tuner.search(X, Y, groups=groups, epochs=1, verbose=0)
    assert tuner.oracle.search_state.trials[0].status is Status.COMPLETED
    repeated = Folds(RepeatedKFold(n_splits=2, n_repeats=3, random_state=0))
    repeated.prepare((X, Y), {})
    assert len(repeated) == 6


@pytest.mark.parametrize("y", [np.repeat([0, 1, 2], [50, 35, 15]), np.arange(100.0), None])
def test_a_number_of_folds_spreads_classes_and_sizes_evenly(y):
    folds = shuffled_folds(y, 100, 7, seed=1)
    tests = np.concatenate([test for _, test in folds])
    assert sorted(tests) == list(range(100))
    assert {len(test) for _, test in folds} <= {14, 15}
    assert all(not set(train) & set(test) for train, test in folds)
    if y is not None and len(set(y)) == 3:
        for label in range(3):
            counts = [(y[test] == label).sum() for _, test in folds]
            assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize(
    ("cv", "given", "error", "says"),
    [
        (3, {"validation_split": 0.2}, ArgumentError, "must not be given together with cv"),
        (3, {"validation_data": (X, Y)}, ArgumentError, "must not be given together with cv"),
        (3, {"x": (row for row in X)}, DataError, "must be an array"),
        (99, {}, ArgumentError, "must not exceed the number of rows"),
        (KFold(3, shuffle=True), {}, ArgumentError, "Give the splitter a random_state"),
        ([([0, 1], [60])], {}, ArgumentError, "rows from 0 to 59"),
        ([([0, 1], [2])], {}, ArgumentError, "at least 2 folds"),
    ],
)
def test_what_cannot_be_cross_validated_is_refused_before_the_first_trial(
    cv, given, error, says, tmp_path
):
    tuner = kt.RandomSearch(build, "val_loss", max_trials=1, directory=tmp_path, cv=cv)
    with pytest.raises(error, match=says):
        tuner.search(given.pop("x", X), Y, verbose=0, **given)
    assert tuner.oracle.search_state.trials == {}


@pytest.mark.parametrize("cv", [1, 2.5, "five", True])
def test_what_is_no_number_of_folds_is_refused(cv, tmp_path):
    with pytest.raises(ArgumentError, match="number of folds"):
        kt.RandomSearch(build, "val_loss", directory=tmp_path, cv=cv)


def test_repeated_executions_and_own_run_trial_are_refused_beside_folds(tmp_path):
    with pytest.raises(ArgumentError, match="must be 1 together with cv"):
        kt.RandomSearch(build, "val_loss", cv=3, executions_per_trial=2, directory=tmp_path)

    class Own(kt.RandomSearch):
        def run_trial(self, trial, *args, **kwargs):
            return 1.0

    with pytest.raises(ArgumentError, match="needs Afina's run_trial"):
        Own(build, "val_loss", cv=3, directory=tmp_path).search(X, Y, verbose=0)


def test_a_promoted_trial_continues_the_model_of_each_fold(tmp_path):
    tuner = tuner_of("hyperband", tmp_path)
    begins = []

    class Begin(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            first = float(np.asarray(self.model.get_weights()[0]).ravel()[0])
            begins.append((self.params["epochs"], tuner._folds.current, first))

    tuner.search(X, Y, verbose=0, callbacks=[Begin()])
    trials = tuner.oracle.search_state.trials.values()
    promoted = [trial for trial in trials if trial.parent is not None]
    assert promoted
    assert not any("promotion" in trial.notes for trial in promoted)
    kernels = {begin[2] for begin in begins if begin[0] == promoted[0].end_epoch}
    assert len(kernels) >= 3  # each fold begins with weights of its own


def test_a_search_that_is_resumed_has_the_same_scores(tmp_path):
    whole = tuner_of("random", tmp_path / "whole")
    whole.search(X, Y, epochs=2, verbose=0)
    for most in (1, 3):
        part = tuner_of("random", tmp_path / "parts")
        part.oracle.max_trials = most
        part.search(X, Y, epochs=2, verbose=0)
    scores = [[t.score for t in s.oracle.search_state.trials.values()] for s in (whole, part)]
    assert scores[0] == pytest.approx(scores[1])


# -- hopeless trials ------------------------------------------------------------------------------

MIN = Objective("val_loss", "min")


def test_a_hopeless_trial_is_not_trained_on_the_other_folds(tmp_path):
    class Fit(kt.HyperModel):
        def build(self, hp):
            return build(hp)

        def fit(self, hp, model, *args, **kwargs):
            rate, fold = hp.get("rate"), tuner._folds.current
            noise = np.random.default_rng([int(1000 * rate), fold]).normal(scale=0.1)
            return fold + noise + (5.0 if rate > 0.1 else 0.0)

    points = [{"rate": rate} for rate in (0.01, 0.02, 0.03, 0.2, 0.04)]
    tuner = kt.RandomSearch(Fit(), "val_loss", max_trials=5, directory=tmp_path, cv=5, seed=0)
    tuner.oracle.populate_space = lambda trial_id: {
        "status": "RUNNING",
        "values": points[int(trial_id)],
    }
    tuner.search(X, Y, verbose=0)
    trials = tuner.oracle.search_state.trials
    folds = [len(json.loads(trial.notes[SCORES])) for trial in trials.values()]
    assert folds == [5, 5, 5, 2, 5]
    assert "2 of 5: clearly worse than trial" in trials[3].notes[DROPPED]
    # What it would have scored: the later folds are harder, and that is taken into account.
    assert trials[3].score == pytest.approx(7.0, abs=0.2)


@pytest.mark.parametrize("name", ["val_loss", "val_accuracy"])
def test_equal_trials_are_seldom_dropped_and_much_worse_ones_soon(name):
    objective = Objective(name, "min" if name == "val_loss" else "max")
    sign = 1 if name == "val_loss" else -1
    rng = np.random.default_rng(0)
    equal = worse = 0
    for _ in range(400):
        hardness = rng.normal(scale=3, size=5)
        table = hardness + rng.normal(size=(5, 5))
        done = {
            n: Trial(
                number=n,
                values={},
                status=Status.COMPLETED,
                score=float(row.mean()),
                loss=float(row.mean()),
                notes={SCORES: json.dumps(row.tolist())},
            )
            for n, row in enumerate(table[:4])
        }
        rival = _rival(done, objective)
        # The best of four is lucky; an equal trial is one from the same distribution.
        equal += any(rival.beats(list(table[4][:n]), objective) for n in (2, 3, 4))
        poor = table[4] + sign * 8
        worse += any(rival.beats(list(poor[:n]), objective) for n in (2, 3, 4))
    assert equal < 0.1 * 400
    assert worse > 0.9 * 400


def test_two_folds_alone_drop_nothing():
    rival = Rival(0, (1.0, 1.0, 1.0, 1.0), *residual([[1.0, 1.0, 1.0, 1.0]]))
    assert not rival.beats([9.0, 9.1], MIN)
    assert rival.beats([9.0, 9.1, 9.05], MIN)


def test_the_data_of_all_folds_are_read_once_in_a_search(tmp_path, monkeypatch):
    from afina.training.epochs import data

    read, count = data.Arrays.read.__func__, []
    monkeypatch.setattr(
        data.Arrays, "read", classmethod(lambda *given: count.append(1) or read(*given))
    )
    tuner = kt.RandomSearch(build, "val_loss", max_trials=3, cv=4, directory=tmp_path, seed=0)
    tuner.search(X, Y, verbose=0)
    assert len(count) == 8  # for training and for validation
