"""Grouped trials: models of one program trained together, all their epochs in one program.

On an accelerator a step of a small model takes about as long as starting its kernels, and the same
step of several models at once takes hardly longer. On a CPU almost nothing is gained, so `Group`
can measure whether it pays. No arithmetic is shared: each model has its own weights, moments,
learning rate, seeds and order of samples, and the same results as alone, to rounding.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from afina.errors import ArgumentError, wrong
from afina.training.epochs import Samples
from afina.training.fused import memory
from afina.training.fused.convolutions import traced_for
from afina.training.fused.engine import CannotFuseError, Engine
from afina.training.fused.loop import Training
from afina.training.fused.member import GroupMember, MemberRun
from afina.training.fused.plan import Plan
from afina.training.fused.program import (
    ModelState,
    Program,
    ProgramFunctions,
    abstract_settings,
    compile_both,
    lower,
)
from afina.training.memory import SHARE
from afina.training.python_turn import python_turn
from afina.training.trainer import Account
from afina.trials import first_line

LEAST = 1.3
"""A group pays if it trains at least this many times as fast."""

STEPS = 50
"""Most steps that are measured to find out."""

WORTH = 10_000
"""Fewest remaining steps for which a smaller program is worth compiling."""


def alike(
    engine: Engine, members: Sequence[GroupMember], *, own_data: bool = False
) -> list[list[GroupMember]]:
    """Sorts members into those that can be grouped; a member without a key stands alone.

    Args:
        engine: The data and programs that trainings share.
        members: In any order; each sort keeps it.
        own_data: Whether their data may differ; see `Group`.

    Raises:
        CannotFuseError: A training cannot be fused.
    """
    sorts: dict[Any, list[GroupMember]] = {}
    for member in members:
        key = _key(engine, member, own_data=own_data)
        sorts.setdefault(id(member) if key is None else key, []).append(member)
    return list(sorts.values())


class Group:
    """Trainings that go through their epochs together.

    Each has its own callbacks, History, number of epochs and random streams. When one stops, ends
    or raises, the others go on. When a callback changes a member's model or data, that member goes
    on with programs of its own.

    Args:
        engine: The data and programs that trainings share.
        members: Models of one architecture and optimizer, with the same data and batch size.
        worth: Fewest remaining steps for which half a group gets a smaller program.
        own_data: Whether each member has data of its own, of the same shapes, as the folds of a
            cross-validation have. They are on the device a second time, stacked.

    Raises:
        ArgumentError: The members are not alike, or there are none.
        CannotFuseError: A training cannot be fused. No epoch has been trained, and no callback has
            been called.
    """

    def __init__(
        self,
        engine: Engine,
        members: Sequence[GroupMember],
        *,
        worth: int = WORTH,
        own_data: bool = False,
    ) -> None:
        if not members:
            raise ArgumentError(wrong("members", "there must be at least one", members))
        self.engine = engine
        self.members = list(members)
        self.worth = worth
        self.own_data = own_data
        self.width = len(self.members)
        """How many models the program trains at once."""

        self.failure: str | None = None
        """Why the program for all failed and the members went on alone; None if it did not."""

        self._programs: dict[Any, Program] = {}
        self._stacked: dict[Any, tuple[Any, Any]] = {}
        if len(self.members) > 1:
            _check_alike(engine, self.members, own_data=own_data)

    # -- does it pay? ---------------------------------------------------------------------------

    def pays(self, *, least: float = LEAST, steps: int = STEPS) -> bool:
        """Whether the group trains enough faster than its members one by one.

        Args:
            least: How many times as fast is enough.
            steps: Most steps that are measured; see `gain`.
        """
        return len(self.members) > 1 and self.gain(steps=steps) >= least

    def gain(self, *, steps: int = STEPS) -> float:
        """How many times as fast the group trains as its members one by one.

        It is measured on copies of the state, once for each program and number of members.

        Args:
            steps: Most steps that are measured. If an epoch has more, two programs are compiled
                for the measurement alone; otherwise the programs of the epoch are measured.

        Returns:
            Samples a second together, divided by samples a second one by one; 0 if the group's
            program cannot be made or fails.
        """
        width = len(self.members)
        if width == 1:
            return 1.0
        key = self.members[0].key(self.engine)[0], width, self.own_data
        if key not in self.engine.gains:
            self.engine.gains[key] = self._measured(steps)
        return self.engine.gains[key]

    def _measured(self, steps: int) -> float:
        import jax

        first = self.members[0].training(self.engine)
        whole = first.train.arrays.is_sparse or first.train.batches.steps <= steps
        rows = first.train.size if whole else steps * first.plan.batch_size
        validation = first.validation if whole else None
        own_leaves = [_leaves(member.training(self.engine), rows) for member in self.members]
        leaves = own_leaves[0]
        states = [ModelState.of(member.model) for member in self.members]
        arrays = [
            state.inputs(member.training(self.engine).settings)
            for state, member in zip(states, self.members, strict=True)
        ]
        metrics = [state.metrics for state in states]
        draws = np.random.default_rng(0)
        orders = np.stack([draws.permutation(rows).astype(np.int32) for _ in states])
        first.make_room(orders[0])  # this may change the plan, and so may `active_epoch`
        active_epoch = first.active_epoch(orders[0])
        alone = self.engine.program(
            first.model,
            first.train,
            validation,
            first.plan,
            rows=rows,
            device=first.device,
            account=first.account,
        )
        ones, manys = [], []
        try:
            together = self._program(self.members[0], first.plan, rows, validation).train
            inputs = self._data(own_leaves, keep=False)
            for _ in range(3):
                own = jax.tree.map(jax.numpy.copy, arrays[0])  # the program uses them up
                single = functools.partial(alone.epoch, first.device)
                ones.append(_timed(single, own, metrics[0], leaves, orders[0], active_epoch))
                manys.append(_timed(together, arrays, metrics, inputs, orders))
        except Exception:  # no batched form, or no memory for so many
            return 0.0
        finally:
            first.forget_active_rows()
        return len(states) * min(ones) / min(manys)

    def has_room(self) -> bool:
        """Whether the members' own data fit on the device a second time."""
        parts = [self.members[0].training(self.engine)]
        if self.own_data:
            parts = [member.training(self.engine) for member in self.members]
        sizes = [
            samples.arrays.nbytes
            for part in parts
            for samples in (part.train, part.validation)
            if samples is not None
        ]
        free = memory.free_bytes(parts[0].device)
        limit = self.engine.memory or (None if free is None else int(SHARE * free))
        return not self.own_data or limit is None or 2 * sum(sizes) <= limit

    # -- the epochs -----------------------------------------------------------------------------

    def run(self, *, together: bool = True) -> list[Any]:
        """Trains all members to their ends.

        Args:
            together: False trains one after another, as `FusedTrainer.fit` does: for groups that do
                not pay.

        Returns:
            In the members' order: the History of each, or the Exception that ended it.

        Raises:
            CannotFuseError: The train step cannot be traced for so many. No callback has been
                called.
        """
        if not together or len(self.members) == 1:
            return [member.run(self.engine) for member in self.members]
        first = self.members[0].training(self.engine)
        self._program(self.members[0], first.plan, first.rows, first.validation)
        runs = [MemberRun(member, self.engine) for member in self.members]
        try:
            for run in runs:
                run.go_on()
            while waiting := [run for run in runs if run.work is not None]:
                # Validations come first, so that all train the next epoch together.
                behind = [run for run in waiting if run.kind == "validate"]
                self._serve(behind or waiting)
        finally:
            for run in runs:
                run.close()
        return [run.result for run in runs]

    def _serve(self, runs: Sequence[MemberRun]) -> None:
        """Calls the program that these wait for, all the same kind, and takes each to its next."""
        grouped = [run for run in runs if not run.training.is_changed]
        if grouped and grouped[0].kind == "train":
            self._narrow(grouped)
        answers: dict[int, Any] = {}
        if grouped and self.width > 1:
            try:
                answers = dict(zip(map(id, grouped), self._together(grouped), strict=True))
            except Exception as error:  # out of memory, most likely: alone they may fit
                self.failure, self.width = first_line(error), 1
        for run in runs:
            if id(run) in answers:
                run.go_on(answers[id(run)])
            else:
                run.go_on_alone()

    def _narrow(self, runs: Sequence[MemberRun]) -> None:
        """Takes a smaller program when at least half of the members have ended."""
        steps = runs[0].training.train.batches.steps * max(run.left for run in runs)
        if 2 * len(runs) <= self.width and steps >= self.worth:
            self.width = len(runs)

    def _together(self, runs: Sequence[MemberRun]) -> list[Any]:
        """What the program of each would return, computed by one call."""
        import jax

        first, works = runs[0].training, [run.work for run in runs if run.work is not None]
        kind = works[0].kind
        plan = replace(first.plan, room=max(run.training.plan.room for run in runs))
        program = self._program(runs[0].member, plan, first.rows, first.validation)
        function = program.train if kind == "train" else program.validate
        assert function is not None
        works += [works[0]] * (self.width - len(works))  # in the places of those that have ended
        leaves = self._data([work.leaves for work in works])
        inputs: list[Any] = [[w.arrays for w in works], [w.metrics for w in works], leaves]
        if kind == "train":
            inputs.append(np.stack([work.places for work in works]))
        spent = Account()
        with spent.counted(kind), python_turn.released():
            after, metrics, logs = function(*inputs)
            jax.block_until_ready(after)
            logs = jax.device_get(logs)
        _share(spent, [run.member for run in runs])
        return [
            (after[i], metrics[i], jax.tree.map(lambda log, i=i: log[i], logs))
            for i in range(len(runs))
        ]

    def _data(self, each: Sequence[tuple[Any, ...]], *, keep: bool = True) -> tuple[Any, ...]:
        """The data of a call: those that all share, or the members' own, stacked.

        Args:
            each: The leaves of each member.
            keep: Whether the next epoch will ask for the same.
        """
        import jax

        if not self.own_data:
            return each[0]
        key = tuple(id(leaf) for leaves in each for leaf in leaves)
        if key not in self._stacked:
            stacked: tuple[Any, ...] = jax.tree.map(
                lambda *leaves: jax.numpy.stack(leaves), *map(tuple, each)
            )
            if not keep:
                return stacked
            self._stacked[key] = list(each), stacked  # so that no other array gets its identity
        found: tuple[Any, ...] = self._stacked[key][1]
        return found

    def _program(
        self, member: GroupMember, plan: Plan, rows: int, validation: Samples | None
    ) -> Program:
        """The program for `width` models like the member's.

        Raises:
            CannotFuseError: It cannot be traced.
        """
        width, one_thread = self.width, self.engine.one_thread
        plan = replace(plan, row_room=0)
        known = self._programs.get((width, plan, rows))
        if known is not None:
            return known
        own, spent = member.training(self.engine), Account()
        train, device, state = own.train, own.device, ModelState.of(member.model)

        def make() -> Program:
            settings = self.engine.settings(member.model)
            functions = ProgramFunctions(member.model, train, validation, plan, settings=settings)
            try:
                with spent.counted("trace"):
                    leaves = _leaves(own, rows)
                    tested = None if validation is None else validation.arrays.on(device)
                    traced = trace_batched(
                        functions,
                        state,
                        leaves,
                        tested,
                        width=width,
                        rows=rows,
                        device=device,
                        own_data=self.own_data,
                    )
                    with python_turn.released():
                        lowered = lower(traced, device)
            except Exception as error:
                message = f"the train step cannot become one program for {width} models"
                raise CannotFuseError(f"{message}: {first_line(error)}") from error
            finally:
                functions.forget()
            with spent.counted("compile"), python_turn.released():
                return compile_both(lowered, one_thread=one_thread and device.platform == "cpu")

        with member.streams.inside():
            key = self.engine.key(member.model, state, train, validation, plan, rows, device)
            program = self.engine.programs.get(("group", width, self.own_data, key), make)
        _share(spent, self.members)
        self._programs[width, plan, rows] = program
        return program


