"""Looks at the inputs: their shape, their kind, and how to scale them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from afina.errors import DataError, wrong

LOOKED_AT = 20_000_000
"""At most this many numbers are examined, in samples that are spread evenly over the data."""

MOSTLY = 0.9
"""With at least this share of zeros, inputs count as sparse: as counts, where 0 means "none"."""

LARGE = 5.0
"""Inputs up to this magnitude need no scaling."""

Array = NDArray[Any]

Described = tuple[dict[str, Any], ...]
"""Configurations of layers, which can be copied and sent to other processes."""


def described(layers: Sequence[Any]) -> Described:
    """The configurations of layers; `made` is the inverse."""
    return tuple(keras.layers.serialize(layer) for layer in layers)


def made(layers: Described) -> list[Any]:
    """New layers from their configurations."""
    return [keras.layers.deserialize(layer) for layer in layers]


def some_samples(x: Any, dimensions: tuple[int, ...], what: str) -> Array:
    """Some samples of an array of numbers.

    Args:
        x: The array.
        dimensions: The allowed numbers of dimensions, including that of the samples.
        what: The expected form in words, for the message.

    Raises:
        DataError: It is not such an array, or it contains NaN.
    """
    array = np.asarray(x)
    if array.dtype.kind not in "biuf":
        advice = "First encode categories as numbers, and texts as word indices."
        raise DataError(wrong("x", "must be an array of numbers", str(array.dtype), advice))
    if array.ndim not in dimensions or 0 in array.shape:
        raise DataError(wrong("x", f"must be {what}", array.shape))
    most = max(100, LOOKED_AT // math.prod(array.shape[1:]))
    some = array[:: -(-len(array) // most)]
    if not np.isfinite(some).all():
        advice = "Replace these values, or remove those samples."
        raise DataError(wrong("x", "must contain only finite numbers", "NaN or infinity", advice))
    return some


def is_sparse(some: Array) -> bool:
    """Whether nearly all numbers are 0, as in word counts."""
    return bool(np.count_nonzero(some) <= (1.0 - MOSTLY) * some.size)


def scaling_of_features(some: Array) -> list[Any]:
    """The layer that normalizes a table's columns to mean 0 and variance 1, if they need it.

    Sparse tables stay as they are: shifting their zeros would make them dense.
    """
    if some.dtype == np.uint8 and some.max() > 1:
        return scaling_of_images(some)
    low, high = some.min(axis=0), some.max(axis=0)
    if is_sparse(some) or _is_moderate(some, float(low.min()), float(high.max())):
        return []
    mean, variance = some.mean(axis=0, dtype=float), some.var(axis=0, dtype=float)
    variance[low == high] = 1.0  # avoids a division by 0 in constant columns
    return [keras.layers.Normalization(mean=mean.tolist(), variance=variance.tolist())]


def scaling_of_images(some: Array) -> list[Any]:
    """The layer that scales all pixels to about 0 to 1; empty if they need no scaling."""
    low, high = float(some.min()), float(some.max())
    if _is_moderate(some, low, high):
        return []
    if low >= 0 and high <= 255:
        return [keras.layers.Rescaling(1.0 / 255.0)]
    mean, spread = float(some.mean(dtype=float)), float(some.std(dtype=float)) or 1.0
    return [keras.layers.Rescaling(1.0 / spread, -mean / spread)]


def _is_moderate(some: Array, low: float, high: float) -> bool:
    """Whether a network can use the numbers without scaling."""
    return max(-low, high) <= LARGE and float(some.std(dtype=float)) >= 0.05
