"""Trainings side by side on TensorFlow: each computes in one thread, and nothing else changes."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import afina as kt
from afina.training import Account, fresh_session, python_turn, why_not_fused
from afina.training.on_tensorflow import TensorFlowTrainer, xla
from afina.training.on_tensorflow.sessions import OneThread

if keras.backend.backend() != "tensorflow":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 8)).astype("float32")
Y = RNG.integers(0, 3, 70)
PICTURES = RNG.normal(size=(70, 8, 8, 1)).astype("float32")
WORDS = RNG.integers(0, 30, (70, 6))
TRAINING: dict[str, Any] = {"epochs": 2, "batch_size": 16, "validation_split": 0.3, "verbose": 0}


def made(
    *middle: Any, shape: tuple[int, ...] = (8,), rate: float = 1e-2, **compiled: Any
) -> keras.Model:
    model = keras.Sequential([keras.Input(shape), *middle, layers.Dense(3, "softmax")])
    settings = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], **compiled}
    model.compile(**{"optimizer": keras.optimizers.Adam(rate), **settings})
    return model


class Noisy(layers.Layer):
    """Draws from TensorFlow's own streams."""

    def call(self, x: Any) -> Any:
        import tensorflow as tf

        return x + 0.1 * tf.random.normal(tf.shape(x), seed=3)


class OwnStep(keras.Model):
    """Returns a log of its own."""

    def train_step(self, data: Any) -> Any:
        return {**super().train_step(data), "own": keras.ops.convert_to_tensor(3.0)}


def own_step() -> keras.Model:
    inputs = keras.Input((8,))
    model = OwnStep(inputs, layers.Dense(3, "softmax")(inputs))
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def measured(truth: Any, guess: Any) -> Any:
    import tensorflow as tf

    total = tf.numpy_function(lambda a: np.float32(a.sum()), [guess], tf.float32)
    return tf.ensure_shape(total, ())


KINDS: dict[str, tuple[Callable[[], keras.Model], Any]] = {
    "dense and dropout": (lambda: made(layers.Dense(7, "relu"), layers.Dropout(0.3)), X),
    "normalization": (
        lambda: made(layers.Dense(7, use_bias=False), layers.BatchNormalization()),
        X,
    ),
    "layer normalization": (lambda: made(layers.Dense(7), layers.LayerNormalization()), X),
    "convolutions": (
        lambda: made(
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            shape=(8, 8, 1),
        ),
        PICTURES,
    ),
    "embedding and gru": (
        lambda: made(layers.Embedding(30, 5), layers.GRU(4), shape=(6,)),
        WORDS,
    ),
    "mixed bfloat16": (lambda: made(layers.Dense(7, dtype="mixed_bfloat16")), X),
    "averages of weights": (
        lambda: made(layers.Dense(7), optimizer=keras.optimizers.SGD(0.1, use_ema=True)),
        X,
    ),
    "scaled loss": (
        lambda: made(
            layers.Dense(7),
            optimizer=keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)),
        ),
        X,
    ),
    "nadam and a schedule": (
        lambda: made(
            layers.Dense(7),
            optimizer=keras.optimizers.Nadam(keras.optimizers.schedules.CosineDecay(0.1, 9)),
        ),
        X,
    ),
    "draws of tensorflow's": (lambda: made(Noisy(), layers.Dense(7)), X),
    "a train step of one's own": (own_step, X),
    "a metric in python": (lambda: made(layers.Dense(7), metrics=[measured]), X),
}