def _key(engine: Engine, member: GroupMember, *, own_data: bool) -> Any:
    """What members of a group have in common; None if this one cannot be in a group."""
    key = member.key(engine)
    if key is None or not own_data:
        return key
    # Of sparse inputs the number of non-zeros differs.
    return None if member.training(engine).train.arrays.is_sparse else key[:1]


def _check_alike(engine: Engine, members: Sequence[GroupMember], *, own_data: bool) -> None:
    """Raises ArgumentError where members cannot be grouped."""
    first, advice = _key(engine, members[0], own_data=own_data), "Train it alone."
    for number, member in enumerate(members):
        key = _key(engine, member, own_data=own_data)
        name = f"{member.model.name} (number {number})"
        own = member.training(engine)
        if own.rows != own.train.size:
            raise ArgumentError(
                wrong("members", "must have data that fit the device", name, advice)
            )
        if key is None:
            rule = "must be made of Keras' own parts, of which all is known"
            raise ArgumentError(wrong("members", rule, name, advice))
        if key != first:
            rule = "must be of one architecture, optimizer and batch size, with the same data"
            got = f"other {'data' if key[0] == first[0] else 'programs'} for {name}"
            raise ArgumentError(wrong("members", rule, got, advice))


def _leaves(training: Training, rows: int) -> tuple[Any, ...]:
    """The first rows of the data, on the device."""
    import jax

    arrays = training.train.arrays
    if rows == training.train.size:
        return arrays.on(training.device)
    return tuple(jax.device_put(leaf[:rows], training.device) for leaf in arrays.leaves)


