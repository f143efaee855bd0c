"""What an epoch of training, or a validation, is traced from: the loop over its batches."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras

from afina.training import keras_parts
from afina.training.epochs import Samples
from afina.training.epochs.numbers import ModelNumbers
from afina.training.epochs.partial import filled
from afina.training.on_tensorflow.graphs import take_apart
from afina.training.on_tensorflow.quick_layers import layers_made_quick
from afina.training.on_tensorflow.stand_ins import leaving_lengths_open
from afina.training.on_tensorflow.updates import updating_by_one_operation
from afina.training.on_tensorflow.weak import WeakNumber
from afina.training.on_tensorflow.xla import has_gpu
from afina.training.replacing import replaced

Kind = Literal["train", "validate"]


@dataclass(frozen=True)
class EpochCut:
    """How a function cuts the samples of one call into batches."""

    kind: Kind
    batch_size: int | None
    """Samples in a batch; None if each call says it."""

    last: Literal["equal", "smaller", "filled"]
    """The last batch: as large as the others, smaller, or filled up with samples that count for
    nothing."""


class Tracing(ABC):
    """What `StepLoop` is traced from.

    Args:
        model: Compiled and built.
        kind: Whether the steps train or validate.
        numbers: The numbers of the model that are inputs of the function.
        jit_compile: Whether XLA compiles the steps.
    """

    def __init__(
        self, model: keras.Model, kind: Kind, numbers: ModelNumbers, *, jit_compile: bool
    ) -> None:
        self.model = model
        self.kind = kind
        self.numbers = numbers
        self.own_updates = not jit_compile and kind == "train"
        self.quick_layers = not jit_compile and not has_gpu()
        names = ("compute_metrics", "train_step" if kind == "train" else "test_step")
        # The logs of a step matter only if they may differ from the metrics' results.
        self.logs_own = any(keras_parts.overrides(model, name) for name in names)

    @property
    @abstractmethod
    def inputs(self) -> Any:
        """The specifications of what each call gives, besides variables and numbers."""

    @abstractmethod
    def steps(self, inputs: Any) -> tuple[Any, Any]:
        """Takes the steps of one call.

        Args:
            inputs: As in `inputs`.

        Returns:
            How many steps were taken, and the logs of the last one if those matter.
        """

    def forget(self) -> None:
        """Forgets the model: TensorFlow may keep the function that it has traced."""
        vars(self).clear()

    def loop(self, values: Any, inputs: Any, settings: Any) -> Any:
        """The function that TensorFlow traces; see `StepLoop` for arguments and result."""
        import tensorflow as tf

        with contextlib.ExitStack() as stack:
            stack.enter_context(_standing_in(self.model, values))
            given = tf.unstack(settings)
            stack.enter_context(self.numbers.fed(given, stand_in=WeakNumber))
            if any(None in value.shape for value in values):
                stack.enter_context(leaving_lengths_open(self.model))
            if self.own_updates:
                stack.enter_context(updating_by_one_operation(self.model))
            if self.quick_layers:
                stack.enter_context(layers_made_quick(self.model))
            taken, logs = self.steps(inputs)
            if self.logs_own:
                result = dict(keras_parts.epoch_logs(self.model, logs))
            else:
                result = dict(self.model.get_metrics_result())
            # A metric may return its variable, whose value would be looked up later.
            return taken, keras.tree.map_structure(tf.convert_to_tensor, result)

    def run(self, data: Any) -> Any:
        """The model's step on a batch."""
        return (self.model.train_step if self.kind == "train" else self.model.test_step)(data)


