"""How the samples of an epoch and of a validation are cut into batches."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import keras
import numpy as np
from numpy.typing import NDArray

from afina.training.epochs import Samples, validation_batch_size
from afina.training.epochs.partial import can_be_filled
from afina.training.fused import deferred, sparse
from afina.training.fused.initializers import draws_by_place
from afina.training.fused.sparse import SparseRows
from afina.training.fused.tables import first_table

WORTH = 10**8
"""Fewest weights of embeddings that an epoch would update for their updates to be deferred. This
saves about 1.5 ns a weight, and the larger program takes 0.5 s more to compile: a few epochs
repay it."""

FEW = 64
"""Most steps of a training that are called one by one, as long as each batch has the same size."""


@dataclass(frozen=True)
class Plan:
    """How the samples are cut into batches: what a program is made for, besides the model."""

    batch_size: int
    """Samples in a training batch."""

    validation_batch_size: int
    """Samples in a validation batch, perhaps several batches of `fit` merged."""

    room: int = 0
    """Length of a training batch's flat array of non-zeros, or of words if updates of embeddings
    are deferred; 0 for other dense inputs."""

    validation_room: int = 0
    """Length of a validation batch's flat array of non-zeros; 0 for dense inputs."""

    row_room: int = 0
    """Most rows of the first layer's kernel that are active in a batch; 0 if no update is
    deferred."""

    filler: int | None = None
    """The sample that fills up a smaller last batch; None if that batch is a step of its own. It is
    the shortest one of sparse inputs: a long text, several times over, would rarely find room."""

    by_steps: bool = False
    """Whether the program is that of one step, called for each."""

    @classmethod
    def of(
        cls,
        model: keras.Model,
        train: Samples,
        validation: Samples | None,
        *,
        defers: bool = False,
        words: SparseRows | None = None,
    ) -> Plan:
        """The batches of `fit`; those of validation are merged where that changes nothing.

        Args:
            model: Compiled and built.
            train: Samples of an epoch.
            validation: Samples of a validation, if there is one.
            defers: Whether updates of rows that are not active in a batch may be deferred.
            words: The rows of the first layer's embeddings that each training sample reads; None
                if their updates are not deferred.
        """
        size = train.batches.batch_size
        room = row_room = 0
        filler = 0 if train.size % size and _can_be_filled(model, size) else None
        if train.arrays.is_sparse:
            rows = train.arrays.leaves[0]
            room = rows.room(size)
            filler = None if filler is None else rows.shortest
            if defers:
                row_room = deferred.room_for(model, first_table(model), rows, size)
        elif words is not None and defers:
            table, steps = first_table(model), -(-train.size // size)
            if table is not None and steps * math.prod(table.shape) >= WORTH:
                row_room = deferred.room_for(model, table, words, size)
                room = words.room(size) if row_room else 0
        if validation is None:
            return cls(size, size, room, row_room=row_room, filler=filler)
        merged = validation_batch_size(model, validation)
        validation_room = 0
        if validation.arrays.is_sparse:
            ends = validation.arrays.leaves[0].starts
            cuts = [*range(0, validation.size, merged), validation.size]
            validation_room = max(1, max(int(x) for x in ends[cuts[1:]] - ends[cuts[:-1]]))
        return cls(size, merged, room, validation_room, row_room, filler)

    def for_steps(self, train: Samples, steps: int) -> Plan:
        """The plan for so many steps in all: few are called one by one.

        A loop takes longer to compile than a step, and its convolutions and gradients are compiled
        in another way. Calls cost about a fifth of a millisecond each.

        Args:
            train: Samples of an epoch.
            steps: Steps of the whole training.
        """
        whole = train.size % self.batch_size == 0 and not train.arrays.is_sparse
        few = whole and steps <= FEW and not self.row_room
        return replace(self, by_steps=few)

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


def _can_be_filled(model: keras.Model, size: int) -> bool:
    """Whether a smaller batch may be filled up: it also has to draw the numbers that it would draw
    by itself, the first ones of a full batch."""
    return draws_by_place() and can_be_filled(model, size)
