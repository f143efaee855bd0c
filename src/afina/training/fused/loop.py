"""`Training`: the loop over the epochs of one model, with all that `fit` does around its steps."""

from __future__ import annotations

import functools
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np

from afina.training import keras_parts
from afina.training.fused import memory
from afina.training.fused.active_rows import ActiveEpoch, find_active_rows
from afina.training.fused.engine import CannotFuseError, Engine
from afina.training.fused.initializers import quick_initializers
from afina.training.fused.plan import Plan
from afina.training.fused.program import ModelState, Program
from afina.training.fused.sparse import SparseRows
from afina.training.python_turn import python_turn
from afina.training.trainer import Account


@dataclass(frozen=True)
class Work:
    """A call of a compiled program whose result a training waits for."""

    kind: Literal["train", "validate"]
    arrays: Any
    """The model's state: trainable, non-trainable and the optimizer's arrays."""

    metrics: Any
    """The metrics' variables before the call."""

    leaves: Any
    """The data, on the device."""

    places: Any = None
    """Sample numbers in the order of training; None for a validation."""

    @property
    def inputs(self) -> tuple[Any, ...]:
        """The arguments of the program."""
        given = (self.arrays, self.metrics, self.leaves)
        return given if self.places is None else (*given, self.places)


class Training:
    """One `fit` of one model.

    Args:
        engine: The data and programs that trainings share.
        model: Compiled.
        given: All arguments of `fit` by name.
        account: Where to add the seconds that each part took.
    """

    def __init__(
        self, engine: Engine, model: keras.Model, given: Mapping[str, Any], account: Account
    ) -> None:
        self.engine = engine
        self.model = model
        self.given = given
        self.account = account
        self.device = memory.device()
        self.train, self.validation = engine.data.parts(given)
        self.is_changed = False
        """Whether a callback has changed the model's structure or the data during the training."""

        self._look()

    def _look(self) -> None:
        """Builds what is not built yet, and records what the model and the data are now."""
        engine, model = self.engine, self.model
        with quick_initializers():
            self.train.batches.build(model)
        if not engine.can_read(model, self.train, self.validation):
            self.train = self.train.dense()
            self.validation = None if self.validation is None else self.validation.dense()
        defers = self.device.platform == "cpu"
        self.plan = Plan.of(model, self.train, self.validation, defers=defers)
        self.rows = memory.rows_at_once(
            self.train, self.validation, self.plan.batch_size, self.device, engine.memory
        )
        self._active_epoch: ActiveEpoch | None = None  # of the last epoch
        model.reset_metrics()
        self._zeros = [np.array(v.value) for v in model.metrics_variables]
        self._programs: dict[tuple[int, Plan], Program] = {}
        self._made_of = _structure(model)
        self._looked = engine.data.look(self.given)

    def prepare(self) -> None:
        """Compiles the programs, or finds them in the cache.

        Raises:
            CannotFuseError: The train step cannot be traced.
        """
        for rows in {self.rows, self.train.size % self.rows or self.rows}:
            self._program(rows)

    def _prepare_again(self) -> None:
        """Prepares again during a training, when it is too late to fall back to plain `fit`."""
        self.is_changed = True
        try:
            self._look()
            self.prepare()
        except CannotFuseError as error:
            raise error.__cause__ or error from None

    def _program(self, rows: int) -> Program:
        known = self._programs.get((rows, self.plan))
        if known is None:
            known = self._programs[rows, self.plan] = self.engine.program(
                self.model,
                self.train,
                self.validation,
                self.plan,
                rows=rows,
                device=self.device,
                account=self.account,
            )
        return known

    # -- the loop -------------------------------------------------------------------------------

    def run(self) -> Any:
        """Trains all epochs, as `fit` does; returns the History.

        Raises:
            CannotFuseError: The train step cannot be traced; no callback has been called.
        """
        self.prepare()
        with closing(self.epochs()) as epochs:
            try:
                work = next(epochs)
                while True:
                    work = epochs.send(self.compute(work))
            except StopIteration as end:
                return end.value

    @property
    def first_epoch(self) -> int:
        """The number of the first epoch, from 0."""
        return keras_parts.first_epoch(self.model) or self.given["initial_epoch"]

    def epochs(self) -> Generator[Work, Any, Any]:
        """Goes through all epochs as `fit` does, and leaves the work of the programs to the caller.

        So several trainings can go through their epochs together.

        Yields:
            Each call of a program; send back what it returns.

        Returns:
            The History.
        """
        model, given = self.model, self.given
        callbacks = self._callbacks()
        model.stop_training = False
        callbacks.on_train_begin()
        finished = False
        logs: dict[str, Any] = {}
        try:
            for epoch in range(self.first_epoch, given["epochs"]):
                model.reset_metrics()  # before the callbacks, which may leave something in them
                callbacks.on_epoch_begin(epoch)
                logs = yield from self._train_epoch()
                if self.validation is not None and self._is_validated(epoch):
                    callbacks.on_test_begin()
                    tested = yield from self._validate()
                    callbacks.on_test_end(tested)
                    logs.update({f"val_{name}": value for name, value in tested.items()})
                callbacks.on_epoch_end(epoch, logs)
                if model.stop_training:
                    break
            finished = True
        finally:
            self.forget_active_rows()
            if given["epochs"] > 0:
                model.optimizer.finalize_variable_values(model.trainable_weights)
            if finished:
                callbacks.on_train_end(logs=logs)
        return model.history

    def _callbacks(self) -> keras.callbacks.CallbackList:
        callbacks = self.given["callbacks"]
        if isinstance(callbacks, keras.callbacks.CallbackList):
            return callbacks
        verbose = self.given["verbose"]
        return keras.callbacks.CallbackList(
            callbacks,
            add_history=True,
            add_progbar=verbose != 0,
            verbose=verbose,
            epochs=self.given["epochs"],
            steps=self.train.batches.steps,
            model=self.model,
        )

    def _is_validated(self, epoch: int) -> bool:
        often = self.given["validation_freq"]
        return epoch + 1 in often if isinstance(often, list | tuple) else (epoch + 1) % often == 0

    # -- one epoch ------------------------------------------------------------------------------

    def _train_epoch(self) -> Generator[Work, Any, dict[str, Any]]:
        changed = self.engine.data.look(self.given) != self._looked  # by a callback, in place
        if changed:
            before = self.train.batches
            self.train, self.validation = self.engine.data.parts(self.given)
            self.train.batches.go_on_from(before)
        if changed or not _equal(_structure(self.model), self._made_of):
            self._prepare_again()
        order = self.train.batches.order()
        self.make_room(order)
        state = ModelState.of(self.model)
        arrays: Any = (state.trainable, state.non_trainable, state.optimizer)
        metrics: Any = state.metrics
        logs: Any = {}
        for leaves, places in self._chunks(order):
            arrays, metrics, logs = yield Work("train", arrays, metrics, leaves, places)
        ModelState(arrays[0], arrays[1], arrays[2], metrics).write(self.model)
        return _numbers(logs)

    def _validate(self) -> Generator[Work, Any, dict[str, Any]]:
        assert self.validation is not None
        state = ModelState.of(self.model)
        arrays = (state.trainable, state.non_trainable, state.optimizer)
        leaves = self.validation.arrays.on(self.device)
        non_trainable, metrics, logs = yield Work("validate", arrays, self._zeros, leaves)
        ModelState(state.trainable, non_trainable, state.optimizer, metrics).write(self.model)
        return _numbers(logs)

    def compute(self, work: Work) -> Any:
        """Calls the training's own program for this work, and returns its result."""
        import jax

        inputs = work.inputs
        if work.kind == "train":
            inputs = *inputs, self.active_epoch(work.places)
        program = self._program(self.rows if work.places is None else len(work.places))
        function = program.validate
        if work.kind == "train":
            function = functools.partial(program.epoch, self.device)
        assert function is not None
        with self.account.counted(work.kind), python_turn.released():
            result = function(*inputs)
            jax.block_until_ready(result)
        return result

    def active_epoch(self, order: np.ndarray[Any, Any]) -> ActiveEpoch | None:
        """The active rows of each step, if the updates of a kernel are deferred; else None.

        If a batch has more of them than the plan has room for, the plan changes: a program with
        more room is made.
        """
        if not self.plan.row_room:
            return None
        rows, order = self.train.arrays.leaves[0], self.plan.filled(order)
        with self.account.counted("train"), python_turn.released():
            while True:
                plan = self.plan
                sizes = plan.batch_size, plan.room, plan.row_room
                found = find_active_rows(rows, order, *sizes, self._active_epoch)
                if found is not None:
                    self._active_epoch = found
                    return found
                self.plan = plan.roomier_rows()

    def forget_active_rows(self) -> None:
        """Frees the arrays of the last `active_epoch`, which its next call would overwrite."""
        self._active_epoch = None

    def _chunks(self, order: np.ndarray[Any, Any]) -> Iterator[tuple[Any, Any]]:
        """The data and the sample numbers of each call of the training program."""
        if self.rows == self.train.size:
            yield self.train.arrays.on(self.device), order
            return
        import jax

        for start in range(0, len(order), self.rows):
            places = order[start : start + self.rows]
            leaves = tuple(
                jax.device_put(leaf[places], self.device) for leaf in self.train.arrays.leaves
            )
            yield leaves, np.arange(len(places), dtype=np.int32)

    def make_room(self, order: np.ndarray[Any, Any]) -> None:
        """Changes the plan, and with it the program, if a batch has more non-zeros than it has room
        for; that is very rare."""
        rows, order = self.train.arrays.leaves[0], self.plan.filled(order)
        while isinstance(rows, SparseRows) and not rows.fits(
            order, self.plan.batch_size, self.plan.room
        ):
            self.plan = self.plan.roomier()


def _structure(model: keras.Model) -> tuple[Any, ...]:
    """What a callback changes by freezing layers or compiling again, after which programs no longer
    fit the model; cheap to compare."""
    variables = (model.trainable_variables, model.non_trainable_variables, model.metrics_variables)
    shapes = [[(tuple(v.shape), v.dtype) for v in each] for each in variables]
    return model.optimizer, keras_parts.loss_of(model), keras_parts.metrics_of(model), shapes


def _equal(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return all(a is b for a, b in zip(one[:3], other[:3], strict=True)) and one[3] == other[3]


def _numbers(logs: Mapping[str, Any]) -> dict[str, Any]:
    """Logs as Python numbers, in the order in which `fit` gives them to callbacks."""
    flat: dict[str, Any] = {}
    for name, value in logs.items():
        if isinstance(value, Mapping):
            flat.update(_numbers(value))
        else:
            flat[name] = float(value) if np.ndim(value) == 0 else np.asarray(value)
    return flat
