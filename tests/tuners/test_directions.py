"""Which metrics a search maximizes: known by name, by output, or by the compiled metric itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import afina as kt
from afina.engine.metrics_tracking import MetricsTracker, infer_metric_direction
from afina.errors import FatalTypeError, FatalValueError, NoObjectiveError, ObjectiveError


class Gini(keras.metrics.AUC):  # type: ignore[misc]
    """A metric of the user's own, made of one of Keras."""


def two_heads(hp: Any) -> Any:
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(hp.Int("units", 2, 3))(inputs)
    outputs = {
        "head_1": keras.layers.Dense(1, name="head_1")(hidden),
        "head_2": keras.layers.Dense(1, activation="sigmoid", name="head_2")(hidden),
    }
    model = keras.Model(inputs, outputs)
    model.compile(
        optimizer="sgd",
        loss={"head_1": "mse", "head_2": "binary_crossentropy"},
        metrics={"head_2": ["accuracy", keras.metrics.AUC(name="quality"), Gini(name="g")]},
    )
    return model


def data() -> dict[str, Any]:
    x = np.random.default_rng(3).random((32, 3), dtype="float32")
    y = {"head_1": x.sum(1), "head_2": (x.sum(1) > 1.5).astype("float32")}
    return {"x": x, "y": y, "validation_data": (x, y), "epochs": 1, "verbose": 0}


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("head_2_accuracy", "max"),
        ("val_head_2_auc", "max"),
        ("val_head_2_auc_1", "max"),
        ("val_out_weighted_acc", "max"),
        ("out_top_k_categorical_accuracy", "max"),
        ("val_out_loss", "min"),
        ("out_mean_squared_error", "min"),
        ("Out_MAE", "min"),
        ("out_cosine_similarity", "max"),
        # The end of the name is no metric, or is turned around by what stands in front of it.
        ("accuracy_of_head", None),
        ("neg_mean_squared_error", None),
        ("one_minus_auc", None),
        ("reward_mean", None),
        ("score_sum", None),
        ("val_val_loss", None),
        ("smoothloss", None),
    ],
)
def test_of_an_output_s_metric_the_end_of_the_name_tells_the_direction(
    name: str, direction: str | None
) -> None:
    assert infer_metric_direction(name) == direction


def test_a_class_made_of_a_metric_of_keras_has_its_direction() -> None:
    class Other(keras.metrics.Metric):  # type: ignore[misc]
        pass

    class Average(keras.metrics.Mean):  # type: ignore[misc]
        pass

    assert infer_metric_direction(Gini()) == infer_metric_direction(Gini) == "max"
    assert infer_metric_direction(Other) is None
    assert infer_metric_direction(Average()) is None


def test_a_tracker_takes_the_direction_of_a_metric_object_whatever_its_name() -> None:
    metrics = [keras.metrics.AUC(name="quality"), keras.metrics.MeanSquaredError(name="accuracy")]
    tracker = MetricsTracker(metrics)
    assert tracker.get_direction("quality") == "max"
    assert tracker.get_direction("accuracy") == "min"


@pytest.mark.parametrize(
    ("objective", "directions"),
    [
        ("val_head_2_accuracy", ["max"]),
        ("val_head_2_quality", ["max"]),
        ("head_2_g", ["max"]),
        (["val_head_2_quality", "val_head_1_loss"], ["max", "min"]),
    ],
)
def test_an_objective_is_known_by_the_metric_that_the_model_is_compiled_with(
    tmp_path: Path, objective: Any, directions: list[str]
) -> None:
    for tuner_class in (kt.RandomSearch, kt.GridSearch, kt.BayesianOptimization, kt.Hyperband):
        tuner = tuner_class(two_heads, objective, directory=tmp_path / tuner_class.__name__)
        found = tuner.oracle.objective
        parts = getattr(found, "objectives", (found,))
        assert [part.direction for part in parts] == directions


def test_the_metrics_that_the_tuner_compiles_tell_a_direction_too(tmp_path: Path) -> None:
    metrics = [keras.metrics.Recall(name="found")]
    tuner = kt.RandomSearch(two_heads, "val_found", metrics=metrics, directory=tmp_path)
    assert tuner.oracle.objective == kt.Objective("val_found", "max")


def test_a_name_that_neither_keras_nor_the_model_knows_asks_for_its_direction() -> None:
    with pytest.raises(ObjectiveError, match="Could not infer optimization direction"):
        kt.RandomSearch(two_heads, "val_nonsense")


def test_a_trial_records_the_direction_of_each_compiled_metric_and_keeps_it(tmp_path: Path) -> None:
    tuner = kt.RandomSearch(two_heads, "val_loss", max_trials=1, seed=1, directory=tmp_path)
    tuner.search(**data())
    again = kt.RandomSearch(two_heads, "val_loss", max_trials=1, seed=1, directory=tmp_path)
    for each in (tuner, again):
        metrics = each.oracle.get_best_trials()[0].metrics
        larger = {name for name in metrics.metrics if metrics.get_direction(name) == "max"}
        names = {"head_2_accuracy", "head_2_quality", "head_2_g"}
        assert larger == names | {f"val_{name}" for name in names}


def test_the_direction_of_an_objective_stays_with_its_trial_after_a_reload(tmp_path: Path) -> None:
    class Toy(kt.RandomSearch):  # type: ignore[misc]
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            return {"reward": float(trial.hyperparameters.Int("x", 0, 9)), "cost": 1.0}

    arguments: dict[str, Any] = {"objective": kt.Objective("reward", "max"), "directory": tmp_path}
    Toy(max_trials=1, **arguments).search(verbose=0)
    metrics = Toy(max_trials=1, **arguments).oracle.get_best_trials()[0].metrics
    assert metrics.get_direction("reward") == "max"
    assert metrics.get_direction("cost") == "min"


@pytest.mark.parametrize("result", [{"score": 0.5}, {}, {"val_accuracy": 0.5, "loss": 1.0}])
def test_metrics_by_name_without_an_objective_ask_to_name_one(tmp_path: Path, result: Any) -> None:
    class Toy(kt.RandomSearch):  # type: ignore[misc]
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            trial.hyperparameters.Int("x", 0, 9)
            return result

    with pytest.raises(NoObjectiveError, match=r"objective=kt\.Objective\(") as caught:
        Toy(max_trials=1, directory=tmp_path).search(verbose=0)
    assert isinstance(caught.value, FatalTypeError)
    assert isinstance(caught.value, FatalValueError)


def test_a_dict_that_names_the_default_objective_is_a_result(tmp_path: Path) -> None:
    class Toy(kt.RandomSearch):  # type: ignore[misc]
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            trial.hyperparameters.Int("x", 0, 9)
            return {"default_objective": 2.0, "other": 1.0}

    tuner = Toy(max_trials=1, directory=tmp_path)
    tuner.search(verbose=0)
    assert tuner.oracle.get_best_trials()[0].score == 2.0
