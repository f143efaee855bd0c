"""`SklearnTuner` among scikit-learn's own tools."""

import numpy as np
import pytest
from sklearn import datasets, linear_model, model_selection
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

import afina as kt
from afina.errors import ArgumentError

X, Y = datasets.load_iris(return_X_y=True)


def ridge(hp):
    return linear_model.RidgeClassifier(alpha=hp.Float("alpha", 1e-3, 10, sampling="log"))


@pytest.fixture
def tuner(tmp_path):
    oracle = kt.oracles.RandomSearchOracle(kt.Objective("score", "max"), max_trials=2, seed=0)
    return kt.SklearnTuner(oracle, ridge, directory=tmp_path, project_name="p", cv=3)


def test_fit_searches_and_trains_the_best_configuration_on_all_rows(tuner):
    assert tuner.fit(X, Y) is tuner
    expected = linear_model.RidgeClassifier(**tuner.best_params_).fit(X, Y)
    np.testing.assert_allclose(tuner.best_estimator_.coef_, expected.coef_)
    np.testing.assert_array_equal(tuner.predict(X), expected.predict(X))
    assert tuner.score(X, Y) == expected.score(X, Y)
    assert list(tuner.classes_) == [0, 1, 2]
    found = tuner.cv_results_
    assert len(found["params"]) == 2
    assert found["mean_test_score"].max() == tuner.best_score_
    assert found["params"][list(found["rank_test_score"]).index(1)] == tuner.best_params_
    check_is_fitted(tuner)


def test_before_fit_it_can_do_nothing_that_a_fitted_one_can(tuner):
    assert not hasattr(tuner, "predict")
    with pytest.raises(NotFittedError):
        check_is_fitted(tuner)
    assert is_classifier(tuner)


def test_a_clone_has_not_searched_and_has_a_project_of_its_own(tuner):
    tuner.fit(X, Y)
    other = clone(tuner)
    assert other.project_dir != tuner.project_dir
    assert not other.oracle.trials
    assert other.get_params()["cv"] == 3
    assert not hasattr(other, "predict")
    other.fit(X, Y)
    assert other.best_params_ == tuner.best_params_  # of the same seed
    assert len(tuner.oracle.trials) == 2


def test_cross_val_score_makes_a_nested_cross_validation(tuner):
    scores = model_selection.cross_val_score(tuner, X, Y, cv=2)
    assert scores.shape == (2,)
    assert (scores > 0.5).all()
    assert not tuner.oracle.trials


def test_parameters_can_be_read_and_some_changed_before_the_first_trial(tuner):
    assert set(tuner.get_params()) >= {"oracle", "hypermodel", "scoring", "metrics", "cv"}
    assert tuner.set_params(cv=4).cv == 4
    with pytest.raises(ArgumentError, match="must name one of"):
        tuner.set_params(directory="elsewhere")
    tuner.fit(X, Y)
    with pytest.raises(ArgumentError, match="must come before the first trial"):
        tuner.set_params(cv=5)
