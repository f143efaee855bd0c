"""How a search grows: resident memory in each trial of a real tuner, every trial another width.

    python benchmarks/memory/search.py [--trials 120] [--training auto] [--train-on jax]

The growth that counts is that from the 40th trial on, when the caches of bounded size are full: the
slope of a straight line through the sizes in each trial.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

import afina as kt
from afina.training import resident_bytes

ROWS, FEATURES, CLASSES = 4000, 784, 10
SETTLED = 40
"""Trials after which all caches are full."""


def build(hp: kt.HyperParameters) -> keras.Model:
    layers = keras.layers
    units = hp.Int("units", 32, 512)
    hidden = layers.Dense(units, activation="relu")
    model = keras.Sequential([keras.Input((FEATURES,)), hidden, layers.Dense(CLASSES)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


class Scale(kt.RandomSearch):
    """Reads the size of the process that trains, in each epoch."""

    sizes: list[float]

    def on_epoch_end(self, trial: Any, model: Any, epoch: int, logs: Any = None) -> None:
        trial.notes["resident"] = str(resident_bytes() or 0)

    def on_trial_end(self, trial: Any) -> None:
        super().on_trial_end(trial)
        self.sizes.append(int(trial.notes["resident"]) / 2**20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=120)
    parser.add_argument("--training", choices=["auto", "fit"], default="auto")
    parser.add_argument("--train-on", choices=["jax"])
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, FEATURES)).astype("float32")
    y = rng.integers(0, CLASSES, ROWS)
    with tempfile.TemporaryDirectory() as folder:
        tuner = Scale(
            build,
            "val_loss",
            max_trials=options.trials,
            seed=0,
            directory=folder,
            training=options.training,
            train_on=options.train_on,
        )
        tuner.sizes = []
        tuner.search(x, y, validation_split=0.2, epochs=1, verbose=0)
    for place in range(0, len(tuner.sizes), 10):
        print(f"in trial {place + 1:4d}: {tuner.sizes[place]:7.1f} MB")
    settled = tuner.sizes[SETTLED:]
    if len(settled) > 10:
        slope = np.polyfit(np.arange(len(settled)), settled, 1)[0]
        print(f"growth from trial {SETTLED} on: {slope:.2f} MB a trial")


if __name__ == "__main__":
    main()
