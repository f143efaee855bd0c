"""Code of the user's that calls `model.fit`: its trainings are fused where they can be."""

import copy
import pickle
import threading
import warnings

import keras
import numpy as np
import pytest

import afina as kt
from afina.errors import FatalValueError
from tests.tuners import models

X, Y = models.data(40)
GIVEN = {"x": X, "y": Y, "validation_split": 0.2, "epochs": 2, "verbose": 0}


@pytest.fixture
def place(tmp_path):
    return {"directory": tmp_path, "objective": "val_loss", "max_trials": 1, "seed": 0}


class Built(kt.HyperModel):
    def build(self, hp):
        return models.build(hp)


def searched(hypermodel, place, name="auto", kind=kt.RandomSearch, **options):
    """The trial of a search, and its curves."""
    tuner = kind(hypermodel, **{**place, "project_name": name}, **options)
    tuner.search(**GIVEN)
    (trial,) = tuner.oracle.trials.values()
    assert trial.status == "COMPLETED", trial.message
    return trial, trial.metrics.get_history("val_loss")


def assert_as_by_fit(hypermodel, place, note="fused", kind=kt.RandomSearch):
    """Compares a search with the same one by plain `fit`; returns the hypermodel's `seen`."""
    trial, curve = searched(hypermodel(), place, kind=kind)
    _, by_fit = searched(hypermodel(), place, "fit", kind=kind, training="fit")
    assert trial.notes["training"] == note
    assert [seen.step for seen in curve] == [seen.step for seen in by_fit]
    values = [[seen.mean() for seen in each] for each in (curve, by_fit)]
    np.testing.assert_allclose(*values, rtol=1e-5)


# -- what is trained as by fit ------------------------------------------------------------------


class BatchSize(Built):
    """As Keras' guide has it."""

    def fit(self, hp, model, *args, **kwargs):
        size = hp.Choice("batch_size", [8, 16])
        return model.fit(*args, batch_size=size, shuffle=hp.Boolean("shuffle", True), **kwargs)


class FineTuning(Built):
    """Trains, freezes a layer, compiles, trains on."""

    def fit(self, hp, model, *args, epochs, **kwargs):
        fit = model.fit
        first = fit(*args, epochs=epochs, **kwargs)
        assert list(first.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
        before = [np.array(w) for w in model.layers[0].get_weights()]
        model.layers[0].trainable = False
        model.compile("sgd", "sparse_categorical_crossentropy")
        history = model.fit(*args, initial_epoch=epochs, epochs=2 * epochs, **kwargs)
        assert history.epoch == [epochs, epochs + 1]
        for one, other in zip(before, model.layers[0].get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
        return history


class Evaluating(Built):
    """Scores the model itself, and calls a method of Keras' class."""

    def fit(self, hp, model, x, y, validation_split, callbacks, **kwargs):
        keras.Model.fit(model, x, y, callbacks=callbacks, **kwargs)
        return {"val_loss": model.evaluate(x, y, verbose=0, return_dict=True)["loss"]}


@pytest.mark.parametrize("hypermodel", [BatchSize, FineTuning, Evaluating])
def test_an_override_that_calls_model_fit_is_fused_with_the_numbers_of_fit(hypermodel, place):
    assert_as_by_fit(hypermodel, place)


class OwnTrial(kt.RandomSearch):
    def run_trial(self, trial, *args, **kwargs):
        keras.utils.set_random_seed(3)
        model = self.hypermodel.build(trial.hyperparameters)
        return model.fit(*args, **kwargs)


def test_a_run_trial_that_calls_model_fit_is_fused(place):
    assert_as_by_fit(Built, place, kind=OwnTrial)


class Doubling(keras.Sequential):
    """Has a `fit` of its own that passes on to Keras'."""

    def fit(self, *args, epochs, **kwargs):
        return super().fit(*args, epochs=2 * epochs, **kwargs)


class OwnModel(kt.HyperModel):
    def build(self, hp):
        model = Doubling([keras.Input((6,)), keras.layers.Dense(hp.Int("units", 2, 2))])
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    def fit(self, hp, model, *args, **kwargs):
        history = model.fit(*args, **kwargs)
        assert history.epoch == [0, 1, 2, 3]
        return history


def test_a_model_with_a_fit_of_its_own_is_left_to_it(place):
    assert_as_by_fit(OwnModel, place, note="fit: Doubling overrides fit")


class Teaching(Built):
    """Trains another model first, by another way."""

    def fit(self, hp, model, x, y, **kwargs):
        teacher = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2, "softmax")])
        teacher.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
        teacher.fit(x, y, batch_size=40, verbose=0)
        return model.fit(x, teacher.predict(x, verbose=0).argmax(-1), **kwargs)


