"""Objectives: directions by name, values, order."""

import math

import keras
import pytest

import afina as kt
from afina.errors import ObjectiveError
from afina.trials import MultiObjective, Objective, create_objective, infer_metric_direction


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("val_loss", "min"),
        ("loss", "min"),
        ("val_accuracy", "max"),
        ("acc", "max"),
        ("val_acc", "max"),
        ("weighted_accuracy", "max"),
        ("val_weighted_accuracy", "max"),
        ("crossentropy", "min"),
        ("val_ce", "min"),
        ("mse", "min"),
        ("mean_squared_error", "min"),
        ("val_auc", "max"),
        ("val_auc_1", "max"),
        ("precision_2", "max"),
        ("f1_score", "max"),
        ("val_r2_score", "max"),
        ("cosine_similarity", "max"),
        ("binary_io_u", "max"),
        ("mean_io_u", "max"),
        ("precision_at_recall", "max"),
        ("false_positives", "min"),
        ("true_positives", "max"),
        ("top_k_categorical_accuracy", "max"),
        ("my_metric", None),
        ("", None),
    ],
)
def test_the_direction_of_a_keras_metric_is_known_by_its_name(name, direction):
    assert infer_metric_direction(name) == direction


NO_METRICS = {"Metric", "Loss", "get", "serialize", "deserialize"}


def test_every_metric_and_loss_of_keras_has_a_direction():
    unknown = []
    for module in (keras.metrics, keras.losses):
        for name in dir(module):
            if name.startswith("_") or name in NO_METRICS:
                continue
            if infer_metric_direction(getattr(module, name)) is None:
                unknown.append(name)
    assert unknown == []


def test_a_loss_object_is_minimized_even_where_a_metric_of_its_name_is_maximized():
    assert infer_metric_direction(keras.losses.CosineSimilarity()) == "min"
    assert infer_metric_direction(keras.metrics.CosineSimilarity()) == "max"
    assert infer_metric_direction(keras.metrics.F1Score) == "max"


def test_an_unknown_name_asks_for_its_direction():
    with pytest.raises(ObjectiveError, match="Could not infer optimization direction"):
        create_objective("my_metric")


def test_a_direction_that_is_neither_min_nor_max_is_refused():
    with pytest.raises(ValueError, match="direction must be"):
        Objective("val_loss", "up")


def test_an_objective_prints_and_compares_as_in_keras_tuner():
    objective = kt.Objective("val_loss", "min")
    assert str(objective) == 'Objective(name="val_loss", direction="min")'
    assert objective == kt.Objective("val_loss", "min") != kt.Objective("val_loss", "max")
    assert objective.better_than(1, 2)
    assert not kt.Objective("acc", "max").better_than(1, 2)
    assert not objective.better_than(math.nan, 1)


def test_a_list_of_objectives_is_their_signed_sum():
    both = create_objective(["val_loss", kt.Objective("auc", "max")])
    assert isinstance(both, MultiObjective)
    assert both.name == "multi_objective"
    assert both.get_value({"val_loss": 3.0, "auc": 0.5}) == 2.5
    assert not both.has_value({"val_loss": 3.0})
    assert str(both).startswith('MultiObjective(name="multi_objective", direction="min"): [')
    assert both == create_objective(["val_loss", kt.Objective("auc", "max")])
    assert both != create_objective(["val_loss"])


def test_without_an_objective_the_returned_number_is_minimized():
    objective = create_objective(None)
    assert (objective.name, objective.direction) == ("default_objective", "min")


@pytest.mark.parametrize("bad", [3, {"val_loss": "min"}, []])
def test_what_is_no_objective_is_refused_with_advice(bad):
    with pytest.raises(ObjectiveError, match="must"):
        create_objective(bad)


def test_several_objectives_are_equal_in_any_order():
    both = create_objective(["accuracy", "loss"])
    assert both == create_objective(["loss", "accuracy"])
    assert hash(both) == hash(create_objective(["loss", "accuracy"]))
    assert both != create_objective(["loss", "loss"])
    assert both != create_objective(["accuracy", "val_loss"])
    assert both != kt.Objective("multi_objective", "min")


@pytest.mark.parametrize("bad", [3, 0.5, {"val_loss": "min"}, b"val_loss", ["val_loss", 3]])
def test_an_objective_of_the_wrong_kind_is_a_type_error_too(bad):
    with pytest.raises(TypeError, match="must be a metric's name"):
        create_objective(bad)
    with pytest.raises(ObjectiveError, match="must be a metric's name"):
        create_objective(bad)
    with pytest.raises(TypeError, match="must be a metric's name"):
        Objective(bad, "min")
