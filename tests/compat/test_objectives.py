"""What is minimized or maximized, and the directions that are inferred from names."""

from __future__ import annotations

from typing import Any

import keras
import pytest

import afina as kt
from afina.engine.metrics_tracking import infer_metric_direction

INFERRED = {
    "loss": "min",
    "val_loss": "min",
    "crossentropy": "min",
    "ce": "min",
    "acc": "max",
    "val_acc": "max",
    "accuracy": "max",
    "val_accuracy": "max",
    "weighted_accuracy": "max",
    "val_weighted_acc": "max",
    "binary_accuracy": "max",
    "categorical_accuracy": "max",
    "val_sparse_categorical_accuracy": "max",
    "AUC": "max",
    "Precision": "max",
    "Recall": "max",
    "TruePositives": "max",
    "TrueNegatives": "max",
    "TopKCategoricalAccuracy": "max",
    "SparseTopKCategoricalAccuracy": "max",
    "FalsePositives": "min",
    "FalseNegatives": "min",
    "mse": "min",
    "val_mse": "min",
    "mae": "min",
    "mean_squared_error": "min",
    "val_mean_absolute_error": "min",
    "MeanAbsoluteError": "min",
    "RootMeanSquaredError": "min",
    "kl_divergence": "min",
    "hinge": "min",
    "poisson": "min",
    "my_own_metric": None,
    "val_val_loss": None,
}


@pytest.mark.parametrize("name", INFERRED)
def test_the_direction_is_inferred_from_the_name(name: str) -> None:
    assert infer_metric_direction(name) == INFERRED[name]


@pytest.mark.parametrize(
    "name", ["F1Score", "f1_score", "r2_score", "cosine_similarity", "BinaryIoU"]
)
def test_scores_that_grow_with_quality_are_maximized(name: str, mended: bool) -> None:
    assert (infer_metric_direction(f"val_{name}") == "max") is mended


@pytest.mark.parametrize("name", ["MeanIoU", "PrecisionAtRecall", "SensitivityAtSpecificity"])
def test_metrics_that_need_arguments_are_inferred_too(name: str, mended: bool) -> None:
    if mended:
        assert infer_metric_direction(name) == "max"
    else:
        with pytest.raises(TypeError):
            infer_metric_direction(name)


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        (keras.metrics.SparseCategoricalAccuracy, "max"),
        (keras.metrics.CategoricalAccuracy(), "max"),
        (keras.metrics.AUC(), "max"),
        (keras.metrics.MeanSquaredError, "min"),
        (keras.metrics.MeanAbsoluteError(), "min"),
        (keras.losses.MeanSquaredError(), "min"),
        (keras.losses.BinaryCrossentropy, "min"),
        (keras.metrics.binary_accuracy, "max"),
        (keras.losses.mean_absolute_error, "min"),
    ],
)
def test_the_direction_of_keras_objects_is_inferred(metric: Any, direction: str) -> None:
    assert infer_metric_direction(metric) == direction


def test_an_objective_looks_itself_up_in_the_logs() -> None:
    objective = kt.Objective("val_f1", "max")
    logs = {"loss": 0.5, "val_f1": 0.25}
    assert (objective.name, objective.direction) == ("val_f1", "max")
    assert objective.has_value(logs)
    assert not objective.has_value({"loss": 0.5})
    assert objective.get_value(logs) == 0.25
    assert str(objective) == 'Objective(name="val_f1", direction="max")'


def test_an_objective_knows_which_value_is_better() -> None:
    assert kt.Objective("a", "max").better_than(2, 1)
    assert kt.Objective("a", "min").better_than(1, 2)
    assert not kt.Objective("a", "min").better_than(1, 1)


def test_objectives_are_equal_by_name_and_direction() -> None:
    assert kt.Objective("a", "max") == kt.Objective(name="a", direction="max")
    assert kt.Objective("a", "max") != kt.Objective("a", "min")
    assert kt.Objective("a", "max") != kt.Objective("b", "max")


def test_a_direction_must_be_min_or_max(mended: bool) -> None:
    if mended:
        with pytest.raises(ValueError, match="upwards"):
            kt.Objective("score", "upwards")
    else:
        assert kt.Objective("score", "upwards").direction == "upwards"


