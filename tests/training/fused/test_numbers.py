"""Rates, factors and schedules are inputs of programs: equal to `fit`, whatever the numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from afina.training.epochs import numbers
from afina.training.fused import Engine, FusedTrainer
from afina.training.fused.group import Group
from afina.training.fused.member import GroupMember

from .conftest import arrays, assert_same, both, layers, plainly, sequential, train

pytestmark = (
    pytest.mark.service
)  # `make test` groups trials of other numbers: tests/tuners/test_groups.py

X, Y = arrays()
TIMES = np.random.default_rng(1).normal(size=(50, 4, 6)).astype("float32")
PICTURES = np.random.default_rng(1).normal(size=(50, 4, 4, 4)).astype("float32")
TRAINING = {"epochs": 2, "batch_size": 16, "validation_split": 0.3}
Numbered = Callable[[float], keras.Model]
L1, L2, L1L2 = keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2
optimizers, schedules = keras.optimizers, keras.optimizers.schedules


def regularized(number: float) -> keras.Model:
    shared = L2(number)
    return sequential(
        layers.Dense(4, kernel_regularizer=shared, activity_regularizer=L1L2(number, 0.0)),
        layers.Dense(4, kernel_regularizer=shared, bias_regularizer=L1(number)),
        layers.ActivityRegularization(l2=number),
    )


def dropped(number: float) -> keras.Model:
    return sequential(
        layers.Dense(8), layers.Dropout(number), layers.GaussianNoise(number),
        layers.AlphaDropout(number),
    )  # fmt: skip


def of_times(*middle: Any) -> keras.Model:
    model = keras.Sequential([keras.Input((4, 6)), *middle, layers.Flatten(), layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def recurrent(number: float) -> keras.Model:
    return of_times(
        layers.SpatialDropout1D(number),
        layers.GRU(2, dropout=number, return_sequences=True),
        layers.LSTM(2, recurrent_dropout=number),
    )


def attentive(number: float) -> keras.Model:
    inputs = keras.Input((4, 6))
    seen = layers.MultiHeadAttention(2, 3, dropout=number, use_bias=False)(inputs, inputs)
    seen = layers.Attention(dropout=number)([seen, seen])
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(seen)))
    model.compile("adam", "mse")
    return model


def pictured(number: float) -> keras.Model:
    model = keras.Sequential(
        [keras.Input((4, 4, 4)), layers.SpatialDropout2D(number), layers.Flatten(), layers.Dense(1)]
    )
    model.compile("adam", "mse")
    return model


LAYERS: dict[str, tuple[Numbered, Any]] = {
    "regularizers": (regularized, X),
    "dropout": (dropped, X),
    "recurrent dropout": (recurrent, TIMES),
    "dropout of attention": (attentive, TIMES),
    "dropout of maps": (pictured, PICTURES),
}
OPTIMIZERS: dict[str, Callable[[float], Any]] = {
    "weight decay": lambda n: optimizers.AdamW(weight_decay=n),
    "exponential": lambda n: optimizers.Adam(schedules.ExponentialDecay(n, 3, 1 - n)),
    "by time": lambda n: optimizers.Adam(schedules.InverseTimeDecay(n, int(50 * n), n / 3)),
    "polynomial": lambda n: optimizers.Adam(schedules.PolynomialDecay(n, 4, n / 3, cycle=True)),
    "cosine": lambda n: optimizers.Adam(
        schedules.CosineDecay(n, int(30 * n), n / 10, warmup_target=2 * n, warmup_steps=2)
    ),
    "restarts": lambda n: optimizers.Adam(schedules.CosineDecayRestarts(n, int(20 * n))),
    "scaled": lambda n: optimizers.LossScaleOptimizer(
        optimizers.AdamW(schedules.CosineDecay(n, 9), weight_decay=n)
    ),
}


def _second_of_two(make: Numbered, x: Any) -> Engine:
    """Trains with two numbers, the second one with the program of the first, and beside `fit`."""
    engine = Engine()
    train(FusedTrainer(engine).fit, lambda: make(0.15), x, Y, **TRAINING)
    both(lambda: make(0.3), x, Y, engine=engine, **TRAINING)
    return engine


@pytest.mark.first("regularizers", "dropout")
@pytest.mark.parametrize("name", LAYERS)
def test_a_number_of_a_layer_is_an_input_and_trains_as_fit_does(name: str) -> None:
    assert _second_of_two(*LAYERS[name]).programs.compiled == 1


@pytest.mark.first("weight decay", "exponential", "cosine")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_number_of_an_optimizer_is_an_input_and_trains_as_fit_does(name: str) -> None:
    def make(number: float) -> keras.Model:
        return sequential(layers.Dense(4), optimizer=OPTIMIZERS[name](number))

    assert _second_of_two(make, X).programs.compiled == 1


def test_ten_rates_and_ten_factors_share_one_program() -> None:
    engine = Engine()
    for number in range(1, 11):
        train(
            FusedTrainer(engine).fit,
            lambda number=number: sequential(  # type: ignore[misc]
                layers.Dense(4, kernel_regularizer=L2(0.01 * number)), layers.Dropout(0.05 * number)
            ),
            X,
            Y,
            batch_size=16,
        )
    assert engine.programs.compiled == 1


@pytest.mark.first("mixed_bfloat16")
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_number_that_is_an_input_does_not_raise_the_precision(policy: str) -> None:
    keras.config.set_dtype_policy(policy)
    try:
        both(lambda: dropped(0.3), X, Y, tolerance=2e-3, **TRAINING)
    finally:
        keras.config.set_dtype_policy("float32")


def test_tracing_leaves_the_numbers_as_they_are() -> None:
    fused = train(FusedTrainer().fit, lambda: regularized(0.25), X, Y, batch_size=16)
    first = fused.model.layers[0]
    assert type(first.kernel_regularizer.l2) is float
    assert fused.model.get_config()["layers"][1]["config"]["kernel_regularizer"]["config"] == {
        "l2": 0.25
    }


def test_a_rate_that_a_callback_changes_counts_as_little_as_in_fit() -> None:
    class Changing(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.model.layers[1].rate = 0.1 + epoch / 10

    both(lambda: dropped(0.1), X, Y, callbacks=lambda: [Changing()], **TRAINING)


def test_trainings_with_other_numbers_are_grouped_and_come_to_what_each_comes_to_alone() -> None:
    numbers = (0.2, 0.4)
    alone = [train(plainly, lambda n=n: dropped(n), X, Y, **TRAINING) for n in numbers]  # type: ignore[misc]
    members: list[GroupMember] = []

    def collect(model: keras.Model, args: Any, kwargs: Any) -> Any:
        members.append(GroupMember(model, args, kwargs))
        return keras.callbacks.History()

    grouped = [train(collect, lambda n=n: dropped(n), X, Y, **TRAINING) for n in numbers]  # type: ignore[misc]
    histories = Group(Engine(), members).run()
    for member, history, own, plain in zip(members, histories, grouped, alone, strict=True):
        own.model, own.history, own.draw = member.model, history, plain.draw
        assert_same(own, plain)


def test_a_number_that_keras_reads_as_a_number_stays_a_constant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(numbers.RATES, layers.GaussianDropout, ("rate",))  # it takes a root
    engine = Engine()
    for rate in (0.2, 0.4):
        both(
            lambda rate=rate: sequential(layers.GaussianDropout(rate)),  # type: ignore[misc]
            X,
            Y,
            engine=engine,
            **TRAINING,
        )
    assert not engine.takes_settings
    assert engine.programs.compiled == 2
