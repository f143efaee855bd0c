"""How the samples of an epoch and of a validation are cut into batches."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import keras
import numpy as np
from numpy.typing import NDArray

from afina.training import keras_parts
from afina.training.fused import deferred, sparse
from afina.training.fused.data import Samples
from afina.training.fused.partial import can_be_filled

VALIDATION_BYTES = 64 * 2**20
"""Bytes that the layer outputs of a merged validation batch may take."""

MERGED = 4096
"""Most samples in a merged validation batch."""


@dataclass(frozen=True)
class Plan:
    """How the samples are cut into batches: what a program is made for, besides the model."""

    batch_size: int
    """Samples in a training batch."""

    validation_batch_size: int
    """Samples in a validation batch, perhaps several batches of `fit` merged."""

    room: int = 0
    """Length of a training batch's flat array of non-zeros; 0 for dense inputs."""

    validation_room: int = 0
    """Length of a validation batch's flat array of non-zeros; 0 for dense inputs."""

    row_room: int = 0
    """Most rows of the first layer's kernel that are active in a batch; 0 if no update is
    deferred."""

    filler: int | None = None
    """The sample that fills up a smaller last batch; None if that batch is a step of its own. It is
    always the shortest one: a long text, several times over, would rarely find room."""

    @classmethod
    def of(
        cls,
        model: keras.Model,
        train: Samples,
        validation: Samples | None,
        *,
        defers: bool = False,
    ) -> Plan:
        """The batches of `fit`; those of validation are merged where that changes nothing.

        Args:
            model: Compiled and built.
            train: Samples of an epoch.
            validation: Samples of a validation, if there is one.
            defers: Whether updates of rows that are not active in a batch may be deferred.
        """
        size = train.batches.batch_size
        # Dense inputs are trained as `fit` trains them, to the last bit.
        partial = train.arrays.is_sparse and train.size % size > 0
        room = row_room = 0
        filler = None
        if train.arrays.is_sparse:
            rows = train.arrays.leaves[0]
            room = rows.room(size)
            filler = rows.shortest if partial and can_be_filled(model, size) else None
            if defers:
                row_room = deferred.room_for(model, sparse.first_dense(model), rows, size)
        if validation is None:
            return cls(size, size, room, row_room=row_room, filler=filler)
        merged = validation.batches.batch_size
        if is_mergeable(model):
            merged = max(merged, _merged_size(model, validation))
        merged = min(merged, validation.size)
        validation_room = 0
        if validation.arrays.is_sparse:
            ends = validation.arrays.leaves[0].starts
            cuts = [*range(0, validation.size, merged), validation.size]
            validation_room = max(1, max(int(x) for x in ends[cuts[1:]] - ends[cuts[:-1]]))
        return cls(size, merged, room, validation_room, row_room, filler)

    def filled(self, order: NDArray[np.int32]) -> NDArray[np.int32]:
        """The order of an epoch, its last batch filled up if the plan says so."""
        if self.filler is None:
            return order
        return np.pad(order, (0, -len(order) % self.batch_size), constant_values=self.filler)

    def roomier(self) -> Plan:
        """The plan with more room for a training batch's non-zeros."""
        return replace(self, room=sparse.in_steps(sparse.GROWTH * self.room))

    def roomier_rows(self) -> Plan:
        """The plan with more room for the active rows of a batch."""
        return replace(self, row_room=sparse.in_steps(sparse.GROWTH * self.row_room))


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
