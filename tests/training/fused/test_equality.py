"""Fused epochs come to what plain `fit` comes to: models and optimizers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from .conftest import TENSORFLOW, arrays, both, dense, layers, sequential

X, Y = arrays()
TIMES = np.random.default_rng(1).normal(size=(50, 4, 3)).astype("float32")
IMAGES = np.random.default_rng(2).normal(size=(50, 6, 6, 1)).astype("float32")
CLASSES = np.random.default_rng(3).integers(0, 3, 50)
TRAINING = {"epochs": 2, "batch_size": 16, "validation_split": 0.3}
SPARSE = "sparse_categorical_crossentropy"


def classifier(inputs: Any, *middle: Any, **compiled: Any) -> keras.Model:
    model = keras.Sequential([inputs, *middle, layers.Dense(3, activation="softmax")])
    compiled = {"optimizer": "adam", "loss": SPARSE, "metrics": ["accuracy"], **compiled}
    model.compile(**compiled)
    return model


def shared() -> keras.Model:
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    twice = layers.Dense(4, activation="tanh")
    model = keras.Model([a, b], layers.Dense(1)(layers.Concatenate()([twice(a), twice(b)])))
    model.compile("adam", "mse")
    return model


def nested() -> keras.Model:
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(4), layers.Dropout(0.2)])
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layers.Dense(1)(layers.Concatenate()([inner(inputs), inputs])))
    model.compile("adam", "mse")
    return model


class Own(keras.Model):
    """A subclass with a `call` and a loss of its own."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first, self.last = layers.Dense(5, activation="relu"), layers.Dense(1)
        self.drop = layers.Dropout(0.2)

    def call(self, inputs: Any, training: bool = False) -> Any:
        hidden = self.drop(self.first(inputs), training=training)
        self.add_loss(0.01 * keras.ops.mean(hidden**2))
        return self.last(hidden)


class OwnStep(Own):
    """The same with steps of its own, stateless as JAX needs them."""

    def train_step(self, state: Any, data: Any) -> Any:
        import jax

        trainable, kept, moved, metrics = state
        x, y = data[:2]

        def loss_of(trainable: Any) -> Any:
            predicted, after = self.stateless_call(trainable, kept, x, training=True)
            return keras.ops.mean((predicted - y) ** 2), after

        (loss, kept), slopes = jax.value_and_grad(loss_of, has_aux=True)(trainable)
        trainable, moved = self.optimizer.stateless_apply(moved, slopes, trainable)
        return {"mine": loss, "twice": 2 * loss}, (trainable, kept, moved, metrics)


class OwnMetrics(Own):
    """The documented way to other logs: `compute_metrics`."""

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        results = super().compute_metrics(x, y, y_pred, sample_weight)
        results["largest"] = keras.ops.max(y_pred)
        return results


class OwnTapeStep(Own):
    """The same with a train step as TensorFlow needs it."""

    def train_step(self, data: Any) -> Any:
        import tensorflow as tf

        x, y = data[:2]
        with tf.GradientTape() as tape:
            loss = keras.ops.mean((self(x, training=True) - y) ** 2)
        slopes = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(slopes, self.trainable_variables)
        return {"mine": loss, "twice": 2 * loss}


def own(kind: type[keras.Model], **compiled: Any) -> keras.Model:
    model = kind()
    model.compile("adam", "mse", **compiled)
    return model


class Smallest(keras.metrics.Metric):  # type: ignore[misc]
    """The smallest prediction: its state does not begin with 0."""

    def __init__(self, name: str = "smallest") -> None:
        super().__init__(name=name)
        self.least = self.add_weight(name="least", initializer="zeros")
        self.least.assign(np.inf)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.least.assign(keras.ops.minimum(self.least, keras.ops.min(y_pred)))

    def reset_state(self) -> None:
        self.least.assign(np.inf)

    def result(self) -> Any:
        return self.least + 0.0  # TensorFlow would look up a variable later


DENSE: dict[str, Callable[[], keras.Model]] = {
    "dense": dense,
    "unbuilt": lambda: _compiled(keras.Sequential([layers.Dense(5), layers.Dense(1)])),
    "dropout": lambda: sequential(layers.Dense(8), layers.Dropout(0.4)),
    "batch normalization": lambda: sequential(
        # A bias would be trained by rounding errors alone.
        layers.Dense(5, use_bias=False),
        layers.BatchNormalization(),
    ),
    "noise and L2": lambda: sequential(
        layers.GaussianNoise(0.2), layers.Dense(5, kernel_regularizer="l2")
    ),
    "activity regularizer": lambda: sequential(layers.Dense(5, activity_regularizer="l1")),
    "nested": nested,
    "own call and add_loss": lambda: own(Own, metrics=["mae"]),
    "metric objects": lambda: sequential(
        layers.Dense(5),
        activation="sigmoid",
        loss="binary_crossentropy",
        metrics=[keras.metrics.AUC(), keras.metrics.Precision(), "accuracy"],
        weighted_metrics=["mae"],
    ),
    "metric of its own beginning": lambda: dense(metrics=[Smallest()]),
    "no loss but its layers'": lambda: sequential(
        layers.Dense(5, activity_regularizer="l2"), loss=None
    ),
    "frozen layer": lambda: sequential(
        layers.Dense(5, trainable=False), layers.BatchNormalization()
    ),
    "constraint": lambda: sequential(layers.Dense(5, kernel_constraint="max_norm")),
}


def _compiled(model: keras.Model) -> keras.Model:
    model.compile("adam", "mse")
    return model


