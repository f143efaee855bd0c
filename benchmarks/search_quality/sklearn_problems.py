"""Problems that train scikit-learn's models on the data that come with it: some 10 ms each.

Their best losses are not known; `references.json` keeps the best that a long search has found, and
what random search reaches (`python problems.py --references` makes it anew).
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from problem import Problem, Reference, Values, kept_reference, unguided

from afina.space import Boolean, Choice, Float, Int, Parent, Space


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained(Problem):
    """A model and data of scikit-learn; the same values always give the same loss."""

    function: Callable[[Values], float]

    def loss(self, values: Values, seed: int = 0, number: int = 0) -> float:
        """Trains the model."""
        del seed, number
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return float(self.function(values))
            except (ValueError, FloatingPointError):  # too wild a configuration
                return math.nan

    def reference(self, seed: int = 0) -> Reference:
        """As kept in `references.json`."""
        del seed
        return kept_reference(self.name)


@functools.cache
def data(name: str, rows: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Inputs scaled to mean 0 and deviation 1, and targets; the same shuffled rows always."""
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))[:rows]
    x, y = x[order], y[order]
    if name == "diabetes":
        y = (y - y.mean()) / y.std()
    return (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9), y


def folds(model: Any, x: np.ndarray, y: np.ndarray, count: int = 3) -> float:
    """The model's loss on held-out folds: errors of a classifier, mean square of a regressor."""
    place = np.arange(len(x)) % count
    losses = []
    for fold in range(count):
        model.fit(x[place != fold], y[place != fold])
        given = model.predict(x[place == fold])
        wanted = y[place == fold]
        classes = y.dtype.kind == "i"
        losses.append(np.mean(given != wanted) if classes else np.mean((given - wanted) ** 2))
    return float(np.mean(losses))


# -- models ----------------------------------------------------------------------------------------


def svm_space() -> Space:
    return unguided(
        [
            Float("C", 1e-3, 1e4, sampling="log"),
            Float("gamma", 1e-6, 1e1, sampling="log"),
            Float("tolerance", 1e-5, 1e-1, sampling="log"),
        ]
    )


def svm(values: Values, name: str, rows: int) -> float:
    from sklearn.svm import SVC

    model = SVC(C=values["C"], gamma=values["gamma"], tol=values["tolerance"], max_iter=3_000)
    return folds(model, *data(name, rows))


def boosting_space() -> Space:
    return unguided(
        [
            Int("trees", 5, 40, sampling="log"),
            Float("rate", 0.01, 1.0, sampling="log"),
            Int("depth", 1, 5),
            Float("subsample", 0.3, 1.0),
            Int("leaf", 1, 60, sampling="log"),
            Choice("features", ["all", "sqrt"]),
            Choice("start", ["mean", "zero"]),
        ]
    )


def boosting(values: Values) -> float:
    from sklearn.ensemble import GradientBoostingRegressor

    model = GradientBoostingRegressor(
        n_estimators=values["trees"],
        learning_rate=values["rate"],
        max_depth=values["depth"],
        subsample=values["subsample"],
        min_samples_leaf=values["leaf"],
        max_features=None if values["features"] == "all" else "sqrt",
        init=None if values["start"] == "mean" else "zero",
        random_state=0,
    )
    return folds(model, *data("diabetes", 240), count=2)


def mlp_space() -> Space:
    return unguided(
        [
            Int("units", 4, 64, sampling="log"),
            Float("rate", 1e-4, 1.0, sampling="log"),
            Float("alpha", 1e-6, 1e1, sampling="log"),
            Choice("batch", [32, 64, 128]),
            Choice("activation", ["logistic", "tanh", "relu"]),
            Choice("solver", ["sgd", "adam"]),
            Int("epochs", 3, 10),
        ]
    )


def mlp(values: Values) -> float:
    from sklearn.neural_network import MLPClassifier

    x, y = data("digits", 450)
    model = MLPClassifier(
        (values["units"],),
        activation=values["activation"],
        solver=values["solver"],
        alpha=values["alpha"],
        batch_size=values["batch"],
        learning_rate_init=values["rate"],
        max_iter=values["epochs"],
        random_state=0,
    )
    model.fit(x[:300], y[:300])
    chances = model.predict_proba(x[300:])[np.arange(150), y[300:]]
    return float(-np.log(np.clip(chances, 1e-6, 1)).mean())


def features_space(name: str) -> Space:
    return unguided(Boolean(f"use_{i}") for i in range(data(name)[0].shape[1]))


@functools.cache
def _gaps(name: str) -> np.ndarray:
    """(features, rows * rows) squared distances by feature."""
    x = data(name)[0].astype(np.float32).T
    gaps = np.square(x[:, :, None] - x[:, None, :])
    gaps[0, np.arange(x.shape[1]), np.arange(x.shape[1])] = 0.0
    return gaps.reshape(len(x), -1)


