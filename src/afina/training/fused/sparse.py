"""A first Dense layer on inputs that are nearly all zero: gather and sum instead of a product.

In a text as a bag of 10,000 words, fewer than one number in a hundred is not zero. The product of
a batch with the layer's kernel is then a sum of the kernel rows of the words that the batch has.
The kernel's gradient is zero except in those rows. These are the same sums in another order.

All column numbers of a batch lie in one flat array of fixed length, its `room`. Rows padded to the
longest would be mostly padding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from afina.training import keras_parts

DENSEST = 0.02
"""Largest share of non-zeros in the flat form; see `benchmarks/speed/sparse_layer.py`."""

NARROWEST = 1000
"""Fewest columns in the flat form."""

COMPARED = 2**20
"""Most comparisons with which each place of the flat array is compared with each row's end."""

SUMMED = 256
"""Most rows of a batch for which each row's end is summed up by itself."""

RAREST = 1e-5
"""Share of random batches that may have more entries than the flat array has room for; they only
get another program. Lengths of texts differ widely, so normal tails would mislead."""

COLUMN_SPREADS = 4.5
"""Room for the active columns of a batch, in standard deviations above their mean number."""

GROWTH = 1.25
"""How much more room the next program has when there was too little."""

BATCHES = 200
"""Batches that are drawn to estimate how many columns are active in one."""


