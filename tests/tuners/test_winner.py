"""The final model: trained anew, judged on test data, compared with the next ones."""

import json
import math

import keras
import numpy as np
import pytest

import afina as kt
from afina.advice.judgement import judge
from afina.errors import ArgumentError
from afina.trials import Objective
from afina.tuners import random_baseline
from afina.tuners.ensemble import greedy_ensemble
from afina.tuners.winner import best_epochs

RNG = np.random.default_rng(1)
X = RNG.normal(size=(240, 6)).astype("float32")
Y = (X[:, 0] + X[:, 1] > 0).astype("int32") + (X[:, 2] > 1).astype("int32")
TRAIN, TEST = (X[:180], Y[:180]), (X[180:], Y[180:])


def build(hp):
    units = hp.Int("units", 4, 32, step=14)  # few programs to compile
    layers = [keras.Input((6,)), keras.layers.Dense(units, activation="relu")]
    model = keras.Sequential([*layers, keras.layers.Dense(3, activation="softmax")])
    rate = hp.Float("rate", 1e-3, 1e-1, sampling="log")
    model.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


@pytest.fixture(scope="module")
def tuner(tmp_path_factory):
    tuner = kt.BayesianOptimization(
        build,
        "val_accuracy",
        max_trials=5,
        seed=0,
        directory=tmp_path_factory.mktemp("winner"),
    )
    tuner.search(*TRAIN, validation_split=0.25, epochs=4, batch_size=16, verbose=0)
    return tuner


def test_the_final_training_takes_the_epochs_of_the_search_and_repeats_itself(tuner):
    best = tuner.oracle.study.best_trials(1)[0]
    final = tuner.retrain_best(*TRAIN, validation_split=0.25, batch_size=16)
    assert final.epochs == best.best_step + 1 == len(final.history["val_accuracy"])
    assert final.values == best.values
    assert final.score == max(final.history["val_accuracy"])
    again = tuner.retrain_best(*TRAIN, validation_split=0.25, batch_size=16)
    assert again.history == final.history
    other = tuner.retrain_best(*TRAIN, validation_split=0.25, batch_size=16, seed=9)
    assert other.history != final.history


def test_the_final_model_may_be_trained_on_all_data(tuner):
    parts = {"validation_data": (X[120:180], Y[120:180])}
    whole = tuner.retrain_best(*TRAIN, epochs=2, batch_size=16, validation_split=0.2, on_all=True)
    joined = tuner.retrain_best(X[:120], Y[:120], epochs=2, batch_size=16, on_all=True, **parts)
    assert list(whole.history) == ["accuracy", "loss"]
    assert joined.history == whole.history
    assert "no validation figures" in str(joined)
    with pytest.raises(ArgumentError, match="on_all=True"):
        tuner.retrain_best(*TRAIN, on_all=True)