# On TensorFlow Keras warns of gradients that do not exist, in plain `fit` too.
@pytest.mark.first(
    "dense", "dropout", "batch normalization", "own call and add_loss", "metric objects"
)
@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("name", DENSE)
def test_a_model_is_trained_as_fit_trains_it(name: str) -> None:
    targets = (Y > 0).astype("float32") if name == "metric objects" else Y
    both(DENSE[name], X, targets, **TRAINING)


WITH_OTHER_DATA: dict[str, tuple[Callable[[], keras.Model], Any, Any]] = {
    "convolution": (
        lambda: classifier(
            keras.Input((6, 6, 1)), layers.Conv2D(3, 3), layers.MaxPooling2D(), layers.Flatten()
        ),
        IMAGES,
        CLASSES,
    ),
    "embedding and LSTM": (
        lambda: classifier(keras.Input((3,)), layers.Embedding(9, 4), layers.LSTM(4)),
        np.random.default_rng(4).integers(0, 9, (50, 3)),
        CLASSES,
    ),
    "masked embedding": (
        lambda: classifier(
            keras.Input((3,)), layers.Embedding(9, 4, mask_zero=True), layers.GRU(4)
        ),
        np.random.default_rng(4).integers(0, 9, (50, 3)),
        CLASSES,
    ),
    "attention": (lambda: _attention(), TIMES, CLASSES),
    "shared layer": (shared, [X[:, :3], X[:, 3:]], Y),
}


def _attention() -> keras.Model:
    inputs = keras.Input((4, 3))
    seen = layers.MultiHeadAttention(2, 3, dropout=0.1, use_bias=False)(inputs, inputs)
    outputs = layers.Dense(3, activation="softmax")(layers.Flatten()(seen))
    model = keras.Model(inputs, outputs)
    model.compile("adam", SPARSE)
    return model


@pytest.mark.first("convolution", "embedding and LSTM")
@pytest.mark.parametrize("name", WITH_OTHER_DATA)
def test_layers_for_images_texts_and_series_are_trained_as_fit_trains_them(name: str) -> None:
    make, x, y = WITH_OTHER_DATA[name]
    data = {"x": x, "y": y, "validation_data": (x, y)}
    both(make, **data, epochs=2, batch_size=16)


def test_several_inputs_and_outputs_in_dicts_and_lists_with_weights_of_losses() -> None:
    def make() -> keras.Model:
        a, b = keras.Input((2,), name="a"), keras.Input((4,), name="b")
        hidden = layers.Dense(4, activation="relu")(layers.Concatenate()([a, b]))
        outputs = {"p": layers.Dense(1, name="p")(hidden), "q": layers.Dense(2, name="q")(hidden)}
        model = keras.Model({"a": a, "b": b}, outputs)
        model.compile(
            "adam",
            {"p": "mse", "q": "mae"},
            loss_weights={"p": 1.0, "q": 0.3},
            metrics={"q": ["mse"]},
        )
        return model

    x, y = {"a": X[:, :2], "b": X[:, 2:]}, {"p": Y, "q": X[:, :2]}
    both(make, x, y, **TRAINING)


@pytest.mark.first("mixed_bfloat16")
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_is_trained_as_fit_trains_it(policy: str) -> None:
    keras.config.set_dtype_policy(policy)
    try:
        fused, _ = both(
            lambda: sequential(layers.Dense(8, activation="relu"), layers.Dropout(0.2)),
            X,
            Y,
            tolerance=2e-3,
            **TRAINING,
        )
    finally:
        keras.config.set_dtype_policy("float32")
    assert fused.model.layers[0].compute_dtype == policy.removeprefix("mixed_")


def test_a_train_step_of_the_users_own_logs_what_it_returns() -> None:
    fused, _ = both(lambda: own(OwnTapeStep if TENSORFLOW else OwnStep), X, Y, **TRAINING)
    assert {"mine", "twice", "val_loss"} <= set(fused.logs)


def test_logs_that_compute_metrics_adds_are_those_of_the_last_batch() -> None:
    fused, _ = both(lambda: own(OwnMetrics, metrics=["mae"]), X, Y, **TRAINING)
    assert {"largest", "val_largest"} <= set(fused.logs)


schedules = keras.optimizers.schedules
OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "clipnorm, moving averages": lambda: keras.optimizers.AdamW(
        0.01, clipnorm=1.0, use_ema=True, ema_momentum=0.7
    ),
    "averages taken over": lambda: keras.optimizers.SGD(
        0.05, use_ema=True, ema_overwrite_frequency=3, global_clipnorm=2.0
    ),
    "schedule": lambda: keras.optimizers.Adam(schedules.ExponentialDecay(0.05, 4, 0.7)),
    "gradients of two batches": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=2),
    "scaled loss": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.05), initial_scale=64.0, dynamic_growth_steps=3
    ),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01, centered=True),
    "amsgrad": lambda: keras.optimizers.Adam(0.01, amsgrad=True, weight_decay=0.01),
}


@pytest.mark.first("momentum", "schedule", "gradients of two batches")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_moves_the_weights_as_in_fit(name: str) -> None:
    fused, _ = both(lambda: dense(optimizer=OPTIMIZERS[name]()), X, Y, **TRAINING)
    assert int(fused.model.optimizer.iterations) > 0


@pytest.mark.service  # compiles everything anew
@pytest.mark.skipif(TENSORFLOW, reason="looks at how JAX compiles")
def test_programs_that_are_optimised_as_the_users_are_train_alike_too() -> None:
    """The tests' own programs are compiled with less care: see the `conftest.py` of the project."""
    names = ("dropout", "batch normalization")
    test = f"{Path(__file__)}::{test_a_model_is_trained_as_fit_trains_it.__name__}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *(f"{test}[{name}]" for name in names)],
        env={**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "false", "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
    )
    assert f"{len(names)} passed" in done.stdout, done.stdout + done.stderr
