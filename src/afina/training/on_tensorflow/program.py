"""An epoch of training, and a validation, as one call of a TensorFlow function each."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from afina.training.epochs import ProgramCache, ProgramLoop, Samples, program_key
from afina.training.epochs.merging import validation_batch_size
from afina.training.epochs.numbers import ModelNumbers
from afina.training.epochs.partial import can_be_filled
from afina.training.on_tensorflow.graphs import free_with
from afina.training.on_tensorflow.siblings import sibling_shapes
from afina.training.on_tensorflow.stand_ins import Shapes, StandIns, Widths, structure_key
from afina.training.on_tensorflow.tracing import ArrayTracing, EpochCut, Kind, Tracing, values_of
from afina.training.on_tensorflow.xla import gains_on_jax, why_xla
from afina.training.python_turn import python_turn
from afina.training.tensorflow_kernels import keep_kernels_of
from afina.training.trainer import Account, CannotTrainError
from afina.trials import first_line


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
        tracing: What one call does; it forgets the model afterwards.
        jit_compile: Whether XLA compiles the whole function.
        shapes: The shapes to trace the variables in; lengths that are None are those of any model.
    """

    def __init__(
        self, model: keras.Model, tracing: Tracing, *, jit_compile: bool, shapes: Shapes
    ) -> None:
        import tensorflow as tf

        values = values_of(model)
        any_shape = any(None in shape for shape in shapes)
        self._stand_ins = StandIns(values, shapes) if any_shape else None
        if self._stand_ins is not None:
            values = self._stand_ins.among(values)
        settings = tf.TensorSpec((len(tracing.numbers.values()),), "float64")
        function = tf.function(tracing.loop, jit_compile=jit_compile, autograph=False)
        try:
            self._concrete = function.get_concrete_function(values, tracing.inputs, settings)
        finally:
            tracing.forget()
        if self._stand_ins is not None:
            self._stand_ins.use(self._concrete.graph)
        free_with(self, [self._concrete.graph])

    def __call__(
        self, values: Sequence[Any], inputs: Any, settings: Any
    ) -> tuple[int, dict[str, Any]]:
        """Runs the loop, which changes the variables; returns the number of steps and the logs.

        Args:
            values: The model's variables, of TensorFlow's own type.
            inputs: As in `Tracing.inputs`.
            settings: The model's `ModelNumbers.values`, in double precision.
        """
        held: Any = contextlib.nullcontext(values)
        if self._stand_ins is not None:
            held = self._stand_ins.holding(values)
        with python_turn.released(), held as variables:
            taken, logs = self._concrete(list(variables), inputs, settings)
            found: dict[str, Any] = keras.tree.map_structure(lambda log: log.numpy(), logs)
            return int(taken), found

    def try_on(self, values: Sequence[Any], shapes: Shapes, inputs: Any, settings: Any) -> None:
        """Runs on zeros in place of a model of these shapes; no variable changes.

        Raises:
            Exception: The trace holds a length of the model that it was traced from.
        """
        assert self._stand_ins is not None
        with python_turn.released(), self._stand_ins.holding_zeros(values, shapes) as variables:
            self._concrete(list(variables), inputs, settings)


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
        self._steps = self.planned_steps(loop)
        self._values = values_of(self.model)
        self._plan()

    def planned_steps(self, loop: ProgramLoop) -> float:
        """The steps of the whole training."""
        epochs: int = loop.given["epochs"] - loop.first_epoch
        return epochs * loop.train.batches.steps

    def why_xla(self, steps: float) -> tuple[bool, str]:
        """Whether XLA compiles the steps, of which so many are planned, and why."""
        return why_xla(self.model, steps)

    def _plan(self) -> None:
        """Decides what becomes an input of the functions, and whether XLA compiles them."""
        import tensorflow as tf

        self.uses_xla, self._why = self.why_xla(self._steps)
        self.account.gains_on_jax = gains_on_jax(self.model, self._steps)
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
        self._train = self.training(key, shapes)
        self._validate = None
        if self.validation is not None:
            self._validate = self.validating(key, shapes, self.validation)

    def training(self, key: Any, shapes: Shapes) -> Any:
        """The functions that take the samples of an epoch."""
        size = self.train.batches.batch_size
        return self._portions(key, shapes, "train", self.train, size)

    def validating(self, key: Any, shapes: Shapes, validation: Samples) -> Any:
        """The functions that take the samples of a validation."""
        size = validation_batch_size(self.model, validation)
        return self._portions(key, shapes, "validate", validation, size)

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
        return structure, data, rows, *self.variables(shapes)

    def variables(self, shapes: Shapes) -> tuple[Any, ...]:
        """What a function depends on of the variables, if they are traced in these shapes."""
        return shapes, tuple((value.dtype.name, value.trainable) for value in self._values)

    def _made(
        self, samples: Samples, cut: EpochCut, shapes: Shapes, rows: int, size: int
    ) -> StepLoop:
        tracing = ArrayTracing(self.model, samples, cut, self._numbers, jit_compile=self.uses_xla)
        order = np.arange(rows, dtype=np.int32)

        def inputs(steps: int) -> Any:
            return _inputs(samples, order, size, steps)

        return self.step_loop(tracing, shapes, inputs, jit_compile=self.uses_xla)

    def step_loop(
        self,
        tracing: Tracing,
        shapes: Shapes,
        inputs: Callable[[int], Any],
        *,
        jit_compile: bool,
    ) -> StepLoop:
        """Traces a function and compiles it.

        Args:
            tracing: What one call does.
            shapes: The shapes to trace the variables in.
            inputs: The inputs of a call of so many steps: none, or one on any data.
            jit_compile: Whether XLA compiles the whole function.
        """
        with self.account.counted("trace"):
            made = StepLoop(self.model, tracing, jit_compile=jit_compile, shapes=shapes)
        if self._keys[True] is not None:  # other models will share it
            keep_kernels_of(made)
        with self.account.counted("compile"):
            for other in self._others:
                made.try_on(self._values, other, inputs(1), self._settings)
            made(self._values, inputs(0), self._settings)
        return made

    def read_state(self) -> None:
        """Looks up the variables, which a callback may have replaced."""
        self._values = values_of(self.model)

    def run_epoch(self, order: NDArray[np.int32]) -> Mapping[str, Any]:
        """Trains one epoch in the model's variables."""
        with self.account.counted("train"):
            return self.run(self._train, self.train, order)

    def validate(self) -> Mapping[str, Any]:
        """Validates once."""
        assert self.validation is not None
        with self.account.counted("validate"):
            self.model.reset_metrics()
            return self.run(self._validate, self.validation, self.validation.batches.order())

    def run(self, way: Any, samples: Samples, order: NDArray[np.int32]) -> Mapping[str, Any]:
        """Takes the samples of an epoch or a validation in this order; returns the logs.

        Args:
            way: What `training` or `validating` has returned.
            samples: All samples.
            order: Their numbers in the order in which they are taken.
        """
        logs: Mapping[str, Any] = {}
        for portion in way:
            places = order[portion.start : portion.end]
            inputs = _inputs(samples, places, portion.batch_size, portion.steps)
            _, logs = portion.function(self._values, inputs, self._settings)
        return logs

    def write_back(self) -> None:
        """Nothing: the variables are the model's own."""


def _inputs(samples: Samples, order: Any, size: int, steps: int) -> Any:
    """What `ArrayTracing.inputs` asks for."""
    import tensorflow as tf

    return tuple(samples.arrays.on(None)), tf.constant(order), tf.constant(size), tf.constant(steps)
