"""A layer that gives each image its own random choice of transformations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers, ops

from afina.errors import ArgumentError, wrong


def make_transform(name: str, factor: float) -> Any:
    """A layer that transforms each image of a batch by its own random amount.

    Args:
        name: "rotate", "translate_x", "translate_y" or "contrast".
        factor: The largest amount: turns, share of the width or height, share of the contrast.
    """
    if name == "rotate":
        layer = layers.RandomRotation(factor, name=name)
    elif name == "translate_x":
        layer = layers.RandomTranslation(height_factor=0.0, width_factor=factor, name=name)
    elif name == "translate_y":
        layer = layers.RandomTranslation(height_factor=factor, width_factor=0.0, name=name)
    elif name == "contrast":
        layer = layers.RandomContrast(factor, name=name)
    else:
        raise ArgumentError(wrong("transformation", "must be a known one", name))
    if keras.backend.backend() == "jax":
        # Keras marks the geometric layers as not compilable, which is true only of TensorFlow's
        # kernels. One such layer would prevent compilation of the whole model's training.
        layer.supports_jit = True
    return layer


@keras.saving.register_keras_serializable(package="afina")
class RandomAugment(layers.Layer):  # type: ignore[misc]
    """Applies a random transformation to each image, once in each round, only during training.

    Each transformation is applied to the whole batch, and each image picks its result. So shapes
    stay fixed, and the layer compiles on every backend.

    Args:
        factors: Transformation to its largest amount; 0 is the identity, which may be drawn too.
        rounds: The number of transformations for each image.
        seed: The seed of the draws; None for a random one.
        kwargs: The arguments of a Keras layer.

    Source:
        Cubuk et al., arXiv:1909.13719. Unlike there, each transformation has an amount of its own
        (an upper bound), and transformations are drawn for each image, not for the batch.
    """

    def __init__(
        self, factors: Mapping[str, float], rounds: int, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.factors = dict(factors)
        self.rounds = rounds
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)
        # Created here: in `call`, a layer would create its random state during a trace.
        self.transforms = [
            [
                make_transform(name, factor) if factor > 0 else None
                for name, factor in factors.items()
            ]
            for _ in range(rounds)
        ]

    def build(self, input_shape: Any) -> None:
        """Builds the transformations, whose random state must exist before the first trace."""
        for transforms in self.transforms:
            for transform in transforms:
                if transform is not None and not transform.built:
                    transform.build(input_shape)
        self.built = True

    def call(self, images: Any, training: bool = False) -> Any:
        """Transforms images (n, height, width, channels) while training."""
        if not training:
            return images
        for transforms in self.transforms:
            images = self._one_round(images, transforms)
        return images

    def _one_round(self, images: Any, transforms: list[Any]) -> Any:
        if not any(transforms):
            return images
        count = ops.shape(images)[0]
        drawn = keras.random.randint((count, 1, 1, 1), 0, len(transforms), seed=self.generator)
        result = images
        for index, transform in enumerate(transforms):
            if transform is not None:
                changed = ops.cast(transform(images, training=True), images.dtype)
                result = ops.where(ops.equal(drawn, index), changed, result)
        return result

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the images, unchanged."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments of the layer, as `from_config` needs them."""
        config = {"factors": self.factors, "rounds": self.rounds, "seed": self.seed}
        return {**super().get_config(), **config}
