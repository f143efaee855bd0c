"""Whether XLA trains a model faster than TensorFlow's own kernels do.

It is decided by what the model is made of and by how many steps are planned, never by a clock: XLA
rounds in its own way, and the same seed must give the same numbers. `benchmarks/speed/loops.py`
measures the kinds of layers.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import keras

from afina.training import keras_parts
from afina.training.epochs import is_all_kerass
from afina.training.on_tensorflow.asked import forbids_xla
from afina.training.on_tensorflow.updates import has_own_update

COMPILE = 0.16
"""Seconds that XLA takes to compile a train step, for each trainable variable."""

A_VARIABLE = 4e-5
"""Seconds of a step that XLA saves for each trainable variable, by starting fewer kernels."""

A_WEIGHT = 1.2e-9
"""Seconds of a step that XLA saves for each weight, by fusing the updates of the optimizer."""

A_WEIGHT_ALREADY = -3e-9
"""The same where TensorFlow updates a variable by one operation: its products of large matrices are
quicker than XLA's."""

A_TIME = 1e-4
"""Seconds of a step that XLA saves for each time of a sequence that a recurrent layer reads."""

A_TIME_OF_GRU = 2.5e-4
"""The same of a GRU that reads forward only."""

USUAL = 6
"""Trainable variables of a model that is not built yet, by assumption."""

PAYS_ON_JAX = 3_000
"""Steps of a dense network that pay for compiling it on JAX."""

DENSE = (
    *(keras_parts.Functional, keras.Sequential, keras.layers.InputLayer, keras.layers.Dense),
    *(keras.layers.Flatten, keras.layers.Activation, keras.layers.ReLU, keras.layers.Dropout),
)
"""Kinds of layers that dense networks consist of."""

TIMES = 30
"""Length that is assumed for sequences of varied lengths."""


def uses_xla(model: keras.Model, steps: int) -> bool:
    """Whether to compile the loop of a model with XLA.

    Args:
        model: Compiled and built.
        steps: How many steps are planned: few do not pay for the compilation.
    """
    return why_xla(model, steps)[0]


def why_xla(model: keras.Model, steps: float | None, *, shapes: int = 1) -> tuple[bool, str]:
    """Whether to compile the steps of a model with XLA, and why.

    Args:
        model: Compiled, and built if that is possible without data.
        steps: How many steps are planned; None if that is unknown, which means that XLA pays.
            Infinity means that it is unknown, and that XLA does not pay.
        shapes: How many shapes the batches have; XLA compiles the steps for each.
    """
    if model.jit_compile:  # as asked for, or by Keras' own choice on a GPU
        return True, "jit_compile is True"
    if forbids_xla(model):
        return False, "jit_compile=False"
    if not all(getattr(layer, "supports_jit", True) for layer in keras_parts.layers_of(model)):
        return False, "a layer does not support it"
    # Code of the user's may do what XLA cannot, or does otherwise: draw random numbers, say.
    if not is_all_kerass(model):
        return False, "it has code of the user's"
    if is_slowed_by_xla(model):
        return False, "TensorFlow convolves faster by itself"
    if steps is None or has_gpu():
        return True, "many steps are planned"
    if steps == math.inf:
        return False, "the number of steps is unknown"
    if steps * _saved(model) > shapes * _cost(model):
        return True, f"the {steps} steps planned pay for compiling"
    return False, f"the {steps} steps planned do not pay for compiling"


def _cost(model: keras.Model) -> float:
    """Seconds that XLA takes to compile the steps of a model."""
    return COMPILE * (len(model.trainable_variables) or USUAL)


def _saved(model: keras.Model) -> float:
    """Seconds that XLA saves in each step, as measured on one core of a server."""
    if not model.built:
        return A_VARIABLE * USUAL
    weights: int = sum(math.prod(each.shape) for each in model.trainable_variables)
    a_weight = A_WEIGHT_ALREADY if has_own_update(model) else A_WEIGHT
    updates = A_VARIABLE * len(model.trainable_variables) + a_weight * weights
    return updates + _saved_in_time(keras_parts.layers_of(model))


def _saved_in_time(layers: Sequence[keras.Layer]) -> float:
    """Seconds that XLA saves in the recurrent layers."""
    saved = 0.0
    both_ways = [each for each in layers if isinstance(each, keras.layers.Bidirectional)]
    inner = {id(part) for each in both_ways for part in (each.forward_layer, each.backward_layer)}
    for each in layers:
        if id(each) in inner:  # counted with the layer around
            continue
        if isinstance(each, keras.layers.RNN):
            saved += _times(each) * (
                A_TIME_OF_GRU if isinstance(each, keras.layers.GRU) else A_TIME
            )
    return saved + sum(2 * _times(each) * A_TIME for each in both_ways)


def _times(layer: Any) -> int:
    """How many times a recurrent layer computes its cell for a batch."""
    shape = getattr(getattr(layer, "input", None), "shape", None) or (None, None)
    return shape[1] or TIMES


def is_slowed_by_xla(model: keras.Model) -> bool:
    """Whether TensorFlow on a CPU trains a model faster without XLA than with it.

    Its own convolutions over two and three dimensions take a half to a quarter of the time of
    XLA's, and its interpolation of images half.

    Args:
        model: A model of Keras' own parts.
    """
    if has_gpu():
        return False
    layers = keras_parts.layers_of(model)
    operations = [each for layer in layers for each in getattr(layer, "operations", [])]
    return any(map(_is_tensorflows_strength, (*layers, *operations)))


def _is_tensorflows_strength(operation: Any) -> bool:
    """Whether TensorFlow computes a layer or a function of `keras.ops` faster than XLA."""
    name = type(operation).__name__
    if name in ("UpSampling2D", "Resizing", "Resize"):
        return True
    if not keras_parts.is_kerass(type(operation)) or "Conv" not in name:
        return False
    # A function does not say how many dimensions it has.
    return not isinstance(operation, keras.Layer) or getattr(operation, "rank", 2) > 1


def gains_on_jax(model: keras.Model, steps: float) -> bool:
    """Whether several such trainings side by side take less time on JAX than on TensorFlow.

    JAX compiles each width anew, but trains several models at once on a CPU, each in a thread.

    Args:
        model: Compiled and built.
        steps: How many steps are planned.
    """
    if steps < PAYS_ON_JAX or has_gpu() or not is_all_kerass(model):
        return False
    return all(type(layer) in DENSE for layer in keras_parts.layers_of(model))


def has_gpu() -> bool:
    """Whether TensorFlow is in use and sees a GPU."""
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and bool(tensorflow.config.list_physical_devices("GPU"))
