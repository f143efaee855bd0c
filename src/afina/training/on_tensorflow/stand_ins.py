"""One trace for models that differ in the widths of layers only.

A graph of TensorFlow's may hold variables of partly unknown shape. So a step is traced with
variables that stand in for those of the models: where two models differ, their length is unknown. A
training puts the model's values into them for each call, and takes them back after it. Given the
model's own variables, TensorFlow would prepare the function anew for each other shape.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from afina.training import keras_parts
from afina.training.epochs.widths import is_cell, takes_any_width
from afina.training.replacing import replaced

Shape = tuple[int | None, ...]
Shapes = tuple[Shape, ...]
"""The shape of each variable; None is a length that differs among models."""


def structure_key(model: keras.Model, key: Any, shapes: Shapes) -> str | None:
    """What models have in common that may share a trace; None if this one shares none.

    Outputs keep their shapes, and lengths of 1 stay: Keras looks at both to match them with others.

    Args:
        model: Compiled and built.
        key: Its key without the widths of layers; None if it shares none.
        shapes: The shapes of its variables.
    """
    if key is None:
        return None
    ones = [[length == 1 for length in shape] for shape in shapes]
    outputs = [tuple(output.shape) for output in getattr(model, "outputs", None) or []]
    return hashlib.sha256(repr((key, ones, outputs)).encode()).hexdigest()


@contextlib.contextmanager
def leaving_lengths_open(model: keras.Model) -> Iterator[None]:
    """Within the block, layers that write a length into a shape write that it is what is left.

    Convolutions give their bias a shape with their filters in it, and layer normalization its scale
    one with the length of the last axis, if that is named -1. Recurrent cells make states of their
    width, which is then the one of their kernel.
    """
    with contextlib.ExitStack() as stack:
        for layer in filter(takes_any_width, keras_parts.layers_of(model)):
            if is_cell(layer):
                width = keras.ops.shape(layer.recurrent_kernel)[0]
                states = [width for _ in keras.tree.flatten(layer.state_size)]
                is_one = isinstance(layer.state_size, int)
                stack.enter_context(replaced(layer, "units", width))
                stack.enter_context(replaced(layer, "state_size", width if is_one else states))
            elif hasattr(layer, "filters"):
                stack.enter_context(replaced(layer, "filters", -1))
            elif isinstance(layer, keras.layers.LayerNormalization) and list(layer.axis) == [-1]:
                last = len(layer.input.shape) - 1
                stack.enter_context(replaced(layer, "axis", [last]))
        yield


class Widths:
    """Which lengths of variables differ among the models of a search that are otherwise equal."""

    def __init__(self) -> None:
        self.takes_numbers = True
        """Whether steps are traced with the models' numbers as inputs; not once that has failed."""
        self._met: dict[str, list[Shapes]] = {}
        self._refused: set[str] = set()

    def meet(self, key: str | None, shapes: Shapes, sibling: Callable[[], Shapes | None]) -> Shapes:
        """The shapes to trace a model's steps in: those of all models of its structure so far.

        Args:
            key: What `structure_key` returned.
            shapes: The shapes of the model's variables.
            sibling: The shapes of a model that is to be expected; it is called for the first model
                of a structure.
        """
        if key is None or key in self._refused:
            return shapes
        if key not in self._met:
            self._met[key] = [each for each in (shapes, sibling()) if each is not None]
        met = self._met[key]
        before = functools.reduce(_all_merged, met)
        merged = _all_merged(before, shapes)
        if merged != before:
            met.append(shapes)
        return merged

    def others(self, key: str | None, shapes: Shapes) -> list[Shapes]:
        """Shapes of other models of the structure: each length that differs among models is another
        one than in `shapes` in one of them."""
        met = self._met.get(key, []) if key is not None else []
        return [each for each in met if each != shapes]

    def refuse(self, key: str | None) -> None:
        """Remembers that steps of this structure cannot be traced without all lengths."""
        if key is not None:
            self._refused.add(key)


def _all_merged(some: Shapes, others: Shapes) -> Shapes:
    """What the shapes of two models have in common."""
    return tuple(
        tuple(a if a == b else None for a, b in zip(one, other, strict=True))
        for one, other in zip(some, others, strict=True)
    )


class StandIns:
    """Variables of partly unknown shape in place of those of a model whose lengths differ.

    Args:
        values: The model's variables, of TensorFlow's own type.
        shapes: The shapes that they are traced in.
    """

    def __init__(self, values: Sequence[Any], shapes: Shapes) -> None:
        import tensorflow as tf

        self._lock = threading.Lock()
        self.variables: dict[int, Any] = {}
        """The stand-ins by their place among the values."""
        self._blanks: dict[int, Any] = {}
        for place, (value, shape) in enumerate(zip(values, shapes, strict=True)):
            if None not in shape:
                continue
            lengths = [1 if length is None else length for length in shape]
            blank = self._blanks[place] = tf.zeros(lengths, value.dtype)
            variable = tf.Variable(blank, trainable=value.trainable, shape=tf.TensorShape(shape))
            variable._unique_id = value._unique_id  # by which the optimizer knows it
            self.variables[place] = variable
        self._used = set(self.variables)

    def among(self, values: Sequence[Any]) -> list[Any]:
        """The variables of a model, with stand-ins where lengths differ."""
        return [self.variables.get(place, value) for place, value in enumerate(values)]

    def use(self, graph: Any) -> None:
        """Looks at which variables a graph uses, whose first inputs they are; others hold nothing.

        A validation, say, does not look at the optimizer's.
        """
        self._used = {place for place in self.variables if graph.inputs[place].consumers()}

    @contextlib.contextmanager
    def holding(self, values: Sequence[Any]) -> Iterator[Sequence[Any]]:
        """Within the block, the variables hold a model's values, which are written back after it.

        Args:
            values: The model's variables.

        Yields:
            The variables to call the function with.
        """
        with self._lock, self._filled(lambda place: _read(values[place])):
            yield self.among(values)
            for place in self._used:
                _assign(values[place], _read(self.variables[place]))

    @contextlib.contextmanager
    def holding_zeros(self, values: Sequence[Any], shapes: Shapes) -> Iterator[Sequence[Any]]:
        """Within the block, the variables hold zeros of these shapes; the others are copies."""
        import tensorflow as tf

        def zeros(place: int) -> Any:
            return tf.zeros(shapes[place], self._blanks[place].dtype)

        copies = [
            value if place in self.variables else tf.Variable(value, trainable=value.trainable)
            for place, value in enumerate(values)
        ]
        with self._lock, self._filled(zeros):
            yield self.among(copies)

    @contextlib.contextmanager
    def _filled(self, value_of: Callable[[int], Any]) -> Iterator[None]:
        try:
            for place in self._used:
                _assign(self.variables[place], value_of(place))
            yield
        finally:  # the memory of a model is not kept
            for place in self._used:
                _assign(self.variables[place], self._blanks[place])


def _read(variable: Any) -> Any:
    import tensorflow as tf

    return tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)


def _assign(variable: Any, value: Any) -> None:
    """Does what `variable.assign` does, in a tenth of the time."""
    import tensorflow as tf

    tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)