def neighbours(values: Values, name: str, count: int = 7) -> float:
    """Share of a row's nearest others that are of another class, by the features in use."""
    used = np.array([values[f"use_{i}"] for i in range(len(values))], dtype=np.float32)
    if not used.any():
        return 1.0
    y = data(name)[1]
    distance = (used @ _gaps(name)).reshape(len(y), len(y))
    np.fill_diagonal(distance, np.inf)
    nearest = np.argpartition(distance, count, axis=1)[:, :count]
    return float(np.mean(y[nearest] != y[:, None]))


def models_space() -> Space:
    """A kind of model, and each kind's own settings."""

    def of(name: str) -> list[Parent]:
        return [Parent("model", name)]

    tree = of("forest")
    return unguided(
        [
            Choice("model", ["neighbours", "svm", "forest", "linear"]),
            Float("C", 1e-3, 1e3, sampling="log", conditions=of("svm")),
            Choice("kernel", ["rbf", "poly", "sigmoid"], conditions=of("svm")),
            Float("gamma", 1e-5, 1e1, sampling="log", conditions=of("svm")),
            Int("degree", 2, 4, conditions=[*of("svm"), Parent("kernel", "poly")]),
            Int("trees", 2, 12, sampling="log", conditions=tree),
            Int("depth", 1, 12, conditions=tree),
            Float("features", 0.1, 1.0, conditions=tree),
            Int("leaf", 1, 30, sampling="log", conditions=tree),
            Int("k", 1, 50, sampling="log", conditions=of("neighbours")),
            Choice("weights", ["uniform", "distance"], conditions=of("neighbours")),
            Choice("p", [1, 2], conditions=of("neighbours")),
            Float("alpha", 1e-4, 1e4, sampling="log", conditions=of("linear")),
        ]
    )


def models(values: Values, name: str, rows: int | None = None) -> float:
    from sklearn import ensemble, linear_model, neighbors
    from sklearn import svm as machines

    x, y = data(name, rows)
    classes = y.dtype.kind == "i"
    kind = values["model"]
    if kind == "svm":
        model = (machines.SVC if classes else machines.SVR)(
            C=values["C"],
            kernel=values["kernel"],
            gamma=values["gamma"],
            degree=values.get("degree", 3),
            max_iter=5_000,
        )
    elif kind == "forest":
        forest = ensemble.ExtraTreesClassifier if classes else ensemble.ExtraTreesRegressor
        model = forest(
            values["trees"],
            max_depth=values["depth"],
            max_features=values["features"],
            min_samples_leaf=values["leaf"],
            random_state=0,
        )
    elif kind == "neighbours":
        near = neighbors.KNeighborsClassifier if classes else neighbors.KNeighborsRegressor
        model = near(values["k"], weights=values["weights"], p=values["p"])
    else:
        linear = linear_model.RidgeClassifier if classes else linear_model.Ridge
        model = linear(alpha=values["alpha"])
    return folds(model, x, y)


def _problem(
    name: str, group: str, space: Space, function: Callable[[Values], float], tuning: bool
) -> Trained:
    return Trained(name=name, group=group, tuning=tuning, space=space, function=function)


MAKERS: dict[str, Callable[[], Problem]] = {
    "svm_breast_cancer": lambda: _problem(
        "svm_breast_cancer",
        "numeric",
        svm_space(),
        lambda values: svm(values, "breast_cancer", 300),
        True,
    ),
    "svm_digits": lambda: _problem(
        "svm_digits", "numeric", svm_space(), lambda values: svm(values, "digits", 300), False
    ),
    "boosting_diabetes": lambda: _problem(
        "boosting_diabetes", "mixed", boosting_space(), boosting, True
    ),
    "mlp_digits": lambda: _problem("mlp_digits", "mixed", mlp_space(), mlp, False),
    "features_wine": lambda: _problem(
        "features_wine",
        "categorical",
        features_space("wine"),
        lambda values: neighbours(values, "wine"),
        True,
    ),
    "features_breast_cancer": lambda: _problem(
        "features_breast_cancer",
        "categorical",
        features_space("breast_cancer"),
        lambda values: neighbours(values, "breast_cancer"),
        False,
    ),
    "models_diabetes": lambda: _problem(
        "models_diabetes",
        "conditional",
        models_space(),
        lambda values: models(values, "diabetes", 300),
        True,
    ),
    "models_digits": lambda: _problem(
        "models_digits",
        "conditional",
        models_space(),
        lambda values: models(values, "digits", 250),
        False,
    ),
}