def trained(kind: str, *, one_thread: bool) -> tuple[dict[str, Any], list[Any], Account]:
    build, x = KINDS[kind]
    keras.utils.set_random_seed(1)
    fresh_session()
    model, account = build(), Account()
    trainer = TensorFlowTrainer(lambda: one_thread)
    logs = trainer.fit(model, (x, Y), TRAINING, account).history
    return logs, model.get_weights(), account


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kernels", ["XLA", "TensorFlow's own kernels"])
def test_a_training_in_one_thread_gives_the_numbers_of_one_in_all_threads(
    kind: str, kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kernels == "XLA":
        monkeypatch.setattr(xla, "COMPILE", 0.0)  # such short trainings are not worth compiling
    sessions = watched(monkeypatch)
    logs, weights, account = trained(kind, one_thread=False)
    assert not sessions
    own_logs, own_weights, own_account = trained(kind, one_thread=True)
    assert sessions or kind == "a metric in python"
    assert own_account.choices == account.choices
    assert own_logs.keys() == logs.keys()
    for name, values in logs.items():
        np.testing.assert_allclose(own_logs[name], values, rtol=1e-5, atol=1e-6)
    for own, weight in zip(own_weights, weights, strict=True):
        np.testing.assert_allclose(own, weight, rtol=1e-4, atol=1e-5)


def watched(monkeypatch: pytest.MonkeyPatch, meet: Callable[[], Any] = int) -> list[str]:
    """The threads that call functions in sessions, from now on; `meet` is called in each call."""
    names: list[str] = []
    call = OneThread.__call__

    def watching(self: OneThread, *args: Any) -> Any:
        names.append(threading.current_thread().name)
        meet()
        return call(self, *args)

    monkeypatch.setattr(OneThread, "__call__", watching)
    return names


def test_two_trainings_are_in_one_function_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = TensorFlowTrainer(lambda: True)
    given = {**TRAINING, "validation_split": 0.0}

    def train(width: int, found: dict[int, Any]) -> None:
        with python_turn.held():
            keras.utils.set_random_seed(width)
            fresh_session()
            model = made(layers.Dense(width), layers.Dropout(0.2), rate=1e-3 * width)
            trainer.fit(model, (X, Y), given)
            found[width] = model.get_weights()

    alone: dict[int, Any] = {}
    for width in (4, 5, 6):
        train(width, alone)
    assert trainer.programs.compiled == 1
    barrier = threading.Barrier(2, timeout=30)
    watched(monkeypatch, meet=barrier.wait)
    together: dict[int, Any] = {}
    threads = [threading.Thread(target=train, args=(width, together)) for width in (5, 6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert trainer.programs.compiled == 1
    assert sorted(together) == [5, 6]
    for width, weights in together.items():
        assert all(map(np.array_equal, weights, alone[width]))


def test_what_lies_outside_of_the_function_is_trained_as_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import tensorflow as tf

    calls = tf.Variable(0.0)

    class Counting(layers.Layer):
        def call(self, x: Any) -> Any:
            calls.assign_add(1.0)
            return x

    sessions = watched(monkeypatch)
    trainer = TensorFlowTrainer(lambda: True)
    trainer.fit(made(Counting()), (X, Y), TRAINING)
    assert not sessions
    assert calls.numpy() >= 6


class Drawing(keras.callbacks.Callback):
    """Draws from all streams, and lets them into the weights."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        import tensorflow as tf

        noise = random.random() + np.random.rand() + float(tf.random.uniform(()))
        kernel = self.model.layers[0].kernel
        kernel.assign(kernel + 1e-2 * noise)


def build(hp: Any) -> keras.Model:
    return made(
        layers.Dense(hp.Choice("units", [4, 8]), activation="relu"),
        layers.Dropout(0.3),
        rate=hp.Float("rate", 1e-3, 1e-1, sampling="log"),
    )


TUNERS: dict[str, Callable[..., Any]] = {
    "random": lambda **kw: kt.RandomSearch(build, "val_loss", max_trials=6, seed=1, **kw),
    "hyperband": lambda **kw: kt.Hyperband(build, "val_loss", max_epochs=4, factor=2, seed=1, **kw),
    "auto": lambda **kw: kt.AutoTuner(build, "val_loss", max_epochs=2, max_trials=5, seed=1, **kw),
}


@pytest.mark.parametrize("name", TUNERS)
def test_a_search_trains_side_by_side_and_finds_the_same_each_time(
    name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afina.tuners.workers.processors", lambda: 3)
    found = []
    for number, workers in enumerate([{}, {}, {"workers": 1}]):
        sessions = watched(monkeypatch)
        tuner = TUNERS[name](directory=tmp_path, project_name=f"p{number}", **workers)
        tuner.search(
            X,
            Y,
            callbacks=[Drawing()],
            validation_split=0.3,
            verbose=0,
            **({"epochs": 2} if name == "random" else {}),
        )
        assert (len(set(sessions)) > 1) == (not workers)
        trials = tuner.oracle.trials.values()
        assert {trial.notes["training"] for trial in trials} == {"fused"}
        found.append(
            sorted((trial.hyperparameters.values["rate"], trial.score) for trial in trials)
        )
    assert found[0] == found[1]
    if name != "auto":  # which chooses by the results so far, and by how many train at a time
        assert found[2] == found[0]


def test_on_a_gpu_trials_train_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not_fused("auto") is None
    monkeypatch.setattr("afina.training.choice.has_gpu", lambda: True)
    assert "GPU" in str(why_not_fused("auto"))


def test_a_group_is_trained_one_by_one_with_the_reason(tmp_path: Any) -> None:
    tuner = kt.RandomSearch(
        build, "val_loss", max_trials=2, seed=1, group_trials=2, directory=tmp_path
    )
    tuner.search(X, Y, epochs=1, validation_split=0.3, verbose=0)
    for trial in tuner.oracle.trials.values():
        assert trial.notes["training"] == "fused"
        assert "JAX" in trial.notes["group"]
