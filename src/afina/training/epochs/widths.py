"""What the widths of layers leave in configurations and in layers, to compare models without it.

In the layers below a width is but the length of the variables and of what the layer returns. So a
step that is traced without it computes any other width as well, where a backend can trace that.
Attention is missing: it makes arrays of its width, and divides by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from afina.training import keras_parts

WIDTHS = {
    "Conv1D": "filters",
    "Conv2D": "filters",
    "Conv3D": "filters",
    "Dense": "units",
    "Embedding": "output_dim",
    "GRU": "units",
    "LSTM": "units",
    "SimpleRNN": "units",
}
"""Layers that have a width, and its name."""

POOLINGS = [
    f"{name}Pooling{rank}D"
    for name in ("Max", "Average", "GlobalMax", "GlobalAverage")
    for rank in (1, 2, 3)
]

PASSING = frozenset(
    [
        *POOLINGS,
        *("Flatten", "Activation", "ReLU", "LeakyReLU", "ELU", "Softmax"),
        *("BatchNormalization", "LayerNormalization", "RMSNormalization"),
        *("Dropout", "SpatialDropout1D", "SpatialDropout2D", "AlphaDropout"),
        *("GaussianNoise", "GaussianDropout", "Add", "Average", "Concatenate", "Multiply"),
    ]
)
"""Layers that take any width, and have none of their own."""

CELLS = frozenset({"GRUCell", "LSTMCell", "SimpleRNNCell"})
"""What recurrent layers hold their width in, and compute with."""

OF_CELLS = ("units", "state_size", "output_size")
"""Attributes of cells that hold their width; a recurrent layer has the second one too."""

OF_INPUTS = ("_input_spec",)
"""Attributes of layers that hold the width of what they read."""


def takes_any_width(layer: Any) -> bool:
    """Whether a layer computes the same for each width, but in arrays of other lengths."""
    kind = type(layer)
    if not keras_parts.is_kerass(kind) or getattr(layer, "groups", 1) != 1:
        return False
    return kind.__name__ in WIDTHS or kind.__name__ in PASSING or is_cell(layer)


def is_cell(layer: Any) -> bool:
    """Whether a layer is the cell of a recurrent layer that takes any width."""
    return keras_parts.is_kerass(type(layer)) and type(layer).__name__ in CELLS


def width_attributes(layer: Any) -> tuple[str, ...]:
    """The attributes of a layer that hold its width or that of its inputs."""
    if not takes_any_width(layer):
        return ()
    kind = type(layer).__name__
    if is_cell(layer) or f"{kind}Cell" in CELLS:
        return (*OF_INPUTS, *OF_CELLS)
    own = WIDTHS.get(kind)
    return OF_INPUTS if own is None else (*OF_INPUTS, own)


def without_widths(configuration: Any) -> Any:
    """A configuration without the widths of layers that take any, and the shapes they lead to."""
    if isinstance(configuration, list | tuple):
        return [without_widths(each) for each in configuration]
    if not isinstance(configuration, Mapping):
        return configuration
    kind, config = configuration.get("class_name"), configuration.get("config")
    left = {name: without_widths(value) for name, value in configuration.items()}
    if not isinstance(config, Mapping):
        return left
    if kind == "__keras_tensor__":
        left["config"] = {**left["config"], "shape": len(config["shape"])}
    elif kind in WIDTHS or kind in PASSING:
        left.pop("build_config", None)
        left["config"].pop(WIDTHS.get(kind), None)
    return left
