"""`Engine`: the compiled programs and the placed data that the trainings of one search share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras

from afina.training.epochs import ProgramCache, Samples, program_key
from afina.training.epochs.numbers import ModelNumbers
from afina.training.fused.convolutions import has_convolutions
from afina.training.fused.data import data_cache
from afina.training.fused.packing import Packer, packer_of
from afina.training.fused.plan import Plan
from afina.training.fused.program import (
    ModelState,
    OneByOne,
    Program,
    ProgramFunctions,
    compile_both,
    lower,
    trace,
)
from afina.training.fused.sparse import first_dense
from afina.training.fused.tables import Words, first_table
from afina.training.python_turn import python_turn
from afina.training.trainer import Account, CannotTrainError
from afina.trials import first_line


class CannotFuseError(CannotTrainError):
    """The training cannot be fused; the message says why."""


class Engine:
    """What the trainings of one search share on JAX: many of their models are alike.

    Args:
        one_thread: Whether each program runs in one thread of the CPU. Trainings side by side then
            do not slow each other down, and their numbers do not depend on how many there are.
        sparse: Whether inputs that are nearly all zero may be multiplied by their non-zeros only.
        memory: Bytes of data that may be on the device at once; larger data are fed in chunks.
            None asks the device, or else the system.
    """

    def __init__(
        self, *, one_thread: bool = True, sparse: bool = True, memory: int | None = None
    ) -> None:
        self.one_thread = one_thread
        self.memory = memory
        self.sparse = sparse
        self.data = data_cache(sparse=sparse)
        self.programs: ProgramCache[Program] = ProgramCache()
        self.takes_settings = True
        """Whether programs take numbers of the model as inputs; see `ModelNumbers`."""

        self.words = Words()
        self.gains: dict[Any, float] = {}
        """The measured gain of training together, by group; see `Group.gain`."""

    def program(
        self,
        model: keras.Model,
        train: Samples,
        validation: Samples | None,
        plan: Plan,
        *,
        rows: int,
        device: Any,
        account: Account,
    ) -> Program:
        """The program for a built model; compiles it unless one of an equal key is there.

        Raises:
            CannotFuseError: The train step cannot be traced.
        """
        state = ModelState.of(model)
        key = self.key(model, state, train, validation, plan, rows, device)
        # The user's code may look at a number, and its program is not shared anyway.
        settings = self.settings(model) if key else self.settings(model).as_constants()

        def make() -> Program:
            alone = self.one_thread and device.platform == "cpu"
            try:
                with account.counted("trace"):
                    packer = _packer(model, plan, rows) if device.platform == "cpu" else None
                    functions = ProgramFunctions(model, train, validation, plan, packer, settings)
                    try:
                        traced = trace(
                            functions, state, train, validation, rows=rows, device=device
                        )
                    finally:
                        functions.forget()
                    in_loop = device.platform == "cpu" and not plan.by_steps
                    convolves = in_loop and has_convolutions(traced[0].jaxpr)
                    with python_turn.released():
                        lowered = lower(traced, device)
            except Exception as error:
                message = f"the train step cannot become one program: {first_line(error)}"
                raise CannotFuseError(message) from error
            with account.counted("compile"), python_turn.released():
                made = compile_both(lowered, one_thread=alone, packer=packer)
                if plan.by_steps:
                    made = replace(made, train=OneByOne(made.train, plan.batch_size))
                return replace(made, convolves=convolves)

        try:
            if key is None:
                data = _signature(train), _signature(validation)
                parts = (settings.places, state.signature(), data, plan, rows, device)
                return self.programs.get_own(model, (*parts, self.one_thread), make)
            return self.programs.get(key, make)
        except CannotFuseError:
            if not settings.places:
                raise
            # This Keras reads a number in a way that an input does not stand up to, perhaps.
            self.takes_settings = False
        return self.program(
            model, train, validation, plan, rows=rows, device=device, account=account
        )

    def settings(self, model: keras.Model) -> ModelNumbers:
        """The numbers of a model that its programs take as inputs."""
        found = ModelNumbers.of(model)
        return found if self.takes_settings else found.as_constants()

    def key(
        self,
        model: keras.Model,
        state: ModelState,
        train: Samples,
        validation: Samples | None,
        plan: Plan,
        rows: int,
        device: Any,
    ) -> Any:
        """The key of the program for these; None if the program cannot be shared."""
        settings = self.settings(model)
        with settings.left_out():
            configuration = program_key(model)
        if configuration is None:
            return None
        data = _signature(train), _signature(validation)
        places = settings.places
        return (configuration, places, state.signature(), data, plan, rows, device, self.one_thread)

    def can_read(self, model: keras.Model, *parts: Samples | None) -> bool:
        """Whether the model can read the data as they are kept, perhaps as `SparseRows`."""
        sparse = any(part is not None and part.arrays.is_sparse for part in parts)
        return not sparse or first_dense(model) is not None


def _signature(samples: Samples | None) -> Any:
    return None if samples is None else samples.arrays.signature()


def _packer(model: keras.Model, plan: Plan, rows: int) -> Packer | None:
    """The packer for a program that takes `rows` samples at a time; None if nothing is packed."""
    kernel, steps = first_table(model) if plan.row_room else None, -(-rows // plan.batch_size)
    return packer_of(model, kernel, row_room=plan.row_room, steps=steps)
