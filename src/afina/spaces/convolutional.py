"""Convolutional networks for images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from afina.space import HyperParameters
from afina.spaces.curated import Chosen, CuratedModel, curated
from afina.spaces.inputs import Described, described, made, scaling_of_images, some_samples
from afina.spaces.target import Task, look_at_targets
from afina.spaces.training import dropout, training_space

SMALLEST_SIDE = 4
"""Least pixels along the shorter side after the last block."""


def cnn(
    x: Any,
    y: Any,
    *,
    task: Task = "auto",
    optimizers: Sequence[str] = ("adam", "sgd"),
    learning_rate: Any = None,
    batch_size: int | None = None,
    patience: int | None = 3,
) -> CuratedModel:
    """A search space of small convolutional networks for these images.

    Each block is a convolution, an activation, and a pooling that halves the sides. The model
    itself scales the pixels.

    Hyperparameters: `blocks`; `filters` of the first block; with 2 or more blocks `shape`
    ("pyramid": each block has twice the filters of the previous one; or "equal"); `kernel_size`;
    `batch_normalization`; `pooling` after the last block ("flatten" or "average"); `units` of the
    dense layer; `dropout`; `optimizer` and its learning rate; `batch_size`.

    Args:
        x: Images, (samples, height, width) or (samples, height, width, channels).
        y: See `mlp`.
        task: See `mlp`.
        optimizers: See `mlp`.
        learning_rate: See `mlp`.
        batch_size: See `mlp`.
        patience: See `mlp`.

    Returns:
        A hypermodel for any tuner.

    Raises:
        ArgumentError: An argument is out of its range.
        DataError: The data do not have the form described above.
    """
    what = "images, (samples, height, width) or (samples, height, width, channels)"
    some = some_samples(x, (3, 4), what)
    target = look_at_targets(y, task)
    training = training_space(len(x), optimizers, learning_rate, batch_size, patience)
    shape = tuple(some.shape[1:])
    begin = scaling_of_images(some)
    if len(shape) == 2:
        begin = [keras.layers.Reshape((*shape, 1)), *begin]
    body = ConvolutionalBody(
        shape=shape, begin=described(begin), most_blocks=_blocks(min(shape[:2]))
    )
    return curated(body, target, training, "cnn", x, y, learning_rate)


def _blocks(side: int) -> int:
    """How often a side can be halved: from 1 to 4 times."""
    blocks = 1
    while blocks < 4 and side // 2 ** (blocks + 1) >= SMALLEST_SIDE - 1:
        blocks += 1
    return blocks


@dataclass(frozen=True)
class ConvolutionalBody:
    """Blocks of convolution and pooling, and a dense layer."""

    shape: tuple[int, ...]
    """The shape of one image."""

    begin: Described
    """Layers that add a channel and scale."""

    most_blocks: int
    """The most blocks that leave some pixels."""

    def ask(self, hp: HyperParameters) -> Chosen:
        """Asks for filters and units in powers of two, for the reasons in `DenseBody.ask`."""
        blocks = hp.Int("blocks", 1, self.most_blocks, default=min(2, self.most_blocks))
        filters = hp.Int("filters", 8, 64, step=2, sampling="log", default=16)
        shape = None
        if self.most_blocks > 1:
            with hp.conditional_scope("blocks", list(range(2, self.most_blocks + 1))):
                shape = hp.Choice("shape", ["pyramid", "equal"])
        return {
            "blocks": blocks,
            "filters": filters,
            "shape": shape,
            "kernel_size": hp.Choice("kernel_size", [3, 5]),
            "batch_normalization": hp.Boolean("batch_normalization"),
            "pooling": hp.Choice("pooling", ["flatten", "average"]),
            "units": hp.Int("units", 32, 256, step=2, sampling="log", default=64),
            "dropout": dropout(hp),
        }

    def layers(self, chosen: Chosen, outputs: int) -> list[Any]:
        """Makes the layers. Dropout is only around the dense layer, which has most weights."""
        del outputs
        layers = keras.layers
        network = made(self.begin)
        normalized, filters = chosen["batch_normalization"], chosen["filters"]
        for _ in range(chosen["blocks"]):
            network.append(
                layers.Conv2D(
                    filters, chosen["kernel_size"], padding="same", use_bias=not normalized
                )
            )
            if normalized:
                network.append(layers.BatchNormalization())
            network += [layers.Activation("relu"), layers.MaxPooling2D(padding="same")]
            if chosen["shape"] == "pyramid":
                filters *= 2
        average = chosen["pooling"] == "average"
        network.append(layers.GlobalAveragePooling2D() if average else layers.Flatten())
        rate = chosen["dropout"]
        drop = [layers.Dropout(rate)] if rate > 0 else []
        again = [layers.Dropout(rate)] if rate > 0 else []
        return [*network, *drop, layers.Dense(chosen["units"], activation="relu"), *again]
