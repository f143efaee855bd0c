"""An epoch of training, and a validation, as one call of a TensorFlow function each."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from afina.training import keras_parts
from afina.training.epochs import ProgramCache, ProgramLoop, Samples, program_key
from afina.training.epochs.merging import validation_batch_size
from afina.training.epochs.numbers import ModelNumbers
from afina.training.epochs.partial import can_be_filled, filled
from afina.training.on_tensorflow.graphs import free_with, take_apart
from afina.training.on_tensorflow.quick_layers import layers_made_quick
from afina.training.on_tensorflow.siblings import sibling_shapes
from afina.training.on_tensorflow.stand_ins import (
    Shapes,
    StandIns,
    Widths,
    leaving_lengths_open,
    structure_key,
)
from afina.training.on_tensorflow.updates import updating_by_one_operation
from afina.training.on_tensorflow.weak import WeakNumber
from afina.training.on_tensorflow.xla import has_gpu, why_xla
from afina.training.python_turn import python_turn
from afina.training.replacing import replaced
from afina.training.tensorflow_kernels import keep_kernels_of
from afina.training.trainer import Account, CannotTrainError
from afina.trials import first_line

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


@dataclass(frozen=True)
class Portion:
    """Samples of an epoch or a validation that one function takes."""

    function: StepLoop
    batch_size: int
    start: int
    end: int

    @property
    def steps(self) -> int:
        """Batches, the last of which may be smaller."""
        return -(-(self.end - self.start) // self.batch_size)


class StepLoop:
    """A model's train or test step in a loop over batches, as one concrete TensorFlow function.

    The model is forgotten once the function is traced, so the function serves every model of an
    equal key.

    Args:
        model: Compiled and built.
        samples: The samples; only their structure and types matter.
        cut: How they are cut into batches.
        jit_compile: Whether XLA compiles the function.
        shapes: The shapes to trace the variables in; lengths that are None are those of any model.
        numbers: The numbers of the model that are inputs of the function.
    """

    def __init__(
        self,
        model: keras.Model,
        samples: Samples,
        cut: EpochCut,
        *,
        jit_compile: bool,
        shapes: Shapes,
        numbers: ModelNumbers,
    ) -> None:
        import tensorflow as tf

        values = values_of(model)
        any_shape = any(None in shape for shape in shapes)
        self._stand_ins = StandIns(values, shapes) if any_shape else None
        if self._stand_ins is not None:
            values = self._stand_ins.among(values)
        tracing = _Tracing(model, samples, cut, numbers, jit_compile=jit_compile)
        leaves = tuple(
            tf.TensorSpec((None, *leaf.shape[1:]), leaf.dtype) for leaf in samples.arrays.leaves
        )
        number = tf.TensorSpec((), "int32")
        settings = tf.TensorSpec((len(numbers.values()),), "float64")
        function = tf.function(tracing.loop, jit_compile=jit_compile, autograph=False)
        try:
            self._concrete = function.get_concrete_function(
                values, leaves, tf.TensorSpec((None,), "int32"), number, number, settings
            )
        finally:
            tracing.forget()
        if self._stand_ins is not None:
            self._stand_ins.use(self._concrete.graph)
        free_with(self, [self._concrete.graph])

    def __call__(
        self,
        values: Sequence[Any],
        leaves: Sequence[Any],
        order: Any,
        size: int,
        steps: int,
        settings: Any,
    ) -> dict[str, Any]:
        """Runs the loop, which changes the variables; returns the logs.

        Args:
            values: The model's variables, of TensorFlow's own type.
            leaves: The data.
            order: Sample numbers in the order in which they are taken.
            size: Samples in a batch; only a function of any batch size looks at it.
            steps: How many batches are taken; 0 only compiles.
            settings: The model's `ModelNumbers.values`, in double precision.
        """
        import tensorflow as tf

        held: Any = contextlib.nullcontext(values)
        if self._stand_ins is not None:
            held = self._stand_ins.holding(values)
        with python_turn.released(), held as inputs:
            counts = tf.constant(size), tf.constant(steps)
            logs: dict[str, Any] = self._concrete(
                list(inputs), tuple(leaves), order, *counts, settings
            )
            return keras.tree.map_structure(lambda log: log.numpy(), logs)  # type: ignore[no-any-return]

    def try_on(
        self,
        values: Sequence[Any],
        shapes: Shapes,
        leaves: Sequence[Any],
        order: Any,
        size: int,
        settings: Any,
    ) -> None:
        """Runs a step on zeros in place of a model of these shapes; no variable changes.

        Raises:
            Exception: The trace holds a length of the model that it was traced from.
        """
        import tensorflow as tf

        assert self._stand_ins is not None
        with python_turn.released(), self._stand_ins.holding_zeros(values, shapes) as inputs:
            counts = tf.constant(size), tf.constant(1)
            self._concrete(list(inputs), tuple(leaves), order, *counts, settings)


class _Tracing:
    """What `StepLoop` is traced from."""

    def __init__(
        self,
        model: keras.Model,
        samples: Samples,
        cut: EpochCut,
        numbers: ModelNumbers,
        *,
        jit_compile: bool,
    ) -> None:
        self.model = model
        self.numbers = numbers
        self.cut = cut
        self.own_updates = not jit_compile and cut.kind == "train"
        self.quick_layers = not jit_compile and not has_gpu()
        self.structure = samples.arrays.structure
        names = ("compute_metrics", "train_step" if cut.kind == "train" else "test_step")
        # The logs of a step matter only if they may differ from the metrics' results.
        self.logs_own = any(keras_parts.overrides(model, name) for name in names)

    def forget(self) -> None:
        """Forgets the model: TensorFlow may keep the function that it has traced."""
        vars(self).clear()

    def loop(
        self, values: Any, leaves: Any, order: Any, size: Any, steps: Any, settings: Any
    ) -> Any:
        """The function that TensorFlow traces; see `StepLoop` for arguments and result."""
        import tensorflow as tf

        size = self.cut.batch_size or size
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
            rows = tf.shape(order)[0]
            if self.cut.last == "filled":  # with samples that exist; the step does not count them
                order = tf.pad(order, [[0, size]])
            blank = self._blank_logs(leaves) if self.logs_own else {}

            def body(number: Any, before: Any) -> Any:
                del before
                logs = self._step(leaves, order, number * size, size, rows)
                return number + 1, _flat(logs) if self.logs_own else []

            begin = tf.constant(0), _flat(blank)
            _, logs = tf.while_loop(
                lambda number, _: number < steps, body, begin, parallel_iterations=1
            )
            if self.logs_own:
                own = keras.tree.pack_sequence_as(blank, logs)
                result = dict(keras_parts.epoch_logs(self.model, own))
            else:
                result = dict(self.model.get_metrics_result())
            # A metric may return its variable, whose value would be looked up later.
            return keras.tree.map_structure(tf.convert_to_tensor, result)

    def _step(self, leaves: Any, order: Any, start: Any, size: Any, rows: Any) -> Any:
        """One step on the samples that stand in the order from `start` on."""
        import tensorflow as tf

        if self.cut.last == "smaller":
            places = order[start : start + size]
        else:
            places = tf.slice(order, [start], [size])  # XLA needs to know the size
        taken = [tf.gather(leaf, places) for leaf in leaves]
        data = keras.tree.map_structure(
            lambda place: None if place is None else taken[place], self.structure
        )
        run = self.model.train_step if self.cut.kind == "train" else self.model.test_step
        if self.cut.last != "filled":
            return run(data)
        with filled(self.model, tf.minimum(rows - start, size), size):
            return run(data)

    def _blank_logs(self, leaves: Any) -> Any:
        """Zeros of the shapes of a step's logs, found by tracing a step that is thrown away."""
        import tensorflow as tf

        blanks = [tf.TensorSpec((1, *leaf.shape[1:]), leaf.dtype) for leaf in leaves]
        data = keras.tree.map_structure(
            lambda place: None if place is None else blanks[place], self.structure
        )
        run = self.model.train_step if self.cut.kind == "train" else self.model.test_step
        traced = tf.function(run, autograph=False).get_concrete_function(data)
        shapes = [(log.shape, log.dtype) for log in keras.tree.flatten(traced.structured_outputs)]
        zeros = [tf.zeros(shape, dtype) for shape, dtype in shapes]
        blank = keras.tree.pack_sequence_as(traced.structured_outputs, zeros)
        take_apart([traced.graph])
        return blank


