"""Constraints and choices of objects, through the tuners."""

import keras
import numpy as np
import pytest

import afina as kt

X = np.random.default_rng(0).normal(size=(24, 3)).astype("float32")
Y = X[:, :1]
LOSSES = {"mse": keras.losses.MeanSquaredError(), "huber": keras.losses.Huber()}


def build(hp):
    width = hp.Int("width", 1, 6)
    depth = hp.Int("depth", 1, 6, default=5)
    hp.constraint(lambda v: v["depth"] <= v["width"])
    loss = hp.Choice("loss", LOSSES)
    model = keras.Sequential([keras.Input((3,))])
    for _ in range(depth - width + 6 if depth > width else 1):
        model.add(keras.layers.Dense(width))
    model.add(keras.layers.Dense(1))
    model.compile("sgd", loss)
    return model


TUNERS = {
    "random": lambda **o: kt.RandomSearch(build, "val_loss", max_trials=3, seed=0, **o),
    "grid": lambda **o: kt.GridSearch(build, "val_loss", max_trials=3, seed=0, **o),
    "bayesian": lambda **o: kt.BayesianOptimization(build, "val_loss", max_trials=3, seed=0, **o),
    "hyperband": lambda **o: kt.Hyperband(build, "val_loss", max_epochs=2, factor=2, seed=0, **o),
    "auto": lambda **o: kt.AutoTuner(build, "val_loss", max_trials=3, seed=0, **o),
}


@pytest.mark.parametrize("name", TUNERS)
def test_every_tuner_keeps_to_constraints_and_stores_names_of_objects(name, tmp_path):
    tuner = TUNERS[name](directory=tmp_path)
    tuner.search(X, Y, validation_data=(X, Y), epochs=1, verbose=0)
    trials = tuner.oracle.search_state.trials.values()
    assert len(trials) >= 3
    assert all(t.status.value == "completed" for t in trials)
    assert all(t.values["depth"] <= t.values["width"] for t in trials)
    assert {t.values["loss"] for t in trials} <= set(LOSSES)
    best = tuner.get_best_hyperparameters()[0]
    assert best["loss"] in LOSSES
    assert isinstance(build(best).loss, type(LOSSES[best["loss"]]))
    assert len(tuner.get_best_models()) == 1


def test_the_advised_space_and_a_second_search_keep_the_constraints(tmp_path):
    tuner = TUNERS["random"](directory=tmp_path)
    tuner.search(X, Y, validation_data=(X, Y), epochs=1, verbose=0)
    rules = tuner.oracle.search_state.space.constraints
    assert len(rules) == 1
    assert tuner.advice().next_space().constraints == rules
    again = tuner.search_again(max_trials=3)
    trials = again.oracle.search_state.trials.values()
    assert all(t.values["depth"] <= t.values["width"] for t in trials)
    assert all(t.status.value == "completed" for t in trials)
