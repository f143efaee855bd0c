"""An epoch of training, and a validation, as one compiled program each.

The program is Keras' own `train_step`, traced once and repeated by `lax.scan` over the batches. The
model that it is traced from is forgotten afterwards. Arrays go in and arrays come out, so one
program serves every model of the same key.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from afina.training import keras_parts
from afina.training.epochs import Samples
from afina.training.epochs.numbers import ModelNumbers
from afina.training.epochs.partial import filled
from afina.training.fused import sparse
from afina.training.fused.active_rows import ActiveEpoch, ActiveRows, blank_active_rows
from afina.training.fused.convolutions import traced_for
from afina.training.fused.deferred import CatchUp, Deferral
from afina.training.fused.draws import options_of_lowering
from afina.training.fused.packing import Packer, Packing
from afina.training.fused.plan import Plan
from afina.training.fused.sparse import SparseRows
from afina.training.fused.tables import first_embedding, looked_up, shape_of_rows

Logs = dict[str, Any]


@dataclass(frozen=True)
class ModelState:
    """A model's state as lists of arrays, in the order of the model's own lists."""

    trainable: list[Any]
    non_trainable: list[Any]
    optimizer: list[Any]
    metrics: list[Any]

    @classmethod
    def of(cls, model: keras.Model) -> ModelState:
        """The state that the model is in."""
        return cls(
            [variable.value for variable in model.trainable_variables],
            [variable.value for variable in model.non_trainable_variables],
            [variable.value for variable in model.optimizer.variables],
            [variable.value for variable in model.metrics_variables],
        )

    def inputs(self, settings: Sequence[Any] = ()) -> tuple[Any, ...]:
        """What a program takes as the state: trainable, other and the optimizer's arrays.

        Args:
            settings: The model's `ModelNumbers.values`; they come last among the others.
        """
        return self.trainable, [*self.non_trainable, *settings], self.optimizer

    def write(self, model: keras.Model) -> None:
        """Gives the model these arrays; settings among them are passed over."""
        others = model.non_trainable_variables
        pairs = (
            (model.trainable_variables, self.trainable),
            (others, self.non_trainable[: len(others)]),
            (model.optimizer.variables, self.optimizer),
            (model.metrics_variables, self.metrics),
        )
        for variables, arrays in pairs:
            for variable, array in zip(variables, arrays, strict=True):
                variable.assign(array)

    def signature(self) -> tuple[Any, ...]:
        """The shapes and types that a program is compiled for."""
        parts = (self.trainable, self.non_trainable, self.optimizer, self.metrics)
        return tuple(tuple((a.shape, str(a.dtype)) for a in part) for part in parts)


class ProgramFunctions:
    """The two functions that programs are made of, for one model.

    Args:
        model: Compiled and built; only its structure matters.
        train: The training samples; only their structure and types matter.
        validation: The validation samples, likewise only structure and types; None for none.
        plan: How the samples are cut into batches.
        packer: Runs the model's train step on packed states; None for states that are not packed.
        settings: The numbers of the model that are inputs.
    """

    def __init__(
        self,
        model: keras.Model,
        train: Samples,
        validation: Samples | None,
        plan: Plan,
        packer: Packer | None = None,
        settings: ModelNumbers | None = None,
    ) -> None:
        self.model = model
        self.settings = settings or ModelNumbers()
        self.plan = plan
        self.packer = packer
        self._train = train
        self._validation = validation
        self._dense = sparse.first_dense(model)
        self._embedding = first_embedding(model)
        # The logs of a step matter only if they may differ from the metrics' results.
        metrics = keras_parts.overrides(model, "compute_metrics")
        self._logs_own = tuple(
            metrics or keras_parts.overrides(model, name) for name in ("train_step", "test_step")
        )

    def forget(self) -> None:
        """Forgets the model and the data once both functions are traced: JAX keeps the functions
        that it has traced, and all that they hold."""
        vars(self).clear()

    def train(
        self,
        state: Sequence[Any],
        metrics: Any,
        leaves: Sequence[Any],
        order: Any,
        active_epoch: ActiveEpoch | None = None,
    ) -> tuple[Any, ...]:
        """One epoch: the state after it, the metrics' variables, and the logs; with deferred
        updates also the sums that `CatchUp` needs.

        Args:
            state: Trainable, other and the optimizer's arrays, as `ModelState.inputs` has them.
            metrics: The metrics' variables.
            leaves: The data.
            order: Sample numbers in the order of training.
            active_epoch: The active rows of each step, if updates are deferred; else None.
        """
        trainable, others, optimizer = state
        others, settings = self._apart(others)
        with self._set(settings):
            found = self._epoch(
                (trainable, others, optimizer), metrics, leaves, order, active_epoch
            )
        (trainable, others, optimizer), *more = found
        return (trainable, [*others, *settings], optimizer), *more

    def _apart(self, others: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """The model's other variables, and its settings."""
        count = len(self.model.non_trainable_variables)
        return list(others[:count]), list(others[count:])

    def _set(self, settings: Sequence[Any]) -> Any:
        twin = None if self.packer is None else self.packer.optimizer
        return self.settings.fed(settings, twin)

    def _epoch(
        self,
        state: Sequence[Any],
        metrics: Any,
        leaves: Sequence[Any],
        order: Any,
        active_epoch: ActiveEpoch | None,
    ) -> tuple[Any, ...]:
        """`train` on a state without settings."""
        import jax

        size, rows = self.plan.batch_size, order.shape[0]
        real: Any = None
        filler = self.plan.filler
        if rows % size and filler is not None:
            steps = -(-rows // size)
            order = jax.numpy.pad(order, (0, steps * size - rows), constant_values=filler)
            real = jax.numpy.minimum(rows - jax.numpy.arange(steps) * size, size)
        active_rows = None if active_epoch is None else active_epoch.steps
        steps, rest = divmod(order.shape[0], size)

        def step(carry: Any, each: Any) -> tuple[Any, Any]:
            logs, carry = self._step(carry, leaves, *each)
            return carry, logs if self._logs_own[0] else None

        carry: Any = ((*state, metrics), self._progress())
        logs: Any = None
        if steps == 1 and self.plan.by_steps:
            carry, logs = step(carry, (order[:size], None, None))
        elif steps:
            places = order[: steps * size].reshape(-1, size)
            each = places, real, jax.tree.map(lambda array: array[:steps], active_rows)
            carry, all_logs = jax.lax.scan(step, carry, each)
            logs = jax.tree.map(lambda log: log[-1], all_logs)
        if rest:
            last = jax.tree.map(lambda array: array[-1], active_rows)
            carry, logs = step(carry, (order[steps * size :], None, last))
        (*after, metrics), progress = carry
        sums = () if progress is None else progress[:1]
        return tuple(after), metrics, self._logs(metrics, logs), *sums

    @property
    def _deferral(self) -> Deferral:
        assert self.packer is not None
        assert self.packer.deferral is not None
        return self.packer.deferral

    def _progress(self) -> Any:
        """The sums for pending steps, and how many steps are done; None if none is deferred."""
        return (self._deferral.begin(), 0) if self.plan.row_room else None

    def _step(
        self,
        carry: Any,
        leaves: Sequence[Any],
        places: Any,
        real: Any,
        active_rows: ActiveRows | None,
    ) -> tuple[Logs, Any]:
        """One step of an epoch, on the state and `_progress`."""
        state, progress = carry
        if active_rows is None:
            logs, state = self.train_step(state, leaves, places, real)
            return logs, (state, progress)
        assert self.packer is not None
        if self._train.arrays.is_sparse:
            feeding = self._feeding(active_rows.batch(places.shape[0]))
        else:
            feeding = looked_up(self._embedding, active_rows.entries)
        data = self._data(self._train, leaves, places)
        sums, done = progress
        with feeding, self._filling(real):
            logs, state, sums = self.packer.step_on_active_rows(
                state, sums, data, active_rows, done + 1
            )
        return logs, (_as_tuple(state), (sums, done + 1))

    def train_step(
        self, state: Any, leaves: Sequence[Any], places: Any, real: Any = None
    ) -> tuple[Logs, tuple[Any, ...]]:
        """The model's `train_step` on the samples at these places: the logs, and the state with the
        metrics' variables."""
        data, batch = self._batch(self._train, leaves, places, self.plan.room)
        with self._feeding(batch), self._filling(real):
            logs, state = (self.packer or self.model).train_step(state, data)
        return logs, _as_tuple(state)

    def validate(
        self, state: Sequence[Any], metrics: Any, leaves: Sequence[Any]
    ) -> tuple[Any, Any, Logs]:
        """One validation: the non-trainable state and metrics' variables after it, and the logs.

        Args:
            state: As `train` takes it.
            metrics: The metrics' variables.
            leaves: The data.
        """
        others, settings = self._apart(state[1])
        with self._set(settings):
            return self._validation_of((state[0], others), metrics, leaves)

    def _validation_of(
        self, state: Sequence[Any], metrics: Any, leaves: Sequence[Any]
    ) -> tuple[Any, Any, Logs]:
        """`validate` on a state without settings."""
        import jax

        assert self._validation is not None
        size, rows = self.plan.validation_batch_size, self._validation.size
        steps = rows // size
        carry: Any = (state[0], state[1], metrics)

        def step(carry: Any, start: Any, count: int = size) -> tuple[Any, Any]:
            data, batch = self._slice(leaves, start, count)
            with self._feeding(batch):
                logs, carry = self.model.test_step(carry, data)
            return _as_tuple(carry), logs if self._logs_own[1] else None

        logs: Any = None
        if steps == 1:
            carry, logs = step(carry, 0)
        elif steps:
            starts = jax.numpy.arange(steps, dtype="int32") * size
            carry, all_logs = jax.lax.scan(step, carry, starts)
            logs = jax.tree.map(lambda log: log[-1], all_logs)
        if rows % size:
            carry, logs = step(carry, steps * size, rows % size)
        return carry[1], carry[2], self._logs(carry[2], logs)

    def _logs(self, metrics: Any, logs: Any) -> Logs:
        """The logs that Keras makes of the metrics' variables at the end of an epoch."""
        mapping = list(zip(self.model.metrics_variables, metrics, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            if logs is None:
                return dict(self.model.get_metrics_result())
            return dict(keras_parts.epoch_logs(self.model, logs))

    def _batch(self, samples: Samples, leaves: Any, places: Any, room: int) -> tuple[Any, Any]:
        """The samples at these places for `train_step`, and a sparse batch or None."""
        batch = None
        if samples.arrays.is_sparse:
            batch = sparse.take(leaves[0], places, room)
        return self._data(samples, leaves, places), batch

    def _data(self, samples: Samples, leaves: Any, places: Any) -> Any:
        """The samples at these places for `train_step`, with blanks for sparse inputs: the first
        layer reads the sparse batch instead."""
        taken = [
            leaf.blank(places.shape[0])
            if isinstance(leaf, SparseRows)
            else arrays.at[places].get(mode="promise_in_bounds")
            for leaf, arrays in zip(samples.arrays.leaves, leaves, strict=True)
        ]
        return self._structured(samples, taken)

    def _slice(self, leaves: Any, start: Any, count: int) -> tuple[Any, Any]:
        import jax

        samples = self._validation
        assert samples is not None
        if samples.arrays.is_sparse and count == samples.size:
            rows = samples.arrays.leaves[0].blank(count)
            batch = sparse.take_all(leaves[0], count)
            return self._structured(samples, [rows, *leaves[1:]]), batch
        if samples.arrays.is_sparse:
            places = start + jax.numpy.arange(count, dtype="int32")
            return self._batch(samples, leaves, places, self.plan.validation_room)
        if count == samples.size:
            return self._structured(samples, leaves), None
        taken = [jax.lax.dynamic_slice_in_dim(leaf, start, count) for leaf in leaves]
        return self._structured(samples, taken), None

    @staticmethod
    def _structured(samples: Samples, taken: Sequence[Any]) -> Any:
        return keras.tree.map_structure(
            lambda place: None if place is None else taken[place], samples.arrays.structure
        )

    def _filling(self, real: Any) -> Any:
        if real is None:
            return contextlib.nullcontext()
        return filled(self.model, real, self.plan.batch_size)

    def _feeding(self, batch: Any) -> Any:
        if batch is None:
            return contextlib.nullcontext()
        return sparse.fed(self._dense, batch)


def _as_tuple(state: Any) -> tuple[Any, ...]:
    """The state as a tuple of lists: a step may return either, but a scan needs one structure."""
    return tuple(list(part) for part in state)


@dataclass(frozen=True)
class OneByOne:
    """An epoch as calls of a compiled step."""

    step: Callable[..., Any]
    batch_size: int

    def __call__(
        self, state: Any, metrics: Any, leaves: Any, order: Any, active_epoch: None = None
    ) -> Any:
        """Does what a compiled `ProgramFunctions.train` does."""
        logs: Logs = {}
        for start in range(0, len(order), self.batch_size):
            places = order[start : start + self.batch_size]
            state, metrics, logs = self.step(state, metrics, leaves, places, active_epoch)
        return state, metrics, logs


@dataclass(frozen=True)
class Program:
    """Compiled functions; see `ProgramFunctions` for what they take and return."""

    train: Callable[..., Any]
    validate: Callable[..., Any] | None

    packing: Packing | None = None
    """How `train` takes and returns the state."""

    catch_up: CatchUp | None = None
    """Runs after `train` if updates are deferred."""

    convolves: bool = False
    """Whether there are convolutions in it, which on a CPU are in the quick layout."""

    def epoch(
        self,
        device: Any,
        arrays: Any,
        metrics: Any,
        leaves: Any,
        order: Any,
        active_epoch: ActiveEpoch | None = None,
    ) -> tuple[Any, Any, Logs]:
        """Trains one epoch, from a state that is not packed to one without pending steps."""
        before = arrays if self.packing is None else self.packing.pack(arrays, device)
        after, metrics, logs, *sums = self.train(before, metrics, leaves, order, active_epoch)
        if self.catch_up is not None and active_epoch is not None:
            after = self.catch_up(after, sums[0], active_epoch.last)
        if self.packing is not None:
            after = self.packing.unpack(after, device)
        return after, metrics, logs


def trace(
    functions: ProgramFunctions,
    state: ModelState,
    train: Samples,
    validation: Samples | None,
    *,
    rows: int,
    device: Any,
) -> tuple[Any, Any]:
    """Traces both functions, for `lower` to translate.

    Args:
        functions: The functions of the model.
        state: The state of the model.
        train: Samples of an epoch.
        validation: Samples of a validation, if there is one.
        rows: How many samples one call of the training program takes.
        device: The device that the programs will run on.
    """
    import jax

    sharding = jax.sharding.SingleDeviceSharding(device)

    def abstract(tree: Any) -> Any:
        return jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), tree
        )

    arrays = abstract((state.trainable, state.non_trainable, state.optimizer))
    arrays[1].extend(abstract_settings(functions.settings, sharding))
    taken = functions.plan.batch_size if functions.plan.by_steps else rows
    order = jax.ShapeDtypeStruct((taken,), "int32", sharding=sharding)
    inputs = [arrays, abstract(state.metrics)]
    begin = inputs[0]
    if functions.packer is not None:
        begin = abstract(jax.eval_shape(functions.packer.packing.traced, arrays))
    active_epoch, plan = None, functions.plan
    if plan.row_room:
        sparse_rows = shape_of_rows(functions.model, train.arrays)
        active_epoch = blank_active_rows(
            sparse_rows, rows, plan.batch_size, plan.room, plan.row_room
        )
    data = abstract(_sized(train, rows, device)), order, abstract(active_epoch)
    given = begin, inputs[1], *data
    if plan.by_steps:  # XLA brings convolutions into the quick layout by itself
        trained = jax.jit(functions.train, donate_argnums=(0,)).trace(*given)
    else:
        trained = traced_for(device, functions.train, *given, donate=(0,))
    if validation is None:
        return trained, None
    leaves = abstract(validation.arrays.on(device))
    return trained, traced_for(device, functions.validate, *inputs, leaves)


def abstract_settings(settings: ModelNumbers, sharding: Any) -> list[Any]:
    """A model's settings for tracing: of weak type, as the Python numbers in their places are."""
    import jax

    kind = jax.dtypes.canonicalize_dtype(float)
    number = jax.ShapeDtypeStruct((), kind, weak_type=True, sharding=sharding)
    return [number for _ in settings.values()]


def lower(traced: tuple[Any, Any], device: Any) -> tuple[Any, Any]:
    """Translates traced functions for XLA, for `compile_both` to compile.

    No code of Keras or of the user runs here, so another thread may have the python turn.

    Args:
        traced: Both functions; the second may be None.
        device: The device that they were traced for.
    """
    trained, tested = traced
    options = options_of_lowering(device.platform)
    return trained.lower(**options), None if tested is None else tested.lower(**options)


def _sized(samples: Samples, rows: int, device: Any) -> Any:
    """The leaves, or abstract ones of `rows` samples if they are fed in chunks."""
    import jax

    if rows == samples.size:
        return samples.arrays.on(device)
    return tuple(
        jax.ShapeDtypeStruct((rows, *leaf.shape[1:]), jax.dtypes.canonicalize_dtype(leaf.dtype))
        for leaf in samples.arrays.leaves
    )


def compile_both(
    lowered: tuple[Any, Any], *, one_thread: bool, packer: Packer | None = None
) -> Program:
    """Compiles what `lower` returned; most of the time that a new architecture costs is spent here.

    Args:
        lowered: The two functions, as `lower` returns them.
        one_thread: Whether each program runs in one thread, on a CPU that others share.
        packer: The packer that the training program was traced with.
    """
    options = {"xla_cpu_multi_thread_eigen": False} if one_thread else None
    train, validate = lowered
    return Program(
        train.compile(compiler_options=options),
        None if validate is None else validate.compile(compiler_options=options),
        None if packer is None else packer.packing,
        None if packer is None else packer.catch_up,
    )
