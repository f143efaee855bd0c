"""Validation in larger batches than `fit` takes, where that changes no number but for rounding."""

from __future__ import annotations

import math

import keras

from afina.training import keras_parts
from afina.training.epochs.data import Samples
from afina.training.epochs.widths import is_cell

VALIDATION_BYTES = 64 * 2**20
"""Bytes that the layer outputs of a merged validation batch may take."""

MERGED = 4096
"""Most samples in a merged validation batch."""


def validation_batch_size(model: keras.Model, validation: Samples) -> int:
    """Samples in a validation batch: as many as `fit` takes, or more if that changes nothing.

    Args:
        model: Compiled and built.
        validation: The validation samples.
    """
    size = validation.batches.batch_size
    if is_mergeable(model) and not draws_when_validating(model):
        size = max(size, _merged_size(model, validation))
    return min(size, validation.size)


def is_mergeable(model: keras.Model) -> bool:
    """Whether validation in batches of another size gives the same numbers, to rounding.

    It does if every number is a mean over samples: losses and metrics are Keras' own, and no layer
    adds a loss for a whole batch.
    """
    if not keras_parts.has_single_output(model):
        return False
    layers = keras_parts.layers_of(model)
    if not all(keras_parts.is_kerass(type(layer)) for layer in layers):
        return False
    if any(getattr(layer, "activity_regularizer", None) is not None for layer in layers):
        return False
    if any(isinstance(layer, keras.layers.ActivityRegularization) for layer in layers):
        return False
    return keras_parts.has_sample_means(model)


def draws_when_validating(model: keras.Model) -> bool:
    """Whether a validation draws random numbers, so that what follows depends on its batches.

    A recurrent layer draws its dropout masks for each batch, also if it does not use them.
    """
    return any(
        getattr(layer, name, 0) > 0
        for layer in keras_parts.layers_of(model)
        if isinstance(layer, keras.layers.RNN) or is_cell(layer)
        for name in ("dropout", "recurrent_dropout")
    )


def _merged_size(model: keras.Model, validation: Samples) -> int:
    """Samples in a merged batch: what memory allows, without a remainder if possible."""
    size, shapes = validation.size, keras_parts.output_shapes(model)
    if any(axis is None for shape in shapes for axis in shape):
        return 1  # the bytes of a sample are unknown
    if validation.arrays.is_sparse:  # the inputs never exist as a matrix
        shapes = [shape for shape in shapes if shape != validation.arrays.leaves[0].shape[1:]]
    numbers = sum(math.prod(axis or 1 for axis in shape) for shape in shapes)
    most = max(1, min(MERGED, VALIDATION_BYTES // max(1, 4 * numbers)))
    steps = -(-size // most)
    even = [count for count in range(steps, steps + 8) if size % count == 0]
    return -(-size // (even[0] if even else steps))
