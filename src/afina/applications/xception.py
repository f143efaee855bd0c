"""`HyperXception`: a network of depthwise separable convolutions with residual connections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from afina.applications.ends import check_ends, compile_classifier, open_input, pool
from afina.space import HyperParameters
from afina.tuners.hypermodel import HyperModel


class HyperXception(HyperModel):
    """An Xception whose widths, depth, activation and classifier are tuned.

    Hyperparameters: `activation`, `conv2d_num_filters` (of the two plain convolutions at the
    entry), `kernel_size`, `initial_strides`, `sep_num_filters` (width of the middle; the entry
    comes up to it, the exit doubles it), `num_residual_blocks` (of the middle), `pooling`; with
    the top also `num_dense_layers`, `dropout_rate`, `dense_use_bn` and `learning_rate` of Adam.

    Args:
        include_top: True adds dense layers with a softmax, and compiles for one-hot labels; False
            ends with the pooled features and does not compile.
        input_shape: (height, width, channels).
        input_tensor: A symbolic tensor to start from, instead of `input_shape`.
        classes: The number of classes; needed with the top.
        kwargs: `name` and `tunable`, see `HyperModel`.

    Raises:
        ArgumentError: Classes or input are missing.

    Source:
        Chollet, arXiv:1610.02357, figure 5. Its width of 728 is `sep_num_filters` here, and the
        other widths keep their ratio to it, roughly.
    """

    def __init__(
        self,
        include_top: bool = True,
        input_shape: Any = None,
        input_tensor: Any = None,
        classes: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_ends(
            "HyperXception",
            classes=classes,
            needs_classes=include_top,
            input_shape=input_shape,
            input_tensor=input_tensor,
        )
        self.include_top = include_top
        self.input_shape = input_shape
        self.input_tensor = input_tensor
        self.classes = classes

    def build(self, hp: HyperParameters) -> Any:
        """Builds the network, and compiles it if it has its top."""
        activation = hp.Choice("activation", ["relu", "selu"])
        filters = hp.Choice("conv2d_num_filters", [32, 64, 128], default=64)
        bricks = Bricks(activation, hp.Choice("kernel_size", [3, 5]))
        strides = hp.Choice("initial_strides", [2])
        width = hp.Int("sep_num_filters", 128, 768, step=128, default=256)
        depth = hp.Int("num_residual_blocks", 2, 8, default=4)

        inputs, x = open_input(self.input_shape, self.input_tensor)
        x = bricks.entry(x, filters, strides, width)
        for index in range(depth):
            x = bricks.middle(x, width, f"middle{index + 1}")
        x = bricks.exit(x, width)
        x = pool(x, hp.Choice("pooling", ["avg", "flatten", "max"]), "pool")
        if not self.include_top:
            return keras.Model(inputs, x, name="Xception")
        x = self._classifier(x, hp, activation, width)
        model = keras.Model(inputs, x, name="Xception")
        rate = hp.Choice("learning_rate", [1e-3, 1e-4, 1e-5])
        compile_classifier(model, keras.optimizers.Adam(rate))
        return model

    def _classifier(self, x: Any, hp: HyperParameters, activation: str, width: int) -> Any:
        count = hp.Int("num_dense_layers", 1, 3)
        dropout = hp.Float("dropout_rate", 0.0, 0.6, step=0.1, default=0.5)
        normalized = hp.Choice("dense_use_bn", [True, False])
        for index in range(count):
            name = f"dense{index + 1}"
            x = layers.Dense(width, use_bias=not normalized, name=name)(x)
            if normalized:
                x = layers.BatchNormalization(name=f"{name}_bn")(x)
            x = layers.Activation(activation, name=f"{name}_act")(x)
            x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
        return layers.Dense(self.classes, activation="softmax", name="probs")(x)


@dataclass(frozen=True)
class Bricks:
    """The parts of one Xception: all have its activation and its kernel size."""

    activation: str
    kernel: int

    def entry(self, x: Any, filters: int, strides: int, width: int) -> Any:
        """Two plain convolutions, then three blocks that halve the maps and widen them."""
        for index, (count, step) in enumerate([(filters, strides), (2 * filters, 1)], start=1):
            name = f"stem{index}"
            x = layers.Conv2D(
                count, self.kernel, strides=step, padding="same", use_bias=False, name=name
            )(x)
            x = self._activated(layers.BatchNormalization(name=f"{name}_bn")(x), name)
        for index, share in enumerate((4, 2, 1), start=1):
            widths = (width // share, width // share)
            x = self._shrinking(x, widths, f"entry{index}", activated=index > 1)
        return x

    def middle(self, x: Any, width: int, name: str) -> Any:
        """Three separable convolutions beside an identity."""
        shortcut = x
        for index in range(1, 4):
            part = f"{name}_{index}"
            x = self._separable(self._activated(x, part), width, part)
        return layers.Add(name=f"{name}_out")([shortcut, x])

    def exit(self, x: Any, width: int) -> Any:
        """One more shrinking block, and two separable convolutions that widen for the pooling."""
        x = self._shrinking(x, (width, width * 3 // 2), "exit")
        for index in (1, 2):
            name = f"last{index}"
            x = self._activated(self._separable(x, 2 * width, name), name)
        return x

    def _activated(self, x: Any, name: str) -> Any:
        return layers.Activation(self.activation, name=f"{name}_act")(x)

    def _separable(self, x: Any, width: int, name: str) -> Any:
        x = layers.SeparableConv2D(
            width, self.kernel, padding="same", use_bias=False, name=f"{name}_sep"
        )(x)
        return layers.BatchNormalization(name=f"{name}_sep_bn")(x)

    def _shrinking(
        self, x: Any, widths: tuple[int, int], name: str, *, activated: bool = True
    ) -> Any:
        shortcut = layers.Conv2D(
            widths[1], 1, strides=2, padding="same", use_bias=False, name=f"{name}_short"
        )(x)
        shortcut = layers.BatchNormalization(name=f"{name}_short_bn")(shortcut)
        for index, width in enumerate(widths, start=1):
            part = f"{name}_{index}"
            if activated or index > 1:  # the stem has just been activated
                x = self._activated(x, part)
            x = self._separable(x, width, part)
        x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"{name}_pool")(x)
        return layers.Add(name=f"{name}_out")([shortcut, x])
