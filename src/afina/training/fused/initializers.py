"""Weights of new shapes without compiling a program for each shape, equal to the bit.

On JAX every initializer runs as a small program that is compiled again for each shape: a model of a
new width costs half a second before its first step. With JAX's counter-based generator the n-th
number of a draw does not depend on the draw's length (`jax_threefry_partitionable`). So draws are
made in a few lengths, and cut. Zeros, ones and constants come from NumPy.

Source: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from afina.training import keras_parts

SMALLEST = 1024
"""Numbers in the shortest draw; each longer draw is four times as long as the one before."""

LONG = 2**20
"""From here on each is twice as long: drawing millions of numbers for nothing would take longer
than compiling."""


@contextmanager
def quick_initializers() -> Iterator[None]:
    """Within the block, Keras on JAX draws and fills new arrays as the module's text says.

    Nothing changes on other backends, or if JAX's generator does not have the property. The values
    are the same inside and outside, so a thread that builds at the same time is not affected.
    """
    modules = keras_parts.drawing_and_filling() if _applies() else None
    if modules is None:
        yield
        return
    drawing, filling = modules
    quick: list[tuple[Any, str, Callable[..., Any]]] = [
        (drawing, "uniform", _uniform(drawing.uniform)),
        (drawing, "normal", _normal(drawing.normal, lambda key, n, t: _jax().normal(key, n, t))),
        (drawing, "truncated_normal", _normal(drawing.truncated_normal, _truncated)),
        (filling, "zeros", _filled(filling.zeros, 0)),
        (filling, "ones", _filled(filling.ones, 1)),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in quick]
    for module, name, function in quick:
        setattr(module, name, function)
    try:
        yield
    finally:
        for module, name, function in before:
            setattr(module, name, function)


def _applies() -> bool:
    if keras.backend.backend() != "jax" or keras.distribution.distribution() is not None:
        return False
    import jax

    return draws_by_place() and not jax.config.jax_disable_jit


def draws_by_place() -> bool:
    """Whether the n-th number of a draw of JAX's does not depend on how many are drawn."""
    import jax

    return bool(jax.config.jax_threefry_partitionable)


def _jax() -> Any:
    import jax

    return jax.random


def _length(shape: Any) -> int | None:
    """The length of the draw to make for this shape; None if a plain draw is as good."""
    try:
        count = math.prod(int(size) for size in shape)
    except (TypeError, ValueError):  # a symbolic shape
        return None
    if not count:
        return None
    length = SMALLEST
    while length < count:
        length *= 4 if length < LONG else 2
    return length


def _cut(draw: Any, shape: Any) -> Any:
    """The first numbers of a draw, in this shape; cut by NumPy, which compiles nothing."""
    import jax

    count = math.prod(int(size) for size in shape)
    return jax.device_put(np.asarray(draw)[:count].reshape(tuple(shape)))


def _is_plain(low: Any, high: Any, seed: Any) -> bool:
    """Whether a draw's parameters are single numbers, and none is part of a trace."""
    import jax

    traced = any(isinstance(value, jax.core.Tracer) for value in (low, high, seed))
    return not traced and np.ndim(low) == np.ndim(high) == 0


def _standard(dtype: Any, seed: Any) -> tuple[str, Any]:
    """The dtype's name and the key that Keras would draw with."""
    return keras.backend.standardize_dtype(dtype or keras.backend.floatx()), keras_parts.draw_seed(
        seed
    )


def _uniform(plain: Callable[..., Any]) -> Callable[..., Any]:
    def uniform(
        shape: Any, minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = None, seed: Any = None
    ) -> Any:
        length = _length(shape)
        if length is None or _in_a_trace() or not _is_plain(minval, maxval, seed):
            return plain(shape, minval=minval, maxval=maxval, dtype=dtype, seed=seed)
        name, key = _standard(dtype, seed)
        return _cut(_jax().uniform(key, (length,), name, minval=minval, maxval=maxval), shape)

    return uniform


def _normal(
    plain: Callable[..., Any], draw: Callable[[Any, tuple[int], str], Any]
) -> Callable[..., Any]:
    def normal(
        shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None
    ) -> Any:
        length = _length(shape)
        if length is None or _in_a_trace() or not _is_plain(mean, stddev, seed):
            return plain(shape, mean=mean, stddev=stddev, dtype=dtype, seed=seed)
        name, key = _standard(dtype, seed)
        return _cut(draw(key, (length,), name) * stddev + mean, shape)

    return normal


def _truncated(key: Any, shape: tuple[int], dtype: str) -> Any:
    return _jax().truncated_normal(key, lower=-2.0, upper=2.0, shape=shape, dtype=dtype)


def _filled(plain: Callable[..., Any], value: int) -> Callable[..., Any]:
    def filled(shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        if kwargs or _in_a_trace():
            return plain(shape, dtype=dtype, **kwargs)
        import jax

        name = keras.backend.standardize_dtype(dtype or keras.backend.floatx())
        return jax.device_put(np.full(shape, value, jax.numpy.dtype(name)))

    return filled


def _in_a_trace() -> bool:
    """Whether JAX is tracing: a draw made now would belong to a program."""
    import jax

    return isinstance(jax.numpy.zeros(()), jax.core.Tracer)
