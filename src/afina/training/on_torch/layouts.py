"""Pictures in one layout of memory from the first convolution to the last pooling.

Keras' pictures have their channels last, and PyTorch's convolutions are fastest on such memory. But
Keras has PyTorch copy them into another layout before each pooling, and back before the next
convolution: a third of the time of a step of a small network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

POOLING = ("max_pool2d_with_indices", "avg_pool2d")
"""Operations that take pictures in any layout, and return them in the same one."""


def has_pooling(graph: Any) -> bool:
    """Whether a traced step pools pictures."""
    return any(_name(node) in POOLING for node in graph.nodes)


def keep_layouts(graph: Any, is_written: Callable[[Any], bool]) -> None:
    """Drops the copies before pooling; other copies are made only of another layout.

    Args:
        graph: Of a traced step.
        is_written: Whether something writes to the memory that a node shows: its copies stay.
    """
    import torch

    aten = torch.ops.aten
    for node in list(graph.nodes):
        copied = node.args[0] if node.target is aten.clone.default else None
        if copied is None or is_written(node) or is_written(copied):
            continue
        wanted = node.kwargs.get("memory_format")
        if wanted is torch.contiguous_format and all(map(_pools, node.users)):
            node.replace_all_uses_with(copied)
        elif wanted in (torch.contiguous_format, torch.channels_last):
            _instead(graph, node, aten.contiguous.default, copied, memory_format=wanted)
    views = aten.view.default, aten._unsafe_view.default  # another layout may have no such view
    for node in [each for each in graph.nodes if each.target in views]:
        if not is_written(node):
            _instead(graph, node, aten.reshape.default, *node.args)


def _instead(graph: Any, node: Any, target: Any, *args: Any, **kwargs: Any) -> None:
    with graph.inserting_before(node):
        other = graph.call_function(target, args, kwargs)
    node.replace_all_uses_with(other)


def _pools(node: Any) -> bool:
    return _name(node).removesuffix("_backward") in POOLING


def _name(node: Any) -> str:
    schema = getattr(node.target, "_schema", None)
    return "" if schema is None else str(schema.name).partition("::")[2]
