"""`StreamTraining`: fused epochs over a stream that cannot be read into arrays.

The stream is cut into chunks of batches, and a chunk is one call of a program. Its leftovers are
trained batch by batch: they are few, and need no other program than one for a batch.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from afina.training.epochs import Arrays, DataCache, EpochLoop, Samples
from afina.training.fused import memory
from afina.training.fused.engine import CannotFuseError, Engine
from afina.training.fused.loop import Training, Work
from afina.training.fused.plan import Plan
from afina.training.fused.program import ModelState, Program
from afina.training.streams.feed import Chunk, Feed
from afina.training.trainer import Account

_NOTHING = np.zeros((1, 1))


@dataclass
class _ChunkView:
    """A chunk in place of `keras_parts.Batches`."""

    size: int
    """Samples in a chunk."""

    batch_size: int
    """Samples in a batch."""

    feed: Feed

    @property
    def steps(self) -> int | None:
        """Batches in an epoch, for the progress bar."""
        return self.feed.steps

    def build(self, model: keras.Model) -> None:
        """Does nothing: the stream's first batch has built the model."""

    def order(self) -> NDArray[np.int32]:
        """The order is the stream's."""
        return np.arange(0, dtype=np.int32)


class _StreamData:
    """The samples of a training on a stream, as `EpochLoop` asks for them."""

    def __init__(self, cache: DataCache, train: Samples) -> None:
        self._cache = cache
        self._train = train

    def parts(self, given: Mapping[str, Any]) -> tuple[Samples, Samples | None]:
        """A chunk's samples, and those of the validation."""
        return self._train, self._cache.parts(_without_stream(given))[1]

    def look(self, given: Mapping[str, Any]) -> int:
        """A number that changes when the arrays of the validation change."""
        return self._cache.look(_without_stream(given))


def _without_stream(given: Mapping[str, Any]) -> dict[str, Any]:
    none = {"x": _NOTHING, "y": None, "sample_weight": None, "class_weight": None}
    return {**given, **none, "shuffle": False}


