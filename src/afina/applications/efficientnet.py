"""`HyperEfficientNet`: fine-tunes EfficientNets that were trained on ImageNet."""

from __future__ import annotations

import http.client
import warnings
from typing import Any, ClassVar

import keras
from keras import layers

from afina.applications.ends import check_ends, compile_classifier, open_input, pool
from afina.errors import ArgumentError, wrong
from afina.space import HyperParameters
from afina.tuners.hypermodel import HyperModel

# Height and width, in pixels, that each version was designed for: Tan & Le, arXiv:1905.11946.
SIZES = {
    "B0": 224,
    "B1": 240,
    "B2": 260,
    "B3": 300,
    "B4": 380,
    "B5": 456,
    "B6": 528,
    "B7": 600,
}


class HyperEfficientNet(HyperModel):
    """An EfficientNet of Keras whose size, pooling, dropout and learning rate are tuned.

    Hyperparameters: those of the augmentation, then `version` (B0 to B7), `pooling`,
    `top_dropout_rate` and `learning_rate`. Images (0 to 255) are resized to the size of the
    version. To compile it differently, override `_compile(model, hp)`.

    Keras downloads the ImageNet weights once and keeps them. If that fails, the version starts from
    random weights and issues a RuntimeWarning. To start from random weights on purpose, set
    `weights = None` on a subclass.

    Args:
        input_shape: (height, width, channels); the ImageNet weights need three channels.
        input_tensor: A symbolic tensor to start from, instead of `input_shape`.
        classes: The number of classes.
        augmentation_model: A Keras Model or a HyperModel to apply to the images first, such as
            `HyperImageAugment`; None for no augmentation.
        kwargs: `name` and `tunable`, see `HyperModel`.

    Raises:
        ArgumentError: Classes or input are missing, or the augmentation is not a model.
    """

    weights: ClassVar[str | None] = "imagenet"

    def __init__(
        self,
        input_shape: Any = None,
        input_tensor: Any = None,
        classes: int | None = None,
        augmentation_model: Any = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(augmentation_model, HyperModel | keras.Model | None):
            raise ArgumentError(
                wrong(
                    "HyperEfficientNet",
                    "`augmentation_model` must be a HyperModel, a Keras Model or None",
                    augmentation_model,
                )
            )
        check_ends(
            "HyperEfficientNet",
            classes=classes,
            needs_classes=True,
            input_shape=input_shape,
            input_tensor=input_tensor,
        )
        super().__init__(**kwargs)
        self.input_shape = input_shape
        self.input_tensor = input_tensor
        self.classes = classes
        self.augmentation_model = augmentation_model
        self._unreachable: set[str] = set()

    def build(self, hp: HyperParameters) -> Any:
        """Builds and compiles the network."""
        inputs, x = open_input(self.input_shape, self.input_tensor)
        augmentation = self.augmentation_model
        if isinstance(augmentation, HyperModel):
            augmentation = augmentation.build(hp)
        if augmentation is not None:
            x = augmentation(x)
        version = hp.Choice("version", list(SIZES), default="B0")
        size = SIZES[version]
        if tuple(x.shape[1:3]) != (size, size):
            x = layers.Resizing(size, size, interpolation="bilinear", name="resize")(x)
        x = self._backbone(version, x)
        x = pool(x, hp.Choice("pooling", ["avg", "max"]), "pool")
        rate = hp.Float("top_dropout_rate", 0.2, 0.8, step=0.2, default=0.2)
        x = layers.Dropout(rate, name="top_dropout")(x)
        x = layers.Dense(self.classes, activation="softmax", name="probs")(x)
        model = keras.Model(inputs, x, name="EfficientNet")
        self._compile(model, hp)
        return model

    def _compile(self, model: Any, hp: HyperParameters) -> None:
        """Compiles the model with SGD for one-hot labels; you may override it."""
        rate = hp.Choice("learning_rate", [0.1, 0.01, 0.001], default=0.01)
        compile_classifier(model, keras.optimizers.SGD(momentum=0.1, learning_rate=rate))

    def _backbone(self, version: str, x: Any) -> Any:
        """The network without its top, applied to `x`."""
        make = getattr(keras.applications, f"EfficientNet{version}")
        shape = tuple(x.shape[1:])
        if self.weights == "imagenet" and shape[-1] != 3:
            raise ArgumentError(
                wrong(
                    "HyperEfficientNet",
                    "images must have 3 channels for the ImageNet weights",
                    shape,
                    "Repeat a grey channel three times, or set weights = None on a subclass.",
                )
            )
        if self.weights is not None and version not in self._unreachable:
            try:
                return make(include_top=False, weights=self.weights, input_shape=shape)(x)
            except Exception as error:
                if not _is_download_failure(error):
                    raise
                self._unreachable.add(version)
                warnings.warn(
                    f"EfficientNet{version}: its ImageNet weights could not be downloaded "
                    f"({error}). It starts from random weights, so its scores say little about "
                    "fine-tuning. Search again with access to the network.",
                    RuntimeWarning,
                    stacklevel=2,
                )
        return make(include_top=False, weights=None, input_shape=shape)(x)


def _is_download_failure(error: Exception) -> bool:
    # Keras raises a bare Exception with this text, but lets errors of the connection through.
    bare = type(error) is Exception and "fetch failure" in str(error)
    return bare or isinstance(error, OSError | http.client.HTTPException)
