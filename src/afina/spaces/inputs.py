"""What the inputs are, told from the array: shape, kind, and how they are to be scaled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from afina.errors import DataError, wrong

LOOKED_AT = 20_000_000
"""Most numbers that are looked at, in samples evenly spread over the data."""

MOSTLY = 0.9
"""Share of zeros from which on inputs are taken for counts or marks, of which 0 means "none"."""

LARGE = 5.0
"""Largest size of an input that no scaling is needed for."""

Array = NDArray[Any]

Described = tuple[dict[str, Any], ...]
"""Layers by their configurations, which can be copied and sent to other processes."""


def described(layers: Sequence[Any]) -> Described:
    """What `made` makes such layers of."""
    return tuple(keras.layers.serialize(layer) for layer in layers)


def made(layers: Described) -> list[Any]:
    """New layers for a model."""
    return [keras.layers.deserialize(layer) for layer in layers]


def some_samples(x: Any, dimensions: tuple[int, ...], what: str) -> Array:
    """Some samples of an array of numbers, to be looked at.

    Args:
        x: The array.
        dimensions: How many it may have, the samples' included.
        what: In words, for the message.

    Raises:
        DataError: It is no such array, or holds NaN.
    """
    array = np.asarray(x)
    if array.dtype.kind not in "biuf":
        advice = "Turn categories into numbers, and texts into word numbers, first."
        raise DataError(wrong("x", "must be an array of numbers", str(array.dtype), advice))
    if array.ndim not in dimensions or 0 in array.shape:
        raise DataError(wrong("x", f"must be {what}", array.shape))
    most = max(100, LOOKED_AT // math.prod(array.shape[1:]))
    some = array[:: -(-len(array) // most)]
    if not np.isfinite(some).all():
        advice = "Fill such places, or leave those samples out."
        raise DataError(wrong("x", "must hold finite numbers", "NaN or infinity", advice))
    return some


def is_sparse(some: Array) -> bool:
    """Whether nearly all numbers are 0, as in counts of words."""
    return bool(np.count_nonzero(some) <= (1.0 - MOSTLY) * some.size)


def scaling_of_features(some: Array) -> list[Any]:
    """The layer that brings a table's columns to mean 0 and variance 1, where they need it.

    Columns that are mostly zero stay as they are: moving the zeros would fill them.
    """
    if some.dtype == np.uint8 and some.max() > 1:
        return scaling_of_images(some)
    low, high = some.min(axis=0), some.max(axis=0)
    if is_sparse(some) or _is_moderate(some, float(low.min()), float(high.max())):
        return []
    mean, variance = some.mean(axis=0, dtype=float), some.var(axis=0, dtype=float)
    variance[low == high] = 1.0  # a constant column tells nothing, and must not be divided by 0
    return [keras.layers.Normalization(mean=mean.tolist(), variance=variance.tolist())]


def scaling_of_images(some: Array) -> list[Any]:
    """The layer that brings pixels to a range about 0 to 1, the same for all; none if they are."""
    low, high = float(some.min()), float(some.max())
    if _is_moderate(some, low, high):
        return []
    if low >= 0 and high <= 255:
        return [keras.layers.Rescaling(1.0 / 255.0)]
    mean, spread = float(some.mean(dtype=float)), float(some.std(dtype=float)) or 1.0
    return [keras.layers.Rescaling(1.0 / spread, -mean / spread)]


def _is_moderate(some: Array, low: float, high: float) -> bool:
    """Whether the numbers are about as large as a network likes them."""
    return max(-low, high) <= LARGE and float(some.std(dtype=float)) >= 0.05
