"""Dense networks for tables, bags of words and small images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from afina.space import HyperParameters
from afina.spaces.curated import Chosen, CuratedModel, curated
from afina.spaces.inputs import (
    Described,
    described,
    made,
    scaling_of_features,
    scaling_of_images,
    some_samples,
)
from afina.spaces.target import Task, look_at_targets
from afina.spaces.training import dropout, power_of_two, training_space

ACTIVATIONS = ("relu", "swish", "tanh")
"""relu comes first: it is cheap, and others are rarely much better."""


def mlp(
    x: Any,
    y: Any,
    *,
    task: Task = "auto",
    optimizers: Sequence[str] = ("adam", "sgd"),
    learning_rate: Any = None,
    batch_size: int | None = None,
    patience: int | None = 3,
) -> CuratedModel:
    """A search space of dense networks for these data.

    The model itself scales inputs that need it. The targets decide whether this is a regression or
    a classification, and how classes are encoded.

    Hyperparameters: `layers`; `units`; with 2 or more layers `shape` ("equal": all layers have
    `units`; "pyramid": each layer has half the units of the previous one); `activation`;
    `dropout`; `optimizer` and its learning rate; `batch_size`.

    Args:
        x: Inputs, numbers (samples, ...). More than two dimensions are flattened.
        y: Targets, (samples,) or (samples, outputs): classes counted from 0, one-hot rows, rows
            of labels 0 and 1, or numbers.
        task: "classification" or "regression", if the targets alone could mean either.
        optimizers: Some of "adam", "sgd", "rmsprop", "adamw". A single one is not tuned.
        learning_rate: None for the usual bounds of each optimizer. "auto" measures them by a range
            test, which trains the default model for a few steps. Or a pair of bounds, a number
            (then it is not tuned), or a dict of these by optimizer.
        batch_size: A fixed batch size; None to tune it in powers of two from 16 to 128.
        patience: A training ends after this many epochs without a lower validation loss; None
            never ends it early.

    Returns:
        A hypermodel for any tuner.

    Raises:
        ArgumentError: An argument is out of its range.
        DataError: The data do not have the form described above.

    Example:
        >>> import numpy as np
        >>> space = mlp(np.random.rand(400, 5), np.arange(400) % 3)
        >>> space.target.kind
        'classes'
        >>> hp = HyperParameters()
        >>> space.declare_hyperparameters(hp)
        >>> hp.values["units"], hp.values["batch_size"]
        (128, 32)
    """
    some = some_samples(x, (2, 3, 4, 5), "(samples, features), or more dimensions")
    target = look_at_targets(y, task)
    training = training_space(len(x), optimizers, learning_rate, batch_size, patience)
    scaling = scaling_of_features(some) if some.ndim == 2 else scaling_of_images(some)
    if some.ndim > 2:
        scaling.append(keras.layers.Flatten())
    body = DenseBody(
        shape=tuple(some.shape[1:]),
        begin=described(scaling),
        most_layers=2 if len(x) < 1000 else 3,
        most_units=power_of_two(len(x) // 2, 512, least=64),
    )
    return curated(body, target, training, "mlp", x, y, learning_rate)


@dataclass(frozen=True)
class DenseBody:
    """Hidden layers of one width, or each half as wide as the one before."""

    shape: tuple[int, ...]
    """The shape of one sample."""

    begin: Described
    """Layers that scale and flatten."""

    most_layers: int
    """The most hidden layers. Two or three are enough for tables and bags of words; more make
    training harder and results rarely better."""

    most_units: int
    """The widest layer. It is narrower for few samples, which wide layers would memorize."""

    def ask(self, hp: HyperParameters) -> Chosen:
        """Asks for all hyperparameters.

        Widths are powers of two: small differences hardly matter, and trials with equal shapes
        share compiled programs.
        """
        layers = hp.Int("layers", 1, self.most_layers)
        default = min(128, self.most_units)
        units = hp.Int("units", 16, self.most_units, step=2, sampling="log", default=default)
        with hp.conditional_scope("layers", list(range(2, self.most_layers + 1))):
            shape = hp.Choice("shape", ["equal", "pyramid"])
        activation = hp.Choice("activation", list(ACTIVATIONS))
        return {
            "layers": layers,
            "units": units,
            "shape": shape,
            "activation": activation,
            "dropout": dropout(hp),
        }

    def layers(self, chosen: Chosen, outputs: int) -> list[Any]:
        """Makes the layers. A pyramid's layers have at least 8 units, and at least `outputs`."""
        network = made(self.begin)
        units = chosen["units"]
        for _ in range(chosen["layers"]):
            network.append(keras.layers.Dense(units, activation=chosen["activation"]))
            if chosen["dropout"] > 0:
                network.append(keras.layers.Dropout(chosen["dropout"]))
            if chosen["shape"] == "pyramid":
                units = min(units, max(units // 2, outputs, 8))
        return network
