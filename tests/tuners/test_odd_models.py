"""Models that are hardly models: without variables, never compiled, or a mock."""

from pathlib import Path
from unittest import mock

import keras
import pytest

import afina as kt
from afina.errors import FatalValueError
from tests.tuners import models
from tests.tuners.models import goal, statuses, trials_of

X, Y = models.data(48)


@pytest.fixture
def place(tmp_path):
    return {"directory": tmp_path, "project_name": "p"}


class Counting(keras.Model):
    """Has no variables, learns nothing and counts its calls, as a stand-in in tests does."""

    calls = 0

    def __init__(self, loss):
        super().__init__()
        self.loss_told = loss
        self.optimizer = True

    def call(self, inputs):
        return inputs

    def fit(self, *args, callbacks, **kwargs):
        type(self).calls += 1
        for callback in callbacks:
            callback.set_model(self)
            callback.on_epoch_begin(0)
            callback.on_epoch_end(0, {"loss": self.loss_told})
        history = keras.callbacks.History()
        history.history = {"loss": [self.loss_told]}
        return history


class SavingItself(Counting):
    saved = 0

    def save_weights(self, path, **kwargs):
        type(self).saved += 1
        Path(path).touch()

    def load_weights(self, path, **kwargs):
        """There is nothing to load."""


@pytest.mark.first("RandomSearch-Counting", "Hyperband-SavingItself")
@pytest.mark.parametrize("kind", [Counting, SavingItself])
@pytest.mark.parametrize("tuner_class", [kt.RandomSearch, kt.Hyperband])
def test_a_model_without_variables_is_searched_and_scored(kind, tuner_class, place):
    def build(hp):
        return kind(float(hp.Int("loss", 1, 9)))

    own = {"max_trials": 3} if tuner_class is kt.RandomSearch else {"max_epochs": 2, "factor": 2}
    before = kind.calls
    tuner = tuner_class(build, "loss", seed=0, **own, **place)
    tuner.search(X, Y, verbose=0)
    assert statuses(tuner) == {"COMPLETED"}
    assert kind.calls - before == len(trials_of(tuner))
    for trial in trials_of(tuner):
        assert trial.score == trial.hyperparameters.get("loss")
        assert trial.notes.get("checkpoint") == (
            "none: the model has no variables" if kind is Counting else None
        )
    assert isinstance(tuner.get_best_models()[0], kind)


def test_a_mock_of_a_model_is_searched(place):
    model = mock.Mock(spec=keras.Model)
    model.fit.return_value = 0.5

    def build(hp):
        hp.Int("number", 0, 9)
        return model

    tuner = kt.RandomSearch(build, goal(), max_trials=2, **place)
    tuner.search(X, epochs=1, verbose=0)
    assert [trial.message for trial in trials_of(tuner)] == [None, None]
    assert [trial.score for trial in trials_of(tuner)] == [0.5, 0.5]
    assert model.fit.call_count == 2


def uncompiled(hp):
    hp.Int("number", 0, 9)
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])


def test_a_model_that_is_never_compiled_is_not_refused_where_somebody_else_trains(place):
    class Fit(kt.HyperModel):
        def build(self, hp):
            return uncompiled(hp)

        def fit(self, hp, model, *args, **kwargs):
            return 1.0

    class Run(kt.RandomSearch):
        def run_trial(self, trial, *args, **kwargs):
            self._try_build(trial.hyperparameters)
            return 1.0

    class BuildAndFit(kt.RandomSearch):
        def _build_and_fit_model(self, trial, *args, **kwargs):
            self._try_build(trial.hyperparameters)
            return 1.0

    for kind, hypermodel in (
        (kt.RandomSearch, Fit()),
        (Run, uncompiled),
        (BuildAndFit, uncompiled),
    ):
        tuner = kind(hypermodel, goal(), max_trials=1, overwrite=True, **place)
        tuner.search(X, Y, verbose=0)
        assert statuses(tuner) == {"COMPLETED"}
    plain = kt.RandomSearch(uncompiled, goal(), max_trials=1, overwrite=True, **place)
    with pytest.raises(FatalValueError, match="compiled"):
        plain.search(X, Y, verbose=0)
