"""Cross-validation of scikit-learn's models: the inner work of `SklearnTuner`."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from afina.errors import ArgumentError, DataError, wrong

Metric = Callable[..., float]
"""(y_true, y_pred) to a number, as those of `sklearn.metrics`."""


@dataclass(frozen=True)
class Rows:
    """What belongs together, row by row; only `x` and `y` must be there."""

    x: Any
    y: Any
    weight: Any = None
    groups: Any = None

    def __post_init__(self) -> None:
        named = {"X": self.x, "y": self.y, "sample_weight": self.weight, "groups": self.groups}
        counts = {
            name: count_rows(name, data)
            for name, data in named.items()
            if data is not None or name in ("X", "y")
        }
        if len(set(counts.values())) > 1:
            rule = "all must have the same number of rows"
            raise DataError(wrong(", ".join(counts), rule, tuple(counts.values())))
        if counts["X"] == 0:
            raise DataError(wrong("X, y", "must have rows to learn from", 0))

    def take(self, index: Any) -> Rows:
        """Some of the rows, in the order of `index`."""
        return Rows(
            *(
                None if data is None else take_rows(data, index)
                for data in (self.x, self.y, self.weight, self.groups)
            )
        )


def cross_validate(
    build: Callable[[], Any],
    x: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    groups: Any = None,
    cv: Any = None,
    scoring: Any = None,
    metrics: Metric | Sequence[Metric] | None = None,
) -> tuple[dict[str, float], Any]:
    """Fits a new model for each fold and scores it on the rows that it has not seen.

    Args:
        build: Returns an unfitted estimator, a new one each time.
        x: Samples, (n, ...): array, DataFrame, Series, list or sparse matrix.
        y: Targets, (n,) or (n, outputs), of the same kinds.
        sample_weight: (n,); goes to `fit` where the estimator takes it and is no Pipeline, and to
            the scores and metrics.
        groups: (n,), for splitters that keep groups together.
        cv: A splitter of scikit-learn, a number of shuffled folds, or None for 5 of them.
        scoring: `scoring(estimator, X, y)` as of `sklearn.metrics.make_scorer`, or a scorer's name;
            None takes the estimator's own `score`.
        metrics: One function of (y_true, y_pred), or several.

    Returns:
        The folds' means under "score" and the functions' names; and the last fold's estimator.

    Raises:
        DataError: There are no rows, or not equally many everywhere.
        ArgumentError: `cv` or `metrics` cannot be used.
        ImportError: scikit-learn is not installed.

    Example:
        >>> from sklearn.linear_model import LinearRegression
        >>> scores, model = cross_validate(LinearRegression, [[i] for i in range(20)], range(20))
        >>> round(scores["score"], 6), type(model).__name__
        (1.0, 'LinearRegression')
    """
    sklearn = _import_sklearn()
    rows = Rows(x, y, sample_weight, groups)
    functions = _named_metrics(metrics)
    scorer = sklearn.metrics.get_scorer(scoring) if isinstance(scoring, str) else scoring
    found: dict[str, list[float]] = {"score": [], **{name: [] for name in functions}}
    model = None
    for train, test in _splits(sklearn, cv, rows):
        model = build()
        _fit(sklearn, model, rows.take(train))
        held_out = rows.take(test)
        found["score"].append(_score(model, held_out, scorer))
        predicted = model.predict(held_out.x) if functions else None
        for name, function in functions.items():
            weight = _weight_for(function, held_out.weight)
            found[name].append(float(function(held_out.y, predicted, **weight)))
    if model is None:
        raise ArgumentError(wrong("cv", "must split the rows at least once", cv))
    return {name: float(np.mean(values)) for name, values in found.items()}, model


def check_samples(x: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> None:
    """Refuses data that no trial could be validated on, before the first one runs.

    Args:
        x: As for `cross_validate`.
        y: As for `cross_validate`.
        sample_weight: As for `cross_validate`.
        groups: As for `cross_validate`.

    Raises:
        DataError: There are no rows, or not equally many everywhere.
    """
    Rows(x, y, sample_weight, groups)


def fit_rows(model: Any, x: Any, y: Any, sample_weight: Any = None) -> None:
    """Fits an estimator on all rows, with the weights if it takes them."""
    _fit(_import_sklearn(), model, Rows(x, y, sample_weight))


def count_rows(name: str, data: Any) -> int:
    """How many samples an array, table, list or sparse matrix holds.

    Raises:
        DataError: It is nothing of that kind.
    """
    shape = getattr(data, "shape", None)
    if shape is not None and len(shape) > 0:
        return int(shape[0])
    if shape is None and hasattr(data, "__len__") and not isinstance(data, str | Mapping):
        return len(data)
    raise DataError(
        wrong(
            name,
            "must be an array, a DataFrame, a Series, a list or a sparse matrix",
            type(data).__name__,
            "Generators and datasets cannot be split into folds.",
        )
    )


def take_rows(data: Any, index: Any) -> Any:
    """Some of the samples, in the order of `index` (integers from 0), of the same kind."""
    if hasattr(data, "iloc"):
        return data.iloc[index]
    if hasattr(data, "tocsr"):
        return data.tocsr()[index]
    if hasattr(data, "shape"):
        return data[index]
    return [data[i] for i in index]


def _import_sklearn() -> Any:
    try:
        for part in ("metrics", "model_selection", "pipeline"):
            importlib.import_module(f"sklearn.{part}")
    except ImportError as error:
        raise ImportError(
            "SklearnTuner needs scikit-learn, which is not installed: pip install 'afina[sklearn]'."
        ) from error
    return importlib.import_module("sklearn")


def _splits(sklearn: Any, cv: Any, rows: Rows) -> Iterator[tuple[Any, Any]]:
    if cv is None or (isinstance(cv, int) and not isinstance(cv, bool)):
        folds = 5 if cv is None else cv
        cv = sklearn.model_selection.KFold(folds, shuffle=True, random_state=1)
    if isinstance(cv, str) or not hasattr(cv, "split"):  # texts can be split, too
        raise ArgumentError(
            wrong("cv", "must be a splitter with split(X, y, groups), a number or None", cv)
        )
    # A splitter looks at the number of rows only, and a list's rows may differ in length.
    places = np.zeros(count_rows("X", rows.x)) if isinstance(rows.x, list) else rows.x
    yield from cv.split(places, rows.y, rows.groups)


def _fit(sklearn: Any, model: Any, rows: Rows) -> None:
    weight = {}
    if not isinstance(model, sklearn.pipeline.Pipeline):
        weight = _weight_for(model.fit, rows.weight)
    model.fit(rows.x, rows.y, **weight)


def _score(model: Any, rows: Rows, scorer: Any) -> float:
    if scorer is None:
        return float(model.score(rows.x, rows.y, **_weight_for(model.score, rows.weight)))
    weight = {} if rows.weight is None else {"sample_weight": rows.weight}
    return float(scorer(model, rows.x, rows.y, **weight))


def _weight_for(function: Callable[..., Any], weight: Any) -> dict[str, Any]:
    """The weights as a keyword argument, where there are any and the function takes them."""
    if weight is None:
        return {}
    try:
        known = inspect.signature(function).parameters
    except ValueError:  # a builtin that does not tell
        return {}
    return {"sample_weight": weight} if "sample_weight" in known else {}


def _named_metrics(metrics: Any) -> dict[str, Metric]:
    given = list(metrics) if isinstance(metrics, list | tuple) else [metrics]
    named: dict[str, Metric] = {}
    for metric in given:
        if metric is None:
            continue
        if not callable(metric):
            raise ArgumentError(wrong("metrics", "must be functions of (y_true, y_pred)", metric))
        inner = getattr(metric, "func", metric)  # of a functools.partial
        name = getattr(inner, "__name__", type(inner).__name__)
        if name == "score" or name in named:
            raise ArgumentError(wrong("metrics", "must have different names, none score", name))
        named[name] = metric
    return named
