"""`HyperResNet`: residual networks of three generations, in their 50- to 152-layer sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from afina.applications.ends import check_ends, compile_classifier, open_input, pool
from afina.space import HyperParameters
from afina.tuners.hypermodel import HyperModel

WIDTHS = (64, 128, 256, 512)  # of the narrow convolutions, a stage each
CARDINALITY = 32
BN_EPSILON = 1.001e-5

Block = Callable[[Any, int, int, bool, str], Any]
"""(x, width, stride, whether it opens a stage, name) to the block's output."""


class HyperResNet(HyperModel):
    """A ResNet whose generation, depth, pooling and optimizer are tuned.

    Hyperparameters: `version` (v1, v2, next), `conv3_depth`, `conv4_depth` (blocks of the second
    and third stage), `pooling`; with the top also `optimizer` and `learning_rate`.

    Args:
        include_top: True adds the softmax and compiles for one-hot labels; False ends with the
            pooled features and does not compile.
        input_shape: (height, width, channels).
        input_tensor: A symbolic tensor to start from, instead of `input_shape`.
        classes: The number of classes; needed with the top.
        kwargs: `name` and `tunable`, see `HyperModel`.

    Raises:
        ArgumentError: Classes or input are missing.

    Source:
        v1: He et al., arXiv:1512.03385, with the stride in the 3x3 convolution, which is more
        accurate than in the first 1x1. v2: He et al., arXiv:1603.05027. next: Xie et al.,
        arXiv:1611.05431, 32 groups.
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
            "HyperResNet",
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
        version = hp.Choice("version", ["v1", "v2", "next"], default="v2")
        depths = (
            3,
            hp.Choice("conv3_depth", [4, 8]),
            hp.Choice("conv4_depth", [6, 23, 36]),
            3,
        )
        inputs, x = open_input(self.input_shape, self.input_tensor)
        x = _stem(x, activated=version != "v2")
        x = _stages(x, depths, {"v1": _block_v1, "v2": _block_v2, "next": _block_next}[version])
        if version == "v2":
            x = _activated(x, "post")
        x = pool(x, hp.Choice("pooling", ["avg", "max"]), "pool")
        if not self.include_top:
            return keras.Model(inputs, x, name="ResNet")
        x = layers.Dense(self.classes, activation="softmax", name="probs")(x)
        model = keras.Model(inputs, x, name="ResNet")
        optimizer = hp.Choice("optimizer", ["adam", "rmsprop", "sgd"])
        rate = hp.Choice("learning_rate", [0.1, 0.01, 0.001], default=0.01)
        compile_classifier(model, _optimizer(optimizer, rate))
        return model


def _optimizer(name: str, learning_rate: float) -> Any:
    config = {"class_name": name, "config": {"learning_rate": learning_rate}}
    return keras.optimizers.get(config)


def _normalized(x: Any, name: str) -> Any:
    return layers.BatchNormalization(epsilon=BN_EPSILON, name=f"{name}_bn")(x)


def _activated(x: Any, name: str) -> Any:
    return layers.Activation("relu", name=f"{name}_relu")(_normalized(x, name))


def _conv(x: Any, width: int, kernel: int, name: str, *, stride: int = 1, groups: int = 1) -> Any:
    """A convolution without bias, because a normalization follows it."""
    return layers.Conv2D(
        width,
        kernel,
        strides=stride,
        padding="same",
        groups=groups,
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)


def _stem(x: Any, *, activated: bool) -> Any:
    x = _conv(x, 64, 7, "stem", stride=2)
    if activated:
        x = _activated(x, "stem")
    return layers.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")(x)


def _stages(x: Any, depths: tuple[int, ...], block: Block) -> Any:
    for stage, (width, depth) in enumerate(zip(WIDTHS, depths, strict=True), start=2):
        for index in range(depth):
            opens = index == 0
            stride = 2 if opens and stage > 2 else 1  # the stem has already halved the first stage
            x = block(x, width, stride, opens, f"conv{stage}_block{index + 1}")
    return x


def _block_v1(x: Any, width: int, stride: int, opens: bool, name: str) -> Any:
    return _post_activated(x, (width, width, 4 * width), stride, opens, name, groups=1)


def _block_next(x: Any, width: int, stride: int, opens: bool, name: str) -> Any:
    widths = (2 * width, 2 * width, 4 * width)
    return _post_activated(x, widths, stride, opens, name, groups=CARDINALITY)


def _post_activated(
    x: Any, widths: tuple[int, int, int], stride: int, opens: bool, name: str, *, groups: int
) -> Any:
    """A block that narrows, convolves and widens, and activates the sum."""
    shortcut = x
    if opens:
        shortcut = _conv(x, widths[2], 1, f"{name}_0", stride=stride)
        shortcut = _normalized(shortcut, f"{name}_0")
    x = _activated(_conv(x, widths[0], 1, f"{name}_1"), f"{name}_1")
    x = _conv(x, widths[1], 3, f"{name}_2", stride=stride, groups=groups)
    x = _activated(x, f"{name}_2")
    x = _normalized(_conv(x, widths[2], 1, f"{name}_3"), f"{name}_3")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_out")(x)


def _block_v2(x: Any, width: int, stride: int, opens: bool, name: str) -> Any:
    """A block that activates first, so that the sum is a direct path through the network."""
    before = _activated(x, f"{name}_0")
    shortcut = _conv(before, 4 * width, 1, f"{name}_0", stride=stride) if opens else x
    x = _activated(_conv(before, width, 1, f"{name}_1"), f"{name}_1")
    x = _activated(_conv(x, width, 3, f"{name}_2", stride=stride), f"{name}_2")
    x = _conv(x, 4 * width, 1, f"{name}_3")
    return layers.Add(name=f"{name}_out")([shortcut, x])
