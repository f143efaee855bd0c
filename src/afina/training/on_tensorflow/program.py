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
from afina.training.epochs.partial import can_be_filled, filled
from afina.training.on_tensorflow.graphs import free_with, take_apart
from afina.training.on_tensorflow.xla import why_xla
from afina.training.python_turn import python_turn
from afina.training.replacing import replaced
from afina.training.trainer import Account, CannotTrainError
from afina.trials import first_line

Kind = Literal["train", "validate"]


@dataclass(frozen=True)
class EpochCut:
    """How a function cuts the samples of one call into batches."""

    kind: Kind
    batch_size: int
    """Samples in a batch."""

    last: Literal["equal", "smaller", "filled"]
    """The last batch: as large as the others, smaller, or filled up with samples that count for
    nothing."""

    @classmethod
    def of(cls, kind: Kind, size: int, rows: int, *, fills: bool) -> EpochCut:
        """How `rows` samples are cut into batches of `size`."""
        if rows % size == 0:
            return cls(kind, size, "equal")
        return cls(kind, size, "filled" if fills else "smaller")


class StepLoop:
    """A model's train or test step in a loop over batches, as one concrete TensorFlow function.

    The model is forgotten once the function is traced, so the function serves every model of an
    equal key.

    Args:
        model: Compiled and built.
        samples: The samples; only their structure and types matter.
        cut: How they are cut into batches.
        jit_compile: Whether XLA compiles the function.
    """

    def __init__(
        self, model: keras.Model, samples: Samples, cut: EpochCut, *, jit_compile: bool
    ) -> None:
        import tensorflow as tf

        self.batch_size = cut.batch_size
        tracing = _Tracing(model, samples, cut)
        leaves = tuple(
            tf.TensorSpec((None, *leaf.shape[1:]), leaf.dtype) for leaf in samples.arrays.leaves
        )
        number = tf.TensorSpec((), "int32")
        function = tf.function(tracing.loop, jit_compile=jit_compile, autograph=False)
        try:
            self._concrete = function.get_concrete_function(
                values_of(model), leaves, tf.TensorSpec((None,), "int32"), number
            )
        finally:
            tracing.forget()
        free_with(self, [self._concrete.graph])

    def __call__(
        self, values: Sequence[Any], leaves: Sequence[Any], order: Any, steps: int
    ) -> dict[str, Any]:
        """Runs the loop, which changes the variables; returns the logs.

        Args:
            values: The model's variables, of TensorFlow's own type.
            leaves: The data.
            order: Sample numbers in the order in which they are taken.
            steps: How many batches are taken; 0 only compiles.
        """
        import tensorflow as tf

        with python_turn.released():
            logs: dict[str, Any] = self._concrete(
                list(values), tuple(leaves), order, tf.constant(steps)
            )
            return keras.tree.map_structure(lambda log: log.numpy(), logs)  # type: ignore[no-any-return]


class _Tracing:
    """What `StepLoop` is traced from."""

    def __init__(self, model: keras.Model, samples: Samples, cut: EpochCut) -> None:
        self.model = model
        self.cut = cut
        self.structure = samples.arrays.structure
        names = ("compute_metrics", "train_step" if cut.kind == "train" else "test_step")
        # The logs of a step matter only if they may differ from the metrics' results.
        self.logs_own = any(keras_parts.overrides(model, name) for name in names)

    def forget(self) -> None:
        """Forgets the model: TensorFlow may keep the function that it has traced."""
        vars(self).clear()

    def loop(self, values: Any, leaves: Any, order: Any, steps: Any) -> Any:
        """The function that TensorFlow traces; see `StepLoop` for arguments and result."""
        import tensorflow as tf

        with _standing_in(self.model, values):
            rows = tf.shape(order)[0]
            if self.cut.last == "filled":  # with samples that exist; the step does not count them
                order = tf.pad(order, [[0, self.cut.batch_size]])
            blank = self._blank_logs(leaves) if self.logs_own else {}

            def body(number: Any, before: Any) -> Any:
                del before
                logs = self._step(leaves, order, number * self.cut.batch_size, rows)
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

    def _step(self, leaves: Any, order: Any, start: Any, rows: Any) -> Any:
        """One step on the samples that stand in the order from `start` on."""
        import tensorflow as tf

        size = self.cut.batch_size
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
        yield