class StreamTraining(Training):
    """One `fit` of one model on a stream.

    It keeps the python turn while programs run: the stream may belong to several trainings, and
    draw from random streams of the process.

    Args:
        engine: The data and programs that trainings share.
        model: Compiled.
        given: All arguments of `fit` by name; `x` is a stream, `validation_data` are arrays.
        account: Where to add the seconds that each part took.

    Raises:
        CannotFuseError: The stream's batches are not arrays of numbers.
    """

    def __init__(
        self, engine: Engine, model: keras.Model, given: Mapping[str, Any], account: Account
    ) -> None:
        self.engine, self.account, self.device = engine, account, memory.device()
        self.feed = Feed(
            given["x"],
            shuffle=given["shuffle"],
            class_weight=given["class_weight"],
            steps=given["steps_per_epoch"],
        )
        self.feed.build(model)
        self.at_once = self.feed.at_once()
        leaves = [np.asarray(leaf) for leaf in keras.tree.flatten(self.feed.first)]
        if any(leaf.dtype.kind not in "biuf" or not leaf.ndim for leaf in leaves):
            raise CannotFuseError("the batches of x are not dense arrays of numbers")
        self._forms: dict[Any, Samples] = {}
        data: Any = _StreamData(engine.data, self._of_form(leaves, len(leaves[0])))
        EpochLoop.__init__(self, data, model, given)

    def look(self) -> None:
        """Plans the epochs of the model as it is now."""
        super().look()
        self._others: dict[Any, Program] = {}

    def _with_few_steps(self, plan: Plan) -> Plan:
        """The plan as it is: how many steps there are is not known, and chunks differ in size."""
        return plan

    def train_epoch(self, order: NDArray[np.int32]) -> Generator[Work, Any, dict[str, Any]]:
        """Trains one epoch of the stream; yields the calls of the training programs."""
        import jax

        del order
        state = ModelState.of(self.model)
        arrays: Any = (state.trainable, state.non_trainable, state.optimizer)
        metrics: Any = state.metrics
        logs: Any = {}
        with contextlib.closing(self.feed.chunks(self.at_once)) as chunks:
            for chunk in chunks:
                for leaves in self._calls(chunk):
                    places = np.arange(len(leaves[0]), dtype=np.int32)
                    held = ModelState(arrays[0], arrays[1], arrays[2], metrics)
                    self._now = self._program_for(leaves, chunk.batch_size, held)
                    placed = tuple(jax.device_put(leaf, self.device) for leaf in leaves)
                    arrays, metrics, logs = yield Work("train", arrays, metrics, placed, places)
        ModelState(arrays[0], arrays[1], arrays[2], metrics).write(self.model)
        return dict(logs)

    def compute(self, work: Work) -> Any:
        """Calls the program for this work, and returns its result."""
        import jax

        if work.kind == "train":
            inputs = *work.inputs, None
            function: Any = functools.partial(self._now.epoch, self.device)
        else:
            inputs, function = work.inputs, self._program(self.rows).validate
        with self.account.counted(work.kind):
            result = function(*inputs)
            jax.block_until_ready(result)
        return result

    def _calls(self, chunk: Chunk) -> Iterator[tuple[NDArray[Any], ...]]:
        """A full chunk as a whole, leftovers batch by batch."""
        size, rows = chunk.batch_size, len(chunk.leaves[0])
        step = rows if rows == self.at_once * size else size
        for start in range(0, rows, step):
            yield tuple(leaf[start : start + step] for leaf in chunk.leaves)

    def _program_for(
        self, leaves: tuple[NDArray[Any], ...], batch_size: int, state: ModelState
    ) -> Program:
        """The program for a call; made if there is none yet, from a model of this state."""
        samples, plan = self.train, self.plan
        first, rows = samples.batches.batch_size, len(leaves[0])
        smaller = rows == batch_size < first  # a step of its own in any program of this form
        if not _is_alike(leaves, samples) or not (smaller or batch_size == first):
            samples = self._of_form(leaves, batch_size)
            plan = Plan.of(self.model, samples, None)
        elif rows == self.rows:
            return self._program(rows)
        key = id(samples), rows
        if key not in self._others:
            state.write(self.model)  # programs have taken the arrays that it had
            given = {"rows": rows, "device": self.device, "account": self.account}
            try:
                made = self.engine.program(self.model, samples, None, plan, **given)
            except CannotFuseError as error:  # it is too late for another trainer
                raise error.__cause__ or error from None
            self._others[key] = made
        return self._others[key]

    def _of_form(self, leaves: Sequence[NDArray[Any]], batch_size: int) -> Samples:
        """The samples of a chunk with batches of this form, as far as a program depends on them."""
        import jax

        key = batch_size, *((leaf.shape[1:], str(leaf.dtype)) for leaf in leaves)
        if key not in self._forms:
            rows = self.at_once * batch_size
            shapes = [(rows, *leaf.shape[1:]) for leaf in leaves]
            kinds = [jax.dtypes.canonicalize_dtype(leaf.dtype) for leaf in leaves]
            both = list(zip(shapes, kinds, strict=True))
            blanks = tuple(np.broadcast_to(np.zeros((), kind), shape) for shape, kind in both)
            structs = tuple(jax.ShapeDtypeStruct(shape, kind) for shape, kind in both)
            numbers = iter(range(len(leaves)))
            structure = keras.tree.map_structure(lambda _: next(numbers), self.feed.first)
            # No numbers: the program gets each chunk's own.
            arrays = Arrays(structure, blanks, jax.device_put, {self.device: structs})
            view: Any = _ChunkView(rows, batch_size, self.feed)
            self._forms[key] = Samples(view, arrays)
        return self._forms[key]


def _is_alike(leaves: Sequence[NDArray[Any]], samples: Samples) -> bool:
    import jax

    return all(
        leaf.shape[1:] == blank.shape[1:]
        and jax.dtypes.canonicalize_dtype(leaf.dtype) == blank.dtype
        for leaf, blank in zip(leaves, samples.arrays.leaves, strict=True)
    )
