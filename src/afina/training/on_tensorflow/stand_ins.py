"""One trace for models that differ in the widths of layers only.

A graph of TensorFlow's may hold variables of partly unknown shape. So a step is traced with
variables that stand in for those of the models: where two models differ, their length is unknown. A
training puts the model's values into them for each call, and takes them back after it. Given the
model's own variables, TensorFlow would prepare the function anew for each other shape.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from afina.training.epochs import program_key

Shape = tuple[int | None, ...]
Shapes = tuple[Shape, ...]
"""The shape of each variable; None is a length that differs among models."""


def structure_key(model: keras.Model, shapes: Shapes) -> str | None:
    """What models have in common that may share a trace; None if this one shares none.

    Outputs keep their shapes, and lengths of 1 stay: Keras looks at both to match them with others.

    Args:
        model: Compiled and built.
        shapes: The shapes of its variables.
    """
    key = program_key(model, any_width=True)
    if key is None:
        return None
    ones = [[length == 1 for length in shape] for shape in shapes]
    outputs = [tuple(output.shape) for output in getattr(model, "outputs", None) or []]
    return hashlib.sha256(repr((key, ones, outputs)).encode()).hexdigest()


class Widths:
    """Which lengths of variables differ among the models of a search that are otherwise equal."""

    def __init__(self) -> None:
        self._met: dict[str, Shapes] = {}
        self._refused: set[str] = set()

    def meet(self, key: str | None, shapes: Shapes) -> Shapes:
        """The shapes to trace a model's steps in: those of all models of its structure so far.

        Args:
            key: What `structure_key` returned.
            shapes: The shapes of the model's variables.
        """
        if key is None or key in self._refused:
            return shapes
        met = self._met.get(key, shapes)
        self._met[key] = merged = tuple(map(_merged, met, shapes))
        return merged

    def refuse(self, key: str | None) -> None:
        """Remembers that steps of this structure cannot be traced without all lengths."""
        if key is not None:
            self._refused.add(key)


def _merged(one: Shape, other: Shape) -> Shape:
    """What two shapes of equal rank have in common."""
    return tuple(a if a == b else None for a, b in zip(one, other, strict=True))


class StandIns:
    """Variables of partly unknown shape in place of those of a model.

    Args:
        values: The model's variables, of TensorFlow's own type.
        shapes: The shapes that they are traced in.
    """

    def __init__(self, values: Sequence[Any], shapes: Shapes) -> None:
        import tensorflow as tf

        self._lock = threading.Lock()
        self._blanks = [
            tf.zeros([1 if length is None else length for length in shape], value.dtype)
            for value, shape in zip(values, shapes, strict=True)
        ]
        self.variables = [
            tf.Variable(blank, trainable=value.trainable, shape=tf.TensorShape(shape))
            for blank, value, shape in zip(self._blanks, values, shapes, strict=True)
        ]
        for variable, value in zip(self.variables, values, strict=True):
            variable._unique_id = value._unique_id  # by which the optimizer knows it

    @contextlib.contextmanager
    def holding(self, values: Sequence[Any]) -> Iterator[Sequence[Any]]:
        """Within the block, the variables hold a model's values, which are written back after it.

        Args:
            values: The model's variables.

        Yields:
            The variables that stand in for them.
        """
        with self._lock:
            pairs = list(zip(self.variables, values, strict=True))
            try:
                for variable, value in pairs:
                    variable.assign(value, read_value=False)
                yield self.variables
                for variable, value in pairs:
                    value.assign(variable, read_value=False)
            finally:  # the memory of a model is not kept
                for variable, blank in zip(self.variables, self._blanks, strict=True):
                    variable.assign(blank, read_value=False)
