"""An epoch of training, and a validation, as one compiled program each.

The program is Keras' own `train_step`, traced once and repeated by `lax.scan` over the batches.
What it is traced from, a model, is forgotten afterwards: arrays go in and arrays come out, so one
program serves every model of the same key.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from afina.training.fused import keras_parts, sparse
from afina.training.fused.data import Samples
from afina.training.fused.packing import Packer, Packing
from afina.training.fused.partial import can_be_filled, filled
from afina.training.fused.sparse import Rows

VALIDATION_BYTES = 64 * 2**20
"""What a batch of validation may hold in layer outputs, where batches may be merged."""

MERGED = 4096
"""Most rows in a merged batch of validation."""

Logs = dict[str, Any]


@dataclass(frozen=True)
class State:
    """A model's state as lists of arrays, in the order of the model's own lists."""

    trainable: list[Any]
    non_trainable: list[Any]
    optimizer: list[Any]
    metrics: list[Any]

    @classmethod
    def of(cls, model: keras.Model) -> State:
        """The arrays that the model holds now."""
        return cls(
            [variable.value for variable in model.trainable_variables],
            [variable.value for variable in model.non_trainable_variables],
            [variable.value for variable in model.optimizer.variables],
            [variable.value for variable in model.metrics_variables],
        )

    def write(self, model: keras.Model) -> None:
        """Gives the model these arrays."""
        pairs = (
            (model.trainable_variables, self.trainable),
            (model.non_trainable_variables, self.non_trainable),
            (model.optimizer.variables, self.optimizer),
            (model.metrics_variables, self.metrics),
        )
        for variables, arrays in pairs:
            for variable, array in zip(variables, arrays, strict=True):
                variable.assign(array)

    def signature(self) -> tuple[Any, ...]:
        """Shapes and types, of which a program is made."""
        parts = (self.trainable, self.non_trainable, self.optimizer, self.metrics)
        return tuple(tuple((a.shape, str(a.dtype)) for a in part) for part in parts)


@dataclass(frozen=True)
class Plan:
    """What a program is made for, beside the model: how the samples are cut into batches."""

    batch_size: int
    validation_batch_size: int
    room: int = 0
    """Length of a training batch's flat array of non-zeros; 0 for dense inputs."""

    validation_room: int = 0

    fills: bool = False
    """Whether a smaller last batch is filled up rather than made a step of its own."""

    @classmethod
    def of(cls, model: keras.Model, train: Samples, validation: Samples | None) -> Plan:
        """Batches as `fit` takes them; those of validation merged where that changes nothing."""
        size = train.batches.batch_size
        # Not for dense inputs, which are trained as `fit` trains them to the last bit.
        partial = train.arrays.is_sparse and train.size % size > 0
        fills = partial and can_be_filled(model, size)
        room = train.arrays.leaves[0].room(size) if train.arrays.is_sparse else 0
        if validation is None:
            return cls(size, size, room, fills=fills)
        merged = validation.batches.batch_size
        if is_mergeable(model):
            merged = max(merged, _merged_size(model, validation))
        merged = min(merged, validation.size)
        validation_room = 0
        if validation.arrays.is_sparse:
            ends = validation.arrays.leaves[0].starts
            cuts = [*range(0, validation.size, merged), validation.size]
            validation_room = max(1, max(int(x) for x in ends[cuts[1:]] - ends[cuts[:-1]]))
        return cls(size, merged, room, validation_room, fills)

    def roomier(self) -> Plan:
        """The same with twice the room for a training batch's non-zeros."""
        return replace(self, room=2 * self.room)


def is_mergeable(model: keras.Model) -> bool:
    """Whether validation in other batches gives the same numbers, to rounding.

    So if every number is a mean over samples: losses and metrics of Keras' own, no losses that
    layers add for a batch as a whole.
    """
    if not keras_parts.has_single_output(model):
        return False
    layers = keras_parts.layers_of(model)
    if not all(type(layer).__module__.startswith("keras.src.") for layer in layers):
        return False
    if any(getattr(layer, "activity_regularizer", None) is not None for layer in layers):
        return False
    if any(isinstance(layer, keras.layers.ActivityRegularization) for layer in layers):
        return False
    return keras_parts.has_sample_means(model)


