"""Cross-validation: the same as scikit-learn's own, for every kind of data."""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import linear_model, metrics, model_selection, pipeline, preprocessing

from afina.errors import ArgumentError, DataError
from afina.tuners.cross_validation import check_samples, cross_validate

RNG = np.random.default_rng(5)
X = RNG.normal(size=(60, 3))
Y = (X @ [1.0, -2.0, 0.5] + RNG.normal(scale=0.3, size=60) > 0).astype(int)
WEIGHT = RNG.random(60) + 0.1
FOLDS = model_selection.KFold(5, shuffle=True, random_state=1)
build = functools.partial(linear_model.LogisticRegression, C=0.1)


def test_scores_are_those_of_scikit_learn() -> None:
    scores, model = cross_validate(build, X, Y)
    expected = model_selection.cross_val_score(build(), X, Y, cv=FOLDS)
    assert scores == {"score": pytest.approx(expected.mean())}
    last_train = list(FOLDS.split(X))[-1][0]
    np.testing.assert_allclose(model.coef_, build().fit(X[last_train], Y[last_train]).coef_)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (pd.DataFrame(X), pd.Series(Y)),
        (pd.DataFrame(X, index=range(100, 160)), pd.DataFrame({"label": Y})["label"]),
        (X.tolist(), Y.tolist()),
        (sparse.csr_matrix(X), Y),
        (sparse.coo_array(X), pd.Series(Y, index=range(60, 0, -1))),
    ],
    ids=["frame", "frame with another index", "lists", "sparse matrix", "sparse array"],
)
def test_every_kind_of_data_gives_the_same_scores(x: Any, y: Any) -> None:
    expected, _ = cross_validate(build, X, Y)
    assert cross_validate(build, x, y)[0] == pytest.approx(expected)


def test_texts_as_samples_are_lists_of_texts() -> None:
    from sklearn.feature_extraction.text import CountVectorizer

    texts = ["good fine", "bad awful"] * 20

    def classifier() -> Any:
        return pipeline.make_pipeline(CountVectorizer(), linear_model.LogisticRegression())

    assert cross_validate(classifier, texts, [1, 0] * 20)[0] == {"score": 1.0}


def test_a_model_is_built_for_each_fold() -> None:
    built: list[Any] = []

    def counted() -> Any:
        built.append(build())
        return built[-1]

    _, model = cross_validate(counted, X, Y, cv=3)
    assert len(built) == 3
    assert model is built[-1]


def test_weights_reach_fit_score_and_metrics() -> None:
    scores, _ = cross_validate(build, X, Y, sample_weight=WEIGHT, metrics=metrics.zero_one_loss)
    expected = []
    for train, test in FOLDS.split(X):
        model = build().fit(X[train], Y[train], sample_weight=WEIGHT[train])
        expected.append(model.score(X[test], Y[test], sample_weight=WEIGHT[test]))
    assert scores["score"] == pytest.approx(np.mean(expected))
    assert scores["zero_one_loss"] == pytest.approx(1 - np.mean(expected))


def test_estimators_that_take_no_weights_are_fitted_without() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    plain = cross_validate(KNeighborsClassifier, X, Y, metrics=metrics.accuracy_score)[0]
    weighted = cross_validate(KNeighborsClassifier, X, Y, sample_weight=np.ones(60))[0]
    assert weighted["score"] == pytest.approx(plain["accuracy_score"])


def test_pipelines_are_fitted_without_weights() -> None:
    def scaled() -> Any:
        return pipeline.make_pipeline(preprocessing.StandardScaler(), build())

    scorer = metrics.make_scorer(metrics.accuracy_score)
    scores, _ = cross_validate(scaled, X, Y, sample_weight=WEIGHT, scoring=scorer)
    expected = []
    for train, test in FOLDS.split(X):
        model = scaled().fit(X[train], Y[train])
        expected.append(scorer(model, X[test], Y[test], sample_weight=WEIGHT[test]))
    assert scores["score"] == pytest.approx(np.mean(expected))


def test_a_scorer_may_be_an_object_a_function_or_a_name() -> None:
    def own(model: Any, x: Any, y: Any) -> float:
        return float(metrics.balanced_accuracy_score(y, model.predict(x)))

    made = metrics.make_scorer(metrics.balanced_accuracy_score)
    given = [own, made, "balanced_accuracy"]
    found = [cross_validate(build, X, Y, scoring=scoring)[0]["score"] for scoring in given]
    assert found[0] == pytest.approx(found[1]) == pytest.approx(found[2])


def test_metrics_are_logged_under_their_names() -> None:
    half = functools.partial(metrics.fbeta_score, beta=0.5)
    scores, _ = cross_validate(build, X, Y, metrics=[metrics.accuracy_score, half])
    assert list(scores) == ["score", "accuracy_score", "fbeta_score"]
    assert scores["accuracy_score"] == pytest.approx(scores["score"])
    assert all(type(value) is float for value in scores.values())


def test_groups_are_kept_together() -> None:
    groups = np.repeat(np.arange(6), 10)
    seen: list[set[int]] = []

    class Watched(linear_model.LogisticRegression):
        def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
            seen.append({int(i) // 10 for i in X[:, 0]})
            return 0.0

    numbered = np.arange(60.0).reshape(60, 1)
    cross_validate(
        functools.partial(Watched, max_iter=1000),
        numbered,
        Y,
        groups=groups,
        cv=model_selection.GroupKFold(3),
    )
    assert len(seen) == 3
    assert sorted(group for fold in seen for group in fold) == list(range(6))


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"x": X, "y": Y[:-1]}, r"X, y: .*\(60, 59\)"),
        ({"x": X, "y": Y, "sample_weight": WEIGHT[:5]}, r"X, y, sample_weight: .*\(60, 60, 5\)"),
        ({"x": X, "y": Y, "groups": [1]}, "groups"),
        ({"x": X[:0], "y": Y[:0]}, "rows to learn from"),
        ({"x": X, "y": None}, "y: must be an array"),
        ({"x": (row for row in X), "y": Y}, "X: must be an array.*generator"),
        ({"x": np.float64(3), "y": Y}, "X: must be an array"),
        ({"x": {"a": X[:, 0]}, "y": Y}, "X: must be an array"),
    ],
)
def test_data_that_cannot_be_split_is_refused(kwargs: dict[str, Any], match: str) -> None:
    x, y = kwargs.pop("x"), kwargs.pop("y")
    with pytest.raises(DataError, match=match):
        cross_validate(build, x, y, **kwargs)
    with pytest.raises(DataError, match=match):
        check_samples(x, y, **kwargs)


def test_data_that_can_be_split_pass_the_check() -> None:
    check_samples(pd.DataFrame(X), Y.tolist(), WEIGHT, None)


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"cv": "five"}, "cv: must be a splitter"),
        ({"cv": model_selection.PredefinedSplit([-1] * 60)}, "at least once"),
        ({"metrics": "accuracy"}, "metrics: must be functions"),
        ({"metrics": [metrics.accuracy_score] * 2}, "different names"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(kwargs: dict[str, Any], match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        cross_validate(build, X, Y, **kwargs)


def test_without_scikit_learn_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(ImportError, match=r"pip install 'afina\[sklearn\]'"):
        cross_validate(build, X, Y)
