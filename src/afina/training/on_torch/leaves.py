"""Calls that a traced step repeats as they are, in place of what they consist of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

CHANGES = "_changes"
"""The attribute of a function that changes its arguments."""

SHAPED = "_shaped"
"""The attribute of a function that holds a shape."""


def leaf(
    compute: Callable[..., Any],
    tensors: Sequence[Any],
    *,
    changes: bool = False,
    shaped: bool = False,
) -> Any:
    """`compute(*tensors)`; while a step is traced, the call becomes one node of its graph.

    Args:
        compute: A function of tensors only, made for this call.
        tensors: Its arguments.
        changes: Whether it changes some of them.
        shaped: Whether it holds a shape, so that it is good for tensors of these shapes only.

    Returns:
        What `compute` returns: a tensor, a tuple of tensors, or None.
    """
    from torch.fx.experimental import proxy_tensor

    mode = proxy_tensor.get_proxy_mode()
    if mode is None:
        return compute(*tensors)
    tracer = mode.tracer
    compute.__module__, compute.__name__ = "afina", "leaf"
    setattr(compute, CHANGES, changes)
    setattr(compute, SHAPED, shaped)
    proxies = tuple(tracer.unwrap_proxy(tensor) for tensor in tensors)
    node = tracer.create_proxy("call_function", compute, proxies, {})
    with proxy_tensor.disable_proxy_modes_tracing():
        result = compute(*tensors)
    proxy_tensor.track_tensor_tree(result, node, constant=None, tracer=tracer)
    return result
