"""How exact a metric on some examples is: its standard error, and that of a difference.

A metric that is a mean over examples has a standard error if the value of each example is known. So
the values are computed from a model's outputs in the usual ways, and the way whose mean is the
metric that Keras reports is the one that was meant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Measure = Callable[[Array, Array], Array]
"""From (n, ...) targets and (n, ...) outputs to (n,) values, one for each example."""

SAME = 2e-3  # relative; float32 sums, and logarithms that Keras cuts off, differ by less
SMALLEST = 1e-7  # probabilities are cut off here, as Keras does
CLEAR = 2.0  # standard errors; a smaller difference may be luck


def correct(targets: Array, outputs: Array) -> Array:
    """1 for each right answer: of classes, of a probability, or of several yes-or-no answers."""
    if outputs.ndim == 2 and outputs.shape[1] > 1:
        if targets.shape == outputs.shape:
            return np.asarray(targets.argmax(axis=1) == outputs.argmax(axis=1), dtype=float)
        return np.asarray(targets.reshape(len(targets)) == outputs.argmax(axis=1), dtype=float)
    same = (outputs > 0.5) == (targets.reshape(outputs.shape) > 0.5)
    return np.asarray(same.reshape(len(outputs), -1).mean(axis=1), dtype=float)


def crossentropy(targets: Array, outputs: Array) -> Array:
    """Minus the logarithm of the probability of the true class."""
    cut = np.clip(outputs, SMALLEST, 1 - SMALLEST)
    if outputs.ndim == 2 and outputs.shape[1] > 1:
        if targets.shape == outputs.shape:
            whole = cut / cut.sum(axis=1, keepdims=True)
            return np.asarray(-(targets * np.log(whole)).sum(axis=1))
        whole = cut / cut.sum(axis=1, keepdims=True)
        rows = np.arange(len(outputs))
        return np.asarray(-np.log(whole[rows, targets.reshape(len(targets)).astype(int)]))
    flat = targets.reshape(cut.shape)
    each = -(flat * np.log(cut) + (1 - flat) * np.log(1 - cut))
    return np.asarray(each.reshape(len(cut), -1).mean(axis=1))


def squared_error(targets: Array, outputs: Array) -> Array:
    """The mean over outputs of the squared error."""
    gaps = outputs - targets.reshape(outputs.shape)
    return np.asarray(np.square(gaps).reshape(len(outputs), -1).mean(axis=1))


def absolute_error(targets: Array, outputs: Array) -> Array:
    """The mean over outputs of the absolute error."""
    gaps = outputs - targets.reshape(outputs.shape)
    return np.asarray(np.abs(gaps).reshape(len(outputs), -1).mean(axis=1))


MEASURES: Mapping[str, Measure] = {
    "accuracy": correct,
    "crossentropy": crossentropy,
    "squared error": squared_error,
    "absolute error": absolute_error,
}


def measure_of(value: float, targets: Any, outputs: Any) -> Measure | None:
    """The way to compute a metric for each example, known by its mean; None if none fits.

    Args:
        value: The metric that Keras reports for these examples.
        targets: (n, ...) their targets.
        outputs: (n, ...) the model's outputs.
    """
    if isinstance(outputs, Mapping | list | tuple) or targets is None:
        return None
    truth, found = np.asarray(targets), np.asarray(outputs)
    if truth.dtype.kind not in "biuf" or found.dtype.kind != "f" or not len(truth):
        return None
    truth, found = truth.astype(float), found.astype(float)
    for measure in MEASURES.values():
        try:
            mean = float(measure(truth, found).mean())
        except (ValueError, IndexError):  # shapes that do not belong to this measure
            continue
        if math.isclose(mean, value, rel_tol=SAME, abs_tol=1e-6):
            return measure
    return None


def error_of(values: Array) -> float:
    """The standard error of a mean; NaN for fewer than two values.

    Example:
        >>> error_of(np.array([0.0, 1.0, 0.0, 1.0])).__round__(3)
        0.289
    """
    if len(values) < 2:
        return math.nan
    return float(values.std(ddof=1) / math.sqrt(len(values)))


def error_of_share(share: float, count: int) -> float:
    """The standard error of a share of so many examples.

    Example:
        >>> error_of_share(0.5, 100)
        0.05
    """
    return math.sqrt(max(share * (1 - share), 0.0) / count)
