from __future__ import annotations

import os
from collections.abc import Callable

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

Data = tuple[NDArray[np.float32], NDArray[np.float32]]
MakeModel = Callable[..., keras.Model]


def pytest_configure(config: pytest.Config) -> None:
    # Keras hands its variables to NumPy in a way that NumPy 2 deprecates: no fault of ours.
    config.addinivalue_line(
        "filterwarnings", "ignore:__array__ implementation doesn't accept:DeprecationWarning"
    )


@pytest.fixture
def data() -> Data:
    x = np.random.default_rng(0).normal(size=(48, 4)).astype("float32")
    return x, x.sum(axis=1, keepdims=True)


@pytest.fixture
def make_model() -> MakeModel:
    """Makes small compiled models with every kind of state: moments, seeds, moving means."""

    def make(units: int = 6, *, optimizer: object = "adam", built: bool = True) -> keras.Model:
        layers = [
            keras.layers.Dense(units, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(1),
        ]
        model = keras.Sequential([keras.Input((4,)), *layers] if built else layers)
        model.compile(optimizer, "mse", metrics=["mae"])
        return model

    return make
