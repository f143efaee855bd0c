"""`SklearnTuner` on scikit-learn's bundled data."""

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets, linear_model, metrics, model_selection, pipeline, preprocessing

import afina as kt
from afina.errors import DataError

X, Y = datasets.load_iris(return_X_y=True)


def ridge(hp):
    return linear_model.RidgeClassifier(alpha=hp.Float("alpha", 1e-3, 10, sampling="log"))


def make(tmp_path, build=ridge, trials=3, **kwargs):
    oracle = kt.oracles.BayesianOptimizationOracle(
        objective=kt.Objective("score", "max"), max_trials=trials, seed=0
    )
    return kt.SklearnTuner(oracle, build, directory=tmp_path, project_name="p", **kwargs)


def test_the_score_is_the_mean_over_scikit_learns_own_folds(tmp_path):
    tuner = make(tmp_path)
    tuner.search(X, Y, verbose=0)
    trial = tuner.oracle.get_best_trials()[0]
    folds = model_selection.KFold(5, shuffle=True, random_state=1)
    expected = model_selection.cross_val_score(ridge(trial.hyperparameters), X, Y, cv=folds)
    assert trial.score == pytest.approx(expected.mean())
    assert tuner.get_best_models()[0].predict(X[:1]).shape == (1,)


@pytest.mark.parametrize("wrap", [pd.DataFrame, np.asarray, lambda a: a.tolist()])
def test_frames_arrays_and_lists_give_the_same(tmp_path, wrap):
    tuner = make(tmp_path, trials=1, metrics=metrics.accuracy_score)
    tuner.search(wrap(X), pd.Series(Y), verbose=0)
    trial = tuner.oracle.get_best_trials()[0]
    assert trial.score == trial.metrics.get_last_value("accuracy_score")


def test_weights_reach_a_plain_estimator_but_not_a_pipeline(tmp_path):
    weights = np.linspace(0.1, 1, len(Y))

    def piped(hp):
        return pipeline.make_pipeline(preprocessing.StandardScaler(), ridge(hp))

    for name, build in (("plain", ridge), ("piped", piped)):
        tuner = make(tmp_path / name, build=build, trials=1)
        tuner.search(X, Y, sample_weight=weights, verbose=0)
        assert tuner.oracle.get_best_trials()[0].status == "COMPLETED"


def test_groups_reach_the_splitter(tmp_path):
    tuner = make(tmp_path, trials=1, cv=model_selection.GroupKFold(3))
    tuner.search(X, Y, groups=np.arange(len(Y)) % 5, verbose=0)
    assert tuner.oracle.get_best_trials()[0].score > 0.5


@pytest.mark.parametrize(("x", "y"), [(X, Y[:-1]), (X[:0], Y[:0])])
def test_data_of_other_lengths_are_refused(tmp_path, x, y):
    with pytest.raises(DataError, match="must"):
        make(tmp_path).search(x, y, verbose=0)
