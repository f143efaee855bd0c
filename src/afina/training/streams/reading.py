"""A finite stream as arrays, if they mean the same."""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from afina.training import keras_parts
from afina.training.seeds import streams_kept
from afina.training.streams import kinds
from afina.training.streams.kinds import PY_DATASET, kind_of
from afina.trials import first_line

DTYPES = frozenset(
    (
        "bool",
        *("int8", "int16", "int32", "int64"),
        *("uint8", "uint16", "uint32"),
        *("float32", "float64"),
    )
)
"""Types that reach a model in the same form from arrays and from streams."""

Order = Literal["same", "batches", "samples"]
"""What two passes over a stream have in common: all bytes, the set of batches, of samples."""


@dataclass(frozen=True)
class Reading:
    """All batches of a stream, end to end."""

    arrays: tuple[Any, ...]
    """`(x,)`, `(x, y)` or `(x, y, sample_weight)`, each a structure of arrays."""

    batch_size: int
    """Samples in a batch; the last one may be smaller."""

    order: Order
    """How a pass over the stream differs from this one."""

    @property
    def size(self) -> int:
        """Number of samples."""
        return len(keras.tree.flatten(self.arrays)[0])

    @property
    def steps(self) -> int:
        """Number of batches."""
        return -(-self.size // self.batch_size)


LONGER = "it has more batches than an epoch takes"
"""Why a stream is not read of which each epoch takes a part; it may have no end."""


def read(data: Any, *, most: int, steps: int | None = None, asked: bool = False) -> Reading | str:
    """Reads a stream from its beginning to its end, twice; the process' random streams stay.

    Args:
        data: The stream.
        most: Bytes that the arrays may take.
        steps: Batches that an epoch takes; None takes all.
        asked: Whether the user has said that one pass stands for all; what is random in the stream
            is then drawn once.

    Returns:
        The reading, or why arrays would not mean the same.
    """
    reason = kinds.why_not_finite(data) or (None if asked else kinds.why_it_changes(data))
    if reason is not None:
        return reason
    try:
        with streams_kept(sys.modules.get("torch")):
            batches = _all_batches(data, most, steps)
            if isinstance(batches, str):
                return batches
            arrays = _joined(batches)
            sizes = [_rows(batch) for batch in batches]
            order = _compared(arrays, sizes, batches_of(data))
    except Exception as error:  # which a training on the stream raises again, if it matters there
        return f"a pass over it has failed: {first_line(error)}"
    if order in ("batches", "samples") and not asked and not kinds.shuffles_all(data):
        return "it shuffles in a way of its own"
    if order is None and not asked:
        return "two passes over it differ"
    return Reading(arrays, sizes[0], order or "same")


def batches_of(data: Any) -> Iterator[tuple[Any, ...]]:
    """One pass over a stream: each batch as a tuple of structures of arrays."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on a pass that ends where its length was not known
        for _, _, [batch] in keras_parts.stream_batches(data):
            yield tuple(batch) if isinstance(batch, list | tuple) else (batch,)


def _all_batches(data: Any, most: int, steps: int | None) -> list[tuple[Any, ...]] | str:
    batches: list[tuple[Any, ...]] = []
    length = kind_of(data) == PY_DATASET and data.num_batches
    size = 0
    for batch in batches_of(data):
        if len(batches) == steps:
            return LONGER
        reason = _why_odd(batch) or (_why_unlike(batch, batches) if batches else None)
        if reason is not None:
            return reason
        leaves = keras.tree.flatten(batch)
        size += sum(leaf.nbytes for leaf in leaves)
        if size > most or (length and length * size > most and not batches):
            return f"it has more than {most // 2**20} MB"
        # The stream may write its next batch into the same memory.
        batches.append(keras.tree.map_structure(np.array, batch))
    return batches or "it is empty"


def _why_odd(batch: tuple[Any, ...]) -> str | None:
    leaves = keras.tree.flatten(batch)
    if len(batch) > 3 or not leaves:
        return "its batches are not (x, y, sample_weight)"
    for leaf in leaves:
        if not isinstance(leaf, np.ndarray) or not leaf.ndim or str(leaf.dtype) not in DTYPES:
            return "its batches are not dense arrays of numbers"
        if len(leaf) != len(leaves[0]):
            return "the parts of a batch differ in length"
    return None


def _why_unlike(batch: tuple[Any, ...], batches: Sequence[tuple[Any, ...]]) -> str | None:
    first, rows = batches[0], _rows(batches[0])
    if _form(batch) != _form(first):
        return "its batches differ in shape"
    if _rows(batches[-1]) != rows or _rows(batch) > rows:
        return "its batches differ in size"
    return None


def _form(batch: tuple[Any, ...]) -> Any:
    leaves = [(leaf.shape[1:], str(leaf.dtype)) for leaf in keras.tree.flatten(batch)]
    return repr(keras.tree.map_structure(lambda _: 0, batch)), leaves


def _rows(batch: tuple[Any, ...]) -> int:
    return len(keras.tree.flatten(batch)[0])


def _joined(batches: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    joined: tuple[Any, ...] = keras.tree.map_structure(
        lambda *parts: np.concatenate(parts), *batches
    )
    return joined


# -- two passes -----------------------------------------------------------------------------------


def _compared(
    arrays: tuple[Any, ...], sizes: Sequence[int], again: Iterator[tuple[Any, ...]]
) -> Order | None:
    """What a second pass has in common with the first; None for nothing that helps."""
    first = keras.tree.flatten(arrays)
    same, start = True, 0
    seen: list[int] = []
    batches: list[bytes] = []
    rows: list[bytes] = []  # from the first batch on that differs
    for batch in again:
        leaves = keras.tree.flatten(batch)
        if len(leaves) != len(first):
            return None
        count = _rows(batch)
        own = [leaf[start : start + count] for leaf in first]
        same = same and all(map(_same_bytes, own, leaves))
        rows += [] if same else _digests(leaves)
        batches.append(_digest(leaves))
        seen.append(count)
        start += count
    if seen != list(sizes):
        return None
    if same:
        return "same"
    ends = np.cumsum(sizes)
    parts = [[leaf[end - n : end] for leaf in first] for end, n in zip(ends, sizes, strict=True)]
    if sorted(map(_digest, parts)) == sorted(batches):
        return "batches"
    here = _digests([leaf[len(leaf) - len(rows) :] for leaf in first])
    return "samples" if sorted(here) == sorted(rows) else None


def _same_bytes(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return one.shape == other.shape and one.tobytes() == np.ascontiguousarray(other).tobytes()


def _digest(leaves: Sequence[NDArray[Any]]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for leaf in leaves:
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.digest()


def _digests(leaves: Sequence[NDArray[Any]]) -> list[bytes]:
    """A digest of each sample."""
    return [_digest([leaf[row] for leaf in leaves]) for row in range(len(leaves[0]))]
