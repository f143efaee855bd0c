"""Looks at the targets, and chooses the last layer, the loss and the metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from afina.errors import ArgumentError, DataError, wrong

Task = Literal["auto", "classification", "regression"]
TASKS = ("auto", "classification", "regression")

Kind = Literal["binary", "classes", "one-hot", "labels", "numbers"]

GAPS = 2
"""Whole numbers count as classes if the largest is below this factor times the number of distinct
values: 0, 1, 5 may be classes, the years 1990 to 2010 are not."""


@dataclass(frozen=True)
class Target:
    """What a model predicts."""

    kind: Kind
    """binary: 0 or 1; classes: whole numbers from 0; one-hot: a row of shares that sum to 1;
    labels: a row of zeros and ones, any number of them; numbers: regression."""

    outputs: int
    """Units of the last layer."""

    mean: float = 0.0
    """For `numbers`: the mean of the targets."""

    spread: float = 1.0
    """For `numbers`: the standard deviation of the targets."""

    def layers(self) -> list[Any]:
        """The last layers.

        A regression scales its outputs to the targets' spread and mean, so that the network itself
        works with numbers of about 1.
        """
        layers = keras.layers
        if self.kind == "numbers":
            scaled = layers.Rescaling(self.spread, self.mean)
            return [layers.Dense(self.outputs), scaled]
        activation = "softmax" if self.kind in ("classes", "one-hot") else "sigmoid"
        return [layers.Dense(self.outputs, activation=activation)]

    def compiled(self) -> dict[str, Any]:
        """Loss and metrics, for `model.compile`.

        The loss of a regression is the mean squared error divided by the targets' variance: 1 for
        a model that always predicts the mean. So a good learning rate does not depend on the
        targets' unit. The mean absolute error is in that unit.
        """
        if self.kind == "numbers":
            return {
                "loss": "mean_squared_error",
                "loss_weights": 1.0 / self.spread**2,
                "metrics": ["mae"],
            }
        loss = {
            "binary": "binary_crossentropy",
            "labels": "binary_crossentropy",
            "classes": "sparse_categorical_crossentropy",
            "one-hot": "categorical_crossentropy",
        }[self.kind]
        if self.kind == "labels":  # Keras would count only the largest number of a row as its class
            return {"loss": loss, "metrics": [keras.metrics.BinaryAccuracy(name="accuracy")]}
        return {"loss": loss, "metrics": ["accuracy"]}


def look_at_targets(y: Any, task: Task = "auto") -> Target:
    """Finds out what kind of targets these are.

    Args:
        y: (samples,) or (samples, outputs).
        task: "classification" or "regression", if the numbers alone could mean either.

    Raises:
        ArgumentError: `task` is unknown.
        DataError: The targets do not fit the task; the message says why.

    Example:
        >>> look_at_targets(np.array([0, 2, 1, 2])).kind
        'classes'
        >>> look_at_targets(np.array([0.5, 1.5, 1.0])).kind
        'numbers'
    """
    if task not in TASKS:
        raise ArgumentError(wrong("task", f"must be one of {TASKS}", task))
    targets = np.asarray(y)
    if targets.dtype.kind not in "biuf":
        advice = "Number the classes from 0: np.unique(y, return_inverse=True)[1]."
        raise DataError(wrong("y", "must be numbers", str(targets.dtype), advice))
    if targets.ndim not in (1, 2) or not targets.size:
        rule = "must be (samples,) or (samples, outputs)"
        raise DataError(wrong("y", rule, targets.shape))
    if not np.isfinite(targets).all():
        raise DataError(wrong("y", "must contain only finite numbers", "NaN or infinity"))
    columns = targets.shape[1] if targets.ndim == 2 else 1
    if task == "regression":
        return _numbers(targets, columns)
    if columns > 1:
        kind = _kind_of_rows(targets)
        if kind is None and task == "classification":
            raise DataError(wrong("y", "must be classes", "rows of numbers other than 0 and 1"))
        return _numbers(targets, columns) if kind is None else Target(kind, columns)
    classes = _classes(targets, sure=task == "classification")
    if classes is None:
        return _numbers(targets, columns)
    return Target("binary", 1) if classes == 2 else Target("classes", classes)


def _numbers(targets: NDArray[Any], columns: int) -> Target:
    spread = float(targets.std(dtype=float))
    return Target("numbers", columns, float(targets.mean(dtype=float)), spread or 1.0)


def _kind_of_rows(targets: NDArray[Any]) -> Kind | None:
    """The kind of rows of several numbers; None for a regression."""
    if targets.min() < 0 or targets.max() > 1:
        return None
    if np.allclose(targets.sum(axis=1, dtype=float), 1.0, atol=1e-3):
        return "one-hot"
    return "labels" if bool(((targets == 0) | (targets == 1)).all()) else None


def _classes(targets: NDArray[Any], *, sure: bool) -> int | None:
    """The number of classes; None for a regression."""
    values = np.unique(targets)
    whole = bool((values == np.round(values)).all())
    if not sure and targets.dtype.kind == "f" and not set(values.tolist()) <= {0.0, 1.0}:
        return None
    if not sure and (values[0] < 0 or values[-1] + 1 > GAPS * len(values)):
        return None
    if not whole or values[0] < 0:
        advice = "Number the classes from 0: np.unique(y, return_inverse=True)[1]."
        raise DataError(wrong("y", "must be classes counted from 0", values[:5].tolist(), advice))
    return max(2, int(values[-1]) + 1)
