"""All of a model's state, copied to the host: weights, seed generators, optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from afina.errors import CheckpointError, wrong

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a model at the end of an epoch, in arrays of its own."""

    variables: tuple[Array, ...]
    """Weights and seed generators, in the order of `model.variables`; no metrics."""

    optimizers: tuple[tuple[Array, ...], ...]
    """The variables of each optimizer in the order of `optimizers_of`."""

    epochs: int
    """Epochs trained when it was taken, counted over all segments of a promoted training."""


def optimizers_of(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """The model's optimizers: the compiled one first, then those it keeps as attributes, as
    models with a `train_step` of their own do."""
    found: list[keras.optimizers.Optimizer] = []
    for value in (getattr(model, "optimizer", None), *vars(model).values()):
        known = any(value is optimizer for optimizer in found)
        if isinstance(value, keras.optimizers.Optimizer) and not known:
            found.append(value)
    return found


def take_snapshot(model: keras.Model, epochs: int) -> Snapshot:
    """Copies the model's state; further training does not change the copy."""
    return Snapshot(
        variables=copies(model.variables),
        optimizers=tuple(copies(optimizer.variables) for optimizer in optimizers_of(model)),
        epochs=epochs,
    )


def apply_snapshot(snapshot: Snapshot, model: keras.Model) -> bool:
    """Puts the state into a built model of the same architecture.

    Returns:
        Whether the optimizers' state was put back too; it is not if the model was compiled again.

    Raises:
        CheckpointError: The model's variables differ from those of the snapshot.
    """
    if not fits(model.variables, snapshot.variables):
        raise CheckpointError(
            wrong(
                f"model {model.name!r}",
                f"must have the {len(snapshot.variables)} variables of the snapshot",
                [tuple(variable.shape) for variable in model.variables],
                "build(hp) must make the same model each time it is given the same values.",
            )
        )
    assign(model.variables, snapshot.variables)
    optimizers = [optimizer.variables for optimizer in optimizers_of(model)]
    if len(optimizers) != len(snapshot.optimizers) or not all(
        map(fits, optimizers, snapshot.optimizers)
    ):
        return False
    for variables, arrays in zip(optimizers, snapshot.optimizers, strict=True):
        assign(variables, arrays)
    return True


def copies(variables: Sequence[Any]) -> tuple[Array, ...]:
    """Copies variables to the host. They are real copies: on a CPU `convert_to_numpy` may return
    the device's own buffer, which the next training step may overwrite."""
    return tuple(np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables)


def fits(variables: Sequence[Any], arrays: Sequence[Array]) -> bool:
    """Whether the arrays are as many as the variables and have their shapes."""
    return [tuple(variable.shape) for variable in variables] == [array.shape for array in arrays]


def assign(variables: Sequence[Any], arrays: Sequence[Array]) -> None:
    """Gives each variable the values of its array."""
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
