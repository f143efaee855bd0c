"""Image augmentation: its hyperparameters, and what it does to images."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from afina.applications import HyperImageAugment
from afina.applications.random_augment import RandomAugment
from afina.space import Float, HyperParameters, Int

from .conftest import Build

IMAGES = np.random.default_rng(3).random((16, 8, 8, 3), dtype="float32")


def table(hp: HyperParameters) -> dict[str, tuple[Any, ...]]:
    rows: dict[str, tuple[Any, ...]] = {}
    for entry in hp.space:
        assert isinstance(entry, Int | Float)
        rows[entry.name] = (entry.min_value, entry.max_value, entry.step, entry.default)
    return rows


def numbers(tensor: Any) -> Any:
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def test_it_has_the_documented_hyperparameters(build: Build) -> None:
    model, hp = build(HyperImageAugment(input_shape=(8, 8, 3)))
    assert table(hp) == {
        "augment_layers": (1, 3, 1, 1),
        "factor_rotate": (0.0, 0.5, None, 0.0),
        "factor_translate_x": (0.0, 0.4, None, 0.0),
        "factor_translate_y": (0.0, 0.4, None, 0.0),
        "factor_contrast": (0.0, 0.3, None, 0.0),
    }
    assert model.name == "image_rand_augment"
    assert not model.compiled


def test_without_layers_to_draw_the_order_is_fixed(build: Build) -> None:
    hypermodel = HyperImageAugment(
        input_shape=(8, 8, 3), rotate=(0.1, 0.4), translate_y=0, contrast=None, augment_layers=0
    )
    model, hp = build(hypermodel, factor_translate_x=0.2)
    assert table(hp) == {
        "factor_rotate": (0.1, 0.4, 0.05, 0.1),
        "factor_translate_x": (0.0, 0.4, 0.05, 0.0),
    }
    assert [layer.name for layer in model.layers[1:]] == ["rotate", "translate_x"]
    assert model.name == "image_augment"


def test_what_is_on_is_a_list_of_names_and_bounds() -> None:
    hypermodel = HyperImageAugment(
        input_shape=(8, 8, 3), rotate=0.3, translate_x=[0.1, 0.5], translate_y=None, contrast=False
    )
    assert hypermodel.transforms == [("rotate", (0, 0.3)), ("translate_x", (0.1, 0.5))]


@pytest.mark.parametrize("off", [None, 0, 0.0, False])
@pytest.mark.parametrize("layers", [0, 2])
def test_a_transformation_is_off_in_every_way_to_say_so(
    off: Any, layers: int, build: Build
) -> None:
    hypermodel = HyperImageAugment(input_shape=(8, 8, 3), contrast=off, augment_layers=layers)
    _, hp = build(hypermodel)
    assert "factor_contrast" not in hp.values
    assert "factor_rotate" in hp.values


@pytest.mark.parametrize("count", [1, 3])
def test_each_draw_is_a_layer(count: int, build: Build) -> None:
    model, _ = build(HyperImageAugment(input_shape=(8, 8, 3)), augment_layers=count)
    assert len(model.layers) == 1 + count
    assert all(isinstance(layer, RandomAugment) for layer in model.layers[1:])


@pytest.mark.parametrize("off", [None, 0, False])
def test_a_fixed_order_can_be_asked_for_in_every_way(off: Any, build: Build) -> None:
    model, _ = build(HyperImageAugment(input_shape=(8, 8, 3), augment_layers=off))
    assert model.name == "image_augment"


def test_a_pair_bounds_the_number_of_layers(build: Build) -> None:
    _, hp = build(HyperImageAugment(input_shape=(8, 8, 3), augment_layers=(2, 5)))
    assert table(hp)["augment_layers"] == (2, 5, 1, 2)


def test_with_its_defaults_it_changes_nothing(build: Build) -> None:
    model, _ = build(HyperImageAugment(input_shape=(8, 8, 3)))
    np.testing.assert_array_equal(numbers(model(IMAGES, training=True)), IMAGES)


@pytest.mark.parametrize("layers", [0, 2])
def test_images_are_changed_while_training_and_only_then(layers: int, build: Build) -> None:
    hypermodel = HyperImageAugment(input_shape=(8, 8, 3), augment_layers=layers)
    model, _ = build(hypermodel, factor_rotate=0.3, factor_translate_x=0.4)
    np.testing.assert_array_equal(numbers(model(IMAGES, training=False)), IMAGES)
    changed = numbers(model(IMAGES, training=True))
    assert changed.shape == IMAGES.shape
    assert np.isfinite(changed).all()
    assert (changed != IMAGES).any(axis=(1, 2, 3)).sum() >= 4


def test_each_image_has_a_draw_of_its_own() -> None:
    layer = RandomAugment({"translate_x": 0.5, "contrast": 0.0}, rounds=1, seed=7)
    changed = (numbers(layer(IMAGES, training=True)) != IMAGES).any(axis=(1, 2, 3))
    assert 0 < changed.sum() < len(IMAGES)  # contrast 0 is the identity, and was drawn as well


def test_a_model_with_augmentation_trains_in_compiled_steps(build: Build) -> None:
    model, _ = build(
        HyperImageAugment(input_shape=(8, 8, 3), augment_layers=2),
        factor_rotate=0.3,
        factor_contrast=0.3,
        augment_layers=2,
    )
    x = keras.layers.Flatten()(model.output)
    whole = keras.Model(model.input, keras.layers.Dense(1)(x))
    whole.compile(optimizer="sgd", loss="mse", jit_compile=True)
    history = whole.fit(IMAGES, np.zeros((16, 1)), batch_size=8, epochs=2, verbose=0)
    assert whole.jit_compile
    assert np.isfinite(history.history["loss"]).all()


def test_the_layer_is_saved_with_its_model(tmp_path: Any, build: Build) -> None:
    model, _ = build(HyperImageAugment(input_shape=(8, 8, 3)), factor_rotate=0.25)
    model.save(tmp_path / "augment.keras")
    again = keras.saving.load_model(tmp_path / "augment.keras")
    assert again.layers[1].factors == model.layers[1].factors


@pytest.mark.parametrize(
    "wrong",
    [
        {"rotate": "a lot"},
        {"rotate": (0.1, 0.2, 0.3)},
        {"contrast": (0.4, 0.2)},
        {"translate_x": -0.1},
        {"translate_y": 1.5},
        {"augment_layers": 1.5},
        {"augment_layers": -1},
        {"augment_layers": (3, 1)},
    ],
)
def test_a_range_that_is_none_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        HyperImageAugment(input_shape=(8, 8, 3), **wrong)


def test_it_needs_an_input() -> None:
    with pytest.raises(ValueError, match="`input_shape` or `input_tensor`"):
        HyperImageAugment()
