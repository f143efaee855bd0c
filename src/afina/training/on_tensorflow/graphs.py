"""Graphs that TensorFlow keeps although their function is gone, taken apart.

A graph and its operations refer to each other through C++, where Python's garbage collector does
not see it. TensorFlow takes the graph of a function apart when that goes; for two kinds it does
not: those that `get_concrete_function` has returned, and those whose branches and loop bodies
are graphs that refer to the outer one. Each training of another architecture would leave
megabytes. TensorFlow also registers each custom gradient by name for the life of the process, and
the gradient refers to its graph; Keras' optimizers make one in each trace.
"""

from __future__ import annotations

import contextlib
import gc
import types
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import keras

CUSTOM_GRADIENT = "CustomGradient-"
"""How the names begin under which TensorFlow registers gradients of `tf.custom_gradient`."""

KEPT = ("_function_captures", "_functions")
"""Attributes of a graph that TensorFlow empties once more when a function of the graph goes."""


def take_apart(graphs: Iterable[Any]) -> None:
    """Frees what graphs hold; neither they nor their functions can be used any more.

    Args:
        graphs: TensorFlow's `FuncGraph`s. Those of their branches and loop bodies are freed too.
    """
    for graph in {id(each): each for root in graphs for each in _with_inner(root)}.values():
        try:
            _take_apart(graph)
        except Exception:  # another TensorFlow; then the memory is not given back
            return


def free_with(owner: Any, graphs: Iterable[Any]) -> None:
    """Takes graphs apart when an object goes; the graphs must not refer to it."""
    finalizer = weakref.finalize(owner, take_apart, list(graphs))
    finalizer.atexit = False


@contextlib.contextmanager
def giving_back_graphs(model: keras.Model) -> Iterator[None]:
    """After the block, graphs of Keras' own train and test step go when their model goes.

    Nothing is done on other backends.
    """
    try:
        yield
    finally:
        if keras.backend.backend() == "tensorflow":
            free_with(model, list(_graphs_of(model)))


def _graphs_of(model: keras.Model) -> Iterator[Any]:
    """The graphs that Keras' own loops over the batches have made so far."""
    seen: set[int] = set()
    for name in ("train_function", "test_function", "predict_function"):
        with contextlib.suppress(AttributeError, TypeError, ValueError):  # another TensorFlow
            yield from _graphs_behind(getattr(model, name, None), seen)


def _take_apart(graph: Any) -> None:
    from tensorflow.python.framework import func_graph

    held = _attributes(graph)
    if "_function_captures" not in held:  # it was taken apart before
        return
    _forget_gradients(graph)
    func_graph.dismantle_func_graph(graph)
    empty = {name: type(held[name])() for name in KEPT}
    held.clear()
    held.update(empty)


def _forget_gradients(graph: Any) -> None:
    """Takes the custom gradients of a graph out of TensorFlow's registry."""
    from tensorflow.python.framework import ops

    registered = ops.gradient_registry._registry
    for operation in graph.get_operations():
        if operation.type != "IdentityN":  # which marks what has a custom gradient
            continue
        with contextlib.suppress(ValueError):  # it has none
            name = operation.get_attr("_gradient_op_type").decode()
            if name.startswith(CUSTOM_GRADIENT):
                registered.pop(name, None)


def _with_inner(graph: Any) -> Iterator[Any]:
    """A graph and those of its branches and loop bodies."""
    import tensorflow as tf

    yield graph
    if "_function_captures" not in _attributes(graph):
        return
    for operation in graph.get_operations():
        for value in _attributes(operation).values():
            if isinstance(value, tf.Graph) and value is not graph:
                yield from _with_inner(value)


def _attributes(part: Any) -> dict[str, Any]:
    """The attributes of a graph or an operation, which have no `__dict__`."""
    found = [each for each in gc.get_referents(part) if type(each) is dict]
    return found[0] if found else {}


def _graphs_behind(function: Any, seen: set[int]) -> Iterator[Any]:
    """The graphs of a function of TensorFlow's, or of those in the closure of a Python function."""
    if id(function) in seen:
        return
    seen.add(id(function))
    if hasattr(function, "python_function"):
        for concrete in function._list_all_concrete_functions():
            yield concrete.graph
        yield from _graphs_behind(function.python_function, seen)
    elif isinstance(function, types.FunctionType):
        for cell in function.__closure__ or ():
            yield from _graphs_behind(cell.cell_contents, seen)
