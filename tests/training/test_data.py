from __future__ import annotations

import warnings
from collections.abc import Iterator

import keras
import numpy as np
import pandas as pd
import pytest

from afina.errors import DataError
from afina.training import check_data

X, Y = np.ones((10, 3), "float32"), np.ones((10,), "float32")


@pytest.mark.parametrize(
    ("args", "kwargs", "rule"),
    [
        ((X[:0], Y[:0]), {}, "at least one sample"),
        ((X, Y[:9]), {}, "as many samples"),
        ((), {"x": X, "y": pd.Series(Y[:9])}, "as many samples"),
        ((X, {"a": Y, "b": Y[:3]}), {}, "as many samples"),
        (([X, X[:2]], Y), {}, "as many samples"),
        ((X, Y), {"sample_weight": Y[:4]}, "as many samples"),
        ((X, Y), {"validation_data": (X[:4], Y[:3])}, "validation_data: .*as many"),
        ((X, Y), {"validation_data": (X[:0], Y[:0])}, "validation_data: .*at least one"),
        ((X, Y), {"validation_split": 1.5}, "above 0 and below 1"),
        ((X[:1], Y[:1]), {"validation_split": 0.5}, "on both sides of 1"),
        ((X, Y), {}, "needs validation data"),
    ],
)
def test_data_that_no_trial_could_use_are_refused(
    args: tuple[object, ...], kwargs: dict[str, object], rule: str
) -> None:
    with pytest.raises(DataError, match=rule):
        check_data(args, kwargs, ["val_loss"])


class LogsMore(keras.callbacks.Callback):  # type: ignore[misc]
    """May log val_ metrics of its own."""


def batches() -> Iterator[tuple[object, object]]:
    yield X, Y


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((X, Y), {"validation_split": 0.2}),
        ((X, Y), {"validation_data": (X, Y), "epochs": 3, "strange": 1}),
        ((X, Y), {"validation_data": batches()}),
        ((X, Y, 32, 1, 0, None, 0.2), {}),
        ((X, Y), {"callbacks": [LogsMore()]}),
        ((batches(),), {}),
        ((), {}),
        (([[1.0], [2.0]], [1.0]), {}),
    ],
)
def test_data_that_may_be_good_are_left_to_keras(
    args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    check_data(args, kwargs, ["val_loss"])


def test_keras_own_callbacks_log_no_validation_metrics_by_themselves() -> None:
    stop = keras.callbacks.EarlyStopping()
    with pytest.raises(DataError, match="needs validation data"):
        check_data((X, Y), {"callbacks": [stop]}, ["val_loss"])


def test_nan_among_the_inputs_is_told_but_not_refused() -> None:
    bad = X.copy()
    bad[4, 1] = np.nan
    with pytest.warns(UserWarning, match="x holds NaN"):
        check_data((bad, Y), {}, ["loss"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_data((X, Y), {}, ["loss"])
