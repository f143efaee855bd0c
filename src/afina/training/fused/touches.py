"""Which rows of a sparse first layer's kernel each step of an epoch reads: see `deferred.py`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from afina.training.fused.sparse import Batch, Rows


class Touched(NamedTuple):
    """What the program is told of a step; of all steps, each array has a leading axis."""

    rows: Any
    """Rows of the kernel that the batch names, ascending; (row_room,), padded with their number."""

    since: Any
    """The step of this epoch that touched each of them last, from 1; 0 for none."""

    entries: Any
    """Which of these rows each non-zero of the batch belongs to; (room,), padded with 0."""

    places: Any
    """The non-zero's row in the batch; (room,), padded with the batch size."""

    values: Any
    """The non-zeros; None where all are 1."""

    def batch(self, size: int) -> Batch:
        """The batch as the layer takes it, of so many rows, on a kernel of the rows touched."""
        return Batch(self.entries, self.places, self.values, size)


class Touches(NamedTuple):
    """All steps of an epoch."""

    steps: Touched
    last: Any
    """The step that touched each of the kernel's rows last, from 1; 0 for none; (width,)."""


def touches(
    rows: Rows,
    order: NDArray[np.int32],
    batch_size: int,
    room: int,
    row_room: int,
    into: Touches | None = None,
) -> Touches | None:
    """Which rows of the kernel each step of an epoch touches.

    Args:
        rows: The inputs.
        order: Row numbers in the order of training.
        batch_size: How many make a step.
        room: Length of a batch's arrays of non-zeros, enough for all.
        row_room: Length of its arrays of touched rows.
        into: Of another epoch; overwritten if it has these shapes. To map 20 MB anew for each
            epoch may take as long as all the rest.

    Returns:
        The touches; None if a batch names more rows than `row_room`.
    """
    begins, ends = rows.starts[order], rows.starts[order + 1]
    counts, spans = ends - begins, list(zip(begins.tolist(), ends.tolist(), strict=True))
    found = blank_touches(rows, len(order), batch_size, room, row_room) if into is None else into
    shapes = found.steps.rows.shape[1], found.steps.places.shape
    if shapes != (row_room, (-(-len(order) // batch_size), room)):
        return touches(rows, order, batch_size, room, row_room)
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


def blank_touches(rows: Rows, order: int, batch_size: int, room: int, row_room: int) -> Touches:
    """Arrays as `touches` returns them for an order of so many row numbers, empty."""
    import jax

    steps = -(-order // batch_size)
    numbers = [np.empty((steps, row_room), np.int32) for _ in range(2)]
    named = [np.empty((steps, room), np.int32) for _ in range(2)]
    values = None
    if rows.values is not None:
        values = np.zeros((steps, room), jax.dtypes.canonicalize_dtype(rows.values.dtype))
    step = Touched(numbers[0], numbers[1], named[0], named[1], values)
    return Touches(step, np.empty(rows.width, np.int32))
