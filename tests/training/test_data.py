from __future__ import annotations

import warnings
from collections.abc import Iterator

import keras
import numpy as np
import pandas as pd
import pytest

from afina.errors import ArgumentError, DataError
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


def test_nan_among_the_inputs_is_warned_of_but_not_refused() -> None:
    bad = X.copy()
    bad[4, 1] = np.nan
    with pytest.warns(UserWarning, match="x holds NaN"):
        check_data((bad, Y), {}, ["loss"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_data((X, Y), {}, ["loss"])


@pytest.mark.parametrize("value", [0, -1, 2.0, "3", True, {1, 3}])
@pytest.mark.parametrize(
    "name", ["epochs", "batch_size", "validation_batch_size", "validation_freq"]
)
def test_numbers_that_count_nothing_are_refused(name: str, value: object) -> None:
    with pytest.raises(ArgumentError, match=f"^{name}: must be a whole number from 1 up, but got"):
        check_data((X, Y), {name: value, "validation_split": 0.2})


def test_whole_numbers_of_any_kind_count() -> None:
    kwargs = {"epochs": np.int64(2), "batch_size": None, "validation_freq": [1, 3]}
    check_data((X, Y), {**kwargs, "validation_split": 0.2})


@pytest.mark.parametrize(
    ("callback", "advice"),
    [
        (keras.callbacks.EarlyStopping, r"Give an instance: EarlyStopping\(\.\.\.\)"),
        (3, "but got 3"),
        ("early", "but got 'early'"),
    ],
)
def test_what_is_no_callback_is_refused(callback: object, advice: str) -> None:
    with pytest.raises(ArgumentError, match=f"callbacks: must be Keras callbacks.*{advice}"):
        check_data((X, Y), {"callbacks": [callback]})
