"""`Feed`: a stream's batches in chunks, put together on a thread while the last one is trained."""

from __future__ import annotations

import queue
import threading
import warnings
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from afina.training import keras_parts
from afina.training.session import read_session, write_session
from afina.training.streams.kinds import PY_DATASET, kind_of

CHUNK = 16 * 2**20
"""Bytes of a chunk, unless a single batch has more. At most three chunks are in memory: one that is
trained, one that waits, one that is put together."""

STEPS = 64
"""Most batches in a chunk."""

_END = object()


@dataclass(frozen=True)
class Chunk:
    """Batches of equal form, end to end."""

    leaves: tuple[NDArray[Any], ...]
    """The arrays of all batches."""

    batch_size: int
    """Samples in a batch."""


def stream_batches(data: Any, shuffle: Any, class_weight: Any, steps: int | None) -> Any:
    """`keras_parts.stream_batches` for arguments of `fit`, without a warning of its defaults."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`shuffle=True` was passed")  # by `fit`, by default
        return keras_parts.stream_batches(
            data, shuffle=shuffle, class_weight=class_weight, steps_per_epoch=steps
        )


class Feed:
    """The batches of one training.

    Args:
        data: The stream.
        shuffle: As given to `fit`.
        class_weight: As given to `fit`.
        steps: Batches in an epoch; None reads to the stream's end.

    Raises:
        ValueError: Keras refuses the data.
    """

    def __init__(self, data: Any, *, shuffle: Any, class_weight: Any, steps: int | None) -> None:
        self._batches = stream_batches(data, shuffle, class_weight, steps)
        self._largest = 0  # samples of a batch so far
        self._shuffles = bool(shuffle) and kind_of(data) == PY_DATASET
        self.first: tuple[Any, ...] = ()
        """The batch that `build` has looked at."""

    @property
    def steps(self) -> int | None:
        """Batches in an epoch; None until that is known."""
        return self._batches.num_batches  # type: ignore[no-any-return]

    def build(self, model: keras.Model) -> None:
        """Builds a model by a first batch, as `fit` does, and begins the stream anew.

        `fit` takes none for a model that is built; this takes one in any case.
        """
        _, _, [first] = next(iter(self._batches))
        keras_parts.build_by(model, first)
        self._batches.reset()
        self.first = tuple(first) if isinstance(first, list | tuple) else (first,)

    def at_once(self) -> int:
        """How many batches a chunk has."""
        size = sum(leaf.nbytes for leaf in keras.tree.flatten(self.first))
        most: int = max(1, min(STEPS, CHUNK // max(1, size)))
        steps = self.steps
        if steps is None:
            return most
        most = min(most, steps)
        # What is left over is trained batch by batch, and the last batch is so often smaller.
        return min(range(most, most // 2, -1), key=lambda count: (steps - 1) % count)

    def chunks(self, count: int) -> Generator[Chunk, None, None]:
        """The batches of one epoch, `count` to a chunk where so many of one form follow each other.

        The thread ends with the iterator, wherever that is closed. What the stream raises is raised
        here.
        """
        filled: queue.Queue[Any] = queue.Queue(maxsize=1)
        closed = threading.Event()
        session = read_session()

        def put(item: Any) -> bool:
            while not closed.is_set():
                try:
                    filled.put(item, timeout=0.1)
                except queue.Full:
                    continue
                return True
            return False

        def fill() -> None:
            write_session(session)
            end: Any = _END
            try:
                for chunk in self._epoch(count):
                    if not put(chunk):
                        return
            except BaseException as error:
                end = error
            put(end)

        thread = threading.Thread(target=fill, name="afina-feed", daemon=True)
        thread.start()
        try:
            while (item := filled.get()) is not _END:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            closed.set()
            thread.join()

    def _all(self) -> Iterator[Any]:
        """The batches of the next epoch, as `fit` takes them.

        Of a `PyDataset`, `fit` shuffles the batches. A smaller one would cut a chunk into single
        steps, so it comes last.
        """
        held: Any = None
        with self._batches.catch_stop_iteration():
            for _, _, [batch] in self._batches:
                if self._shuffles and held is None and self._is_smaller(batch):
                    held = keras.tree.map_structure(np.array, batch)
                else:
                    yield batch
        if held is not None:
            yield held

    def _is_smaller(self, batch: Any) -> bool:
        rows = len(keras.tree.flatten(batch)[0])
        self._largest = max(rows, self._largest)
        return rows < self._largest

    def _epoch(self, count: int) -> Generator[Chunk, None, None]:
        kept: tuple[NDArray[Any], ...] = ()
        done = 0
        for batch in self._all():
            leaves = [np.asarray(leaf) for leaf in keras.tree.flatten(batch)]
            rows = len(leaves[0])
            if done and not _is_like(leaves, kept, rows * count):
                yield _cut(kept, done, count)
                done = 0
            if not done:
                kept = tuple(
                    np.empty((count * rows, *leaf.shape[1:]), leaf.dtype) for leaf in leaves
                )
            for here, leaf in zip(kept, leaves, strict=True):
                here[done * rows : (done + 1) * rows] = leaf
            done += 1
            if done == count:
                yield _cut(kept, done, count)
                done = 0
        if done:
            yield _cut(kept, done, count)


def _is_like(leaves: list[Any], kept: tuple[Any, ...], rows: int) -> bool:
    return len(leaves) == len(kept) and all(
        len(here) == rows and here.shape[1:] == leaf.shape[1:] and here.dtype == leaf.dtype
        for here, leaf in zip(kept, leaves, strict=True)
    )


def _cut(kept: tuple[NDArray[Any], ...], done: int, count: int) -> Chunk:
    size = len(kept[0]) // count
    return Chunk(tuple(leaf[: done * size] for leaf in kept), size)
