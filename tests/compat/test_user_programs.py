"""Whole programs as users of Keras Tuner write them: models of several inputs, generators,
preprocessing layers, nested hypermodels, fine-tuning and search loops of their own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import afina as kt

pytestmark = [
    pytest.mark.service,
    # Plain Keras finds no optimizer to load into where a model is built anew, and says so.
    pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer"),
    # A second compile makes an optimizer that build() does not make: said once, and meant here.
    pytest.mark.filterwarnings("ignore:The checkpoint's weights are loaded"),
    # Keras tells that a generator has ended, and TensorFlow that it was not asked for more.
    pytest.mark.filterwarnings("ignore:Your input ran out of data"),
    pytest.mark.filterwarnings("ignore:Model doesn't support .jit_compile"),  # on TensorFlow
    pytest.mark.filterwarnings("ignore:.*shuffle=True. was passed"),  # of any generator
]

ROWS = 48
X = np.random.default_rng(0).random((ROWS, 3)).astype("float32")
Y = (X[:, 0] > 0.5).astype("int32")
VALIDATION = (X[:16], Y[:16])


def build(hp: Any) -> Any:
    """Built by its first batch, as many examples have it."""
    hidden = keras.layers.Dense(hp.Int("units", 2, 6, step=2), activation="relu")
    model = keras.Sequential([hidden, keras.layers.Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def trials(tuner: Any) -> list[Any]:
    return [tuner.oracle.trials[key] for key in sorted(tuner.oracle.trials)]


def all_completed(tuner: Any, count: int) -> bool:
    return [trial.status for trial in trials(tuner)] == ["COMPLETED"] * count


def test_inputs_outputs_losses_and_weights_may_be_dicts(project: dict[str, Any]) -> None:
    def several(hp: Any) -> Any:
        inputs = {"num": keras.Input((3,), name="num"), "cat": keras.Input((4,), name="cat")}
        parts = [
            keras.layers.Dense(hp.Int(f"units_{name}", 2, 4))(each) for name, each in inputs.items()
        ]
        hidden = keras.layers.Concatenate()(parts)
        outputs = {
            "price": keras.layers.Dense(1, name="price")(hidden),
            "kind": keras.layers.Dense(2, activation="softmax", name="kind")(hidden),
        }
        model = keras.Model(inputs, outputs)
        model.compile(
            hp.Choice("optimizer", ["adam", "sgd"]),
            loss={"price": "mse", "kind": "sparse_categorical_crossentropy"},
            loss_weights={"price": hp.Float("weight", 0.1, 1.0), "kind": 1.0},
            metrics={"price": ["mae"], "kind": ["accuracy"]},
        )
        return model

    x = {"num": X, "cat": np.tile(X[:, :1], 4)}
    y = {"price": X[:, :1], "kind": Y}
    some = tuple({name: each[:16] for name, each in part.items()} for part in (x, y))
    objective = kt.Objective("val_kind_accuracy", "max")
    tuner = kt.BayesianOptimization(several, objective=objective, max_trials=2, seed=1, **project)
    ones = {"price": np.ones(ROWS), "kind": np.ones(ROWS)}
    tuner.search(x, y, validation_data=some, sample_weight=ones, epochs=2, verbose=0)

    assert all_completed(tuner, 2)
    assert {"val_price_mae", "val_kind_loss"} <= set(trials(tuner)[0].metrics.metrics)
    predicted = tuner.get_best_models()[0].predict(some[0], verbose=0)
    assert {name: each.shape for name, each in predicted.items()} == {
        "price": (16, 1),
        "kind": (16, 2),
    }


def test_hypermodels_may_hold_hypermodels_each_in_a_scope_of_its_own(
    project: dict[str, Any],
) -> None:
    class Block(kt.HyperModel):
        def build(self, hp: Any) -> Any:
            units = [hp.Int(f"units_{index}", 2, 4) for index in range(hp.Int("layers", 1, 2))]
            return keras.Sequential([keras.layers.Dense(each) for each in units])

    class Outer(kt.HyperModel):
        def __init__(self) -> None:
            super().__init__()
            self.block, self.fixed = Block(), Block(tunable=False)

        def build(self, hp: Any) -> Any:
            inputs = hidden = keras.Input((3,))
            for index in range(2):
                with hp.name_scope(f"block_{index}"):
                    hidden = self.block.build(hp)(hidden)
            with hp.name_scope("fixed"):
                hidden = self.fixed.build(hp)(hidden)
            model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(hidden))
            model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
            return model

    tuner = kt.RandomSearch(Outer(), objective="val_accuracy", max_trials=3, seed=2, **project)
    tuner.search(X, Y, validation_data=VALIDATION, epochs=1, verbose=0)
    assert all_completed(tuner, 3)
    names = {entry.name for entry in tuner.oracle.get_space().space}
    assert {"block_0/layers", "block_0/units_0", "block_1/layers", "block_1/units_0"} <= names
    assert not any(name.startswith("fixed/") for name in names)
    best = tuner.hypermodel.build(tuner.get_best_hyperparameters()[0])
    assert best.output_shape == (None, 2)


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        rows = slice(16 * index, 16 * index + 16)
        return X[rows], Y[rows]


def endless() -> Any:
    rng = np.random.default_rng(3)
    while True:
        rows = rng.integers(0, ROWS, 8)
        yield X[rows], Y[rows]


def test_data_may_come_from_generators_with_steps(project: dict[str, Any]) -> None:
    tuner = kt.RandomSearch(build, objective="val_loss", max_trials=2, seed=1, **project)
    tuner.search(
        endless(),
        steps_per_epoch=3,
        validation_data=endless(),
        validation_steps=2,
        epochs=2,
        verbose=0,
    )
    assert all_completed(tuner, 2)


def test_data_may_be_a_pydataset(project: dict[str, Any]) -> None:
    tuner = kt.RandomSearch(build, objective="val_loss", max_trials=2, seed=1, **project)
    tuner.search(Batches(), validation_data=Batches(), epochs=2, verbose=0)
    assert all_completed(tuner, 2)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs TensorFlow")
def test_data_may_be_a_dataset_of_tensorflow(project: dict[str, Any]) -> None:
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(8).batch(16).prefetch(1)
    tuner = kt.RandomSearch(build, objective="val_loss", max_trials=2, seed=1, **project)
    tuner.search(data, validation_data=data.take(1), epochs=2, verbose=0)
    assert all_completed(tuner, 2)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="needs PyTorch")
def test_data_may_be_a_loader_of_pytorch(project: dict[str, Any]) -> None:
    import torch

    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    loader = torch.utils.data.DataLoader(data, batch_size=16, shuffle=True)
    tuner = kt.RandomSearch(build, objective="val_loss", max_trials=2, seed=1, **project)
    tuner.search(loader, validation_data=loader, epochs=2, verbose=0)
    assert all_completed(tuner, 2)


def test_preprocessing_layers_are_tuned(project: dict[str, Any]) -> None:
    images = np.random.default_rng(1).random((ROWS, 6, 6, 1)).astype("float32")

    def augmented(hp: Any) -> Any:
        scale = keras.layers.Normalization(axis=-1)
        scale.adapt(images)
        model = keras.Sequential([keras.Input((6, 6, 1)), scale])
        if hp.Boolean("flip"):
            model.add(keras.layers.RandomFlip(hp.Choice("mode", ["horizontal", "vertical"])))
        model.add(keras.layers.RandomRotation(hp.Float("rotation", 0.0, 0.2, step=0.1)))
        model.add(keras.layers.Flatten())
        model.add(keras.layers.Dense(2, activation="softmax"))
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    tuner = kt.RandomSearch(augmented, objective="val_loss", max_trials=3, seed=1, **project)
    stop = keras.callbacks.EarlyStopping("val_loss", patience=1)
    some = (images[:16], Y[:16])
    tuner.search(images, Y, validation_data=some, epochs=2, callbacks=[stop], verbose=0)
    assert all_completed(tuner, 3)
    loss, _ = tuner.get_best_models()[0].evaluate(*some, verbose=0)
    assert loss == pytest.approx(tuner.oracle.get_best_trials()[0].score, rel=1e-4)


def test_a_run_trial_that_unfreezes_and_compiles_again_saves_what_is_loaded(
    project: dict[str, Any],
) -> None:
    body = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(5), keras.layers.BatchNormalization()], name="body"
    )

    def head(hp: Any) -> Any:
        copy = keras.models.clone_model(body)
        copy.set_weights(body.get_weights())
        copy.trainable = False
        inputs = keras.Input((3,))
        hidden = keras.layers.Dropout(hp.Float("drop", 0, 0.5))(copy(inputs, training=False))
        model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(hidden))
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    class FineTuner(kt.RandomSearch):
        def run_trial(self, trial: Any, x: Any, y: Any, validation_data: Any) -> Any:
            hp = trial.hyperparameters
            model = self.hypermodel.build(hp)
            model.fit(x, y, epochs=1, verbose=0)
            model.layers[1].trainable = True
            rate = hp.Float("fine_rate", 1e-4, 1e-2, sampling="log")
            model.compile(keras.optimizers.Adam(rate), model.loss, metrics=["accuracy"])
            history = model.fit(x, y, validation_data=validation_data, epochs=1, verbose=0)
            model.save_weights(self._get_checkpoint_fname(trial.trial_id))
            return {name: values[-1] for name, values in history.history.items()}

    tuner = FineTuner(head, objective="val_loss", max_trials=2, seed=1, **project)
    tuner.search(X, Y, validation_data=VALIDATION)
    assert all_completed(tuner, 2)
    assert {"drop", "fine_rate"} <= set(trials(tuner)[0].hyperparameters.values)
    loss, _ = tuner.get_best_models()[0].evaluate(*VALIDATION, verbose=0)
    assert loss == pytest.approx(tuner.oracle.get_best_trials()[0].score, rel=1e-4)


def test_a_search_loop_of_ones_own_asks_the_oracle_itself(project: dict[str, Any]) -> None:
    class Loop(kt.RandomSearch):
        def search(self, *args: Any, **kwargs: Any) -> int:
            count = 0
            self.on_search_begin()
            while True:
                self.pre_create_trial()
                trial = self.oracle.create_trial(self.tuner_id)
                if trial.status == kt.engine.trial.TrialStatus.STOPPED:
                    break
                self.on_trial_begin(trial)
                self._try_run_and_update_trial(trial, *args, **kwargs)
                self.on_trial_end(trial)
                count += 1
            self.on_search_end()
            return count

    tuner = Loop(build, objective="val_loss", max_trials=3, seed=1, **project)
    assert tuner.search(X, Y, validation_data=VALIDATION, epochs=1, verbose=0) == 3
    assert all_completed(tuner, 3)
    assert len(tuner.get_best_models(2)) == 2


def test_keras_own_callbacks_work_as_in_fit(project: dict[str, Any], tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    tuner = kt.RandomSearch(build, objective="val_loss", max_trials=2, seed=1, **project)
    tuner.search(
        X,
        Y,
        validation_data=VALIDATION,
        epochs=2,
        verbose=0,
        class_weight={0: 1.0, 1: 2.0},
        callbacks=[
            keras.callbacks.CSVLogger(str(files / "log.csv")),
            keras.callbacks.ModelCheckpoint(str(files / "best.keras"), save_best_only=True),
            keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5),
            keras.callbacks.ReduceLROnPlateau(patience=1),
            keras.callbacks.TerminateOnNaN(),
        ],
    )
    assert all_completed(tuner, 2)
    assert sorted(os.listdir(files)) == ["best.keras", "log.csv"]
    assert keras.models.load_model(files / "best.keras").predict(X[:2], verbose=0).shape == (2, 2)
