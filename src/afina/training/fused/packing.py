"""Small variables end to end in one array, so that one piece of code updates them all.

XLA compiles the update of each variable to three or more loops, each about 0.02 s of compiling
whatever the variable's size. For a network of five layers on a CPU, a third of the compile time
goes into biases of some hundred weights. An optimizer that updates each weight by itself may as
well be given one long variable: it does the same with each weight, to the bit.

    variables   [kernel] [b1] [b2] [kernel] [b3]
    packed      [kernel] [kernel] [b1 b2 b3]

The optimizer is Keras' own, built once more on stand-in variables.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from afina.training import keras_parts
from afina.training.fused.active_rows import ActiveRows
from afina.training.fused.deferred import (
    CatchUp,
    Deferral,
    KernelPlaces,
    PendingSteps,
    is_numberwise,
)
from afina.training.fused.initializers import quick_initializers
from afina.training.replacing import replaced

LARGEST = 2**14
"""Weights in the largest variable that is packed. The program copies it out of the long array in
each step, about 1 ns a weight: after some thousand steps that takes as long as compiling its
update, about 0.05 s."""

Groups = tuple[tuple[int, ...], ...]
"""Places in a list of arrays: the arrays of a group lie end to end; a single one stays as it is."""


@dataclass(frozen=True)
class Packed:
    """How a list of arrays becomes a shorter list, and back."""

    groups: Groups
    shapes: tuple[tuple[int, ...], ...]
    """The shapes of all arrays of the long list."""

    def pack(self, arrays: Sequence[Any], numpy: Any = np) -> list[Any]:
        """Makes the short list of a long one.

        Args:
            arrays: The long list.
            numpy: NumPy, or `jax.numpy` within a program.
        """
        return [
            arrays[group[0]]
            if len(group) == 1
            else numpy.concatenate([numpy.reshape(arrays[place], -1) for place in group])
            for group in self.groups
        ]

    def lay_over(self, short: Sequence[Any], arrays: Sequence[Any]) -> list[Any]:
        """Makes the short list of a long one within a program, over another short list.

        XLA would compute `pack` in a loop that loads each eight weights from all arrays, with the
        wrong ones masked out. If a masked address is not mapped, a CPU starts over in microcode: a
        step then takes 50 ms instead of 2, depending on where the allocator put the arrays.

        Args:
            short: A short list of the same shapes, all of which is overwritten.
            arrays: The long list.
        """
        from jax import lax
        from jax import numpy as jnp

        found = []
        for group, below in zip(self.groups, short, strict=True):
            if len(group) == 1:
                found.append(arrays[group[0]])
                continue
            begin = 0
            for place in group:
                part = jnp.reshape(arrays[place], -1).astype(below.dtype)
                below = lax.dynamic_update_slice(below, part, (begin,))
                begin += len(part)
            found.append(below)
        return found

    def unpack(self, arrays: Sequence[Any], numpy: Any = np) -> list[Any]:
        """Makes the long list of a short one; see `pack` for `numpy`."""
        found: list[Any] = [None] * len(self.shapes)
        for group, each in zip(self.groups, arrays, strict=True):
            if len(group) == 1:
                found[group[0]] = each
                continue
            array, begin = numpy.asarray(each), 0
            for place in group:
                shape = self.shapes[place]
                end = begin + math.prod(shape)
                found[place] = array[begin:end].reshape(shape)
                begin = end
        return found


@dataclass(frozen=True)
class Packing:
    """How the trainable variables and the optimizer's variables are packed."""

    trainable: Packed
    optimizer: Packed

    def traced(self, arrays: Sequence[Any]) -> Any:
        """`pack` within a program."""
        from jax import numpy as jnp

        trainable, others, optimizer = arrays
        return self.trainable.pack(trainable, jnp), others, self.optimizer.pack(optimizer, jnp)

    def pack(self, arrays: Sequence[Any], device: Any) -> Any:
        """Packs trainable, non-trainable and the optimizer's arrays, for a packed program."""
        trainable, others, optimizer = arrays
        return (
            _placed(self.trainable.pack(trainable), device),
            others,
            _placed(self.optimizer.pack(optimizer), device),
        )

    def unpack(self, arrays: Sequence[Any], device: Any) -> Any:
        """Unpacks the arrays that a packed program returns."""
        trainable, others, optimizer = arrays
        return (
            _placed(self.trainable.unpack(trainable), device),
            others,
            _placed(self.optimizer.unpack(optimizer), device),
        )


def _placed(arrays: Sequence[Any], device: Any) -> list[Any]:
    """The arrays on the device, each in memory of its own."""
    import jax

    return [
        jax.device_put(array, device, may_alias=False) if isinstance(array, np.ndarray) else array
        for array in arrays
    ]