def _timed(function: Callable[..., Any], *inputs: Any) -> float:
    """Seconds of one call."""
    import jax

    jax.block_until_ready(inputs)
    with python_turn.released():
        began = time.perf_counter()
        jax.block_until_ready(function(*inputs))
        return time.perf_counter() - began


def _share(spent: Account, members: Sequence[GroupMember]) -> None:
    """Adds to each member's account an equal part of what was spent."""
    for member in members:
        member.account.add(spent, 1 / len(members))


# -- programs for several models ------------------------------------------------------------------


def trace_batched(
    functions: ProgramFunctions,
    state: ModelState,
    leaves: Any,
    tested: Any,
    *,
    width: int,
    rows: int,
    device: Any,
    own_data: bool = False,
) -> tuple[Any, Any]:
    """Traces both functions for several models, for `lower` to translate.

    The programs take a list of states, a list of metrics, the data, and (to train) an array of
    orders, (width, rows). They return a list of each, and the logs with a leading axis. Unlike the
    programs for one model they do not use up their inputs: these are copied anyway, and after a
    failure the models can still be trained one by one.

    Args:
        functions: The functions of one of the models.
        state: The state of that model.
        leaves: The training data, on the device.
        tested: The validation data; None for none.
        width: How many models the programs train.
        rows: How many samples of each model's order one call of the training program takes.
        device: The device that the programs will run on.
        own_data: Whether the programs take the data of each model, stacked.
    """
    import jax

    sharding = jax.sharding.SingleDeviceSharding(device)

    def abstract(tree: Any, *before: int) -> Any:
        return jax.tree.map(
            lambda a: jax.ShapeDtypeStruct((*before, *a.shape), a.dtype, sharding=sharding), tree
        )

    many = (width,) if own_data else ()
    arrays = abstract((state.trainable, state.non_trainable, state.optimizer))
    arrays[1].extend(abstract_settings(functions.settings, sharding))
    models = [arrays] * width, [abstract(state.metrics)] * width
    orders = jax.ShapeDtypeStruct((width, rows), "int32", sharding=sharding)
    train, validate = (
        batched(each, own_data=own_data) for each in (functions.train, functions.validate)
    )
    trained = traced_for(device, train, *models, abstract(leaves, *many), orders)
    if tested is None:
        return trained, None
    return trained, traced_for(device, validate, *models, abstract(tested, *many))


def batched(function: Callable[..., Any], *, own_data: bool = False) -> Callable[..., Any]:
    """A function of `ProgramFunctions` for several models; see `trace_batched`."""
    import jax

    def stacked(parts: Sequence[Any]) -> Any:
        return jax.tree.map(lambda *arrays: jax.numpy.stack(arrays), *parts)

    def call(states: Sequence[Any], metrics: Sequence[Any], leaves: Any, *orders: Any) -> Any:
        axes = (0, 0, 0 if own_data else None, *[0] * len(orders))
        given = (stacked(states), stacked(metrics), leaves, *orders)
        after, counted, logs = jax.vmap(function, in_axes=axes)(*given)
        return unstacked(after, len(states)), unstacked(counted, len(states)), logs

    return call


def unstacked(tree: Any, width: int) -> list[Any]:
    """Takes a tree of stacked arrays apart again."""
    import jax

    return [jax.tree.map(lambda array, i=i: array[i], tree) for i in range(width)]
