"""How many threads plain `fit` is given on PyTorch."""

from __future__ import annotations

import importlib.util
import math
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import keras
import pytest

from afina.training.plain import multiplications

layers = keras.layers


def compiled(*parts: Any) -> keras.Model:
    model = keras.Sequential(parts)
    model.compile("adam", "mse")
    return model


def nested() -> keras.Model:
    inputs = keras.Input((4,))
    model = keras.Model(
        inputs, layers.Dense(2)(compiled(keras.Input((4,)), layers.Dense(5))(inputs))
    )
    model.compile("adam", "mse")
    return model


def frozen() -> keras.Model:
    model = compiled(keras.Input((4,)), layers.Dense(5), layers.Dense(1))
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    return model


def convolution() -> keras.Model:
    return compiled(keras.Input((9, 9, 2)), layers.Conv2D(3, 2), layers.Flatten(), layers.Dense(1))


MODELS: dict[str, tuple[Callable[[], keras.Model], float]] = {
    "dense": (lambda: compiled(keras.Input((784,)), layers.Dense(256), layers.Dense(10)), 203_530),
    "nested": (nested, 4 * 5 + 5 + 5 * 2 + 2),
    "frozen": (frozen, 4 * 5 + 5 + 5 + 1),
    "each pixel": (convolution, 81 * (2 * 3 * 4 + 3) + 8 * 8 * 3 + 1),
    "any length": (lambda: compiled(keras.Input((None, 4)), layers.Dense(2)), math.inf),
    "not built": (lambda: compiled(layers.Dense(2)), math.inf),
}


@pytest.mark.parametrize("name", MODELS)
def test_multiplications_are_counted_by_weights_and_places(name: str) -> None:
    make, expected = MODELS[name]
    assert multiplications(make()) == expected


SCRIPT = """
import keras, numpy as np, torch, afina as kt

torch.set_num_threads(2)
seen = {}

class Look(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        seen[self.model.layers[0].units] = torch.get_num_threads()

def build(hp):
    units = hp.Choice("units", [8, 8192])
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(units), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model

tuner = kt.GridSearch(build, "loss", workers=1, directory="p", project_name="q")
tuner.search(np.ones((64, 64)), np.ones(64), epochs=1, verbose=0, callbacks=[Look()])
print(seen, torch.get_num_threads())
"""


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
def test_small_steps_get_one_thread_and_the_rest_of_the_process_keeps_its_own(
    tmp_path: Any,
) -> None:
    surroundings = {**os.environ, "KERAS_BACKEND": "torch"}
    surroundings.pop("OMP_NUM_THREADS", None)

    def run() -> str:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            cwd=tmp_path,
            env=surroundings,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    assert run() == "{8: 1, 8192: 2} 2"
