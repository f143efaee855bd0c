"""First layers that look rows up in a table: embeddings of words, and kernels of bags of words.

A batch reads a few rows of such a table only. For an `Embedding` these are the rows of the words in
its texts. Its update by Adam is deferred for all other rows, as that of a sparse first layer's
kernel is (see `deferred`): the step then works on a small table of the active rows, and on the
places of the words in it.

    words   [[7, 2, 7], [0, 2, 9]]   active rows   [0, 2, 7, 9]   entries   [[2, 1, 2], [0, 1, 3]]
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from afina.training.epochs import Arrays
from afina.training.fused.sparse import SparseRows, first_dense, readers
from afina.training.replacing import replaced


def first_embedding(model: keras.Model) -> Any | None:
    """The only Embedding layer that reads the model's only input; None if there is none.

    Others may read the input too, such as the operation that makes a mask of it.
    """
    found = [each for each in readers(model) if type(each) is keras.layers.Embedding]
    if len(found) != 1:
        return None
    layer = found[0]
    plain = not layer.lora_enabled and layer.quantization_mode is None
    return layer if plain and "call" not in vars(layer) else None


def first_table(model: keras.Model) -> Any | None:
    """The variable whose rows the model's first layer looks up; None if there is none."""
    dense = first_dense(model)
    if dense is not None:
        return dense.kernel
    embedding = first_embedding(model)
    return None if embedding is None else embedding.embeddings


def shape_of_rows(model: keras.Model, arrays: Arrays) -> SparseRows:
    """What tells the width and the type of the rows that the first layer reads; without entries in
    the case of an embedding."""
    if arrays.is_sparse:
        rows: SparseRows = arrays.leaves[0]
        return rows
    nothing, starts = np.zeros(0, np.int32), np.zeros(1, np.int32)
    return SparseRows(nothing, starts, None, first_embedding(model).input_dim, "int32")  # type: ignore[union-attr]


class Words:
    """The words of texts, as the rows of a table that each text reads.

    They are kept for all trials, as long as the data are.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[Any, SparseRows | None]] = {}

    def of(self, model: keras.Model, arrays: Arrays) -> SparseRows | None:
        """The words of the inputs if the model begins with an embedding; None if it does not, or
        if some are not in its vocabulary.

        Args:
            model: Compiled and built.
            arrays: The training data.
        """
        embedding = first_embedding(model)
        if embedding is None or arrays.is_sparse:
            return None
        key = id(arrays), embedding.input_dim
        known = self._known.get(key)
        if known is None:
            gone = weakref.ref(arrays, lambda _: self._known.pop(key, None))
            known = gone, _as_rows(arrays.leaves[0], embedding.input_dim)
            self._known[key] = known
        return known[1]


def _as_rows(words: Any, vocabulary: int) -> SparseRows | None:
    """Texts of equal length as `SparseRows`; None for what is not an array of known words."""
    if not isinstance(words, np.ndarray) or words.dtype.kind not in "iu" or not words.size:
        return None
    if words.min() < 0 or words.max() >= vocabulary:
        return None
    length = words.size // len(words)
    starts = np.arange(len(words) + 1, dtype=np.int64) * length
    if starts[-1] > np.iinfo(np.int32).max:
        return None
    columns = words.reshape(-1).astype(np.int32)
    return SparseRows(columns, starts.astype(np.int32), None, vocabulary, "int32")


@contextmanager
def looked_up(layer: Any, entries: Any) -> Iterator[None]:
    """Within the block, calling the Embedding layer looks up these entries of its table.

    The layer still makes masks of the words that it is given.

    Args:
        layer: The layer, its table replaced by one of the active rows.
        entries: A place in the table for each word of the batch, and perhaps more of them.
    """

    def call(inputs: Any) -> Any:
        places = entries[: inputs.size].reshape(inputs.shape)
        outputs = keras.ops.take(layer.embeddings, places, axis=0)
        return keras.ops.cast(outputs, layer.compute_dtype)

    with replaced(layer, "call", call):
        yield
