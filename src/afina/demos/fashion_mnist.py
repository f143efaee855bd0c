"""Case study: which of ten kinds of clothing an image shows (dense network on its pixels)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from afina.demos.case import Case, Options, run_case
from afina.demos.data import Pictures, load_fashion_mnist, one_hot

SHOWN = 10
"""How many images are shown with their predicted class."""


def run_fashion_mnist(options: Options) -> dict[str, Any]:
    """Runs the case study on the images; see `afina.demos.case.run_case`."""
    return run_case(fashion_mnist_case(load_fashion_mnist(options.sources), options.limit), options)


def fashion_mnist_case(pictures: Pictures, limit: int | None = None) -> Case:
    """The case study: the last fifth of the training images are the validation data."""
    classes = len(pictures.classes)
    x, y = pictures.x_train[:limit], one_hot(pictures.y_train[:limit], classes)
    cut = int(len(x) * 0.8)  # where Keras's validation_split=0.2 cuts

    def show(console: Console, predicted: NDArray[np.int64]) -> None:
        for place, guess in enumerate(predicted[:SHOWN]):
            name, true = pictures.classes[guess], pictures.classes[pictures.y_test[place]]
            verdict = "[green]right[/]" if name == true else f"[red]wrong, it is {true}[/]"
            console.print(f"test picture {place}: [bold]{name}[/] ({verdict})")

    return Case(
        name="fashion-mnist",
        source=pictures.source,
        stand_in=pictures.stand_in,
        build=lambda hp: build(hp, x.shape[1:], classes),
        train=(x[:cut], y[:cut]),
        validation=(x[cut:], y[cut:]),
        test=(pictures.x_test[:limit], one_hot(pictures.y_test[:limit], classes)),
        classes=pictures.classes,
        batch_size=128,
        show=show,
    )


def build(hp: Any, shape: tuple[int, ...], classes: int) -> Any:
    """The search space: builds one network."""
    import keras

    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(shape),
            layers.Flatten(),
            layers.Dense(hp.Int("units", 32, 512, step=32), activation="relu"),
            layers.Dense(classes, activation="softmax"),
        ]
    )
    rate = hp.Choice("learning_rate", [1e-2, 1e-3, 1e-4])
    model.compile(keras.optimizers.Adam(rate), "categorical_crossentropy", metrics=["accuracy"])
    return model