def _merged_size(model: keras.Model, validation: Samples) -> int:
    """Rows in a merged batch: what memory allows, and if possible without a remainder."""
    size, shapes = validation.size, keras_parts.output_shapes(model)
    if any(axis is None for shape in shapes for axis in shape):
        return 1  # nobody knows what a row takes
    if validation.arrays.is_sparse:  # the inputs are never there as a matrix
        shapes = [shape for shape in shapes if shape != validation.arrays.leaves[0].shape[1:]]
    numbers = sum(math.prod(axis or 1 for axis in shape) for shape in shapes)
    most = max(1, min(MERGED, VALIDATION_BYTES // max(1, 4 * numbers)))
    steps = -(-size // most)
    even = [count for count in range(steps, steps + 8) if size % count == 0]
    return -(-size // (even[0] if even else steps))


class Functions:
    """The two functions that programs are made of, for one model.

    Args:
        model: Compiled and built; only its structure enters.
        train: The samples that it will be trained with; only structure and types enter.
        validation: Likewise; None for none.
        plan: How they are cut into batches.
        packer: Takes the model's train step on packed states; None for states as they are.
    """

    def __init__(
        self,
        model: keras.Model,
        train: Samples,
        validation: Samples | None,
        plan: Plan,
        packer: Packer | None = None,
    ) -> None:
        self.model = model
        self.plan = plan
        self.packer = packer
        self._train = train
        self._validation = validation
        self._dense = sparse.first_dense(model)
        # Logs of a step matter only where they may be something else than the metrics' results.
        metrics = keras_parts.overrides(model, "compute_metrics")
        self._logs_own = tuple(
            metrics or keras_parts.overrides(model, name) for name in ("train_step", "test_step")
        )

    def forget(self) -> None:
        """Lets go of the model and the data once both functions are traced: JAX remembers the
        functions that it has traced, and what they hold would stay in memory with them."""
        vars(self).clear()

    def train(
        self, state: Sequence[Any], metrics: Any, leaves: Sequence[Any], order: Any
    ) -> tuple[Any, Any, Logs]:
        """One epoch: the state after it, the metrics' variables, and what is logged."""
        import jax

        size, rows = self.plan.batch_size, order.shape[0]
        carry: Any = (*state, metrics)

        def step(carry: Any, places: Any, real: Any = None) -> tuple[Any, Any]:
            logs, carry = self.train_step(carry, leaves, places, real)
            return carry, logs if self._logs_own[0] else None

        logs: Any = None
        if rows % size and self.plan.fills:
            steps = -(-rows // size)
            order = jax.numpy.pad(order, (0, steps * size - rows), mode="edge")
            real = jax.numpy.minimum(rows - jax.numpy.arange(steps) * size, size)
            carry, _ = jax.lax.scan(
                lambda carry, each: step(carry, *each), carry, (order.reshape(-1, size), real)
            )
        else:
            whole = rows // size * size
            if whole:
                carry, all_logs = jax.lax.scan(step, carry, order[:whole].reshape(-1, size))
                logs = jax.tree.map(lambda log: log[-1], all_logs)
            if whole < rows:
                carry, logs = step(carry, order[whole:])
        *after, metrics = carry
        return tuple(after), metrics, self._logs(metrics, logs)

    def train_step(
        self, state: Any, leaves: Sequence[Any], places: Any, real: Any = None
    ) -> tuple[Logs, tuple[Any, ...]]:
        """One step on the samples at these places, as the model's `train_step` takes it: the logs,
        and the state with the metrics' variables."""
        data, batch = self._batch(self._train, leaves, places, self.plan.room)
        with self._feeding(batch), self._filling(real):
            logs, state = (self.packer or self.model).train_step(state, data)
        return logs, _as_tuple(state)

    def validate(
        self, state: Sequence[Any], metrics: Any, leaves: Sequence[Any]
    ) -> tuple[Any, Any, Logs]:
        """One validation: non-trainable state and metrics' variables after it, and the logs."""
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
        """As Keras makes them of the metrics' variables at the end of an epoch."""
        mapping = list(zip(self.model.metrics_variables, metrics, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            if logs is None:
                return dict(self.model.get_metrics_result())
            return dict(keras_parts.epoch_logs(self.model, logs))

    def _batch(self, samples: Samples, leaves: Any, places: Any, room: int) -> tuple[Any, Any]:
        """The rows at these places, as `train_step` takes them, and a sparse batch or None."""
        taken: list[Any] = []
        batch = None
        for leaf, arrays in zip(samples.arrays.leaves, leaves, strict=True):
            if isinstance(leaf, Rows):
                batch = sparse.take(arrays, places, room)
                taken.append(leaf.blank(places.shape[0]))
            else:
                taken.append(arrays.at[places].get(mode="promise_in_bounds"))
        return self._structured(samples, taken), batch

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
    """A step may return lists or tuples; a scan wants what it was given."""
    return tuple(list(part) for part in state)


@dataclass(frozen=True)
class Program:
    """Compiled functions; see `Functions` for what they take and return."""

    train: Callable[..., Any]
    validate: Callable[..., Any] | None

    packing: Packing | None = None
    """How `train` takes and returns the state."""

    def epoch(self, device: Any, arrays: Any, *others: Any) -> Any:
        """What `train` does, of a state that is not packed."""
        if self.packing is None:
            return self.train(arrays, *others)
        after, *rest = self.train(self.packing.pack(arrays, device), *others)
        return self.packing.unpack(after, device), *rest


def lower(
    functions: Functions,
    state: State,
    train: Samples,
    validation: Samples | None,
    *,
    rows: int,
    device: Any,
) -> tuple[Any, Any]:
    """Traces both functions; what it returns `compile_both` makes programs of.

    Args:
        functions: For the model.
        state: The model's.
        train: Samples of an epoch.
        validation: Samples of a validation, if there is one.
        rows: How many samples one call of the training program takes.
        device: For which device.
    """
    import jax

    sharding = jax.sharding.SingleDeviceSharding(device)

    def abstract(tree: Any) -> Any:
        return jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), tree
        )

    arrays = (state.trainable, state.non_trainable, state.optimizer)
    order = jax.ShapeDtypeStruct((rows,), "int32", sharding=sharding)
    inputs = [abstract(part) for part in (arrays, state.metrics)]
    begin = inputs[0]
    if functions.packer is not None:
        begin = abstract(jax.eval_shape(functions.packer.packing.traced, arrays))
    lowered = jax.jit(functions.train, donate_argnums=(0,)).lower(
        begin, inputs[1], abstract(_sized(train, rows, device)), order
    )
    if validation is None:
        return lowered, None
    tested = jax.jit(functions.validate).lower(*inputs, abstract(validation.arrays.on(device)))
    return lowered, tested


def _sized(samples: Samples, rows: int, device: Any) -> Any:
    """The leaves, or abstract ones of as many rows as are fed at a time."""
    import jax

    if rows == samples.size:
        return samples.arrays.on(device)
    return tuple(
        jax.ShapeDtypeStruct((rows, *leaf.shape[1:]), jax.dtypes.canonicalize_dtype(leaf.dtype))
        for leaf in samples.arrays.leaves
    )


def compile_both(
    lowered: tuple[Any, Any], *, one_thread: bool, packing: Packing | None = None
) -> Program:
    """Compiles what `lower` traced; takes the time that a new architecture costs.

    Args:
        lowered: The two functions.
        one_thread: Whether each program is to run in one thread, on a CPU that others share.
        packing: How the training program takes and returns the state.
    """
    options = {"xla_cpu_multi_thread_eigen": False} if one_thread else None
    train, validate = lowered
    return Program(
        train.compile(compiler_options=options),
        None if validate is None else validate.compile(compiler_options=options),
        packing,
    )
