"""What a step costs beside its arithmetic: a tiny model, by plain `fit` and by fused epochs.

    KERAS_BACKEND=jax python benchmarks/speed/dispatch.py [--steps 4000] [--epochs 5]

A step of a network of two numbers is next to no arithmetic, so its time is what it costs to start
one. Of a fused epoch, Python's share is what passes outside of the program: callbacks, the order of
the batches, state and numbers that go to and fro, once an epoch.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from afina.training import Account
from afina.training.fused import FusedTrainer

BATCH = 8


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[float] = []
        self._began = 0.0

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.epochs.append(time.perf_counter() - self._began)


def create_model() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4000, help="in an epoch")
    parser.add_argument("--epochs", type=int, default=5, help="the quickest counts")
    options = parser.parse_args()
    x = np.random.default_rng(0).normal(size=(options.steps * BATCH, 2)).astype("float32")
    data = (x, x.sum(axis=1))
    settings = {"batch_size": BATCH, "epochs": options.epochs, "verbose": 0}

    plain = Clock()
    create_model().fit(*data, **settings, callbacks=[plain])
    fused, account = Clock(), Account()
    FusedTrainer().fit(create_model(), data, {**settings, "callbacks": [fused]}, account)
    outside = sum(fused.epochs) - account.train

    table = Table("way", "µs a step", "of it Python, µs")
    per_step = 1e6 / options.steps
    best = min(plain.epochs[1:] or plain.epochs) * per_step
    table.add_row("plain fit", f"{best:.1f}", "nearly all")
    best = min(fused.epochs[1:] or fused.epochs) * per_step
    table.add_row("fused", f"{best:.2f}", f"{outside / options.epochs * per_step:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
