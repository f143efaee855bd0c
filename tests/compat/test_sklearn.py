"""`kt.SklearnTuner`: cross-validated searches over scikit-learn models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import afina as kt

sklearn = pytest.importorskip("sklearn")
pd = pytest.importorskip("pandas")
from sklearn import ensemble, linear_model, metrics, model_selection, pipeline, preprocessing  # noqa: E402


@pytest.fixture(scope="module")
def classes() -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, size=60)
    return rng.normal(size=(60, 4)) + y[:, None], y


@pytest.fixture(scope="module")
def numbers() -> tuple[Any, Any]:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(50, 3))
    return x, x @ np.array([1.0, 2.0, -1.0]) + 0.1 * rng.normal(size=50)


def oracle(max_trials: int = 2, **kwargs: Any) -> Any:
    objective = kt.Objective("score", "max")
    return kt.oracles.RandomSearchOracle(objective, max_trials=max_trials, seed=1, **kwargs)


def forest_or_ridge(hp: Any) -> Any:
    """The builder of the documentation's own example, smaller."""
    if hp.Choice("model_type", ["random_forest", "ridge"]) == "random_forest":
        with hp.conditional_scope("model_type", ["random_forest"]):
            return ensemble.RandomForestClassifier(
                n_estimators=hp.Int("n_estimators", 2, 6, step=2),
                max_depth=hp.Int("max_depth", 2, 4),
                random_state=0,
            )
    with hp.conditional_scope("model_type", ["ridge"]):
        return linear_model.RidgeClassifier(alpha=hp.Float("alpha", 1e-3, 1, sampling="log"))


def ridge(hp: Any) -> Any:
    return linear_model.Ridge(alpha=hp.Float("alpha", 1e-3, 10.0, sampling="log"))


def test_two_families_are_searched_with_scoring_and_splits(
    project: dict[str, Any], classes: tuple[Any, Any]
) -> None:
    x, y = classes
    tuner = kt.tuners.SklearnTuner(
        oracle=kt.oracles.BayesianOptimizationOracle(
            objective=kt.Objective("score", "max"), max_trials=4, seed=2
        ),
        hypermodel=forest_or_ridge,
        scoring=metrics.make_scorer(metrics.accuracy_score),
        cv=model_selection.StratifiedKFold(3),
        **project,
    )
    tuner.search(x, y)
    assert len(tuner.oracle.trials) == 4
    best = tuner.oracle.get_best_trials()[0]
    assert best.score == max(t.score for t in tuner.oracle.trials.values())
    (model,) = tuner.get_best_models(num_models=1)
    assert isinstance(model, ensemble.RandomForestClassifier | linear_model.RidgeClassifier)
    assert model.predict(x).shape == (60,)
    hp = tuner.get_best_hyperparameters()[0]
    assert type(tuner.hypermodel.build(hp)) is type(model)


def test_the_score_is_the_mean_over_five_shuffled_folds(
    project: dict[str, Any], numbers: tuple[Any, Any]
) -> None:
    x, y = numbers
    tuner = kt.SklearnTuner(oracle(1), ridge, **project)
    tuner.search(x, y)
    (trial,) = tuner.oracle.get_best_trials()
    model = linear_model.Ridge(alpha=trial.hyperparameters.get("alpha"))
    folds = model_selection.KFold(5, shuffle=True, random_state=1)
    assert trial.score == pytest.approx(
        model_selection.cross_val_score(model, x, y, cv=folds).mean()
    )


def test_more_metrics_are_kept_by_the_names_of_their_functions(
    project: dict[str, Any], numbers: tuple[Any, Any]
) -> None:
    tuner = kt.SklearnTuner(
        oracle(1),
        ridge,
        metrics=[metrics.mean_squared_error, metrics.mean_absolute_error],
        cv=model_selection.KFold(3),
        **project,
    )
    tuner.search(*numbers)
    (trial,) = tuner.oracle.get_best_trials()
    assert set(trial.metrics.metrics) == {"score", "mean_squared_error", "mean_absolute_error"}
    assert 0 < trial.metrics.get_best_value("mean_squared_error") < 0.1
    assert trial.metrics.get_direction("mean_squared_error") == "min"


def test_one_metric_needs_no_list(project: dict[str, Any], numbers: tuple[Any, Any]) -> None:
    tuner = kt.SklearnTuner(oracle(1), ridge, metrics=metrics.mean_squared_error, **project)
    assert list(tuner.metrics) == [metrics.mean_squared_error]
    tuner.search(*numbers)
    assert tuner.oracle.get_best_trials()[0].metrics.exists("mean_squared_error")


def test_data_frames_are_split_by_rows(project: dict[str, Any], numbers: tuple[Any, Any]) -> None:
    x, y = numbers
    index = [f"row{i}" for i in range(len(y))]
    frame = pd.DataFrame(x, columns=["a", "b", "c"], index=index)
    tuner = kt.SklearnTuner(oracle(1), ridge, cv=model_selection.KFold(3), **project)
    tuner.search(frame, pd.DataFrame({"y": y}, index=index))
    (model,) = tuner.get_best_models()
    assert list(model.feature_names_in_) == ["a", "b", "c"]


