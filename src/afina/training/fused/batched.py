"""The programs of `program.py` for several models at once: batched along a leading axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from afina.training.fused.convolutions import traced_for
from afina.training.fused.program import Functions, State


def trace_batched(
    functions: Functions,
    state: State,
    leaves: Any,
    tested: Any,
    *,
    width: int,
    rows: int,
    device: Any,
) -> tuple[Any, Any]:
    """Traces both functions for several models; what it returns `lower` puts into XLA's words.

    The programs take a list of states and one of metrics, the data, and (to train) an array of
    orders, (width, rows). They return a list of each, and the logs with a leading axis. Unlike a
    single model's they leave their inputs whole: those are copied anyway, and after a failure the
    models can still be trained one by one.

    Args:
        functions: For one of the models.
        state: Its.
        leaves: What is trained on, on the device.
        tested: What is validated on; None for nothing.
        width: How many models.
        rows: How many samples one call of the training program takes of each.
        device: For which device.
    """
    import jax

    sharding = jax.sharding.SingleDeviceSharding(device)

    def abstract(tree: Any) -> Any:
        return jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), tree
        )

    arrays = abstract((state.trainable, state.non_trainable, state.optimizer))
    models = [arrays] * width, [abstract(state.metrics)] * width
    orders = jax.ShapeDtypeStruct((width, rows), "int32", sharding=sharding)
    trained = traced_for(device, batched(functions.train), *models, abstract(leaves), orders)
    if tested is None:
        return trained, None
    return trained, traced_for(device, batched(functions.validate), *models, abstract(tested))


def batched(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of `Functions` for several models: see `trace_batched`."""
    import jax

    def stacked(parts: Sequence[Any]) -> Any:
        return jax.tree.map(lambda *arrays: jax.numpy.stack(arrays), *parts)

    def call(states: Sequence[Any], metrics: Sequence[Any], leaves: Any, *orders: Any) -> Any:
        axes = (0, 0, None, *[0] * len(orders))
        given = (stacked(states), stacked(metrics), leaves, *orders)
        after, counted, logs = jax.vmap(function, in_axes=axes)(*given)
        return unstacked(after, len(states)), unstacked(counted, len(states)), logs

    return call


def unstacked(tree: Any, width: int) -> list[Any]:
    """The trees that a tree of stacked arrays was made of."""
    import jax

    return [jax.tree.map(lambda array, i=i: array[i], tree) for i in range(width)]