@dataclass(frozen=True)
class SparseRows:
    """A matrix kept by its non-zeros, row after row."""

    columns: NDArray[np.int32]
    """The column of each entry."""

    starts: NDArray[np.int32]
    """Where the entries of each row begin, and where the last row's end; (rows + 1,)."""

    values: NDArray[Any] | None
    """The entries; None where all are 1."""

    width: int
    dtype: str

    _room: dict[int, int] = field(default_factory=dict, compare=False)
    _column_room: dict[int, int] = field(default_factory=dict, compare=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        return len(self.starts) - 1, self.width

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        parts = [self.columns, self.columns, self.starts, self.values]  # rows take as much
        return sum(int(part.nbytes) for part in parts if part is not None)

    def on(self, device: Any) -> tuple[Any, ...]:
        """The arrays on a device: columns, starts, the row of each entry, and values if any."""
        import jax

        rows = np.repeat(np.arange(self.shape[0], dtype=np.int32), self.counts())
        parts = [self.columns, self.starts, rows, *([] if self.values is None else [self.values])]
        return tuple(jax.device_put(part, device) for part in parts)

    def signature(self) -> tuple[Any, ...]:
        """What a program must know of it."""
        return "rows", self.shape, self.dtype, len(self.columns), self.values is None

    def counts(self) -> NDArray[np.int32]:
        """Entries of each row."""
        return np.diff(self.starts)

    @property
    def shortest(self) -> int:
        """The number of a row with few entries, but not without any."""
        counts = self.counts()
        return int(np.where(counts > 0, counts, counts.max()).argmin())

    def room(self, batch_size: int) -> int:
        """Length of the flat array for batches of so many rows drawn at random.

        From Chernoff's bound on the entries of a batch, which holds for draws without replacement
        too (W. Hoeffding, Probability inequalities for sums of bounded random variables, 1963,
        theorem 4).
        """
        if batch_size not in self._room:
            most = int(np.sort(self.counts())[-batch_size:].sum())
            likely = _seldom_exceeded(self.counts(), batch_size)
            self._room[batch_size] = in_steps(min(likely, most))
        return self._room[batch_size]

    def column_room(self, batch_size: int, most: float) -> int:
        """How many columns batches of so many rows drawn at random name at most, most likely; 0 if
        it is more than `most`."""
        if batch_size not in self._column_room:
            too_many = self._columns(batch_size) > most
            likely = math.inf if too_many else self._likely_columns(batch_size)
            room = min(likely, self.width, self.room(batch_size))
            self._column_room[batch_size] = in_steps(room)
        room = self._column_room[batch_size]
        return room if room <= most else 0

    def _columns(self, batch_size: int) -> float:
        """How many columns a batch names on average, if rows named them independently."""
        share = np.bincount(self.columns, minlength=self.width) / self.shape[0]
        return float((1 - (1 - np.minimum(share, 1)) ** batch_size).sum())

    def _likely_columns(self, batch_size: int) -> float:
        draws, found = np.random.default_rng(0), []
        for _ in range(BATCHES):
            rows = draws.choice(self.shape[0], min(batch_size, self.shape[0]), replace=False)
            parts = [self.columns[self.starts[row] : self.starts[row + 1]] for row in rows]
            found.append(len(np.unique(np.concatenate(parts))))
        return float(np.mean(found) + COLUMN_SPREADS * np.std(found))

    def fits(self, order: NDArray[np.int32], batch_size: int, room: int) -> bool:
        """Whether each batch of this order has room in a flat array of this length."""
        counts = self.counts()[order]
        sums = np.add.reduceat(counts, np.arange(0, len(counts), batch_size), dtype=np.int64)
        return bool(sums.max() <= room)

    def blank(self, rows: int) -> Any:
        """What stands for so many rows in a program: zeros, which nothing reads."""
        import jax

        return jax.numpy.zeros((rows, self.width), jax.dtypes.canonicalize_dtype(self.dtype))

    def dense(self) -> NDArray[Any]:
        """The matrix itself."""
        matrix = np.zeros(self.shape, self.dtype)
        rows = np.repeat(np.arange(self.shape[0]), self.counts())
        matrix[rows, self.columns] = 1 if self.values is None else self.values
        return matrix


def in_steps(size: float) -> int:
    """The next multiple of 64, from 64 up."""
    return max(1, math.ceil(size / 64)) * 64


def _seldom_exceeded(counts: NDArray[np.int32], draws: int) -> float:
    """What the sum of so many of the counts, drawn at random, exceeds in `RAREST` cases at most.

    P(S >= s) <= exp(K(t) - t s) for every t > 0 and K(t) = log E exp(t S), so that
    s = (K(t) - log P) / t is enough for a probability P; the least of some of them is taken.
    """
    sizes, times = np.unique(counts, return_counts=True)
    spread = max(1.0, float(counts.std()))
    t = np.geomspace(1e-2, 1e2, 100) / spread
    generated = draws * logsumexp(t[:, None] * sizes, axis=1, b=times / len(counts))
    return float(((generated - math.log(RAREST)) / t).min())


def as_sparse_rows(matrix: NDArray[Any]) -> SparseRows | None:
    """Keeps a matrix by its non-zeros; None for one that is too dense or too narrow."""
    if matrix.ndim != 2 or matrix.shape[1] < NARROWEST or not len(matrix):
        return None
    if matrix.dtype.kind not in "fiub" or not _is_thin(matrix):
        return None
    blocks = np.array_split(matrix, -(-len(matrix) // 512))
    columns = np.concatenate([np.nonzero(block)[1] for block in blocks]).astype(np.int32)
    if len(columns) > DENSEST * matrix.size or not len(columns):
        return None
    counts = np.concatenate([np.count_nonzero(block, axis=1) for block in blocks])
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    rows = np.repeat(np.arange(len(matrix)), counts)
    values = matrix[rows, columns]
    ones = bool((values == 1).all())
    return SparseRows(columns, starts, None if ones else values, matrix.shape[1], str(matrix.dtype))


def _is_thin(matrix: NDArray[Any]) -> bool:
    """Whether some of the rows are nearly all zero; saves dense data the full count."""
    some = matrix[:: max(1, len(matrix) // 64)]
    return bool(np.count_nonzero(some) <= 1.5 * DENSEST * some.size)


def readers(model: keras.Model) -> list[Any]:
    """The layers and operations that read the model's only input, and are used nowhere else; empty
    if another one reads it too, or it is an output."""
    if not keras_parts.is_stock_model(model):
        return []
    inputs, outputs, nodes = keras_parts.graph_of(model)
    if len(inputs) != 1 or any(t is inputs[0] for t in outputs):
        return []
    first = [node for node in nodes if any(t is inputs[0] for t in node.input_tensors)]
    for node in first:
        others = [each.operation for each in nodes if each is not node]
        parts = [each for other in others for each in keras_parts.parts_of(other)]
        if any(node.operation is each for each in parts):
            return []
    return [node.operation for node in first]


def first_dense(model: keras.Model) -> Any | None:
    """The only layer that reads the model's only input, if it is a Dense layer; else None."""
    found = readers(model)
    if len(found) != 1 or type(found[0]) is not keras.layers.Dense:
        return None
    if len(model.inputs[0].shape) != 2:
        return None
    dense = found[0]
    plain = not getattr(dense, "lora_enabled", False) and "call" not in vars(dense)
    return dense if plain and dense.quantization_mode is None else None


@dataclass(frozen=True)
class SparseBatch:
    """Some rows of a `SparseRows` in the flat form that `take` makes inside a program."""

    columns: Any
    """The column of each entry, padded to a fixed length; an int array."""

    places: Any
    """The row of each entry within the batch, ascending; the batch's size for padding."""

    values: Any
    """The entries; None if all are 1."""

    size: int
    """Rows in the batch."""


def take(arrays: Sequence[Any], rows: Any, room: int) -> SparseBatch:
    """Takes the rows of these numbers, inside a program.

    Args:
        arrays: As `SparseRows.on` places them.
        rows: Row numbers, an int array of the batch's size.
        room: Length of the flat array; entries beyond it would be lost, see `SparseRows.fits`.
    """
    from jax import numpy as jnp

    columns, starts, _, *values = arrays
    size = rows.shape[0]
    begins = starts[rows]
    counts = starts[rows + 1] - begins
    if size <= SUMMED:  # one loop to be compiled instead of four
        ends = jnp.tril(jnp.broadcast_to(counts, (size, size))).sum(axis=1, dtype=jnp.int32)
    else:
        ends = jnp.cumsum(counts)
    flat = jnp.arange(room, dtype=jnp.int32)
    # How many rows end at or before each place.
    if room * size <= COMPARED:
        places = (flat[:, None] >= ends[None, :]).sum(axis=1, dtype=jnp.int32)
    else:  # each with each would be too many
        places = jnp.cumsum(jnp.zeros(room, jnp.int32).at[ends].add(1, mode="drop"))
    near = jnp.minimum(places, size - 1)
    entries = begins[near] + flat - (ends - counts)[near]
    entries = jnp.clip(entries, 0, columns.shape[0] - 1)
    return SparseBatch(columns[entries], places, values[0][entries] if values else None, size)


def take_all(arrays: Sequence[Any], size: int) -> SparseBatch:
    """Takes all rows, inside a program: they already lie as a batch does."""
    columns, _, rows, *values = arrays
    return SparseBatch(columns, rows, values[0] if values else None, size)


@contextmanager
def fed(layer: Any, batch: SparseBatch) -> Iterator[None]:
    """Within the block, calling the Dense layer computes with the batch, whatever it is given."""
    import jax

    def call(inputs: Any, training: Any = None) -> Any:
        del training
        kernel = keras.ops.convert_to_tensor(layer.kernel)
        # Products in half precision are summed up in full precision, too.
        rows = kernel.astype("float32" if kernel.dtype.itemsize < 4 else kernel.dtype)
        rows = rows[batch.columns]
        if batch.values is not None:
            rows = rows * batch.values[:, None].astype(inputs.dtype).astype(rows.dtype)
        sums = jax.ops.segment_sum(
            rows, batch.places, num_segments=batch.size + 1, indices_are_sorted=True
        )
        outputs = sums[: batch.size].astype(keras.backend.result_type(inputs.dtype, kernel.dtype))
        if layer.bias is not None:
            outputs = keras.ops.add(outputs, layer.bias)
        return outputs if layer.activation is None else layer.activation(outputs)

    object.__setattr__(layer, "call", call)
    try:
        yield
    finally:
        object.__delattr__(layer, "call")
