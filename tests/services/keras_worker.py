"""A worker of a search of tiny Keras models: `python keras_worker.py FOLDER`."""

import os
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

import afina as kt


def build(hp):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(hp.Int("units", 2, 8))])
    model.add(keras.layers.Dense(1))
    model.compile(keras.optimizers.Adam(hp.Float("rate", 1e-3, 1e-1, sampling="log")), "mse")
    return model


def tuner(folder):
    return kt.Hyperband(build, "val_loss", max_epochs=4, factor=2, directory=folder)


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 4)).astype("float32"), rng.normal(size=64).astype("float32")
    search = tuner(sys.argv[1])
    search.search(x, y, validation_split=0.5, verbose=0)
    print("seed", search.oracle.seed, "trials", len(search.oracle.trials), flush=True)
