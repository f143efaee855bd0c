"""What is taken out of a traced step: nothing that changes a number.

A trace computes again at each step what is the same for each: the number of samples of a batch, the
mask of a loss without a mask. It copies what is read only, and names each tensor anew.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

from afina.training.on_torch.layouts import keep_layouts
from afina.training.on_torch.leaves import CHANGES
from afina.training.on_torch.recording import ABOUT, Recording, function_of

MOST = 65_536
"""Most numbers of a constant that is computed once and kept."""


class UnsafeError(Exception):
    """A trace that changes tensors other than the variables of the model."""


def simplified(traced: Recording, count: int, *, layouts: bool = False) -> Callable[..., Any]:
    """The function of a traced step, without what need not be done at each step.

    Args:
        traced: The step; its graph is changed.
        count: How many of its inputs are variables.
        layouts: Whether pictures keep their layout in memory through pooling. A random draw may
            then go through them in another order.

    Raises:
        UnsafeError: It changes other tensors.
    """
    graph = traced.graph
    changed = _changed(graph)
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    if any(root.op == "get_attr" for root in changed) or set(inputs[count:]) & changed:
        raise UnsafeError("a step changes a tensor that is no variable of the model")
    _drop_unused(graph)
    constants = _fold(traced, changed)
    _drop_copies(graph, changed, constants)
    _drop_unused(graph)
    _add_in_place(graph)
    if layouts:
        roots = _roots(graph)
        keep_layouts(graph, lambda node: bool(roots.get(node, set()) & changed))
    _drop_unused(graph)
    return _compiled(graph, constants)


# -- what may be changed --------------------------------------------------------------------------


def _nodes_in(value: Any) -> Iterator[Any]:
    from torch.fx import Node

    if isinstance(value, Node):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _nodes_in(each)


def _schema(node: Any) -> Any:
    return getattr(node.target, "_schema", None)


def _arguments(node: Any) -> Iterator[tuple[Any, Any]]:
    """The arguments of an operation, each with its description in the operation's schema."""
    for place, about in enumerate(_schema(node).arguments):
        value = node.args[place] if place < len(node.args) else node.kwargs.get(about.name)
        yield about, value


def _roots(graph: Any) -> dict[Any, set[Any]]:
    """The nodes whose memory each node may show."""
    roots: dict[Any, set[Any]] = {}
    for node in graph.nodes:
        shown: set[Any] = set()
        if node.target is operator.getitem:
            shown = set(roots[node.args[0]])
        elif node.op == "call_function" and _schema(node) is not None:
            for about, value in _arguments(node):
                if about.alias_info is not None:
                    shown |= {root for each in _nodes_in(value) for root in roots[each]}
        roots[node] = shown or {node}
    return roots


def _changed(graph: Any) -> set[Any]:
    """The nodes whose memory an operation writes to."""
    roots, changed = _roots(graph), set()
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        if getattr(node.target, CHANGES, False):
            written = list(_nodes_in(node.args))
        elif _schema(node) is None:
            continue
        else:
            written = [
                each
                for about, value in _arguments(node)
                if about.alias_info is not None and about.alias_info.is_write
                for each in _nodes_in(value)
            ]
        changed |= {root for each in written for root in roots[each]}
    return changed


def _writes(node: Any) -> bool:
    schema = _schema(node)
    return getattr(node.target, CHANGES, False) or (schema is not None and schema.is_mutable)


def _drop_unused(graph: Any) -> None:
    """Drops nodes whose results nobody uses, except draws: these move the random stream."""
    for node in reversed(list(graph.nodes)):
        if node.op in ("placeholder", "output") or node.users or _writes(node):
            continue
        if node.op == "call_function" and _draws(node):
            continue
        graph.erase_node(node)


def _draws(node: Any) -> bool:
    import torch

    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


# -- constants ------------------------------------------------------------------------------------

OF_SHAPES = ("ones_like", "zeros_like", "full_like", "new_zeros", "new_ones", "new_full")
"""Operations that look only at the shape and type of their tensors, which a trace knows."""


