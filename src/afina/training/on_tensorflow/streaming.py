"""Fused epochs over a stream as it comes, for streams that cannot be read into arrays.

`fit` takes the batches of any stream from an iterator of `tf.data`, and so do these epochs: the
loop over the batches reads it within TensorFlow. So the batches, their order and their end are
those of `fit`.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from afina.training import keras_parts
from afina.training.epochs import DataCache, ProgramLoop, Samples
from afina.training.epochs.numbers import ModelNumbers
from afina.training.on_tensorflow.program import StepLoop, TensorFlowProgram
from afina.training.on_tensorflow.stand_ins import Shapes
from afina.training.on_tensorflow.tracing import Kind, Tracing, flat
from afina.training.on_tensorflow.xla import why_xla
from afina.training.streams.feed import stream_batches
from afina.training.streams.kinds import is_stream
from afina.training.trainer import CannotTrainError
from afina.trials import first_line

AT_ONCE = 1_000
"""Most steps of one call."""

FIRST = 16
"""Steps of the first call of a training, before it is known how long a step takes."""

SECONDS = 0.5
"""About the longest time of one call: Ctrl-C and time limits wait for its end."""

_NOTHING = np.zeros((1, 1))

Take = Callable[[Any, int], tuple[int, Mapping[str, Any]]]
"""Takes at most so many batches of an iterator; returns how many there were, and the logs."""


class StreamTracing(Tracing):
    """Steps on the batches of an iterator of `tf.data`.

    Args:
        model: Compiled and built.
        kind: Whether the steps train or validate.
        form: The specification of a batch.
        numbers: The numbers of the model that are inputs of the function.
        jit_compile: Whether XLA compiles each step; the loop around reads, which XLA cannot.
    """

    def __init__(
        self,
        model: keras.Model,
        kind: Kind,
        form: Any,
        numbers: ModelNumbers,
        *,
        jit_compile: bool,
    ) -> None:
        super().__init__(model, kind, numbers, jit_compile=jit_compile)
        self.form = form
        self.jit_compile = jit_compile

    @property
    def inputs(self) -> Any:
        """An iterator, and how many batches are taken at most; 0 takes none."""
        import tensorflow as tf

        return tf.data.IteratorSpec(self.form), tf.TensorSpec((), "int32")

    def steps(self, inputs: Any) -> tuple[Any, Any]:
        """Takes the steps of one call; reads no more batches than it takes."""
        import tensorflow as tf

        iterator, steps = inputs
        packed = Packed(steps * 0)
        run = self.run
        if self.jit_compile:
            run = tf.function(run, jit_compile=True, autograph=False)

        def batch_after(number: Any, batch: Any) -> Any:
            return tf.cond(number < steps, iterator.get_next_as_optional, lambda: batch)

        def body(number: Any, batch: Any, before: Any) -> Any:
            del before
            logs = run(batch.get_value())
            # It is read while the step computes.
            following = batch_after(number + 1, batch)
            return number + 1, following, packed.of(logs) if self.logs_own else packed.empty

        zero = tf.constant(0)
        first = batch_after(zero, tf.experimental.Optional.empty(self.form))
        taken, _, logs = tf.while_loop(
            lambda number, batch, _: tf.logical_and(number < steps, batch.has_value()),
            body,
            (zero, first, packed.empty),
            parallel_iterations=1,
        )
        return taken, packed.logs(logs) if self.logs_own else {}


class Packed:
    """The logs of a step as one vector, which a loop can carry before the step has been traced.

    Args:
        nothing: The number 0, of which TensorFlow does not know that it is 0.
    """

    def __init__(self, nothing: Any) -> None:
        import tensorflow as tf

        self.empty = tf.zeros(tf.reshape(nothing, [1]), "float64")
        self._structure: Any = None
        self._forms: list[Any] = []

    def of(self, logs: Any) -> Any:
        """The vector of these logs."""
        import tensorflow as tf

        leaves = flat(logs)
        self._structure = keras.tree.map_structure(lambda _: 0, logs)
        self._forms = [(log.shape, log.dtype) for log in leaves]
        parts = [tf.reshape(tf.cast(log, "float64"), [-1]) for log in leaves]
        return tf.concat(parts, 0) if parts else self.empty

    def logs(self, vector: Any) -> Any:
        """The logs of this vector; zeros if no step was taken."""
        import tensorflow as tf

        sizes = [shape.num_elements() for shape, _ in self._forms]  # TensorFlow refuses None
        whole = tf.concat([vector, tf.zeros(sum(sizes), "float64")], 0)[: sum(sizes)]
        parts = zip(tf.split(whole, sizes) if sizes else [], self._forms, strict=True)
        leaves = [tf.cast(tf.reshape(part, shape), dtype) for part, (shape, dtype) in parts]
        return keras.tree.pack_sequence_as(self._structure, leaves)


class StreamBatches:
    """The batches of a stream, in place of `keras_parts.Batches`.

    Args:
        data: The stream.
        shuffle: As given to `fit`.
        class_weight: As given to `fit`.
        steps: Batches in an epoch; None reads to the stream's end.

    Raises:
        ValueError: Keras refuses the data.
        CannotTrainError: The batches are not dense arrays of numbers.
    """

    def __init__(self, data: Any, *, shuffle: Any, class_weight: Any, steps: int | None) -> None:
        self._batches = stream_batches(data, shuffle, class_weight, steps)
        dataset = self._batches.data_adapter.get_tf_dataset()
        self.form = dataset.element_spec
        """The specification of a batch."""

        if not all(map(_is_dense, keras.tree.flatten(self.form))):
            raise CannotTrainError("its batches are not dense arrays of numbers")
        self._batches._get_iterator = lambda: dataset  # as `fit` does on TensorFlow
        self._epoch = self._batches._enumerate_iterator
        self._is_new = True
        self._at_once = FIRST
        self._before: Mapping[str, Any] | None = None

    @property
    def steps(self) -> int | None:
        """Batches in an epoch; None until that is known."""
        return self._batches.num_batches  # type: ignore[no-any-return]

    def build(self, model: keras.Model) -> None:
        """Creates all variables of model, optimizer and metrics; reads nothing.

        Raises:
            CannotTrainError: The specification of a batch does not suffice for that.
        """
        batch = keras.tree.map_structure(_symbol, self.form)
        try:
            keras_parts.build_by(model, batch)
        except Exception as error:  # of the user's too, which plain `fit` raises again
            raise CannotTrainError(f"the model cannot be built: {first_line(error)}") from error
        if self._is_new:
            self._batches.reset()  # as `fit` does
            self._is_new = False

    def order(self) -> NDArray[np.int32]:
        """The order is the stream's."""
        return np.arange(0, dtype=np.int32)

    def go_on_from(self, before: StreamBatches) -> None:
        """Does nothing: the stream goes on by itself."""

    def begin_anew(self) -> None:
        """Begins the stream anew, as `fit` does before each validation."""
        self._batches.reset()
        self._before = None

    def epoch(self, take: Take) -> Mapping[str, Any]:
        """Takes the batches of an epoch, and returns the logs of the last.

        An epoch without batches has logs if an earlier one had, as by `fit`.
        """
        left, taken, logs = self.steps or math.inf, 0, None
        with self._batches.catch_stop_iteration():
            for _, _, iterator in self._epoch():  # Keras counts each batch
                if not taken:
                    taken, found = self._taken(take, iterator, left)
                    if not taken:
                        if logs is None and self._before is not None:
                            logs = found
                        raise StopIteration
                    left, logs = left - taken, found
                taken -= 1
        self._before = logs
        return {} if logs is None else logs

    def _taken(self, take: Take, iterator: Any, left: float) -> tuple[int, Mapping[str, Any]]:
        """Takes some of the batches that are left, in about `SECONDS` at most."""
        steps = int(min(left, self._at_once, AT_ONCE))
        begin = time.monotonic()
        taken, logs = take(iterator, steps)
        spent = time.monotonic() - begin
        if spent > SECONDS:
            self._at_once = max(1, int(taken * SECONDS / spent))
        elif spent < SECONDS / 4 and taken == self._at_once:
            self._at_once = min(AT_ONCE, 2 * taken)
        return taken, logs


