"""What is kept of trainings that are the user's own, and how it is promoted."""

import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

import afina as kt
from afina.errors import CheckpointError, StoreError
from afina.training import CHECKPOINT
from tests.tuners import models
from tests.tuners.models import goal, statuses, trials_of

X, Y = models.data(48)


@pytest.fixture
def place(tmp_path):
    return {"directory": tmp_path, "project_name": "p"}


# -- compiled again -------------------------------------------------------------------------------


def head_first(hp):
    """The first layer is frozen, as the base of a transferred model is."""
    model = models.build(hp)
    model.layers[0].trainable = False
    model.compile("adam", model.loss, metrics=["accuracy"])
    return model


class FineTuning(kt.HyperModel):
    """Trains the head, then all of it."""

    def __init__(self, optimizer="adam"):
        super().__init__()
        self.optimizer = optimizer

    def build(self, hp):
        return head_first(hp)

    def fit(self, hp, model, x, y, **kwargs):
        model.fit(x, y, epochs=1, verbose=0)
        model.layers[0].trainable = True
        model.compile(
            keras.optimizers.get(self.optimizer),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        return model.fit(x, y, **kwargs)


def left_out(caught):
    return [w for w in caught if "optimizer state is left out" in str(w.message)]


@pytest.mark.first("adam")
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
def test_the_best_models_of_a_fit_that_compiles_again_have_their_weights_and_one_warning_is_given(
    optimizer, place
):
    def make():
        return kt.RandomSearch(FineTuning(optimizer), "val_loss", max_trials=2, seed=0, **place)

    tuner = make()
    tuner.search(X, Y, validation_split=0.25, epochs=2, verbose=0)
    for each in (tuner, make()):  # the project, opened again
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = each.get_best_models(2)
        assert len(left_out(caught)) == 1
        for model, trial in zip(found, each.oracle.get_best_trials(2), strict=True):
            loss, _ = model.evaluate(X[36:], Y[36:], verbose=0)
            assert loss == pytest.approx(trial.score, rel=1e-4)


def test_hyperband_goes_on_with_the_weights_of_a_fit_that_compiles_again(place):
    tuner = kt.Hyperband(FineTuning("sgd"), "val_loss", max_epochs=2, factor=2, seed=0, **place)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tuner.search(X, Y, validation_split=0.25, verbose=0)
    assert len(left_out(caught)) == 1
    assert statuses(tuner) == {"COMPLETED"}
    assert not any("promotion" in trial.notes for trial in trials_of(tuner))


def test_a_model_that_only_fit_compiles_goes_on_without_a_warning(place):
    class Late(kt.HyperModel):
        def build(self, hp):
            return keras.Sequential([keras.Input((6,)), keras.layers.Dense(hp.Choice("n", [1, 2]))])

        def fit(self, hp, model, x, y, **kwargs):
            model.compile("adam", "mse")
            return model.fit(x, np.zeros((len(x), model.output_shape[-1])), **kwargs)

    tuner = kt.Hyperband(Late(), "val_loss", max_epochs=2, factor=2, seed=0, **place)
    tuner.search(X, Y, validation_split=0.25, verbose=0)
    assert statuses(tuner) == {"COMPLETED"}
    assert tuner.get_best_models()


# -- checkpoints ----------------------------------------------------------------------------------


class Unsavable(keras.layers.Dense):
    def save_own_variables(self, store):
        raise NotImplementedError("no way to save me")


def unsavable(hp):
    model = keras.Sequential([keras.Input((6,)), Unsavable(hp.Int("units", 1, 3))])
    model.compile("sgd", "mse")
    return model


class Numbers(kt.HyperModel):
    """Returns a number and does not look at callbacks."""

    def __init__(self):
        super().__init__()
        self.given = []

    def build(self, hp):
        return models.build(hp)

    def fit(self, hp, model, *args, callbacks, **kwargs):
        self.given.append((kwargs["initial_epoch"], kwargs["epochs"]))
        return float(hp.get("units"))


class Gan(keras.Model):
    """Two models inside of one that is never called, hence never built."""

    def __init__(self):
        super().__init__()
        self.generator = keras.Sequential([keras.Input((6,)), keras.layers.Dense(6)])
        self.critic = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
        self.critic.compile("sgd", "mse")

    def fit(self, x, y=None, callbacks=(), **kwargs):
        loss = self.critic.train_on_batch(self.generator(x), np.zeros((len(x), 1)))
        listing = keras.callbacks.CallbackList(callbacks, add_history=True, model=self)
        listing.on_train_begin()
        listing.on_epoch_end(0, {"loss": float(loss)})
        listing.on_train_end()
        return self.history


def gan(hp):
    hp.Int("number", 0, 9)
    return Gan()


UNSAVED = {
    "a layer that cannot be saved": (unsavable, "no way to save me"),
    "a model that is never built": (gan, "must be built"),
}


@pytest.mark.parametrize("kind", UNSAVED)
def test_a_model_that_cannot_be_saved_keeps_its_score_and_the_trial_notes_it(kind, place):
    build, why = UNSAVED[kind]
    tuner = kt.RandomSearch(build, "loss", max_trials=2, seed=0, workers=1, **place)
    tuner.search(X, X[:, :1] * 0, epochs=1, verbose=0)
    assert statuses(tuner) == {"COMPLETED"}
    again = kt.RandomSearch(build, "loss", max_trials=2, seed=0, workers=1, **place)
    for trial in (*trials_of(tuner), *trials_of(again)):
        assert trial.score is not None
        assert trial.notes["checkpoint"].startswith("none: ")
        assert why in trial.notes["checkpoint"]
    with pytest.raises(CheckpointError, match=f"trial . must have left a model|{why}"):
        again.get_best_models()


@pytest.mark.first("1")
@pytest.mark.parametrize("workers", [1, 2])
def test_promotions_of_models_that_cannot_be_saved_start_from_scratch(workers, place):
    tuner = kt.Hyperband(
        unsavable, "loss", max_epochs=2, factor=2, seed=0, workers=workers, **place
    )
    tuner.search(X, X[:, :1] * 0, verbose=0)
    assert statuses(tuner) == {"COMPLETED"}
    promoted = [t for t in trials_of(tuner) if "tuner/trial_id" in t.hyperparameters.values]
    assert promoted
    for trial in promoted:
        assert trial.notes["promotion"].startswith("from scratch: ")
        assert "no way to save me" in trial.notes["promotion"]
        steps = [report.step for report in tuner.oracle.study.history(int(trial.trial_id))]
        assert steps == [0, 1]  # all its epochs, not only those after the promotion


def test_a_fit_that_tells_the_callbacks_nothing_is_promoted_from_scratch(place, capsys):
    hypermodel = Numbers()
    tuner = kt.Hyperband(hypermodel, goal(), max_epochs=4, factor=2, seed=0, **place)
    tuner.search(X, Y)
    assert statuses(tuner) == {"COMPLETED"}
    assert {initial for initial, _ in hypermodel.given} == {0}
    assert {epochs for _, epochs in hypermodel.given} == {1, 2, 4}
    assert capsys.readouterr().out.count("A promoted trial starts from scratch") == 1
    promoted = [t for t in trials_of(tuner) if "tuner/trial_id" in t.hyperparameters.values]
    assert all("told of no epoch" in trial.notes["promotion"] for trial in promoted)


@pytest.mark.parametrize("damage", ["gone", "damaged", "another model's"])
def test_a_promotion_whose_checkpoint_cannot_be_loaded_starts_from_scratch(damage, place):
    class Damaging(kt.Hyperband):
        def on_trial_end(self, trial):
            super().on_trial_end(trial)
            path = Path(self.get_trial_dir(trial.trial_id)) / CHECKPOINT
            if damage == "gone":
                path.unlink()
            elif damage == "damaged":
                path.write_bytes(b"half of a file")
            else:
                other = keras.Sequential([keras.Input((6,)), keras.layers.Dense(99)])
                other.save_weights(path)

    tuner = Damaging(models.build, "val_loss", max_epochs=2, factor=2, seed=0, **place)
    tuner.search(X, Y, validation_split=0.25, verbose=0)
    assert statuses(tuner) == {"COMPLETED"}
    promoted = [t for t in trials_of(tuner) if "tuner/trial_id" in t.hyperparameters.values]
    assert promoted
    assert all(t.notes["promotion"].startswith("from scratch: ") for t in promoted)


def test_a_build_and_fit_model_of_ones_own_gets_the_parents_weights_from_try_build(place):
    weights = {}

    class Own(kt.Hyperband):
        def _build_and_fit_model(self, trial, *args, **kwargs):
            model = self._try_build(trial.hyperparameters)
            parent = trial.hyperparameters.values.get("tuner/trial_id")
            if parent is not None:
                assert all(map(np.array_equal, model.get_weights(), weights[parent]))
            history = self.hypermodel.fit(trial.hyperparameters, model, *args, **kwargs)
            weights[trial.trial_id] = model.get_weights()
            return history

    tuner = Own(models.build, "val_loss", max_epochs=2, factor=2, seed=0, **place)
    kwargs = {"epochs": 1, "validation_split": 0.25, "verbose": 0}
    tuner.search(X, Y, **kwargs)
    assert statuses(tuner) == {"COMPLETED"}


def test_trouble_of_the_store_still_ends_the_search(place):
    def broken(hp):
        raise StoreError("the database is gone")

    class Broken(kt.RandomSearch):
        def run_trial(self, trial, *args, **kwargs):
            broken(trial.hyperparameters)

    tuner = Broken(objective=goal(), max_trials=2, **place)
    with pytest.raises(StoreError, match="database"):
        tuner.search(verbose=0)


def test_a_checkpoint_that_a_trial_asks_for_in_vain_is_the_trials_failure(place):
    class Loading(kt.RandomSearch):
        def run_trial(self, trial, *args, **kwargs):
            if trial.trial_id == "0":
                self.load_model(trial)
            return 1.0

    tuner = Loading(models.build, goal(), max_trials=2, **place)
    tuner.search(verbose=0)
    assert [trial.status for trial in trials_of(tuner)] == ["FAILED", "COMPLETED"]
