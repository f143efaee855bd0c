"""The ready hypermodels of `kt.applications`."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import afina as kt
from afina import applications

XCEPTION = {
    "activation": ["relu", "selu"],
    "conv2d_num_filters": [32, 64, 128],
    "kernel_size": [3, 5],
    "initial_strides": [2],
    "pooling": ["avg", "flatten", "max"],
    "dense_use_bn": [True, False],
    "learning_rate": [1e-3, 1e-4, 1e-5],
}
RESNET = {
    "version": ["v1", "v2", "next"],
    "conv3_depth": [4, 8],
    "conv4_depth": [6, 23, 36],
    "pooling": ["avg", "max"],
    "optimizer": ["adam", "rmsprop", "sgd"],
    "learning_rate": [0.1, 0.01, 0.001],
}


@pytest.fixture
def cheap_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large networks start with zeros: drawing millions of numbers would take most of a test."""

    def zeros(self: Any, shape: Any, dtype: Any = None) -> Any:
        return np.zeros(shape, dtype or "float32")

    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", zeros)


@pytest.mark.parametrize(
    "make",
    [
        lambda: applications.HyperResNet(classes=3),
        lambda: applications.HyperResNet(input_shape=(32, 32, 3)),
        lambda: applications.HyperXception(classes=3),
        lambda: applications.HyperXception(input_shape=(32, 32, 3)),
        lambda: applications.HyperEfficientNet(classes=3),
        lambda: applications.HyperEfficientNet(input_shape=(32, 32, 3)),
        lambda: applications.HyperEfficientNet((32, 32, 3), classes=3, augmentation_model="flip"),
    ],
)
def test_missing_or_wrong_arguments_are_refused(make: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - which argument it is differs
        make()


def values_of(hp: Any) -> dict[str, list[Any]]:
    return {
        entry.name: list(entry.values)
        for entry in hp.space
        if type(entry).__name__ in ("Choice", "Boolean")
    }


@pytest.mark.usefixtures("cheap_weights")
def test_hyper_xception_builds_a_compiled_classifier() -> None:
    hp = kt.HyperParameters()
    hp.values = {"num_residual_blocks": 2, "sep_num_filters": 128}  # a small one
    model = applications.HyperXception(input_shape=(32, 32, 3), classes=3).build(hp)
    assert model.name == "Xception"
    assert model.output_shape == (None, 3)
    assert values_of(hp).items() >= XCEPTION.items()
    assert hp.get("conv2d_num_filters") == 64
    assert hp.get("dropout_rate") == 0.5
    assert {"num_dense_layers"} <= set(hp.values)
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert model.loss == "categorical_crossentropy"


@pytest.mark.usefixtures("cheap_weights")
def test_hyper_resnet_builds_a_compiled_classifier() -> None:
    hp = kt.HyperParameters()
    model = applications.HyperResNet(input_shape=(32, 32, 3), classes=3).build(hp)
    assert model.name == "ResNet"
    assert model.output_shape == (None, 3)
    assert values_of(hp).items() >= RESNET.items()
    assert hp.values == {
        "version": "v2",
        "conv3_depth": 4,
        "conv4_depth": 6,
        "pooling": "avg",
        "optimizer": "adam",
        "learning_rate": 0.01,
    }
    assert model.loss == "categorical_crossentropy"


def test_image_augmentation_has_a_factor_for_each_kind() -> None:
    augment = applications.HyperImageAugment(
        input_shape=(8, 8, 3), rotate=0.3, translate_x=[0.1, 0.2], contrast=None, augment_layers=0
    )
    hp = kt.HyperParameters()
    model = augment.build(hp)
    assert model.name == "image_augment"
    bounds = {e.name: (e.min_value, e.max_value, e.step) for e in hp.space}
    assert bounds == {
        "factor_rotate": (0, 0.3, 0.05),
        "factor_translate_x": (0.1, 0.2, 0.05),
        "factor_translate_y": (0, 0.4, 0.05),
    }
    images = np.zeros((2, 8, 8, 3), "float32")
    assert model(images).shape == (2, 8, 8, 3)


def test_image_augmentation_needs_an_input() -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the wording is free
        applications.HyperImageAugment()


def test_random_augmentation_chooses_how_many_layers(mended: bool) -> None:
    augment = applications.HyperImageAugment(input_shape=(8, 8, 3), augment_layers=3)
    hp = kt.HyperParameters()
    model = augment.build(hp)
    assert model.name == "image_rand_augment"
    entries = {e.name: e for e in hp.space}
    assert set(entries) == {
        *("factor_rotate", "factor_translate_x", "factor_translate_y"),
        *("factor_contrast", "augment_layers"),
    }
    assert entries["augment_layers"].max_value == 3
    images, labels = np.full((4, 8, 8, 3), 0.5, "float32"), np.array([0, 1, 0, 1])
    classifier = keras.Sequential([model, keras.layers.Flatten(), keras.layers.Dense(2)])
    classifier.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    if not mended:  # it makes layers while it is called, which no compiled training allows
        with pytest.raises(Exception):  # noqa: B017, PT011 - any error of the backend
            classifier.fit(images, labels, verbose=0)
        return
    history = classifier.fit(images, labels, verbose=0)
    assert np.isfinite(history.history["loss"][0])
