"""Trainings that share no compiled program, as code of the user's takes part in them."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable
from typing import Any

import jax
import keras
import pytest

from afina.training import keras_parts
from afina.training.epochs.key import program_key
from afina.training.fused import Engine

from .conftest import both, dense, layers, sequential
from .test_key import Make, X, Y, graph, key_of, layer

losses, metrics, optimizers = keras.losses, keras.metrics, keras.optimizers
schedules = keras.optimizers.schedules


class MyDense(layers.Dense):  # type: ignore[misc]
    """Keras' layer with something of the user's."""


@keras.saving.register_keras_serializable(package="tests")
class MySchedule(schedules.LearningRateSchedule):  # type: ignore[misc]
    """Its configuration does not tell all."""

    def __init__(self, rate: float = 0.1) -> None:
        self.rate = rate

    def __call__(self, step: Any) -> Any:
        return self.rate

    def get_config(self) -> dict[str, Any]:
        return {}


class MyRegularizer(keras.regularizers.Regularizer):  # type: ignore[misc]
    """Likewise."""

    def __call__(self, x: Any) -> Any:
        return keras.ops.sum(x * x)

    def get_config(self) -> dict[str, Any]:
        return {}


class MyOperation(keras.Operation):  # type: ignore[misc]
    """Likewise."""

    def call(self, x: Any) -> Any:
        return x * 2

    def compute_output_spec(self, x: Any) -> Any:
        return keras.KerasTensor(x.shape, x.dtype)


class Doubling:
    """A function that is an object."""

    def __call__(self, x: Any) -> Any:
        return 2 * x


def relu(x: Any) -> Any:
    """Named as one of Keras' own."""
    return 2 * x


def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
    """Likewise."""
    return 2 * keras.ops.mean((y_true - y_pred) ** 2, axis=-1)


def module_like_keras() -> Any:
    """A loss from a module of the user's whose name begins as Keras'."""
    module = types.ModuleType("keras_of_mine")
    kind = type("Mine", (losses.MeanSquaredError,), {"__module__": "keras_of_mine"})
    module.Mine = kind  # type: ignore[attr-defined]
    sys.modules["keras_of_mine"] = module
    return kind()


def part(thing: Any, name: str, value: Any) -> Any:
    """The thing, with something of the user's in place of one of its parts."""
    object.__setattr__(thing, name, value)
    return thing


def activated(activation: Any) -> Make:
    return lambda: sequential(layers.Dense(3, activation=activation))


def replaced(name: str, value: Any, where: Callable[[keras.Model], Any]) -> Make:
    """A model of which a method is replaced."""

    def make() -> keras.Model:
        model = dense()
        part(where(model), name, value)
        return model

    return make


def in_scope() -> keras.Model:
    with keras.saving.custom_object_scope({"mine": relu}):
        return sequential(layers.Dense(3, activation=keras.activations.get(relu)))


KEYLESS: dict[str, Make] = {
    "subclassed layer": lambda: sequential(MyDense(3)),
    "lambda layer": lambda: sequential(layers.Lambda(lambda x: 2 * x)),
    "function as activation": activated(relu),
    "function of JAX": activated(jax.nn.gelu),
    "function compiled by JAX": activated(jax.jit(relu)),
    "partial function": activated(functools.partial(keras.activations.leaky_relu)),
    "object as activation": activated(Doubling()),
    "builtin": activated(abs),
    "activation of an LSTM": graph(lambda t: layers.LSTM(3, relu)(layers.Reshape((3, 2))(t))),
    "activation in a wrapper": graph(
        lambda t: layers.TimeDistributed(layers.Dense(2, relu))(layers.Reshape((3, 2))(t))
    ),
    "activation in a scope": in_scope,
    "regularizer": layer(layers.Dense, 3, kernel_regularizer=MyRegularizer()),
    "operation": graph(lambda t: MyOperation()(t)),
    "function in an operation": graph(lambda t: keras.ops.map(relu, t)),
    "variable in the graph": graph(lambda t: t * keras.Variable(2.0)),
    "function as loss": lambda: dense(loss=mean_squared_error),
    "loss with another function": lambda: dense(
        loss=part(losses.MeanSquaredError(), "fn", mean_squared_error)
    ),
    "loss that looks like Keras'": lambda: dense(loss=module_like_keras()),
    "function as metric": lambda: dense(metrics=[mean_squared_error]),
    "metric with another function": lambda: dense(
        metrics=[part(metrics.MeanSquaredError(), "_fn", mean_squared_error)]
    ),
    "schedule": lambda: dense(optimizer=optimizers.SGD(MySchedule())),
    "rate as a function": lambda: dense(optimizer=optimizers.SGD(lambda: 0.1)),
    "subclassed optimizer": lambda: dense(optimizer=type("Mine", (optimizers.SGD,), {})()),
    "optimizer with another step": replaced(
        "update_step", lambda *args: None, lambda model: model.optimizer
    ),
    "layer with another call": replaced(
        "call", functools.partial(relu), lambda model: model.layers[0]
    ),
    "model with another loss": replaced(
        "compute_loss", lambda *given, **more: 0.0, lambda model: model
    ),
    "subclassed model": lambda: _compiled(type("Mine", (keras.Sequential,), {})),
}


def _compiled(kind: Any) -> keras.Model:
    model = kind([keras.Input((6,)), layers.Dense(1)])
    model.compile("adam", "mse")
    return model


@pytest.mark.parametrize("name", KEYLESS)
def test_what_holds_code_of_the_users_shares_nothing(name: str) -> None:
    model = KEYLESS[name]()
    keras_parts.Batches(X, Y, None, batch_size=16, shuffle=False).build(model)
    assert program_key(model) is None


@pytest.mark.parametrize("names", [["bias"], ["kernel"]])
def test_variables_that_are_excluded_from_weight_decay_are_no_setting(names: list[str]) -> None:
    model = dense(optimizer=optimizers.AdamW(weight_decay=0.1))
    model.optimizer.exclude_from_weight_decay(var_names=names)
    keras_parts.Batches(X, Y, None, batch_size=16, shuffle=False).build(model)
    assert program_key(model) is None


def test_a_registered_name_that_stands_for_the_users_own_has_no_key() -> None:
    keras.saving.get_custom_objects()["relu"] = relu
    try:
        assert key_of(activated("relu")) is None
    finally:
        del keras.saving.get_custom_objects()["relu"]


def test_models_without_a_key_are_compiled_each_and_trained_as_in_fit() -> None:
    engine = Engine()
    for factor in (1.0, 3.0):

        def make(factor: float = factor) -> keras.Model:
            return sequential(layers.Lambda(lambda x: factor * x), optimizer="sgd")

        both(make, X, Y, engine=engine)
    assert engine.programs.compiled == 2