def _flat(logs: Any) -> list[Any]:
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


class TensorFlowProgram:
    """The epochs and validations of one model; an `EpochProgram`.

    Args:
        loop: The training.
        cache: The functions that trainings share.
        widths: What widths the models of the search have.
        account: Where to add the seconds that each part took.
    """

    def __init__(
        self, loop: ProgramLoop, cache: ProgramCache[StepLoop], widths: Widths, account: Account
    ) -> None:
        self.model = loop.model
        self.train = loop.train
        self.validation = loop.validation
        self.cache = cache
        self.widths = widths
        self.account = account
        epochs = loop.given["epochs"] - loop.first_epoch
        self._steps = epochs * self.train.batches.steps
        self._values = values_of(self.model)
        self._plan()

    def _plan(self) -> None:
        """Decides what becomes an input of the functions, and whether XLA compiles them."""
        import tensorflow as tf

        self.uses_xla, self._why = why_xla(self.model, self._steps)
        self._numbers = ModelNumbers.of(self.model) if self.widths.takes_numbers else ModelNumbers()
        self._keys = self._new_keys()
        if None in self._keys.values():  # code of the user's may read the numbers
            self._numbers = ModelNumbers()
        numbers = self._numbers.values()
        self._settings = tf.constant(numbers, "float64", (len(numbers),))

    def _new_keys(self) -> dict[bool, Any]:
        """The model's keys, without and with the widths of its layers."""
        with self._numbers.left_out():
            keys = {exact: program_key(self.model, any_width=not exact) for exact in (True, False)}
        places = self._numbers.places
        return {exact: key and (key, places) for exact, key in keys.items()}

    def prepare(self) -> None:
        """Traces and compiles; without XLA if XLA cannot compile the model.

        Raises:
            CannotTrainError: The steps cannot be traced.
        """
        if self.uses_xla:
            try:
                self._prepare(self._shapes())
            except Exception as error:
                self.uses_xla, self._why = False, f"XLA cannot compile it: {first_line(error)}"
            else:
                self.account.choices.append(f"XLA: {self._why}")
                return
        try:
            self._prepare_any_width()
        except Exception as error:
            if self._numbers.every:  # this Keras reads one in a way that an input does not bear
                self.widths.takes_numbers = False
                self._plan()
                self.prepare()
                return
            message = f"the train step cannot become one program: {first_line(error)}"
            raise CannotTrainError(message) from error
        self.account.choices.append(f"no XLA: {self._why}")

    def _prepare_any_width(self) -> None:
        """Traces in the shapes of all models of this structure, or if need be of this one only."""
        own = self._shapes()
        structure = structure_key(self.model, self._keys[False], own)
        shapes = self.widths.meet(structure, own, self._sibling)
        if shapes != own:
            try:
                self._prepare(shapes, self.widths.others(structure, own))
            except Exception:  # a layer needs to know a length
                self.widths.refuse(structure)
            else:
                return
        self._prepare(own)

    def _sibling(self) -> Shapes | None:
        """The shapes of the variables of a model with other widths; metrics keep theirs."""
        shapes = sibling_shapes(self.model)
        return None if shapes is None else (*shapes, *self._shapes()[len(shapes) :])

    def _shapes(self) -> Shapes:
        return tuple(tuple(value.shape) for value in self._values)

    def _prepare(self, shapes: Shapes, others: Sequence[Shapes] = ()) -> None:
        """Finds or makes the functions.

        Args:
            shapes: The shapes to trace the variables in.
            others: Shapes of other models that the functions are tried on.
        """
        self._others = others
        key = self._keys[shapes == self._shapes()]
        size = self.train.batches.batch_size
        self._train = self._portions(key, shapes, "train", self.train, size)
        self._validate: list[Portion] = []
        if self.validation is not None:
            size = validation_batch_size(self.model, self.validation)
            self._validate = self._portions(key, shapes, "validate", self.validation, size)

    def _portions(
        self, key: Any, shapes: Shapes, kind: Kind, samples: Samples, size: int
    ) -> list[Portion]:
        """The functions that take all samples, each with the samples from where to where."""
        rows, size = samples.size, min(size, samples.size)
        end = rows - rows % size
        cuts = [(EpochCut(kind, size, "equal"), size, 0, rows)]
        if not self.uses_xla:
            if kind == "validate" or end != rows:
                cuts = [(EpochCut(kind, None, "smaller"), size, 0, rows)]
        elif end != rows:  # XLA needs to know the size of each batch
            if kind == "train" and can_be_filled(self.model, size):
                cuts = [(EpochCut(kind, size, "filled"), size, 0, rows)]
            else:
                left = rows - end
                cuts = [
                    (EpochCut(kind, size, "equal"), size, 0, end),
                    (EpochCut(kind, left, "equal"), left, end, rows),
                ]
        found = []
        for cut, length, first, last in cuts:
            known = None
            if key is not None:
                known = key, *self._signature(samples, shapes), cut, self.uses_xla
            make = functools.partial(self._made, samples, cut, shapes, last - first, length)
            found.append(Portion(self.cache.get(known, make), length, first, last))
        return found

    def _signature(self, samples: Samples, shapes: Shapes) -> tuple[Any, ...]:
        structure, leaves = samples.arrays.signature()
        data = tuple((shape[1:], dtype) for shape, dtype in leaves)
        rows = samples.size if self.uses_xla else None
        variables = tuple((value.dtype.name, value.trainable) for value in self._values)
        return structure, data, rows, shapes, variables

    def _made(
        self, samples: Samples, cut: EpochCut, shapes: Shapes, rows: int, size: int
    ) -> StepLoop:
        with self.account.counted("trace"):
            made = StepLoop(
                self.model,
                samples,
                cut,
                jit_compile=self.uses_xla,
                shapes=shapes,
                numbers=self._numbers,
            )
        if self._keys[True] is not None:  # other models will share it
            keep_kernels_of(made)
        with self.account.counted("compile"):
            order = np.arange(rows, dtype=np.int32)
            leaves = samples.arrays.on(None)
            for other in self._others:
                made.try_on(self._values, other, leaves, order, size, self._settings)
            made(self._values, leaves, order, size, 0, self._settings)
        return made

    def read_state(self) -> None:
        """Looks up the variables, which a callback may have replaced."""
        self._values = values_of(self.model)

    def run_epoch(self, order: NDArray[np.int32]) -> Mapping[str, Any]:
        """Trains one epoch in the model's variables."""
        with self.account.counted("train"):
            return self._run(self._train, self.train, order)

    def validate(self) -> Mapping[str, Any]:
        """Validates once."""
        assert self.validation is not None
        with self.account.counted("validate"):
            self.model.reset_metrics()
            order = np.arange(self.validation.size, dtype=np.int32)
            return self._run(self._validate, self.validation, order)

    def _run(self, portions: Sequence[Portion], samples: Samples, order: Any) -> Mapping[str, Any]:
        logs: Mapping[str, Any] = {}
        for portion in portions:
            places = order[portion.start : portion.end]
            leaves = samples.arrays.on(None)
            counts = portion.batch_size, portion.steps
            logs = portion.function(self._values, leaves, places, *counts, self._settings)
        return logs

    def write_back(self) -> None:
        """Nothing: the variables are the model's own."""
