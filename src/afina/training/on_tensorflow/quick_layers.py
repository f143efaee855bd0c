"""Keras' layers for images and sequences by fewer passes over large arrays, on a CPU.

Keras adds the bias of a convolution as it adds any two arrays, and applies the activation to all of
it before pooling. Each reads and writes the output of a convolution, which often is larger than the
cache. While a step is traced, the layers do the same by other operations:

    convolution: its bias by `bias_add`, which TensorFlow computes with the convolution
    max pooling: before the bias and the activation in front of it, which then have less to do
    edges of the data that only count for what pooling leaves out: cut off        (unused_edges)

The largest of some numbers stays the largest one when a bias is added to all of them, and when a
function that never falls is applied. Where it is flat, two numbers may become equal, and the
gradient goes to another one of them; but there the gradient is 0.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from afina.training import keras_parts
from afina.training.on_tensorflow.unused_edges import used_lengths
from afina.training.replacing import replaced

layers = keras.layers
Step = Callable[[Any], Any]

RISING = tuple(
    getattr(keras.activations, name)
    for name in (
        *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "exponential"),
        *("sigmoid", "hard_sigmoid", "log_sigmoid", "tanh", "hard_tanh"),
        *("softplus", "softsign", "squareplus"),
    )
    if hasattr(keras.activations, name)
)
"""Activations of Keras' that never fall."""

RISING_LAYERS = (layers.ReLU, layers.LeakyReLU, layers.ELU)
"""Likewise; Keras takes no slopes and no thresholds below 0."""

POOLINGS = (layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D)

EXACT = ("float32", "float64")
"""Types in which a bias makes two different numbers equal too rarely to matter."""


@contextlib.contextmanager
def layers_made_quick(model: keras.Model) -> Iterator[None]:
    """Within the block, layers of a built model that are Keras' own are called by quick operations.

    The numbers are those of Keras' layers, but for rounding. Layers with code of the user's stay as
    they are.
    """
    outputs, used = _Outputs(), used_lengths(model)
    with contextlib.ExitStack() as stack:
        for layer in keras_parts.layers_of(model):
            call = _quick_call(layer, outputs, used.get(id(layer)))
            if call is not None:
                stack.enter_context(replaced(layer, "call", call))
        yield


def _quick_call(layer: Any, outputs: _Outputs, used: Any) -> Callable[..., Any] | None:
    """What to call instead of a layer's `call`; None if that is quick enough."""
    if not keras_parts.is_kerass(type(layer)) or "call" in vars(layer):
        return None
    if isinstance(layer, POOLINGS):
        return _pooling(layer, outputs)
    if type(layer) in (layers.Activation, *RISING_LAYERS):
        return _activation(layer, outputs) if _rises(layer) else None
    is_convolution = keras_parts.package_of(layer) == "convolutional"
    if is_convolution and getattr(layer, "data_format", None) == "channels_last":
        return _convolution(layer, outputs, used)
    return None


def _rises(activation: Any) -> bool:
    """Whether an activation, a function or a layer, never falls."""
    if type(activation) is layers.Activation:
        return _rises(activation.activation)
    if activation is None or type(activation) in RISING_LAYERS:
        return True
    return any(activation is each for each in RISING)


# -- what pooling may go before -------------------------------------------------------------------


@dataclass(frozen=True)
class _Output:
    """The output of a layer, and from what it was made by steps that keep the order of numbers."""

    value: Any
    begin: Any
    steps: tuple[Step, ...]


class _Outputs:
    """The outputs that pooling may go before, by their tensors."""

    def __init__(self) -> None:
        self._made: dict[int, _Output] = {}

    def made(self, begin: Any, steps: Sequence[Step], *, rising: bool) -> Any:
        """Applies steps one by one; remembers the result if all of them keep the order.

        TensorFlow does not compute a result that nothing is made of.
        """
        value = begin
        for step in steps:
            value = step(value)
        if rising and value.dtype.name in EXACT:
            before = self.found(begin)
            self._made[id(value)] = _Output(value, before.begin, (*before.steps, *steps))
        return value

    def found(self, value: Any) -> _Output:
        """What a tensor was made from; from itself if that is not known."""
        return self._made.get(id(value), _Output(value, value, ()))


def _pooling(layer: Any, outputs: _Outputs) -> Callable[..., Any]:
    by_keras = layer.call

    def call(inputs: Any) -> Any:
        known = outputs.found(inputs)
        value = by_keras(known.begin)
        for step in known.steps:
            value = step(value)
        return value

    return call


def _activation(layer: Any, outputs: _Outputs) -> Callable[..., Any]:
    by_keras = layer.call

    def call(inputs: Any) -> Any:
        return outputs.made(inputs, [by_keras], rising=True)

    return call


def _convolution(layer: Any, outputs: _Outputs, used: Any) -> Callable[..., Any]:
    by_keras = layer.call

    def call(inputs: Any) -> Any:
        if used is not None and tuple(inputs.shape[1:-1]) == used[0]:
            inputs = inputs[(slice(None), *map(slice, used[1]))]
        with replaced(layer, "use_bias", False), replaced(layer, "activation", None):
            begin = by_keras(inputs)
        steps: list[Step] = []
        if layer.use_bias:
            bias = keras.ops.convert_to_tensor(layer.bias)
            steps.append(lambda value: _biased(value, bias))
        if layer.activation not in (None, keras.activations.linear):
            steps.append(layer.activation)
        return outputs.made(begin, steps, rising=_rises(layer.activation))

    return call


def _biased(value: Any, bias: Any) -> Any:
    """Adds a bias to each channel.

    The gradient is a plain sum: TensorFlow joins its own for `bias_add` with the gradient of the
    kernel, and that takes longer than both.
    """
    import tensorflow as tf

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def biased(value: Any, bias: Any) -> Any:
        axes = list(range(len(value.shape) - 1))
        return tf.nn.bias_add(value, bias), lambda slope: (slope, tf.reduce_sum(slope, axes))

    return biased(value, bias)
