"""The image networks: their hyperparameters as documented, and what they compute."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
import pytest

import afina as kt
from afina.applications import (
    HyperEfficientNet,
    HyperImageAugment,
    HyperResNet,
    HyperXception,
)
from afina.space import Boolean, Choice, Float, HyperParameters, Int

from .conftest import Build, traced

SMALL = {"input_shape": (32, 32, 3), "classes": 4}


class FromScratch(HyperEfficientNet):
    """Needs no network."""

    weights = None


def table(hp: HyperParameters) -> list[Any]:
    """Name, values or bounds, and default of each entry."""
    rows: list[Any] = []
    for entry in hp.space:
        assert entry.conditions == ()
        if isinstance(entry, Int | Float):
            bounds = (entry.min_value, entry.max_value, entry.step)
            rows.append((entry.name, bounds, entry.default))
        else:
            assert isinstance(entry, Choice | Boolean)
            rows.append((entry.name, list(entry.values), entry.default))
    return rows


RESNET = [
    ("version", ["v1", "v2", "next"], "v2"),
    ("conv3_depth", [4, 8], 4),
    ("conv4_depth", [6, 23, 36], 6),
    ("pooling", ["avg", "max"], "avg"),
    ("optimizer", ["adam", "rmsprop", "sgd"], "adam"),
    ("learning_rate", [0.1, 0.01, 0.001], 0.01),
]
XCEPTION = [
    ("activation", ["relu", "selu"], "relu"),
    ("conv2d_num_filters", [32, 64, 128], 64),
    ("kernel_size", [3, 5], 3),
    ("initial_strides", [2], 2),
    ("sep_num_filters", (128, 768, 128), 256),
    ("num_residual_blocks", (2, 8, 1), 4),
    ("pooling", ["avg", "flatten", "max"], "avg"),
    ("num_dense_layers", (1, 3, 1), 1),
    ("dropout_rate", (0.0, 0.6, 0.1), 0.5),
    ("dense_use_bn", [True, False], True),
    ("learning_rate", [1e-3, 1e-4, 1e-5], 1e-3),
]
EFFICIENTNET = [
    ("version", [f"B{i}" for i in range(8)], "B0"),
    ("pooling", ["avg", "max"], "avg"),
    ("top_dropout_rate", (0.2, 0.8, 0.2), 0.2),
    ("learning_rate", [0.1, 0.01, 0.001], 0.01),
]


@pytest.mark.first("HyperResNet-expected0-ResNet", "HyperXception-expected1-Xception")
@pytest.mark.parametrize(
    ("kind", "expected", "name"),
    [
        (HyperResNet, RESNET, "ResNet"),
        (HyperXception, XCEPTION, "Xception"),
        (FromScratch, EFFICIENTNET, "EfficientNet"),
    ],
)
def test_a_network_has_the_documented_hyperparameters_and_trains_on_one_hot_labels(
    kind: Any, expected: Any, name: str, build: Build
) -> None:
    model, hp = build(kind(**SMALL))
    assert table(hp) == expected
    assert model.name == name
    assert model.loss == "categorical_crossentropy"
    assert float(model.optimizer.learning_rate) == pytest.approx(hp.get("learning_rate"))
    assert traced(model, training=True) == traced(model, training=False) == (2, 4)


@pytest.mark.parametrize(
    ("kind", "features", "values"),
    [
        (HyperResNet, 2048, {"version": "v1", "pooling": "max"}),
        (HyperXception, 256, {"sep_num_filters": 128, "num_residual_blocks": 2}),
    ],
)
def test_without_its_top_a_network_gives_features_and_is_not_compiled(
    kind: Any, features: int, values: Any, build: Build
) -> None:
    model, hp = build(kind(include_top=False, input_shape=(32, 32, 3)), **values)
    assert traced(model, training=False) == (2, features)
    assert not model.compiled
    assert hp.space[-1].name == "pooling"


# Parameters without biases of normalized convolutions and with the top for 4 classes; v1 and next
# as torchvision counts its resnet50 and resnext50_32x4d: 25,557,032 and 25,028,904 with 1000
# classes, less 996 * 2049, and with Keras' 2 untrained numbers for each normalized channel.
@pytest.mark.parametrize(("version", "torchvision"), [("v1", 25_557_032), ("next", 25_028_904)])
def test_a_resnet_of_50_layers_has_the_published_number_of_weights(
    version: str, torchvision: int, build: Build
) -> None:
    model, _ = build(HyperResNet(**SMALL), version=version)
    trained = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert trained == torchvision - 996 * 2049


def test_depths_are_numbers_of_blocks(build: Build) -> None:
    model, _ = build(HyperResNet(**SMALL), version="v1", conv3_depth=8, conv4_depth=23)
    names = [layer.name for layer in model.layers if layer.name.endswith("_add")]
    assert [sum(n.startswith(f"conv{i}_") for n in names) for i in (2, 3, 4, 5)] == [3, 8, 23, 3]


def test_a_random_xception_computes_probabilities(build: Build) -> None:
    values = {
        "activation": "selu",
        "conv2d_num_filters": 32,
        "kernel_size": 5,
        "sep_num_filters": 128,
        "num_residual_blocks": 2,
        "pooling": "flatten",
        "num_dense_layers": 2,
        "dense_use_bn": False,
    }
    model, _ = build(HyperXception(input_shape=(16, 16, 1), classes=3), **values)
    images = np.random.default_rng(1).random((2, 16, 16, 1), dtype="float32")
    probabilities = model.predict(images, verbose=0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)


def test_a_network_may_begin_at_the_user_s_own_tensor(build: Build) -> None:
    inputs = keras.Input((16, 16, 1))
    tensor = keras.layers.Rescaling(1 / 255)(inputs)
    model, _ = build(
        HyperXception(include_top=False, input_tensor=tensor),
        sep_num_filters=128,
        num_residual_blocks=2,
    )
    assert model.input_shape == (None, 16, 16, 1)
    assert any(isinstance(layer, keras.layers.Rescaling) for layer in model.layers)


@pytest.mark.parametrize("kind", [HyperResNet, HyperXception, HyperEfficientNet])
def test_missing_arguments_are_named(kind: Any) -> None:
    with pytest.raises(ValueError, match="`classes`"):
        kind(input_shape=(8, 8, 3))
    with pytest.raises(ValueError, match="`input_shape` or `input_tensor`"):
        kind(classes=2)


def test_names_of_the_user_are_kept() -> None:
    assert HyperResNet(**SMALL, name="mine", tunable=False).name == "mine"
    assert isinstance(HyperXception(**SMALL), kt.HyperModel)
    assert kt.applications.HyperResNet is HyperResNet


def test_an_augmentation_comes_first_and_brings_its_hyperparameters(build: Build) -> None:
    augment = HyperImageAugment(input_shape=(32, 32, 3), contrast=0, translate_x=None)
    model, hp = build(FromScratch(**SMALL, augmentation_model=augment), factor_rotate=0.2)
    assert [entry.name for entry in hp.space][:3] == [
        "augment_layers",
        "factor_rotate",
        "factor_translate_y",
    ]
    assert [layer.name for layer in model.layers][1:3] == ["image_rand_augment", "resize"]
    assert traced(model, training=True) == (2, 4)


def test_an_augmentation_that_is_no_model_is_refused() -> None:
    with pytest.raises(ValueError, match="augmentation_model"):
        HyperEfficientNet(**SMALL, augmentation_model=4)


def test_an_efficientnet_may_be_compiled_otherwise(build: Build) -> None:
    class Mine(FromScratch):
        def _compile(self, model: Any, hp: HyperParameters) -> None:
            model.compile(optimizer="adam", loss="mse")

    model, hp = build(Mine(**SMALL))
    assert model.loss == "mse"
    assert "learning_rate" not in hp


def test_where_weights_cannot_be_downloaded_it_says_so_once_and_starts_at_random(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Any] = []
    real = keras.applications.EfficientNetB0

    def offline(**kwargs: Any) -> Any:
        tried.append(kwargs["weights"])
        if kwargs["weights"] == "imagenet":
            raise Exception("URL fetch failure on https://example.org/b0.h5: None -- no route")
        return real(**kwargs)

    monkeypatch.setattr(keras.applications, "EfficientNetB0", offline)
    hypermodel = HyperEfficientNet(**SMALL)
    with pytest.warns(RuntimeWarning, match="EfficientNetB0.*random weights"):
        model, _ = build(hypermodel)
    assert model.compiled
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(hypermodel)
    assert tried == ["imagenet", None, None]


def test_an_error_that_is_no_failed_download_is_raised(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**kwargs: Any) -> Any:
        raise ValueError("something else")

    monkeypatch.setattr(keras.applications, "EfficientNetB0", broken)
    with pytest.raises(ValueError, match="something else"):
        build(HyperEfficientNet(**SMALL))


def test_grey_images_are_refused_where_imagenet_s_weights_need_colour(build: Build) -> None:
    with pytest.raises(ValueError, match="3 channels"):
        build(HyperEfficientNet(input_shape=(224, 224, 1), classes=2))
