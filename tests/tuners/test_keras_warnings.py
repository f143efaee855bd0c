"""Keras' warnings in a search: once each; all others as they come."""

import warnings

import keras
import pytest

import afina as kt
from tests.tuners import models

X, Y = models.data(16)


def build(hp):
    hp.Int("number", 0, 9)
    warnings.warn("by the user", stacklevel=1)
    model = keras.Sequential([keras.layers.Dense(2, "softmax", input_shape=(6,))])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def texts(caught, text):
    return [each for each in caught if text in str(each.message)]


def searched(folder):
    tuner = kt.RandomSearch(build, "val_loss", max_trials=3, seed=0, directory=folder, workers=1)
    tuner.search(X, Y, validation_split=0.5, epochs=1, verbose=0)
    return tuner


def test_a_warning_of_kerass_is_shown_once_a_search_and_those_of_others_each_time(tmp_path):
    shown = warnings.showwarning
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        searched(tmp_path / "one")
        assert len(texts(caught, "input_shape")) == 1
        assert len(texts(caught, "by the user")) == 4  # for the space, and three trials
        searched(tmp_path / "other")
        assert len(texts(caught, "input_shape")) == 2
    assert warnings.showwarning is shown


def test_a_warning_that_is_an_error_stays_one(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", "(?s).*input_shape.*")
        with pytest.raises(UserWarning, match="input_shape"):
            searched(tmp_path)
