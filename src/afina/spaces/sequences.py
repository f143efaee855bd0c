"""Networks for texts as word indices, and for series of measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from afina.errors import ArgumentError, DataError, wrong
from afina.space import HyperParameters
from afina.spaces.curated import Chosen, CuratedModel, curated
from afina.spaces.inputs import (
    Array,
    Described,
    described,
    made,
    scaling_of_features,
    some_samples,
)
from afina.spaces.target import Task, look_at_targets
from afina.spaces.training import dropout, training_space

READERS = ("average", "convolution", "gru")
"""The fastest first: the mean of all words, which is hard to beat for topics; the strongest match
of short patterns; a recurrent network in both directions, for which the order of words matters."""


def text(
    x: Any,
    y: Any,
    *,
    vocabulary: int | None = None,
    task: Task = "auto",
    optimizers: Sequence[str] = ("adam",),
    learning_rate: Any = None,
    batch_size: int | None = None,
    patience: int | None = 3,
) -> CuratedModel:
    """A search space of networks for these sequences.

    Hyperparameters: for texts `embedding`, the length of a word's vector; `reader` ("average",
    "convolution" or "gru"); `kernel_size` of a convolution; `units` of reader and dense layer;
    `dropout`; the learning rate; `batch_size`.

    Args:
        x: Texts as word indices, (samples, length): whole numbers from 0, where 0 pads shorter
            texts. Or series of measurements, (samples, length, features).
        y: See `mlp`.
        vocabulary: The number of word indices, if later data have larger ones than `x`; None for
            the largest one in `x` + 1.
        task: See `mlp`.
        optimizers: See `mlp`. The default is Adam alone: most words occur in few batches, and SGD
            hardly moves their vectors.
        learning_rate: See `mlp`.
        batch_size: See `mlp`.
        patience: See `mlp`.

    Returns:
        A hypermodel for any tuner.

    Raises:
        ArgumentError: An argument is out of its range.
        DataError: The data do not have the form described above.
    """
    what = "word indices (samples, length), or series (samples, length, features)"
    some = some_samples(x, (2, 3), what)
    target = look_at_targets(y, task)
    training = training_space(len(x), optimizers, learning_rate, batch_size, patience)
    if some.ndim == 3:
        body = SequenceBody(shape=tuple(some.shape[1:]), begin=described(_scaling_of_series(some)))
    else:
        words = _vocabulary(np.asarray(x), vocabulary)
        filled = _is_filled(np.asarray(x))
        body = SequenceBody(shape=tuple(some.shape[1:]), words=words, is_filled=filled)
    return curated(body, target, training, "text", x, y, learning_rate)


def _vocabulary(tokens: Array, given: int | None) -> int:
    if tokens.dtype.kind == "f" and bool((tokens % 1 != 0).any()):
        advice = "For other numbers use mlp(x, y), or add a third axis for series."
        raise DataError(wrong("x", "must hold whole numbers", str(tokens.dtype), advice))
    low, high = int(tokens.min()), int(tokens.max())
    if low < 0:
        raise DataError(wrong("x", "must hold word indices from 0", low))
    if high <= 1:
        advice = "That looks like multi-hot rows, which say which words occur: use mlp(x, y)."
        raise DataError(wrong("x", "must hold word indices", "zeros and ones only", advice))
    if given is None:
        return high + 1
    if isinstance(given, bool) or not isinstance(given, int) or given <= high:
        rule = f"must be above the largest word index, {high}"
        raise ArgumentError(wrong("vocabulary", rule, given))
    return given


def _is_filled(tokens: Array) -> bool:
    """Whether 0 pads the texts, at either end.

    False if one text is all zeros: the mean of no words is undefined.
    """
    ends = bool((tokens[:, [0, -1]] == 0).any())
    return ends and bool(tokens.any(axis=1).all())


def _scaling_of_series(some: Array) -> list[Any]:
    """Scales each feature like a table's column, over all times."""
    return scaling_of_features(some.reshape(-1, some.shape[-1]))


@dataclass(frozen=True)
class SequenceBody:
    """A word's vector for each word, a reader, and a dense layer."""

    shape: tuple[int, ...]
    """The shape of one sequence."""

    begin: Described = ()
    """Layers that scale a series."""

    words: int = 0
    """Size of the vocabulary; 0 for series of measurements."""

    is_filled: bool = False
    """Whether 0 pads the texts, so that it is masked."""

    def ask(self, hp: HyperParameters) -> Chosen:
        """Asks for vector lengths and units in powers of two; see `DenseBody.ask`."""
        embedding = None
        if self.words:
            embedding = hp.Int("embedding", 16, 128, step=2, sampling="log", default=32)
        reader = hp.Choice("reader", list(READERS))
        with hp.conditional_scope("reader", ["convolution"]):
            kernel = hp.Choice("kernel_size", [3, 5], default=3)
        units = hp.Int("units", 16, 128, step=2, sampling="log", default=64)
        return {
            "embedding": embedding,
            "reader": reader,
            "kernel_size": kernel,
            "units": units,
            "dropout": dropout(hp),
        }

    def layers(self, chosen: Chosen, outputs: int) -> list[Any]:
        """Makes the layers. A convolution takes the maximum over places, so it needs no mask."""
        del outputs
        layers = keras.layers
        network = made(self.begin)
        reader, units, rate = chosen["reader"], chosen["units"], chosen["dropout"]
        if self.words:
            masked = self.is_filled and reader != "convolution"
            network.append(layers.Embedding(self.words, chosen["embedding"], mask_zero=masked))
        if reader == "convolution":
            kernel = chosen["kernel_size"]
            network.append(layers.Conv1D(units, kernel, padding="same", activation="relu"))
            network.append(layers.GlobalMaxPooling1D())
        elif reader == "gru":
            network.append(layers.Bidirectional(layers.GRU(units)))
        else:
            network.append(layers.GlobalAveragePooling1D())
        drop = [layers.Dropout(rate)] if rate > 0 else []
        again = [layers.Dropout(rate)] if rate > 0 else []
        return [*network, *drop, layers.Dense(units, activation="relu"), *again]
