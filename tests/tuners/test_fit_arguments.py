"""`HyperModel.fit_arguments`: arguments of `fit` that are tuned, with the training left fused."""

from typing import ClassVar

import keras
import pytest

import afina as kt
from afina.errors import FatalValueError
from tests.tuners import models

X, Y = models.data(48)


class Steps(keras.callbacks.Callback):
    """Notes how many steps each training took."""

    taken: ClassVar[list[int]] = []

    def on_train_end(self, logs=None):
        self.taken.append(int(self.model.optimizer.iterations.value))


class Sized(kt.HyperModel):
    def build(self, hp):
        return models.build(hp)

    def fit_arguments(self, hp):
        return {"batch_size": hp.Choice("batch_size", [6, 12, 36]), "callbacks": [Steps()]}

    def declare_hyperparameters(self, hp):
        self.fit_arguments(hp)


def search(tmp_path, **kwargs):
    tuner = kt.GridSearch(Sized(), "val_loss", max_trials=3, directory=tmp_path, workers=1)
    tuner.search(X, Y, validation_split=0.25, epochs=1, verbose=0, **kwargs)
    return tuner


def test_the_batch_size_is_tuned_and_training_stays_fused(tmp_path):
    Steps.taken.clear()
    ended = []
    told = keras.callbacks.LambdaCallback(on_train_end=lambda logs: ended.append(1))
    tuner = search(tmp_path, callbacks=[told])
    trials = list(tuner.oracle.trials.values())
    sizes = [trial.hyperparameters.get("batch_size") for trial in trials]
    assert Steps.taken == [36 // size for size in sizes]
    assert {trial.notes["training"] for trial in trials} == {"fused"}
    assert len(ended) == len(trials)  # the callbacks of `search` are there too


def test_what_is_given_twice_stops_the_search(tmp_path):
    with pytest.raises(FatalValueError, match="batch_size: must be given in one place"):
        search(tmp_path, batch_size=8)
