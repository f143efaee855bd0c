"""`WeakNumber`: a Python number that is a tensor while TensorFlow traces.

Keras and TensorFlow treat a rate or a factor as a Python number. They compute with it in double
precision, and round it to the type of the array that it meets. A weak number does the same, so a
step that takes it as an input gives the same bits as one in which it is a constant.
"""

from __future__ import annotations

import numbers
from typing import Any

from afina.training.epochs.numbers import Input

PLAIN = "float32"
"""The type that TensorFlow gives to a Python number that meets no array."""


class WeakNumber(Input):
    """Stands in for a number above 0 while TensorFlow traces a step.

    Args:
        value: A scalar tensor in double precision.
        rest: Likewise, 1 minus the number; None for a number that may exceed 1.
    """

    __hash__ = object.__hash__

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        import tensorflow as tf

        return tf.cast(self.value, dtype or PLAIN, name=name)

    def __add__(self, other: Any) -> Any:
        return _computed(lambda a, b: a + b, self, other)

    def __radd__(self, other: Any) -> Any:
        return _computed(lambda a, b: a + b, other, self)

    def __mul__(self, other: Any) -> Any:
        return _computed(lambda a, b: a * b, self, other)

    def __rmul__(self, other: Any) -> Any:
        return _computed(lambda a, b: a * b, other, self)

    def __sub__(self, other: Any) -> Any:
        return _computed(lambda a, b: a - b, self, other)

    def __rsub__(self, other: Any) -> Any:
        if isinstance(other, int | float) and other == 1 and self.rest is not None:
            return _Result(self.rest)
        return _computed(lambda a, b: a - b, other, self)

    def __truediv__(self, other: Any) -> Any:
        return _computed(lambda a, b: a / b, self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _computed(lambda a, b: a / b, other, self)

    def __pow__(self, other: Any) -> Any:
        return _computed(lambda a, b: a**b, self, other)

    def __neg__(self) -> Any:
        return _Result(-self.value)


class _Result(WeakNumber):
    """A number that was computed from weak numbers: nothing is known of its size."""

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise TypeError("a number that depends on an input of a program was compared")

    def _is_above(self, other: Any) -> bool:
        return bool(self)


numbers.Real.register(WeakNumber)  # TensorFlow's dropout asks for one


def _computed(compute: Any, left: Any, right: Any) -> Any:
    """What Python would compute from two numbers, or TensorFlow from a number and an array."""
    sides = left, right
    if not all(isinstance(side, WeakNumber | int | float) for side in sides):
        dtype = next(side.dtype for side in sides if not isinstance(side, WeakNumber))
        left, right = (
            side.__tf_tensor__(dtype) if isinstance(side, WeakNumber) else side for side in sides
        )
        return compute(left, right)
    import tensorflow as tf

    left, right = (
        side.value if isinstance(side, WeakNumber) else tf.constant(side, "float64")
        for side in sides
    )
    return _Result(compute(left, right))
