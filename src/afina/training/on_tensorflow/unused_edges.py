"""Edges of images that convolutions compute and pooling leaves out.

Pooling by two of 11 rows makes 5, and the last row counts for nothing. What the convolution in
front computes of it is wasted, and its gradient is 0. The rows of the data that only such rows are
made of are cut off before the first convolution, so all layers up to the last pooling have less
to do, with the same results:

    28 rows, convolution 26, pooled 13, convolution 11, pooled 5
    26 rows, convolution 24, pooled 12, convolution 10, pooled 5
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from afina.training import keras_parts

layers = keras.layers
Lengths = tuple[int, ...]
"""Lengths of an image, or of a sequence or a volume, without samples and channels."""

POOLINGS = (
    *(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D),
    *(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D),
)
CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.Conv3D)

POINTWISE_LAYERS = (layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU)

NOT_POINTWISE = ("softmax", "log_softmax", "sparsemax", "glu")
"""Activations of Keras' that look at several numbers, which need not be those of one place."""

WORTH = 0.05
"""The least share of the places of an input that is worth cutting off."""


def used_lengths(model: keras.Model) -> Mapping[int, tuple[Lengths, Lengths]]:
    """How much of their inputs the first convolutions of a model need.

    Args:
        model: Built; only stock models are looked into.

    Returns:
        For convolutions that read the data, by `id`: the lengths of the input, and the first ones
        of them that matter. Convolutions that need their whole input are left out.
    """
    if not keras_parts.is_stock_model(model):
        return {}
    graph = _Graph(model)
    found = {}
    for node in graph.nodes:
        if isinstance(node.operation, CONVOLUTIONS) and graph.reads_data(node):
            whole = _lengths(node.input_tensors[0])
            used = graph.used(node)
            if used and whole and 1 - math.prod(used) / math.prod(whole) >= WORTH:
                found[id(node.operation)] = whole, used
    return found


class _Graph:
    """The calls of layers in a model, and who reads their outputs."""

    def __init__(self, model: keras.Model) -> None:
        _, outputs, self.nodes = keras_parts.graph_of(model)
        self._outputs = {id(output) for output in outputs}
        self._makers = {id(out): node for node in self.nodes for out in node.output_tensors}
        self._readers: dict[int, list[Any]] = {}
        self._calls: dict[int, int] = {}
        for node in self.nodes:
            for part in keras_parts.parts_of(node.operation):
                self._calls[id(part)] = self._calls.get(id(part), 0) + 1
            for tensor in node.input_tensors:
                self._readers.setdefault(id(tensor), []).append(node)

    def reads_data(self, node: Any) -> bool:
        """Whether a layer reads data that no weights were applied to: no gradient goes there."""
        while node.input_tensors:
            if len(node.input_tensors) != 1:
                return False
            before = self._makers.get(id(node.input_tensors[0]))
            if before is None or getattr(before.operation, "trainable_variables", None):
                return False
            node = before
        return True

    def used(self, node: Any) -> Lengths | None:
        """How much a convolution needs of its input; None if it is not known."""
        chain = list(self._chain(node))
        if not chain:
            return None
        used = _lengths(chain[-1].output_tensors[0])
        for each in reversed(chain):
            used = used and _needed(each.operation, used)
        return used

    def _chain(self, node: Any) -> Iterator[Any]:
        """A convolution and the layers behind it, as long as nothing else reads their inputs, and
        each place of their outputs is made of a window of places."""
        while self._calls[id(node.operation)] == 1 and _is_local(node.operation):
            yield node
            output = node.output_tensors[0]
            readers = self._readers.get(id(output), [])
            if len(readers) != 1 or id(output) in self._outputs:
                return
            node = readers[0]


def _lengths(tensor: Any) -> Lengths | None:
    lengths = tuple(tensor.shape[1:-1])
    return None if not lengths or None in lengths else lengths


def _is_local(layer: Any) -> bool:
    """Whether each place of a layer's output is made of a window of its input, without padding."""
    if type(layer) in POINTWISE_LAYERS:
        return layer.activity_regularizer is None and _is_pointwise(layer)
    if type(layer) not in (*CONVOLUTIONS, *POOLINGS) or layer.activity_regularizer is not None:
        return False
    if layer.padding != "valid" or layer.data_format != "channels_last":
        return False
    return type(layer) in POOLINGS or _is_pointwise(layer)


def _is_pointwise(layer: Any) -> bool:
    """Whether the activation of a layer is one of Keras' that takes each number by itself."""
    function = getattr(layer, "activation", None)
    if function is None or type(function) in POINTWISE_LAYERS[1:]:
        return True
    return keras_parts.is_kerass(function) and function.__name__ not in NOT_POINTWISE


def _needed(layer: Any, used: Lengths) -> Lengths:
    """How much of its input a layer needs, that this much of its output is used."""
    if type(layer) in POINTWISE_LAYERS:
        return used
    if type(layer) in POOLINGS:
        windows, strides = layer.pool_size, layer.strides
    else:
        spread = zip(layer.kernel_size, layer.dilation_rate, strict=True)
        windows, strides = [(size - 1) * rate + 1 for size, rate in spread], layer.strides
    each = zip(used, windows, strides, strict=True)
    return tuple((length - 1) * stride + window for length, window, stride in each)
