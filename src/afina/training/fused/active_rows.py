"""Active rows: rows of a sparse first layer's kernel that each step reads; see `deferred.py`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from afina.training.fused.sparse import SparseBatch, SparseRows


class ActiveRows(NamedTuple):
    """The active rows of one step; for all steps of an epoch, each array has a leading axis."""

    rows: Any
    """Kernel rows that the batch reads, ascending; (row_room,), padded with the kernel's height."""

    since: Any
    """The step of this epoch in which each was last active, counted from 1; 0 for none."""

    entries: Any
    """The index into `rows` of each non-zero of the batch; (room,), padded with 0."""

    places: Any
    """The non-zero's row in the batch; (room,), padded with the batch size."""

    values: Any
    """The non-zeros; None where all are 1."""

    def batch(self, size: int) -> SparseBatch:
        """The batch of `size` samples as the layer takes it, on a kernel of the active rows."""
        return SparseBatch(self.entries, self.places, self.values, size)


class ActiveEpoch(NamedTuple):
    """The active rows of all steps of an epoch."""

    steps: ActiveRows
    last: Any
    """The step in which each kernel row was last active, counted from 1; 0 for none; (width,)."""


def find_active_rows(
    rows: SparseRows,
    order: NDArray[np.int32],
    batch_size: int,
    room: int,
    row_room: int,
    into: ActiveEpoch | None = None,
) -> ActiveEpoch | None:
    """Finds the active rows of each step of an epoch.

    Args:
        rows: The inputs.
        order: Sample numbers in the order of training.
        batch_size: Samples in a step.
        room: Length of a batch's arrays of non-zeros, enough for every batch.
        row_room: Length of a batch's arrays of active rows.
        into: What another epoch returned; overwritten if it has these shapes. Allocating 20 MB
            for each epoch may take as long as everything else here.

    Returns:
        The active rows; None if a batch has more of them than `row_room`.
    """
    begins, ends = rows.starts[order], rows.starts[order + 1]
    counts, spans = ends - begins, list(zip(begins.tolist(), ends.tolist(), strict=True))
    found = (
        blank_active_rows(rows, len(order), batch_size, room, row_room) if into is None else into
    )
    shapes = found.steps.rows.shape[1], found.steps.places.shape
    if shapes != (row_room, (-(-len(order) // batch_size), room)):
        return find_active_rows(rows, order, batch_size, room, row_room)
    steps, last = found.steps, found.last
    last[:] = 0
    is_named, slots = np.zeros(rows.width, bool), np.zeros(rows.width, np.int32)
    numbers = np.arange(max(row_room, batch_size), dtype=np.int32)
    for step, begin in enumerate(range(0, len(order), batch_size)):
        batch = slice(begin, begin + batch_size)
        columns = np.concatenate([rows.columns[a:b] for a, b in spans[batch]], dtype=np.intp)
        is_named[columns] = True
        named = np.flatnonzero(is_named)
        is_named[named] = False
        if len(named) > row_room:
            return None
        slots[named] = numbers[: len(named)]
        _write(steps.rows[step], named, rows.width)
        _write(steps.since[step], last[named], 0)
        last[named] = step + 1
        _write(steps.entries[step], slots[columns], 0)
        places = np.repeat(numbers[: len(spans[batch])], counts[batch])
        _write(steps.places[step], places, batch_size)
        if rows.values is not None:
            values = [rows.values[a:b] for a, b in spans[batch]]
            _write(steps.values[step], np.concatenate(values), 0)
    return found


def _write(array: NDArray[Any], begin: NDArray[Any], padding: int) -> None:
    array[: len(begin)] = begin
    array[len(begin) :] = padding


def blank_active_rows(
    rows: SparseRows, order: int, batch_size: int, room: int, row_room: int
) -> ActiveEpoch:
    """Arrays of the shapes that `find_active_rows` returns for `order` samples, not filled in."""
    import jax

    steps = -(-order // batch_size)
    numbers = [np.empty((steps, row_room), np.int32) for _ in range(2)]
    named = [np.empty((steps, room), np.int32) for _ in range(2)]
    values = None
    if rows.values is not None:
        values = np.zeros((steps, room), jax.dtypes.canonicalize_dtype(rows.values.dtype))
    step = ActiveRows(numbers[0], numbers[1], named[0], named[1], values)
    return ActiveEpoch(step, np.empty(rows.width, np.int32))
