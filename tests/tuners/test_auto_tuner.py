"""`AutoTuner` with real models: limits, reasons, epochs, resuming, other algorithms."""

import keras
import numpy as np
import pytest

import afina as kt
from afina.errors import ArgumentError
from afina.run import Serial
from afina.search import Hyperband, PopulationBasedTraining, Random, StartFrom
from afina.trials import Status
from afina.tuners import auto_tuner, workers
from afina.tuners.workers import count_workers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")


def build(hp):
    keras.utils.set_random_seed(0)
    units = hp.Int("units", 4, 8, step=4)
    rate = hp.Float("rate", 1e-4, 1.0, sampling="log")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation="relu")])
    model.add(keras.layers.Dense(2, activation="softmax"))
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.SGD(rate), loss, metrics=["accuracy"])
    return model


def tuner_at(place, **kwargs):
    options = {"objective": "val_loss", "max_epochs": 9, "seed": 0, "directory": str(place)}
    return kt.AutoTuner(build, **{**options, **kwargs})


def search(tuner):
    tuner.search(X, Y, validation_split=0.25, batch_size=16, verbose=0)
    return tuner


def test_it_searches_within_its_epochs_and_says_why_it_stopped(tmp_path):
    tuner = search(tuner_at(tmp_path, max_total_epochs=60, stop_when_unlikely=False))
    study = tuner.oracle.study
    assert tuner.oracle.stop_reason == "max_total_epochs=60 epochs have been trained"
    assert 60 <= study.stop_rules.epochs < 60 + 9
    assert max(trial.end_epoch or 9 for trial in study.trials.values()) <= 9
    for trial in study.trials.values():
        parent = study.trials.get(trial.parent)
        assert trial.start_epoch == (0 if parent is None else parent.end_epoch)
        assert len(trial.curve) == (trial.end_epoch or 9) - trial.start_epoch
    best = tuner.get_best_hyperparameters()[0]
    assert study.best_trials(1)[0].values.items() <= best.values.items()
    model = tuner.get_best_models()[0]
    loss, _ = model.evaluate(X[48:], Y[48:], verbose=0)
    assert loss == pytest.approx(study.best_trials(1)[0].score, abs=1e-5)


def test_a_search_that_was_cut_short_goes_on_as_if_it_had_not(tmp_path):
    limits = {"max_trials": 8, "stop_when_unlikely": False}
    whole = search(tuner_at(tmp_path / "whole", **limits))
    search(tuner_at(tmp_path / "part", **{**limits, "max_trials": 3}))
    part = search(tuner_at(tmp_path / "part", **limits))

    def facts(tuner):
        return [(t.values, t.schedule, t.curve) for t in tuner.oracle.study.trials.values()]

    assert facts(part) == facts(whole)


def test_given_points_and_algorithms_are_used(tmp_path):
    points = [{"units": 8, "rate": 0.05}]
    tuner = search(
        tuner_at(tmp_path, algorithm=Hyperband(max_epochs=4, factor=2), start_from=points)
    )
    trials = tuner.oracle.study.trials
    assert trials[0].values == points[0]
    assert tuner.oracle.stop_reason == "all 3 brackets are finished"
    other = tuner_at(tmp_path / "random", algorithm=Random(seed=5), max_trials=2, max_epochs=3)
    search(other)
    assert [len(trial.curve) for trial in other.oracle.study.trials.values()] == [3, 3]


def test_the_seed_of_the_tuner_reaches_an_algorithm_inside_a_wrapper(tmp_path):
    points = [{"units": 8}]
    tuner = tuner_at(tmp_path, algorithm=StartFrom(Random(seed=5), points), seed=3)
    assert tuner.oracle.make_algorithm(seed=3) == StartFrom(Random(seed=3), points)