class ArrayTracing(Tracing):
    """Steps on samples of whole arrays.

    Args:
        model: Compiled and built.
        samples: The samples; only their structure and types matter.
        cut: How they are cut into batches.
        numbers: The numbers of the model that are inputs of the function.
        jit_compile: Whether XLA compiles the function.
    """

    def __init__(
        self,
        model: keras.Model,
        samples: Samples,
        cut: EpochCut,
        numbers: ModelNumbers,
        *,
        jit_compile: bool,
    ) -> None:
        super().__init__(model, cut.kind, numbers, jit_compile=jit_compile)
        self.cut = cut
        self.structure = samples.arrays.structure
        self.leaves = [(leaf.shape[1:], leaf.dtype) for leaf in samples.arrays.leaves]

    @property
    def inputs(self) -> Any:
        """The data, sample numbers in the order in which they are taken, samples in a batch (which
        only a function of any batch size looks at), and the number of batches (0 only compiles)."""
        import tensorflow as tf

        leaves = tuple(tf.TensorSpec((None, *shape), dtype) for shape, dtype in self.leaves)
        number = tf.TensorSpec((), "int32")
        return leaves, tf.TensorSpec((None,), "int32"), number, number

    def steps(self, inputs: Any) -> tuple[Any, Any]:
        """Takes the steps of one call."""
        import tensorflow as tf

        blank = self._blank_logs() if self.logs_own else {}
        leaves, order, size, steps = inputs
        size = self.cut.batch_size or size
        rows = tf.shape(order)[0]
        if self.cut.last == "filled":  # with samples that exist; the step does not count them
            order = tf.pad(order, [[0, size]])

        def body(number: Any, before: Any) -> Any:
            del before
            logs = self._step(leaves, order, number * size, size, rows)
            return number + 1, flat(logs) if self.logs_own else []

        begin = tf.constant(0), flat(blank)
        taken, logs = tf.while_loop(
            lambda number, _: number < steps, body, begin, parallel_iterations=1
        )
        return taken, keras.tree.pack_sequence_as(blank, logs)

    def _blank_logs(self) -> Any:
        """Zeros of the shapes of a step's logs, found by tracing a step that is thrown away."""
        import tensorflow as tf

        specs = [tf.TensorSpec((1, *shape), dtype) for shape, dtype in self.leaves]
        data = self._structured(specs)
        traced = tf.function(self.run, autograph=False).get_concrete_function(data)
        shapes = [(log.shape, log.dtype) for log in keras.tree.flatten(traced.structured_outputs)]
        zeros = [tf.zeros(shape, dtype) for shape, dtype in shapes]
        blank = keras.tree.pack_sequence_as(traced.structured_outputs, zeros)
        take_apart([traced.graph])
        return blank

    def _step(self, leaves: Any, order: Any, start: Any, size: Any, rows: Any) -> Any:
        """One step on the samples that stand in the order from `start` on."""
        import tensorflow as tf

        if self.cut.last == "smaller":
            places = order[start : start + size]
        else:
            places = tf.slice(order, [start], [size])  # XLA needs to know the size
        data = self._structured([tf.gather(leaf, places) for leaf in leaves])
        if self.cut.last != "filled":
            return self.run(data)
        with filled(self.model, tf.minimum(rows - start, size), size):
            return self.run(data)

    def _structured(self, leaves: Sequence[Any]) -> Any:
        return keras.tree.map_structure(
            lambda place: None if place is None else leaves[place], self.structure
        )


def flat(logs: Any) -> list[Any]:
    """The logs of a step as a list of tensors."""
    import tensorflow as tf

    return [tf.convert_to_tensor(log) for log in keras.tree.flatten(logs)]


def variables_of(model: keras.Model) -> list[Any]:
    """Every variable of a built model, its optimizer and metrics, once each."""
    lists = (model.variables, model.optimizer.variables, model.metrics_variables)
    return list({id(each): each for part in lists for each in part}.values())


def values_of(model: keras.Model) -> list[Any]:
    """The variables of TensorFlow's own type behind `variables_of`."""
    return [variable.value for variable in variables_of(model)]


@contextlib.contextmanager
def _standing_in(model: keras.Model, values: Sequence[Any]) -> Iterator[None]:
    """Within the block, the model reads and writes these variables in place of its own."""
    with contextlib.ExitStack() as stack:
        for variable, value in zip(variables_of(model), values, strict=True):
            stack.enter_context(replaced(variable, keras_parts.VALUE, value))
            stack.enter_context(replaced(variable, keras_parts.SHAPE, tuple(value.shape)))
        yield