class Packer:
    """A model's optimizer on packed variables, to trace a program with.

    Args:
        model: Compiled and built, as `packer_of` accepts.
        groups: The groups of its trainable variables.
        kernel: The variable, alone in its group, whose updates are deferred; None for none.
        row_room: How many of its rows may be active in a step.
        steps: Steps in an epoch.

    Raises:
        LookupError: The optimizer keeps variables that are not among its attributes.
    """

    def __init__(
        self,
        model: keras.Model,
        groups: Groups,
        kernel: Any = None,
        *,
        row_room: int = 0,
        steps: int = 0,
    ) -> None:
        self._model = model
        variables = model.trainable_variables
        self._stand_ins = [_stand_in([variables[place] for place in group]) for group in groups]
        self._kernel = kernel
        self._shape = () if kernel is None else (row_room, *kernel.shape[1:])
        at = next((i for i, each in enumerate(self._stand_ins) if each is kernel), None)
        if at is not None:
            self._stand_ins[at] = keras.Variable(np.zeros(self._shape, "float32"), name="active")
        optimizer = model.optimizer
        self.optimizer: keras.optimizers.Optimizer = type(optimizer).from_config(
            optimizer.get_config()
        )
        with quick_initializers():
            self.optimizer.build(self._stand_ins)
        self.packing = Packing(
            Packed(groups, _shapes(variables)),
            Packed(
                _groups_of_optimizer(self.optimizer, optimizer, groups),
                _shapes(optimizer.variables),
            ),
        )
        self.deferral: Deferral | None = None
        """Defers the kernel's updates; None if none are deferred."""

        if at is not None:
            moments = [each[at] for each in keras_parts.moments_of(self.optimizer)]
            ids = [id(each) for each in self.optimizer.variables]
            places = KernelPlaces(at, *(ids.index(id(each)) for each in moments))
            catch_up = CatchUp(PendingSteps.of(self.optimizer, steps), places)
            self.deferral = Deferral(self.optimizer, catch_up)

    def train_step(self, state: Any, data: Any) -> tuple[Any, tuple[Any, ...]]:
        """The model's `train_step` on a packed state."""
        from jax import numpy as jnp

        trainable, others, optimizer, metrics = state
        parts = self.packing.trainable
        after: list[Any] = []

        def stateless_apply(_: Any, gradients: Any, arrays: Any) -> Any:
            packed = parts.lay_over(trainable, gradients)
            after.extend(self.optimizer.stateless_apply(optimizer, packed, trainable))
            return arrays, []

        with contextlib.ExitStack() as stack:
            its = self._model.optimizer
            stack.enter_context(replaced(its, "stateless_apply", stateless_apply))
            if self._kernel is not None:  # Keras checks the shape of what takes its place
                stack.enter_context(replaced(self._kernel, keras_parts.SHAPE, self._shape))
            no_variables: list[Any] = []
            begin = parts.unpack(trainable, jnp), others, no_variables, metrics
            logs, (_, others, _, metrics) = self._model.train_step(begin, data)
        return logs, (after[0], others, after[1], metrics)

    @property
    def catch_up(self) -> CatchUp | None:
        """What an epoch of deferred updates ends with; None if none are deferred."""
        return None if self.deferral is None else self.deferral.catch_up

    def step_on_active_rows(
        self, state: Any, sums: Any, data: Any, active_rows: ActiveRows, number: Any
    ) -> tuple[Any, tuple[Any, ...], Any]:
        """The model's `train_step` on a packed state with pending steps.

        Args:
            state: The packed state.
            sums: The sums of the deferral.
            data: The batch for `train_step`.
            active_rows: The active rows of the step.
            number: The step's number within the epoch, from 1.

        Returns:
            The logs, and state and sums after the step.
        """
        assert self.deferral is not None
        before = self.deferral.fetch(state, sums, active_rows, number)
        logs, after = self.train_step(before, data)
        sums = self.deferral.add(sums, before[2], number)
        return logs, self.deferral.store(state, after, active_rows), sums


def packer_of(
    model: keras.Model, kernel: Any = None, *, row_room: int = 0, steps: int = 0
) -> Packer | None:
    """The packer of a model's variables; None if they cannot or need not be packed.

    Args:
        model: Compiled and built.
        kernel, row_room, steps: See `Packer`.
    """
    if not is_numberwise(model):
        return None
    variables = model.trainable_variables
    places = range(len(variables))
    small = [at for at in places if variables[at] is not kernel and _is_small(variables[at])]
    if len(small) < 2:
        small = []
        if kernel is None:
            return None
    groups = [(at,) for at in places if at not in small] + [tuple(small)] * bool(small)
    try:
        return Packer(model, tuple(groups), kernel, row_room=row_room, steps=steps)
    except LookupError:
        return None


def _is_small(variable: Any) -> bool:
    plain = variable.constraint is None and not variable.overwrite_with_gradient
    return plain and variable.dtype == "float32" and math.prod(variable.shape) <= LARGEST


def _stand_in(variables: Sequence[Any]) -> Any:
    """A variable in place of these: the only one itself, or one as long as all together."""
    if len(variables) == 1:
        return variables[0]
    length = sum(math.prod(each.shape) for each in variables)
    return keras.Variable(np.zeros(length, "float32"), name="packed")


def _shapes(variables: Sequence[Any]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(each.shape) for each in variables)


def _groups_of_optimizer(packed: Any, plain: Any, groups: Groups) -> Groups:
    """Which of an optimizer's variables each variable of the packed one stands for.

    An optimizer keeps single variables, and for each kind of moment a list with one variable for
    each that it trains. Lists of the same name belong together.

    Raises:
        LookupError: It keeps other variables, elsewhere.
    """
    places = {id(variable): place for place, variable in enumerate(plain.variables)}
    found: dict[int, tuple[int, ...]] = {}
    for name, value in vars(packed).items():
        other = vars(plain).get(name)
        if isinstance(value, keras.Variable):
            if id(other) in places:
                found[id(value)] = (places[id(other)],)
        elif isinstance(value, list) and isinstance(other, list) and len(value) == len(groups):
            for each, group in zip(value, groups, strict=True):
                if all(id(other[place]) in places for place in group):
                    found[id(each)] = tuple(places[id(other[place])] for place in group)
    result = tuple(found.get(id(variable), ()) for variable in packed.variables)
    if sorted(place for group in result for place in group) != list(range(len(places))):
        raise LookupError("some of the optimizer's variables are not among its attributes")
    return result