class TensorFlowProgram:
    """The epochs and validations of one model; an `EpochProgram`.

    Args:
        loop: The training.
        cache: The functions that trainings share.
        account: Where to add the seconds that each part took.
    """

    def __init__(self, loop: ProgramLoop, cache: ProgramCache[StepLoop], account: Account) -> None:
        self.model = loop.model
        self.train = loop.train
        self.validation = loop.validation
        self.cache = cache
        self.account = account
        epochs = loop.given["epochs"] - loop.first_epoch
        self.uses_xla, self._why = why_xla(self.model, epochs * self.train.batches.steps)
        self._values = values_of(self.model)

    def prepare(self) -> None:
        """Traces and compiles; without XLA if XLA cannot compile the model.

        Raises:
            CannotTrainError: The steps cannot be traced.
        """
        if self.uses_xla:
            try:
                self._prepare()
            except Exception as error:
                self.uses_xla, self._why = False, f"XLA cannot compile it: {first_line(error)}"
            else:
                self.account.choices.append(f"XLA: {self._why}")
                return
        try:
            self._prepare()
        except Exception as error:
            message = f"the train step cannot become one program: {first_line(error)}"
            raise CannotTrainError(message) from error
        self.account.choices.append(f"no XLA: {self._why}")

    def _prepare(self) -> None:
        key = program_key(self.model)
        size = self.train.batches.batch_size
        self._train = self._functions(key, "train", self.train, size)
        self._validate: list[tuple[StepLoop, int, int]] = []
        if self.validation is not None:
            size = validation_batch_size(self.model, self.validation)
            self._validate = self._functions(key, "validate", self.validation, size)

    def _functions(
        self, key: Any, kind: Kind, samples: Samples, size: int
    ) -> list[tuple[StepLoop, int, int]]:
        """The functions that take all samples, each with the samples from where to where."""
        rows, size = samples.size, min(size, samples.size)
        if not self.uses_xla or rows % size == 0:
            cuts = [(EpochCut.of(kind, size, rows, fills=False), 0, rows)]
        elif kind == "train" and can_be_filled(self.model, size):
            cuts = [(EpochCut.of(kind, size, rows, fills=True), 0, rows)]
        else:  # XLA needs to know the size of each batch
            end = rows - rows % size
            cuts = [
                (EpochCut(kind, size, "equal"), 0, end),
                (EpochCut(kind, rows - end, "equal"), end, rows),
            ]
        found = []
        for cut, start, end in cuts:
            known = None if key is None else (key, *self._signature(samples), cut, self.uses_xla)
            make = functools.partial(self._made, samples, cut, end - start)
            found.append((self.cache.get(known, make), start, end))
        return found

    def _signature(self, samples: Samples) -> tuple[Any, ...]:
        structure, leaves = samples.arrays.signature()
        shapes = tuple((shape[1:], dtype) for shape, dtype in leaves)
        rows = samples.size if self.uses_xla else None
        variables = tuple((tuple(v.shape), v.dtype.name, v.trainable) for v in self._values)
        return structure, shapes, rows, variables

    def _made(self, samples: Samples, cut: EpochCut, rows: int) -> StepLoop:
        with self.account.counted("trace"):
            made = StepLoop(self.model, samples, cut, jit_compile=self.uses_xla)
        with self.account.counted("compile"):
            order = np.arange(rows, dtype=np.int32)
            made(self._values, samples.arrays.on(None), order, 0)
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

    def _run(
        self, functions: Sequence[tuple[StepLoop, int, int]], samples: Samples, order: Any
    ) -> Mapping[str, Any]:
        logs: Mapping[str, Any] = {}
        for function, start, end in functions:
            steps = -(-(end - start) // function.batch_size)
            logs = function(self._values, samples.arrays.on(None), order[start:end], steps)
        return logs

    def write_back(self) -> None:
        """Nothing: the variables are the model's own."""
