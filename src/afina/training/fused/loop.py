"""The epochs of one fused training: what `fit` does around its steps, at the ends of epochs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from afina.training.fused import memory
from afina.training.fused.initializers import quick_initializers
from afina.training.fused.program import Plan, Program, State
from afina.training.fused.sparse import Rows
from afina.training.stage import stage

if TYPE_CHECKING:
    from afina.training.fused.engine import Engine, Seconds


class Training:
    """One `fit` of one model.

    Args:
        engine: Has the data and the programs.
        model: Compiled.
        given: The arguments of `fit`, all of them by name.
        seconds: Is told where the time went.
    """

    def __init__(
        self, engine: Engine, model: keras.Model, given: Mapping[str, Any], seconds: Seconds
    ) -> None:
        self.engine = engine
        self.model = model
        self.given = given
        self.seconds = seconds
        self.train, self.validation = engine.data.parts(given)
        with quick_initializers():
            self.train.batches.build(model)
        if not engine.takes_rows(model, self.train, self.validation):
            self.train = self.train.dense()
            self.validation = None if self.validation is None else self.validation.dense()
        self.plan = Plan.of(model, self.train, self.validation)
        self.device = memory.device()
        self.rows = memory.rows_at_once(
            self.train, self.validation, self.plan.batch_size, self.device, engine.memory
        )
        self._programs: dict[tuple[int, Plan], Program] = {}
        self._made_of: Any = None
        model.reset_metrics()
        self._zeros = [np.array(v.value) for v in model.metrics_variables]
        self._prepare()

    def _prepare(self) -> None:
        """Makes the programs, for the structure that the model has now."""
        self._programs = {}
        self._made_of = _structure(self.model)
        for rows in {self.rows, self.train.size % self.rows or self.rows}:
            self._program(rows)

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
                seconds=self.seconds,
            )
        return known

    # -- the loop -------------------------------------------------------------------------------

    def run(self) -> Any:
        """Trains all epochs, as `fit` does; returns the History."""
        model, given = self.model, self.given
        callbacks = self._callbacks()
        model.stop_training = False
        callbacks.on_train_begin()
        finished = False
        logs: dict[str, Any] = {}
        first = getattr(model, "_initial_epoch", 0) or given["initial_epoch"]
        try:
            for epoch in range(first, given["epochs"]):
                callbacks.on_epoch_begin(epoch)
                logs = self._train_epoch()
                if self.validation is not None and self._is_validated(epoch):
                    callbacks.on_test_begin()
                    tested = self._validate()
                    callbacks.on_test_end(tested)
                    logs.update({f"val_{name}": value for name, value in tested.items()})
                callbacks.on_epoch_end(epoch, logs)
                if model.stop_training:
                    break
            finished = True
        finally:
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
        return (epoch + 1) % often == 0 if isinstance(often, int) else epoch + 1 in often

    # -- one epoch ------------------------------------------------------------------------------

    def _train_epoch(self) -> dict[str, Any]:
        import jax

        if _structure(self.model) != self._made_of:  # a callback froze layers or compiled anew
            self.train.batches.build(self.model)
            self._prepare()
        order = self.train.batches.order()
        self._make_room(order)
        state = State.of(self.model)
        arrays: Any = (state.trainable, state.non_trainable, state.optimizer)
        metrics: Any = self._zeros
        logs: Any = {}
        with self.seconds.counted("train"):
            for leaves, places in self._chunks(order):
                program = self._program(len(places))
                with stage.left():
                    arrays, metrics, logs = program.train(arrays, metrics, leaves, places)
                    jax.block_until_ready(logs)
        State(arrays[0], arrays[1], arrays[2], metrics).write(self.model)
        return _numbers(logs)

    def _validate(self) -> dict[str, Any]:
        import jax

        assert self.validation is not None
        state = State.of(self.model)
        arrays = (state.trainable, state.non_trainable, state.optimizer)
        validate = self._program(self.rows).validate
        assert validate is not None
        with self.seconds.counted("validate"), stage.left():
            leaves = self.validation.arrays.on(self.device)
            non_trainable, metrics, logs = validate(arrays, self._zeros, leaves)
            jax.block_until_ready(logs)
        State(state.trainable, non_trainable, state.optimizer, metrics).write(self.model)
        return _numbers(logs)

    def _chunks(self, order: np.ndarray[Any, Any]) -> Iterator[tuple[Any, Any]]:
        """The data and the row numbers of each call of the training program."""
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

    def _make_room(self, order: np.ndarray[Any, Any]) -> None:
        """A batch of more non-zeros than were allowed for, which chance all but excludes, gets a
        program that has room for it."""
        rows = self.train.arrays.leaves[0]
        while isinstance(rows, Rows) and not rows.fits(order, self.plan.batch_size, self.plan.room):
            self.plan = self.plan.roomier()


def _structure(model: keras.Model) -> tuple[Any, ...]:
    """What a running training must not change without new programs: told cheaply."""
    return (
        id(model.optimizer),
        len(model.trainable_variables),
        len(model.non_trainable_variables),
        len(model.metrics_variables),
    )


def _numbers(logs: Mapping[str, Any]) -> dict[str, Any]:
    """Logs as Python numbers, in the order in which `fit` gives them to callbacks."""
    flat: dict[str, Any] = {}
    for name, value in logs.items():
        if isinstance(value, Mapping):
            flat.update(_numbers(value))
        else:
            flat[name] = float(value) if np.ndim(value) == 0 else np.asarray(value)
    return flat