def test_series_are_split_too(
    project: dict[str, Any], numbers: tuple[Any, Any], mended: bool
) -> None:
    x, y = numbers
    tuner = kt.SklearnTuner(oracle(1), ridge, cv=model_selection.KFold(3), **project)
    tuner.search(x, pd.Series(y))
    status = next(iter(tuner.oracle.trials.values())).status
    assert status == ("COMPLETED" if mended else "FAILED")


class Weighing(linear_model.Ridge):
    """Writes down the weights that it is fitted and scored with."""

    seen: list[Any] = []  # noqa: RUF012 - shared by all instances on purpose

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        Weighing.seen.append(("fit", None if sample_weight is None else len(sample_weight)))
        return super().fit(X, y, sample_weight)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        Weighing.seen.append(("score", None if sample_weight is None else len(sample_weight)))
        return super().score(X, y, sample_weight)


@pytest.mark.parametrize("weighted", [True, False])
def test_sample_weights_are_split_like_the_rows(
    weighted: bool, project: dict[str, Any], numbers: tuple[Any, Any]
) -> None:
    Weighing.seen.clear()
    x, y = numbers
    tuner = kt.SklearnTuner(
        oracle(1),
        lambda hp: Weighing(hp.Float("alpha", 0.1, 1)),
        cv=model_selection.KFold(2),
        **project,
    )
    tuner.search(x, y, sample_weight=np.ones(50) if weighted else None)
    size = 25 if weighted else None
    assert Weighing.seen == [("fit", size), ("score", size)] * 2


def test_groups_reach_the_splitter(project: dict[str, Any], numbers: tuple[Any, Any]) -> None:
    x, y = numbers
    seen = []

    class Spy(model_selection.GroupKFold):
        def split(self, X: Any, y: Any = None, groups: Any = None) -> Any:
            seen.append(len(set(groups)))
            return super().split(X, y, groups)

    tuner = kt.SklearnTuner(oracle(1), ridge, cv=Spy(5), **project)
    tuner.search(x, y, groups=np.arange(50) % 5)
    assert seen == [5]
    assert tuner.oracle.get_best_trials()[0].status == "COMPLETED"


def test_pipelines_are_searched(project: dict[str, Any], classes: tuple[Any, Any]) -> None:
    def build(hp: Any) -> Any:
        return pipeline.Pipeline(
            [
                ("scale", preprocessing.StandardScaler()),
                ("clf", linear_model.LogisticRegression(C=hp.Float("C", 0.1, 10, sampling="log"))),
            ]
        )

    tuner = kt.SklearnTuner(oracle(), build, cv=model_selection.KFold(3), **project)
    tuner.search(*classes)
    (model,) = tuner.get_best_models()
    assert isinstance(model, pipeline.Pipeline)
    assert model.predict(classes[0]).shape == (60,)


def test_a_model_lies_in_the_directory_of_its_trial(
    project: dict[str, Any], numbers: tuple[Any, Any]
) -> None:
    tuner = kt.SklearnTuner(oracle(1), ridge, **project)
    tuner.search(*numbers)
    assert (Path(tuner.get_trial_dir("0")) / "model.pickle").is_file()
    trial = tuner.oracle.get_best_trials()[0]
    assert isinstance(tuner.load_model(trial), linear_model.Ridge)


def test_a_project_of_sklearn_models_reloads(
    project: dict[str, Any], numbers: tuple[Any, Any]
) -> None:
    kt.SklearnTuner(oracle(2), ridge, **project).search(*numbers)
    again = kt.SklearnTuner(oracle(3), ridge, **project)
    assert len(again.oracle.trials) == 2
    again.search(*numbers)
    assert len(again.oracle.trials) == 3
    assert isinstance(again.get_best_models()[0], linear_model.Ridge)


def test_scoring_may_be_any_function_of_model_and_data(
    project: dict[str, Any], numbers: tuple[Any, Any]
) -> None:
    def scoring(model: Any, x: Any, y: Any, sample_weight: Any = None) -> float:
        return -float(np.abs(model.predict(x) - y).max())

    tuner = kt.SklearnTuner(oracle(1), ridge, scoring=scoring, **project)
    tuner.search(*numbers)
    assert tuner.scoring is scoring
    assert -1.0 < tuner.oracle.get_best_trials()[0].score < 0.0


def test_grid_search_works_with_sklearn_models(
    project: dict[str, Any], numbers: tuple[Any, Any]
) -> None:
    grid = kt.oracles.GridSearchOracle(kt.Objective("score", "max"))
    tuner = kt.SklearnTuner(
        grid, lambda hp: linear_model.Ridge(hp.Choice("alpha", [0.1, 1.0, 10.0])), **project
    )
    tuner.search(*numbers)
    assert [t.hyperparameters.get("alpha") for t in grid.trials.values()] == [0.1, 1.0, 10.0]
