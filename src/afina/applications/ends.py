"""The input and the classifier, which the networks of all families share."""

from __future__ import annotations

from typing import Any

import keras

from afina.errors import ArgumentError


def check_ends(
    who: str, *, classes: int | None, needs_classes: bool, input_shape: Any, input_tensor: Any
) -> None:
    """Checks that a hypermodel has an input and, if it needs them, classes.

    Raises:
        ArgumentError: `classes` is missing, or both `input_shape` and `input_tensor` are.
    """
    if needs_classes and classes is None:
        raise ArgumentError(
            f"{who}: `classes` must be given for the softmax at the top, but got None. Give the "
            "number of classes."
        )
    if input_shape is None and input_tensor is None:
        raise ArgumentError(
            f"{who}: either `input_shape` or `input_tensor` must be given, but got None for both. "
            "Give input_shape=(height, width, channels)."
        )


def open_input(input_shape: Any, input_tensor: Any) -> tuple[Any, Any]:
    """The model's inputs, and the tensor to continue from.

    Args:
        input_shape: (height, width, channels); used if there is no tensor.
        input_tensor: A symbolic tensor; the user's own layers may come before it.
    """
    if input_tensor is None:
        inputs = keras.Input(shape=input_shape)
        return inputs, inputs
    return keras.utils.get_source_inputs(input_tensor), input_tensor


def pool(x: Any, kind: str, name: str) -> Any:
    """Pools feature maps (n, height, width, channels) to one vector for each sample.

    Args:
        x: The feature maps.
        kind: "avg", "max" or "flatten".
        name: The layer's name.
    """
    if kind == "flatten":
        return keras.layers.Flatten(name=name)(x)
    layer = (
        keras.layers.GlobalAveragePooling2D if kind == "avg" else keras.layers.GlobalMaxPooling2D
    )
    return layer(name=name)(x)


def compile_classifier(model: Any, optimizer: Any) -> None:
    """Compiles a model for one-hot labels."""
    model.compile(optimizer=optimizer, loss="categorical_crossentropy", metrics=["accuracy"])