def test_the_note_names_the_ways_of_several_trainings_in_their_order(place):
    trial, _ = searched(Teaching(), place)
    assert trial.notes["training"] == "fit: the model is compiled with run_eagerly=True, then fused"


class Looping(Built):
    """Trains epoch by epoch, on a layer that has code of the user's."""

    def build(self, hp):
        hp.Int("units", 1, 9)
        layers = [keras.Input((6,)), Plain(2, "softmax")]
        model = keras.Sequential(layers)
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    def fit(self, hp, model, *args, epochs, **kwargs):
        traced = []
        for _ in range(3):
            history = model.fit(*args, epochs=1, **kwargs)
            traced.append(Plain.traced)
        assert traced[0] == traced[-1]
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(*args, epochs=1, **kwargs)
        assert Plain.traced > traced[-1]
        return history


class Plain(keras.layers.Dense):
    traced = 0

    def call(self, inputs):
        Plain.traced += 1
        return super().call(inputs)


def test_a_second_fit_of_one_model_traces_nothing_anew_until_it_is_compiled_again(place):
    trial, _ = searched(Looping(), place)
    assert trial.notes["training"] == "fused"


# -- what is left alone ---------------------------------------------------------------------------


class Watching(Built):
    """Looks at everything that redirecting `fit` might change."""

    def fit(self, hp, model, *args, **kwargs):
        held, shown = set(vars(model)), repr(model.fit)
        history = model.fit(*args, **kwargs)
        assert repr(model.fit) == shown
        assert type(model) is keras.Sequential
        assert "fit" not in vars(model)
        assert set(vars(model)) - held <= {"history", "_jax_state", "stop_evaluating"}
        copies = copy.deepcopy(model), keras.models.clone_model(model)
        assert all("fit" not in vars(each) for each in (*copies, pickle.loads(pickle.dumps(model))))
        assert pickle.loads(pickle.dumps(keras.Model.fit)) is keras.Model.fit
        x, y = args or (kwargs.pop("x"), kwargs.pop("y"))
        elsewhere = threading.Thread(
            target=lambda: copies[0].fit(x, y, verbose=0, callbacks=[Batches()])
        )
        elsewhere.start()
        elsewhere.join()
        assert Batches.seen == 2
        with pytest.raises(TypeError, match="no_such_argument"):
            model.fit(x, y, no_such_argument=1)
        with pytest.raises(ZeroDivisionError):
            model.fit(x, y, verbose=0, callbacks=[Dividing()])
        return history


class Batches(keras.callbacks.Callback):
    seen = 0

    def on_train_batch_end(self, batch, logs=None):
        type(self).seen += 1


class Dividing(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        raise ZeroDivisionError


def test_redirecting_fit_leaves_no_trace_in_models_copies_and_other_threads(place):
    before = keras.Model.fit
    Batches.seen = 0
    searched(Watching(), place)
    assert keras.Model.fit is before


class Numbers(Built):
    def fit(self, hp, model, *args, **kwargs):
        return 1.0


def test_fused_refuses_an_override_that_calls_no_fit(place):
    with pytest.raises(FatalValueError, match=r"Numbers overrides fit and calls no model\.fit"):
        searched(Numbers(), place, training="fused")


class Asked:
    """A trainer whose `fit` is Keras'."""

    name = "asked"

    def __init__(self):
        self.fits = 0

    def why_not(self, model, args, kwargs):
        return None

    def fit(self, model, args, kwargs, account):
        self.fits += 1
        return model.fit(*args, **kwargs)


def test_a_trainer_of_ones_own_is_asked_once_for_each_fit_of_an_override(place):
    trainer = Asked()
    trial, _ = searched(BatchSize(), place, training=trainer, workers=1)
    assert (trial.notes["training"], trainer.fits) == ("asked", 1)


def test_an_override_that_calls_fit_trains_the_final_model_as_well(place):
    tuner = kt.RandomSearch(BatchSize(), **place)
    tuner.search(**GIVEN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        final = tuner.retrain_best(X, Y, validation_split=0.2)
    assert final.score is not None
