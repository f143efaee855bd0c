"""The search in the picture of the README: Hyperband on 2,000 pictures of Fashion-MNIST."""

from __future__ import annotations

from typing import Any

import afina as kt  # before Keras, so that it can choose an installed backend
import keras
from afina.demos import load_fashion_mnist


def build(hp: Any) -> Any:
    model = keras.Sequential([keras.Input((784,))])
    for _ in range(hp.Int("layers", 1, 3)):
        model.add(keras.layers.Dense(hp.Int("units", 32, 512, step=32), activation="relu"))
    model.add(keras.layers.Dense(10, activation="softmax"))
    rate = hp.Float("learning_rate", 1e-5, 1e-1, sampling="log")
    model.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


if __name__ == "__main__":
    data = load_fashion_mnist()
    x, y = data.x_train.reshape(-1, 784)[:4000], data.y_train[:4000]
    tuner = kt.Hyperband(build, "val_accuracy", max_epochs=10, seed=0, project_name="clothes")
    tuner.search(x, y, validation_split=0.5)
