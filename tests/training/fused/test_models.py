"""Fused epochs come to what plain `fit` comes to, whatever layers and losses a model has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from .conftest import arrays, both, layers, sequential

X, Y = arrays()
RNG = np.random.default_rng(1)
LINES = RNG.normal(size=(50, 6, 4)).astype("float32")
PICTURES = RNG.random((50, 6, 6, 2)).astype("float32")
SPACES = RNG.normal(size=(50, 4, 4, 4, 1)).astype("float32")
TRAINING: dict[str, Any] = {"epochs": 2, "batch_size": 16, "validation_split": 0.3}


def on(data: Any, *middle: Any) -> keras.Model:
    """A model of these layers and a last one for samples like these."""
    model = keras.Sequential(
        [keras.Input(data.shape[1:]), *middle, layers.Flatten(), layers.Dense(1)]
    )
    model.compile("adam", "mse", metrics=["mae"])
    return model


def attending(*kinds: Any) -> keras.Model:
    inputs = keras.Input(LINES.shape[1:])
    seen = [kind(inputs) for kind in kinds]
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(layers.Add()(seen))))
    model.compile("adam", "mse")
    return model


PICTURED: dict[str, Callable[[], keras.Model]] = {
    "pooling": lambda: on(
        PICTURES, layers.MaxPooling2D(3, 1), layers.AveragePooling2D(2), layers.Dense(3)
    ),
    "global pooling": lambda: on(PICTURES, layers.Dense(3), layers.GlobalMaxPooling2D()),
    "adaptive and padded": lambda: on(
        PICTURES, layers.ZeroPadding2D(1), layers.Cropping2D(((1, 0), (0, 1))), layers.Dense(2)
    ),
    "other sizes": lambda: on(
        PICTURES,
        layers.Dense(2),
        layers.UpSampling2D(2, interpolation="bilinear"),
        layers.Resizing(5, 5),
    ),
    "normalizations": lambda: on(
        PICTURES,
        layers.Dense(4),
        layers.GroupNormalization(2),
        layers.LayerNormalization(),
        layers.UnitNormalization(),
    ),
    "spectral normalization": lambda: on(PICTURES, layers.SpectralNormalization(layers.Dense(3))),
    "dropouts": lambda: on(
        PICTURES,
        layers.Dense(4),
        layers.SpatialDropout2D(0.3),
        layers.GaussianDropout(0.2),
        layers.AlphaDropout(0.2),
    ),
    "turned and moved": lambda: on(
        PICTURES,
        layers.RandomFlip(),
        layers.RandomRotation(0.2),
        layers.RandomTranslation(0.2, 0.2),
    ),
    "other light": lambda: on(
        PICTURES,
        layers.RandomContrast(0.3),
        layers.RandomBrightness(0.2, value_range=(0, 1)),
        layers.RandomZoom(0.2),
    ),
    "activations": lambda: on(
        PICTURES, layers.Dense(3), layers.PReLU(), layers.LeakyReLU(), layers.Softmax()
    ),
}


@pytest.mark.first("pooling", "other sizes", "dropouts", "activations")
@pytest.mark.parametrize("name", PICTURED)
def test_layers_for_pictures_are_trained_as_fit_trains_them(name: str) -> None:
    both(PICTURED[name], PICTURES, Y, tolerance=1e-5, **TRAINING)


LINED: dict[str, Callable[[], keras.Model]] = {
    "pooling": lambda: on(
        LINES, layers.MaxPooling1D(2, 1), layers.AveragePooling1D(2), layers.Dense(3)
    ),
    "simple": lambda: on(LINES, layers.SimpleRNN(2)),
    "both ways": lambda: on(LINES, layers.Bidirectional(layers.SimpleRNN(2))),
    "masked": lambda: on(LINES, layers.Masking(), layers.LSTM(2)),
    "attention": lambda: attending(
        lambda t: layers.AdditiveAttention()([t, t]),
        lambda t: layers.Attention(dropout=0.2)([t, t]),
        lambda t: layers.GroupQueryAttention(2, 2, 1)(t, t),
    ),
}


@pytest.mark.first("simple", "masked")
@pytest.mark.parametrize("name", LINED)
def test_layers_for_series_are_trained_as_fit_trains_them(name: str) -> None:
    both(LINED[name], LINES, Y, tolerance=1e-5, **TRAINING)


def test_layers_for_spaces_are_trained_as_fit_trains_them() -> None:
    def make() -> keras.Model:
        pooled = layers.MaxPooling3D(2, 1), layers.AveragePooling3D(2, 1)
        return on(SPACES, layers.Dense(2), *pooled, layers.GlobalAveragePooling3D())

    both(make, SPACES, Y, tolerance=1e-5, **TRAINING)


def test_a_stateful_layer_goes_on_from_batch_to_batch_as_in_fit() -> None:
    def make() -> keras.Model:
        inputs = keras.Input(batch_shape=(10, *LINES.shape[1:]))
        model = keras.Sequential([inputs, layers.GRU(2, stateful=True), layers.Dense(1)])
        model.compile("adam", "mse")
        return model

    both(make, LINES, Y, batch_size=10, epochs=2, shuffle=False, tolerance=1e-5)


class OwnLoss(keras.Model):
    """A subclass of a functional model that adds to the loss, as Keras' guide shows."""

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        y_pred = args[2] if len(args) > 2 else kwargs["y_pred"]
        loss = super().compute_loss(*args, **kwargs)
        return loss + 0.1 * keras.ops.mean(keras.ops.abs(y_pred))


def with_own_loss() -> keras.Model:
    inputs = keras.Input((6,))
    model = OwnLoss(inputs, layers.Dense(1)(layers.Dense(4, activation="tanh")(inputs)))
    model.compile("adam", "mse", metrics=["mae"])
    return model


def cubed(y_true: Any, y_pred: Any) -> Any:
    return keras.ops.mean(keras.ops.abs(y_true - y_pred) ** 3, axis=-1)


class Largest(keras.losses.Loss):  # type: ignore[misc]
    """The largest error of a batch."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return keras.ops.max(keras.ops.abs(y_true - y_pred))


class Spread(keras.metrics.Metric):  # type: ignore[misc]
    """The standard deviation of all predictions so far: three variables."""

    def __init__(self) -> None:
        super().__init__(name="spread")
        self.sums = [
            self.add_weight(initializer="zeros", name=f"sum_{power}") for power in range(3)
        ]

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        for power, total in enumerate(self.sums):
            total.assign_add(keras.ops.sum(y_pred**power))

    def result(self) -> Any:
        count, total, squares = self.sums
        mean = total / (count + 1e-7)
        return keras.ops.sqrt(keras.ops.maximum(squares / (count + 1e-7) - mean**2, 0))


OWN: dict[str, Callable[[], keras.Model]] = {
    "compute_loss": with_own_loss,
    "functions": lambda: sequential(layers.Dense(4), loss=cubed, metrics=[cubed]),
    "objects": lambda: sequential(layers.Dense(4), loss=Largest(), metrics=[Spread()]),
}


@pytest.mark.parametrize("name", OWN)
def test_losses_and_metrics_of_the_users_are_computed_as_fit_computes_them(name: str) -> None:
    both(OWN[name], X, Y, tolerance=1e-5, **TRAINING)