def test_a_winner_that_overfits_is_not_told_to_search_what_was_searched(tmp_path):
    def build_with_dropout(hp):
        layers = [keras.Input((6,)), keras.layers.Dense(64, activation="relu")]
        layers.append(keras.layers.Dropout(hp.Float("dropout", 0.0, 0.02)))
        model = keras.Sequential([*layers, keras.layers.Dense(3, activation="softmax")])
        rate = keras.optimizers.Adam(0.05)
        model.compile(rate, "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    noise = np.random.default_rng(2).integers(0, 3, 40)  # nothing to learn, much to memorise
    tuner = kt.RandomSearch(
        build_with_dropout, "val_accuracy", max_trials=1, seed=0, directory=tmp_path
    )
    given = {"validation_split": 0.5, "epochs": 30, "batch_size": 16, "verbose": 0}
    tuner.search(X[:40], noise, **given)
    learning = tuner.retrain_best(X[:40], noise, **given).learning
    assert learning.verdict == "overfits"
    assert "Search weight decay too: the search has only dropout." in learning.remedies


def test_the_judgement_holds_what_scikit_learn_would_say(tuner):
    from sklearn.metrics import f1_score

    final = tuner.retrain_best(*TRAIN, validation_split=0.25, batch_size=16, epochs=6)
    verdict = tuner.evaluate_best(*TEST, class_names=["no", "one", "both"])
    predicted = final.model.predict(TEST[0], verbose=0).argmax(axis=1)
    assert verdict.test == pytest.approx(np.mean(predicted == TEST[1]), abs=1e-6)
    expected = f1_score(TEST[1], predicted, average=None, labels=[0, 1, 2], zero_division=0)
    assert [each.f1 for each in verdict.classes] == pytest.approx(list(expected))
    assert verdict.confusion.sum() == len(TEST[1])
    most = np.bincount(TEST[1]).max() / len(TEST[1])
    assert verdict.baselines["always the most frequent class"] == most
    best = tuner.oracle.study.best_trials(1)[0].score
    assert verdict.optimism == pytest.approx(best - verdict.test)
    text = str(verdict)
    assert "On the test data: " in text
    assert "Hardest classes, by F1: " in text
    assert json.dumps(verdict.to_dict())


def test_the_default_configuration_is_compared_on_the_test_data_example_by_example(tuner):
    final = tuner.retrain_best(*TRAIN, validation_split=0.25, batch_size=16, epochs=6)
    verdict = tuner.evaluate_best(*TEST)
    default = next(each for each in verdict.beside if each.name == "the default configuration")
    model = tuner.load_model(tuner.oracle.trials[tuner.oracle.id_of(0)])
    right = [
        (each.predict(TEST[0], verbose=0).argmax(axis=1) == TEST[1]).astype(float)
        for each in (final.model, model)
    ]
    gains = right[0] - right[1]
    assert (default.data, default.paired) == ("test", True)
    assert default.gain == pytest.approx(gains.mean())
    assert default.error == pytest.approx(gains.std(ddof=1) / math.sqrt(len(gains)))
    assert verdict.error == pytest.approx(right[0].std(ddof=1) / math.sqrt(len(gains)))


def test_a_default_whose_model_is_gone_is_compared_on_the_validation_data(tuner, monkeypatch):
    monkeypatch.setattr("afina.tuners.tuner.load_kept", lambda tuner, trial: None)
    verdict = tuner.evaluate_best(*TEST, model=tuner.get_best_models()[0])
    default = next(each for each in verdict.beside if each.name == "the default configuration")
    trials = tuner.oracle.study.trials
    assert (default.data, default.score) == ("validation", trials[0].score)
    assert default.ours == tuner.oracle.study.best_trials(1)[0].score
    assert default.error is not None


def test_a_difference_within_its_error_is_called_luck_and_a_larger_one_is_not():
    def said(value, error):
        verdict = judge({"accuracy": 0.8}, Objective("val_accuracy", "max"), searched=value,
                        error=error, optimism_error=error, baselines={"other": 0.78})  # fmt: skip
        return str(verdict)

    assert "0.01 ± 0.02 better than on the test data, which may be luck" in said(0.81, 0.02)
    assert "more than luck explains" in said(0.9, 0.02)
    assert "0.02 ± 0.028 better than other (0.78), which may be luck" in said(0.8, 0.02)
    assert "0.02 ± 0.0014 better than other (0.78)." in said(0.8, 0.001)
    assert "luck" not in said(0.9, None)


def test_the_ensemble_is_no_worse_than_the_winner_where_it_was_chosen(tuner):
    found = tuner.ensemble(6, test_data=TEST)
    validation = (X[135:180], Y[135:180])
    outputs = found.predict(validation[0])
    right = float(np.mean(outputs.argmax(axis=1) == validation[1]))
    assert found.validation.ensemble == pytest.approx(right)
    assert found.validation.ensemble >= found.validation.winner
    assert sum(found.weights) == pytest.approx(1)
    assert set(found.numbers) <= set(tuner.oracle.study.trials)
    best = tuner.get_best_models()[0].evaluate(*TEST, verbose=0, return_dict=True)
    assert found.test.winner == pytest.approx(best["accuracy"], abs=1e-6)
    assert "the winner alone has" in str(found)
    alone = tuner.ensemble(1)
    assert alone.validation.ensemble == alone.validation.winner
    assert alone.test is None


def test_an_ensemble_without_data_or_with_a_strange_metric_is_refused(tuner, monkeypatch):
    monkeypatch.setattr(tuner, "_searched", ((), {}))
    with pytest.raises(ArgumentError, match="needs validation_data with targets"):
        tuner.ensemble(3)
    with pytest.raises(ArgumentError, match="needs an objective that is a mean over examples"):
        greedy_ensemble(
            [tuner.oracle.study.best_trials(1)[0]],
            lambda trial: tuner.get_best_models()[0],
            Objective("val_auc", "max"),
            3,
            TEST,
        )


def test_one_hot_targets_and_single_outputs_are_classes_too(tuner):
    tuner.retrain_best(*TRAIN, epochs=1, batch_size=16)
    hot = keras.utils.to_categorical(TEST[1], 3)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    binary = tuner.evaluate_best(TEST[0], (TEST[1] > 0).astype("float32"), model=model)
    assert len(binary.classes) == 2
    assert binary.learning is None
    soft = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, activation="softmax")])
    soft.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    assert len(tuner.evaluate_best(TEST[0], hot, model=soft).classes) == 3
    line = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    line.compile("adam", "mse")
    regression = tuner.evaluate_best(TEST[0], X[180:, :1] * 0.3, model=line)
    assert regression.classes == ()
    assert regression.test is None


