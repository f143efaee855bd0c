"""Whether XLA trains a model faster than TensorFlow's own kernels; `benchmarks/speed/loops.py`
measures it by kind of layer."""

from __future__ import annotations

import sys
from typing import Any

import keras

from afina.training import keras_parts
from afina.training.epochs import is_all_kerass


def uses_xla(model: keras.Model) -> bool:
    """Whether to compile the loop of a model with XLA.

    Args:
        model: Compiled.
    """
    asked = (keras_parts.compile_arguments(model) or {}).get("jit_compile", "auto")
    if asked != "auto":
        return bool(asked)
    if not all(getattr(layer, "supports_jit", True) for layer in keras_parts.layers_of(model)):
        return False
    # Code of the user's may do what XLA cannot, or does otherwise: draw random numbers, say.
    return is_all_kerass(model) and not is_slowed_by_xla(model)


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


def has_gpu() -> bool:
    """Whether TensorFlow is in use and sees a GPU."""
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and bool(tensorflow.config.list_physical_devices("GPU"))
