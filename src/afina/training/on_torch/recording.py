"""`Recording`: a step as the operations that PyTorch ran, before anything is taken out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

Shape = tuple[int, ...]

ABOUT = "tensor_meta"
"""Where a node says what its result looks like."""


class About(NamedTuple):
    """What a node's result looks like."""

    shape: Any
    dtype: Any
    stride: Any

    @classmethod
    def of(cls, value: Any) -> About:
        """What a tensor looks like."""
        return cls(value.shape, value.dtype, value.stride())


@dataclass(frozen=True)
class Recording:
    """The operations of one step in their order, and in which shapes they ran."""

    graph: Any
    """PyTorch's, whose inputs are the variables of a model and the leaves of a batch."""

    tensors: Mapping[str, Any]
    """Constants of the graph, by the names that it has for them."""

    shapes: tuple[Shape, ...]
    """Of the inputs."""

    rates: tuple[float, ...] = ()
    """Of dropout, in the order of the model's layers; see `resizing.rates_of`."""

    def copied(self) -> Recording:
        """The same with a graph of its own, for whoever changes it."""
        from torch.fx import Graph

        graph = Graph()
        graph.output(graph.graph_copy(self.graph, {}))
        return Recording(graph, self.tensors, self.shapes, self.rates)


def function_of(graph: Any) -> Callable[..., Any]:
    """The Python function of a graph that names no constants.

    PyTorch's own modules of graphs keep their text as long as the process runs.
    """
    import torch

    graph.set_codegen(torch.fx.graph.CodeGen())
    code = graph.python_code("_")
    names = dict(code.globals)
    exec(compile(code.src, "<recorded step>", "exec"), names)
    forward = names["forward"]
    return lambda *tensors: forward(None, *tensors)