def test_the_best_are_compared_over_seeds(tuner):
    found = tuner.compare_best(*TRAIN, count=2, seeds=3, validation_split=0.25, batch_size=16)
    assert [len(each.scores) for each in found.contenders] == [3, 3]
    assert found.contenders[0].values == tuner.oracle.study.best_trials(1)[0].values
    first, second = (each.scores for each in found.contenders)
    won = np.mean([(a > b) + 0.5 * (a == b) for a in first for b in second])
    assert found.wins == (pytest.approx(won),)
    assert "over 3 seeds" in str(found)
    assert found.best in found.contenders


def test_without_a_completed_trial_there_is_a_sentence(tmp_path, tuner):
    empty = kt.RandomSearch(build, "val_accuracy", directory=tmp_path)
    with pytest.raises(ArgumentError, match="Search first"):
        empty.retrain_best(*TRAIN)
    with pytest.raises(ArgumentError, match="must be below the number of completed trials"):
        tuner.retrain_best(*TRAIN, rank=99)
    with pytest.raises(ArgumentError, match="val_accuracy"):
        tuner.compare_best(*TRAIN, count=1, seeds=1)


def test_random_search_at_equal_epochs_is_a_baseline(tuner):
    data = {"validation_split": 0.25, "batch_size": 16}
    score = random_baseline(tuner, *TRAIN, epochs=10, **data)
    assert 0 <= score <= 1
    assert random_baseline(tuner, *TRAIN, epochs=10, **data) == score
    verdict = tuner.evaluate_best(*TEST, baselines={"random search": score})
    assert verdict.baselines["random search"] == score
    assert f"random search ({score:.4g})" in str(verdict)
    beside = next(each for each in verdict.beside if each.name == "random search")
    assert beside.data == "validation"
    assert beside.ours == tuner.oracle.study.best_trials(1)[0].score
    with pytest.raises(ArgumentError, match="must be from 1 to 20"):
        random_baseline(tuner, *TRAIN, epochs=21, **data)


def test_epochs_of_promoted_trainings_count_from_their_beginning(tmp_path):
    tuner = kt.Hyperband(build, "val_accuracy", max_epochs=4, factor=2, seed=0, directory=tmp_path)
    tuner.search(*TRAIN, validation_split=0.25, batch_size=16, verbose=0)
    trials = tuner.oracle.study.trials.values()
    for trial in trials:
        best = trial.start_epoch + 1 + min(range(len(trial.curve)), key=trial.curve.__getitem__)
        assert best_epochs(trial) == best
    assert any(best_epochs(trial) > trial.start_epoch > 0 for trial in trials)
