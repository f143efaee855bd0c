"""Another process that searches with Keras models, slowly enough to be looked at."""

import sys
import time

import keras
import numpy as np

import afina

EPOCHS = 8


def build(hp):
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(hp.Int("units", 4, 64), activation="relu"),
         keras.layers.Dense(1)]
    )  # fmt: skip
    model.compile("adam", "mse")
    return model


def search(place, trials, seconds, folder):
    """Searches, with a pause in each epoch."""

    def slow(epoch, rate):
        time.sleep(seconds)
        return rate

    x = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
    tuner = afina.RandomSearch(
        build,
        "val_loss",
        max_trials=trials,
        seed=3,
        directory=folder,
        project_name="p",
        group_trials=1,
        **({"store": place} if place.startswith("postgresql") else {}),
    )
    slowly = keras.callbacks.LearningRateScheduler(slow)
    tuner.search(x, x[:, 0], validation_split=0.25, epochs=EPOCHS, callbacks=[slowly], verbose=0)


if __name__ == "__main__":
    search(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