def test_a_population_trains_and_its_worst_go_on_from_the_models_of_the_best(tmp_path):
    population = PopulationBasedTraining(population=4, interval=1, max_epochs=4)
    tuner = search(tuner_at(tmp_path, algorithm=population, max_epochs=4, keep_checkpoints=1))
    trials = tuner.oracle.study.trials
    assert tuner.oracle.stop_reason == "all 4 members have trained for 4 epochs"
    copies = 0
    for trial in trials.values():
        assert trial.status is Status.COMPLETED
        assert len(trial.curve) == 1
        if trial.parent is None:
            continue
        parent = trials[trial.parent]
        copies += trial.values != parent.values
        assert trial.values["units"] == parent.values["units"], "another model could not be copied"
        # What goes on from a trained model does not begin where an untrained one would.
        assert trial.start_epoch == parent.end_epoch
        assert trial.curve[0] < parent.curve[0] + 0.1
    assert copies
    best = tuner.get_best_models()[0]
    rate = tuner.oracle.study.best_trials(1)[0].values["rate"]
    assert float(best.optimizer.learning_rate) == pytest.approx(rate)


def test_several_workers_share_one_search(tmp_path):
    limits = {"max_total_epochs": 40, "stop_when_unlikely": False}
    tuner = search(tuner_at(tmp_path, workers=3, keep_checkpoints=1, **limits))
    study = tuner.oracle.study
    assert 40 <= study.stop_rules.epochs < 40 + 3 * 9
    assert {trial.status for trial in study.trials.values()} == {Status.COMPLETED}
    parents = [trial.parent for trial in study.trials.values() if trial.parent is not None]
    assert parents
    assert len(parents) == len(set(parents)), "a training went on twice"


def test_time_ends_a_search_between_epochs(tmp_path):
    with pytest.warns(UserWarning, match=r"search: no trial was run: time_budget=1e-06 seconds"):
        tuner = search(tuner_at(tmp_path, time_budget=1e-6))
    assert tuner.oracle.stop_reason == "time_budget=1e-06 seconds are over"
    assert not tuner.oracle.trials


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_epochs": 0}, "max_epochs"),
        ({"max_total_epochs": -1}, "max_total_epochs"),
        ({"time_budget": "1h"}, "time_budget"),
        ({"start_from": [{"unit": 3}], "max_trials": 1}, "start_from"),
    ],
)
def test_wrong_arguments_are_refused_with_a_sentence(tmp_path, wrong, message):
    with pytest.raises(ArgumentError, match=message):
        search(tuner_at(tmp_path, **wrong))


def test_a_search_in_which_nothing_can_be_trained_ends_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("afina.study.stopping.MOST_UNSPENT", 5)

    def build(hp):
        if hp.Float("x", 0.0, 1.0) is not None:
            raise kt.errors.FailedTrialError("nothing is good enough")

    class Late(kt.AutoTuner):
        def _populate_initial_space(self):
            self.oracle.get_space()

    tuner = Late(build, "val_loss", max_epochs=4, seed=0, directory=tmp_path)
    with pytest.warns(UserWarning, match="nothing is good enough"):
        tuner.search(np.zeros((8, 2)), np.zeros(8), validation_split=0.5, verbose=0)
    assert len(tuner.oracle.trials) == 5
    assert "5 trials in a row have not trained a single epoch" in tuner.oracle.stop_reason


def test_several_workers_try_the_same_trials_however_long_each_takes(tmp_path, monkeypatch):
    limits = {"max_trials": 7, "stop_when_unlikely": False}

    def facts(tuner):
        return [(t.values, t.schedule, t.curve) for t in tuner.oracle.study.trials.values()]

    monkeypatch.setattr(workers, "processors", lambda: 2)
    auto = search(tuner_at(tmp_path / "auto", **limits))
    assert count_workers(auto.workers, why_one=auto._why_one_worker) == auto.oracle.ahead == 2
    monkeypatch.setattr(auto_tuner, "_trials_ahead", lambda *_: 2)
    serial = search(tuner_at(tmp_path / "serial", executor=Serial(), **limits))
    assert facts(auto) == facts(serial)


def test_seconds_count_only_under_a_time_budget():
    timed = auto_tuner.AutoOracle("val_loss", max_epochs=9, time_budget=60)
    assert timed.make_algorithm(0).per_second
    assert not auto_tuner.AutoOracle("val_loss", max_epochs=9).make_algorithm(0).per_second