def _is_dense(form: Any) -> bool:
    import tensorflow as tf

    if not isinstance(form, tf.TensorSpec) or not form.shape.rank:
        return False
    return form.dtype.is_floating or form.dtype.is_integer or form.dtype.is_bool  # type: ignore[no-any-return]


def _symbol(form: Any) -> Any:
    return keras.KerasTensor(tuple(form.shape), keras.backend.standardize_dtype(form.dtype))


class StreamData:
    """The samples of a training with streams among its data, as `EpochLoop` asks for them.

    Args:
        cache: Has the data that are arrays.
        given: All arguments of `fit` by name; `x` is a stream, or `validation_data`, or both.
    """

    def __init__(self, cache: DataCache, given: Mapping[str, Any]) -> None:
        self._cache = cache
        self._train = self._validation = None
        if is_stream(given["x"]):
            shuffle, weights = given["shuffle"], given["class_weight"]
            self._train = _samples(given["x"], shuffle, weights, given["steps_per_epoch"])
        if is_stream(given["validation_data"]):
            data, steps = given["validation_data"], given["validation_steps"]
            self._validation = _samples(data, False, None, steps)

    def parts(self, given: Mapping[str, Any]) -> tuple[Samples, Samples | None]:
        """The training and validation samples."""
        train, validation = self._cache.parts(self._arrays(given))
        return self._train or train, self._validation or validation

    def look(self, given: Mapping[str, Any]) -> int:
        """A number that changes when the data that are arrays change."""
        return self._cache.look(self._arrays(given))

    def _arrays(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments without streams."""
        arrays = dict(given)
        if self._train is not None:
            none = {"y": None, "sample_weight": None, "class_weight": None}
            arrays.update(none, x=_NOTHING, shuffle=False)
        if self._validation is not None:
            arrays.update(validation_data=None)
        return arrays


def _samples(data: Any, shuffle: Any, class_weight: Any, steps: int | None) -> Samples:
    batches: Any = StreamBatches(data, shuffle=shuffle, class_weight=class_weight, steps=steps)
    arrays: Any = None  # they come with the batches
    return Samples(batches, arrays)


def _stream(samples: Samples | None) -> StreamBatches | None:
    """The batches of samples that come batch by batch; None for other samples."""
    batches: Any = None if samples is None else samples.batches
    return batches if isinstance(batches, StreamBatches) else None


class StreamProgram(TensorFlowProgram):
    """The epochs and validations of one model with streams among its data; an `EpochProgram`."""

    def planned_steps(self, loop: ProgramLoop) -> float:
        """The steps of the whole training; infinite if unknown."""
        steps = loop.train.batches.steps
        return math.inf if steps is None else super().planned_steps(loop)

    def why_xla(self, steps: float) -> tuple[bool, str]:
        """Whether XLA compiles the steps, and why: it compiles them for each shape of a batch."""
        streams = filter(None, map(_stream, (self.train, self.validation)))
        shapes = [leaf.shape for each in streams for leaf in keras.tree.flatten(each.form)]
        if not self.model.jit_compile and any(None in shape[1:] for shape in shapes):
            return False, "the batches vary in shape"
        smaller = any(shape[0] is None for shape in shapes)  # the last one of an epoch, perhaps
        return why_xla(self.model, steps, shapes=1 + smaller)

    def training(self, key: Any, shapes: Shapes) -> Any:
        """What takes the samples of an epoch."""
        batches = _stream(self.train)
        if batches is not None:
            return self._taking(key, shapes, "train", batches)
        return super().training(key, shapes)

    def validating(self, key: Any, shapes: Shapes, validation: Samples) -> Any:
        """What takes the samples of a validation."""
        batches = _stream(validation)
        if batches is not None:
            return self._taking(key, shapes, "validate", batches)
        return super().validating(key, shapes, validation)

    def run(self, way: Any, samples: Samples, order: NDArray[np.int32]) -> Mapping[str, Any]:
        """Takes the samples of an epoch or a validation; returns the logs."""
        batches = _stream(samples)
        if batches is None:
            return super().run(way, samples, order)
        import tensorflow as tf

        function: StepLoop = way

        def take(iterator: Any, steps: int) -> tuple[int, Mapping[str, Any]]:
            return function(self._values, (iterator, tf.constant(steps)), self._settings)

        if samples is self.validation:
            batches.begin_anew()
        return batches.epoch(take)

    def _taking(self, key: Any, shapes: Shapes, kind: Kind, batches: StreamBatches) -> StepLoop:
        """The function that takes batches of an iterator."""
        form = batches.form
        known = key and (key, kind, repr(form), *self.variables(shapes), self.uses_xla)
        return self.cache.get(known, functools.partial(self._made_for, kind, form, shapes))

    def _made_for(self, kind: Kind, form: Any, shapes: Shapes) -> StepLoop:
        import tensorflow as tf

        numbers, blank = self._numbers, keras.tree.map_structure(_zeros, form)
        tracing = StreamTracing(self.model, kind, form, numbers, jit_compile=self.uses_xla)
        one = tf.data.Dataset.from_generator(lambda: iter([blank]), output_signature=form)

        def inputs(steps: int) -> Any:
            return iter(one), tf.constant(steps)

        return self.step_loop(tracing, shapes, inputs, jit_compile=False)


def _zeros(form: Any) -> Any:
    return np.zeros([length or 1 for length in form.shape], form.dtype.as_numpy_dtype)
