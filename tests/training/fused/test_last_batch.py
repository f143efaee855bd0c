"""The last, smaller batch of an epoch is trained by the program of the others, filled up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np
import pytest

from afina.training.epochs.reasons import fit_arguments
from afina.training.fused.data import data_cache
from afina.training.fused.plan import Plan
from afina.training.fused.program import ModelState, ProgramFunctions, trace

from .conftest import Make, arrays, both, dense, layers, sequential

X, Y = arrays()
WORDS = np.random.default_rng(0).integers(0, 30, (50, 6)).astype("int32")
CLASSES = (Y > 0).astype("int32")
TRAINING: dict[str, Any] = {"epochs": 2, "batch_size": 16, "shuffle": True}


def plan_and_steps(make: Make, **kwargs: Any) -> tuple[Plan, int]:
    """The plan of a training, and how many products of matrices its program has."""
    given = fit_arguments((X, Y), {"batch_size": 16, **kwargs})
    assert isinstance(given, dict)
    train, _ = data_cache().parts(given)
    model = make()
    train.batches.build(model)
    plan = Plan.of(model, train, None)
    functions = ProgramFunctions(model, train, None, plan)
    device = jax.devices()[0]
    program, _ = trace(functions, ModelState.of(model), train, None, rows=50, device=device)
    return plan, str(program.jaxpr).count("dot_general")


def test_a_smaller_last_batch_is_no_second_step_in_the_program() -> None:
    plan, products = plan_and_steps(dense)
    whole, as_many = plan_and_steps(dense, batch_size=25)
    assert plan.filler is not None
    assert whole.filler is None  # every batch is full
    assert products == as_many


@pytest.mark.parametrize(
    ("make", "kwargs"),
    [
        (dense, {"batch_size": 12}),  # a mean over 12 is not exact
        (lambda: sequential(layers.BatchNormalization()), {}),
    ],
    ids=["batch of twelve", "batch normalization"],
)
def test_where_filling_up_would_change_numbers_it_is_a_step_of_its_own(
    make: Make, kwargs: dict[str, Any]
) -> None:
    plan, products = plan_and_steps(make, **kwargs)
    _, once = plan_and_steps(make, batch_size=25)
    assert plan.filler is None
    assert products == 2 * once


def test_it_is_a_step_of_its_own_if_draws_depend_on_their_length() -> None:
    with jax.threefry_partitionable(False):
        assert plan_and_steps(dense)[0].filler is None


def texts(*middle: Any) -> keras.Model:
    model = keras.Sequential(
        [keras.Input((6,), dtype="int32"), layers.Embedding(30, 4), *middle, layers.Dense(1)]
    )
    model.compile("adam", "mse", metrics=["mae"])
    return model


def pictures() -> keras.Model:
    return sequential(
        layers.Reshape((6, 1)),
        layers.Conv1D(3, 3, activation="relu"),
        layers.SpatialDropout1D(0.3),
        layers.MaxPooling1D(),
        layers.Flatten(),
    )


def tagger() -> keras.Model:
    """A class for each word, so a sample has as many losses as words."""
    model = keras.Sequential([keras.Input((6,), dtype="int32"), layers.Embedding(30, 4)])
    model.add(layers.Dense(3, activation="softmax"))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def decoder() -> keras.Model:
    """Its output is a picture."""
    model = keras.Sequential([keras.Input((6,)), layers.Dense(12), layers.Reshape((2, 3, 2))])
    model.compile("adam", "mse", metrics=["mae"])
    return model


WEIGHTS = np.linspace(0.1, 2.0, 50).astype("float32")
KINDS: dict[str, tuple[Callable[[], keras.Model], Any, Any, dict[str, Any]]] = {
    "sample weights": (dense, X, Y, {"sample_weight": WEIGHTS}),
    "class weights": (
        lambda: dense(activation="sigmoid", loss="binary_crossentropy", metrics=["accuracy"]),
        X,
        CLASSES,
        {"class_weight": {0: 0.3, 1: 2.0}},
    ),
    "dropout and noise": (
        lambda: sequential(layers.GaussianNoise(0.1), layers.Dense(5), layers.Dropout(0.4)),
        X,
        Y,
        {},
    ),
    "convolution": (pictures, X, Y, {}),
    "recurrent dropout": (
        lambda: texts(layers.GRU(3, dropout=0.2, recurrent_dropout=0.3)),
        WORDS,
        Y,
        {},
    ),
    "a class for each word": (tagger, WORDS, WORDS % 3, {}),
    "weights of words": (tagger, WORDS, WORDS % 3, {"sample_weight": np.ones((50, 6), "float32")}),
    "pictures as outputs": (decoder, X, np.zeros((50, 2, 3, 2), "float32"), {}),
    "nadam": (lambda: dense(optimizer=keras.optimizers.Nadam(0.01)), X, Y, {}),
    "regularizer": (lambda: sequential(layers.Dense(4, kernel_regularizer="l2")), X, Y, {}),
}


@pytest.mark.parametrize("name", KINDS)
def test_filled_up_it_trains_as_fit_does(name: str) -> None:
    make, x, y, kwargs = KINDS[name]
    both(make, x, y, **TRAINING, **kwargs)
