"""What trials may return, and how it is read."""

import math

import keras
import numpy as np
import pytest

from afina.errors import FatalTypeError, FatalValueError
from afina.trials import Objective, create_objective
from afina.tuners.results import read_result

LOSS = Objective("val_loss", "min")


def history(**logs):
    made = keras.callbacks.History()
    made.history = logs
    return made


@pytest.mark.parametrize("number", [0.5, np.float32(0.5), np.array(0.5), np.float64(0.5)])
def test_a_number_is_the_objective(number):
    assert read_result(number, LOSS, "f").metrics == {"val_loss": 0.5}


def test_a_numpy_integer_is_a_number():
    assert read_result(np.int64(3), LOSS, "f").metrics == {"val_loss": 3.0}


def test_a_history_gives_all_metrics_at_its_best_epoch():
    outcome = read_result(history(val_loss=[3.0, 1.0, 2.0], acc=[0.1, 0.2, 0.3]), LOSS, "f")
    assert (outcome.metrics, outcome.step) == ({"val_loss": 1.0, "acc": 0.2}, 1)


def test_an_epoch_that_is_no_number_is_never_the_best():
    assert read_result(history(val_loss=[math.nan, 2.0]), LOSS, "f").step == 1


def test_executions_are_averaged():
    outcome = read_result([{"val_loss": 1.0}, {"val_loss": 2.0}], LOSS, "f")
    assert outcome.metrics == {"val_loss": 1.5}


def test_a_list_of_objectives_needs_its_single_metrics_only():
    both = create_objective(["val_loss", Objective("auc", "max")])
    outcome = read_result({"val_loss": 1.0, "auc": 0.25}, both, "f")
    assert outcome.metrics["multi_objective"] == 0.75


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (None, FatalTypeError, "Did you forget to return"),
        ("good", FatalTypeError, "must return a number"),
        ({"loss": 1.0}, FatalValueError, "'val_loss'"),
        ([], FatalTypeError, "at least one"),
        (history(), FatalValueError, "no epoch"),
    ],
)
def test_what_cannot_be_read_is_refused_with_advice(result, error, message):
    with pytest.raises(error, match=message):
        read_result(result, LOSS, "f")


@pytest.mark.parametrize("value", ["1", None, True, [1.0, 2.0], np.array([1.0, 2.0])])
def test_an_objective_that_is_no_number_is_refused_by_its_name(value):
    with pytest.raises(FatalTypeError, match="f: 'val_loss' must be a number, but got"):
        read_result({"val_loss": value, "other": 1.0}, LOSS, "f")
    two = create_objective(["val_loss", "val_accuracy"])
    with pytest.raises(FatalTypeError, match="f: 'val_accuracy' must be a number, but got"):
        read_result({"val_loss": 1.0, "val_accuracy": value}, two, "f")