def objective_of(objective: Any) -> Any:
    return kt.oracles.RandomSearchOracle(objective=objective).objective


def test_a_string_becomes_an_objective_with_its_direction() -> None:
    assert objective_of("val_accuracy") == kt.Objective("val_accuracy", "max")
    assert objective_of("val_loss") == kt.Objective("val_loss", "min")


def test_an_objective_is_taken_as_it_is() -> None:
    assert objective_of(kt.Objective("mine", "max")) == kt.Objective("mine", "max")


def test_no_objective_means_one_that_is_minimized() -> None:
    objective = objective_of(None)
    assert (objective.name, objective.direction) == ("default_objective", "min")


def test_a_name_without_a_direction_is_refused_at_construction() -> None:
    with pytest.raises(ValueError, match="Could not infer optimization direction"):
        objective_of("val_my_own")


def test_an_objective_of_another_type_is_refused() -> None:
    with pytest.raises((TypeError, ValueError), match="objective"):
        objective_of(3)


@pytest.fixture
def several() -> Any:
    return objective_of(["val_loss", "val_accuracy", kt.Objective("size", "min")])


def test_several_objectives_become_one_to_minimize(several: Any) -> None:
    assert isinstance(several, kt.Objective)
    assert (several.name, several.direction) == ("multi_objective", "min")
    assert [str(o) for o in several.objectives] == [
        'Objective(name="val_loss", direction="min")',
        'Objective(name="val_accuracy", direction="max")',
        'Objective(name="size", direction="min")',
    ]


def test_its_value_is_the_sum_of_what_to_minimize_less_what_to_maximize(several: Any) -> None:
    logs = {"val_loss": 0.5, "val_accuracy": 0.75, "size": 2.0, "loss": 100.0}
    assert several.get_value(logs) == pytest.approx(1.75)
    assert several.has_value(logs)
    assert not several.has_value({"val_loss": 0.5, "size": 2.0})
    assert several.better_than(-1.0, 0.0)


def test_several_objectives_print_their_parts(several: Any) -> None:
    text = str(objective_of(["val_loss", "val_accuracy"]))
    assert text == (
        'MultiObjective(name="multi_objective", direction="min"): '
        '[Objective(name="val_loss", direction="min"), '
        'Objective(name="val_accuracy", direction="max")]'
    )


def test_a_dict_of_all_objectives_is_a_result(project: dict[str, Any], mended: bool) -> None:
    class Two(kt.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            x = trial.hyperparameters.Int("x", 0, 5)
            result = {"val_loss": float(x), "val_accuracy": 2.0 * x}
            # Keras Tuner itself wants to be told the sum.
            return result if mended else {**result, "multi_objective": -1.0 * x}

    tuner = Two(objective=["val_loss", "val_accuracy"], max_trials=4, seed=1, **project)
    tuner.search(verbose=0)
    best = tuner.oracle.get_best_trials()[0]
    assert best.score == -max(t.hyperparameters.get("x") for t in tuner.oracle.trials.values())
    assert best.metrics.get_best_value("val_accuracy") == 2.0 * best.hyperparameters.get("x")


def test_a_history_is_scored_by_the_best_epoch_of_the_sum(project: dict[str, Any]) -> None:
    class Two(kt.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            history = keras.callbacks.History()
            history.history = {"val_loss": [0.5, 0.25, 1.0], "val_accuracy": [0.5, 0.5, 1.5]}
            return history

    tuner = Two(objective=["val_loss", "val_accuracy"], max_trials=1, **project)
    tuner.search(verbose=0)
    (best,) = tuner.oracle.get_best_trials()
    assert (best.score, best.best_step) == (-0.5, 2)


def test_missing_one_of_several_objectives_is_refused(project: dict[str, Any]) -> None:
    oracle = kt.oracles.RandomSearchOracle(objective=["val_loss", "val_accuracy"], max_trials=1)
    oracle.verbose = 0
    oracle._set_project_dir(project["directory"], "project")
    trial = oracle.create_trial("tuner0")
    with pytest.raises(ValueError, match="val_accuracy"):
        oracle.update_trial(trial.trial_id, {"val_loss": 0.5})
