"""`Training`: the epochs of one model as calls of its compiled programs."""

from __future__ import annotations

import functools
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from afina.training.epochs import EpochLoop
from afina.training.fused import memory
from afina.training.fused.active_rows import ActiveEpoch, find_active_rows
from afina.training.fused.engine import Engine
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


class Training(EpochLoop):
    """One `fit` of one model by compiled programs.

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
        self.account = account
        self.device = memory.device()
        super().__init__(engine.data, model, given)

    def look(self) -> None:
        """Builds what is not built yet, and plans the epochs of the model as it is now."""
        engine, model = self.engine, self.model
        with quick_initializers():
            self.train.batches.build(model)
        if not engine.can_read(model, self.train, self.validation):
            self.train = self.train.dense()
            self.validation = None if self.validation is None else self.validation.dense()
        size = self.train.batches.batch_size
        self.rows = memory.rows_at_once(
            self.train, self.validation, size, self.device, engine.memory
        )
        defers = self.device.platform == "cpu" and self.rows == self.train.size
        self._words = engine.words.of(model, self.train.arrays) if defers else None
        self.plan = Plan.of(model, self.train, self.validation, defers=defers, words=self._words)
        if self.device.platform == "cpu" and self.rows == self.train.size:
            self.plan = self._with_few_steps(self.plan)
        self._active_epoch: ActiveEpoch | None = None  # of the last epoch
        model.reset_metrics()
        self._zeros = [np.array(v.value) for v in model.metrics_variables]
        self.settings = engine.settings(model).values()  # as they are when `fit` begins
        self._programs: dict[tuple[int, Plan], Program] = {}

    def _with_few_steps(self, plan: Plan) -> Plan:
        """The plan, with each step a call of its own if there are few."""
        epochs = self.given["epochs"] - self.first_epoch
        return plan.for_steps(self.train, epochs * self.train.batches.steps)

    def prepare(self) -> None:
        """Compiles the programs, or finds them in the cache.

        Raises:
            CannotFuseError: The train step cannot be traced.
        """
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
                account=self.account,
            )
            self._note(known)
        return known

    def _note(self, program: Program) -> None:
        """Notes what the plan and the program have chosen."""
        chosen = {
            "inputs by their non-zeros: nearly all are zero": self.train.arrays.is_sparse,
            "deferred updates: a batch reads few rows of the first layer": self.plan.row_room > 0,
            "convolutions in the layout that is quick in loops": program.convolves,
            "few steps: each is a call": self.plan.by_steps,
            "data in chunks: they do not fit in memory": self.rows != self.train.size,
        }
        self.account.choices += [name for name, is_so in chosen.items() if is_so]

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

    # -- one epoch ------------------------------------------------------------------------------

    def train_epoch(self, order: NDArray[np.int32]) -> Generator[Work, Any, dict[str, Any]]:
        """Trains one epoch; yields the calls of the training program."""
        self.make_room(order)
        state = ModelState.of(self.model)
        arrays: Any = state.inputs(self.settings)
        metrics: Any = state.metrics
        logs: Any = {}
        for leaves, places in self._chunks(order):
            arrays, metrics, logs = yield Work("train", arrays, metrics, leaves, places)
        ModelState(arrays[0], arrays[1], arrays[2], metrics).write(self.model)
        return dict(logs)

    def validate(self) -> Generator[Work, Any, dict[str, Any]]:
        """Validates once; yields the call of the validation program."""
        assert self.validation is not None
        state = ModelState.of(self.model)
        arrays = state.inputs(self.settings)
        leaves = self.validation.arrays.on(self.device)
        non_trainable, metrics, logs = yield Work("validate", arrays, self._zeros, leaves)
        ModelState(state.trainable, non_trainable, state.optimizer, metrics).write(self.model)
        return dict(logs)

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
        rows = self.train.arrays.leaves[0] if self._words is None else self._words
        order = self.plan.filled(order)
        with self.account.counted("train"), python_turn.released():
            while True:
                plan = self.plan
                sizes = plan.batch_size, plan.room, plan.row_room
                found = find_active_rows(rows, order, *sizes, self._active_epoch)
                if found is not None:
                    self._active_epoch = found
                    return found
                self.plan = plan.roomier_rows()

    def ended(self) -> None:
        """Forgets the active rows."""
        self.forget_active_rows()

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