def _fold(traced: Recording, changed: set[Any]) -> dict[Any, Any]:
    """Computes what depends on no input; the values by node."""
    import torch

    constants: dict[Any, Any] = {}
    roots = _roots(traced.graph)
    for node in traced.graph.nodes:
        if node.op == "get_attr":
            constants[node] = traced.tensors[node.target]
        if node.op != "call_function" or roots[node] & changed or _writes(node) or _draws(node):
            continue
        if node.target is operator.getitem:
            if node.args[0] in constants:
                constants[node] = constants[node.args[0]][node.args[1]]
            continue
        if _schema(node) is None or "empty" in _name(node):
            continue
        given, options = node.args, node.kwargs
        if _name(node) in OF_SHAPES:
            about = node.args[0].meta.get(ABOUT)
            if about is None:
                continue
            blank = torch.empty(about.shape, dtype=about.dtype, device=_device(node))
            given = blank, *node.args[1:]
        elif not all(each in constants for each in node.all_input_nodes):
            continue
        about = node.meta.get(ABOUT)
        if about is not None and getattr(about, "shape", torch.Size()).numel() > MOST:
            continue
        given, options = torch.fx.map_arg((given, dict(options)), constants.__getitem__)
        constants[node] = node.target(*given, **options)
    return constants


def _device(node: Any) -> Any:
    """The device of a node's result, as `tracing` has noted it."""
    return node.kwargs.get("device") or node.meta.get("val")


def _name(node: Any) -> str:
    schema = _schema(node)
    return "" if schema is None else str(schema.name).partition("::")[2]


# -- copies ---------------------------------------------------------------------------------------


def _drop_copies(graph: Any, changed: set[Any], constants: dict[Any, Any]) -> None:
    """Uses a tensor itself where a node only gives it another name or multiplies it by one."""
    roots = _roots(graph)
    for node in list(graph.nodes):
        if node.op != "call_function" or node in constants:
            continue
        same = _same_as(node, constants)
        if same is None or not _alike(node, same):
            continue
        # Another name for the same memory is harmless; a copy may be there to keep old numbers.
        is_name = roots[node] == roots[same]
        if is_name or not (roots[node] | roots[same]) & changed:
            node.replace_all_uses_with(same)


def _same_as(node: Any, constants: dict[Any, Any]) -> Any:
    """The node that has the same numbers; None if there is none."""
    name, args = _name(node), node.args
    if name in ("detach", "alias"):
        return args[0]
    if name in ("expand", "view", "sum") and not node.kwargs:
        about = args[0].meta.get(ABOUT)
        if name != "sum" or (about is not None and len(about.shape) == 0 and len(args) == 1):
            return args[0]
    if name == "where" and len(args) == 3 and args[0] in constants:
        condition = constants[args[0]]
        if bool(condition.all()):
            return args[1]
        return None if bool(condition.any()) else args[2]
    if name in ("mul", "div") and len(args) == 2:
        if args[1] in constants and bool((constants[args[1]] == 1).all()):
            return args[0]
        if name == "mul" and args[0] in constants and bool((constants[args[0]] == 1).all()):
            return args[1]
    return None


def _alike(one: Any, other: Any) -> bool:
    """Whether two nodes have the same shape, type and layout."""
    from torch.fx import Node

    if not isinstance(other, Node):
        return False
    first, second = one.meta.get(ABOUT), other.meta.get(ABOUT)
    if first is None or second is None:
        return _name(one) == "detach"
    return all(
        getattr(first, name) == getattr(second, name) for name in ("shape", "dtype", "stride")
    )


def _add_in_place(graph: Any) -> None:
    """Adds to a variable where a sum was computed and then copied into it."""
    import torch

    aten = torch.ops.aten
    order = {node: place for place, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        if node.target is not aten.copy_.default or len(node.args) != 2 or node.users:
            continue
        variable, total = node.args
        if variable.op != "placeholder" or total.target is not aten.add.Tensor:
            continue
        if total.args[0] is not variable or len(total.users) != 1 or total.kwargs:
            continue
        between = [each for each in variable.users if order[total] < order[each] < order[node]]
        if between or not _alike(total, variable):
            continue
        with graph.inserting_before(node):
            graph.call_function(aten.add_.Tensor, total.args)
        graph.erase_node(node)


# -- the function ---------------------------------------------------------------------------------


def _compiled(graph: Any, constants: dict[Any, Any]) -> Callable[..., Any]:
    """The Python function of a graph, whose constants are in it."""
    used = [node for node in graph.nodes if node in constants]
    last = [node for node in graph.nodes if node.op == "placeholder"][-1]
    kept: list[Any] = []
    for node in used:
        if not any(user not in constants for user in node.users):
            continue
        with graph.inserting_after(last):
            last = graph.placeholder(f"constant_{len(kept)}")
        node.replace_all_uses_with(last)
        kept.append(constants[node])
    _drop_unused(graph)
    function = function_of(graph)
    return lambda *tensors: function(*tensors, *kept)
