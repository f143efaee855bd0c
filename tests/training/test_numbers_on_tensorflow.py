"""Rates, factors, weight decay and schedules as inputs of functions on TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from afina.training import fresh_session
from afina.training.on_tensorflow import TensorFlowTrainer

if keras.backend.backend() != "tensorflow":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

layers, optimizers = keras.layers, keras.optimizers
RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(40, 6)).astype("float32")
CLASSES = RNG.integers(0, 3, 40)
TRAINING: dict[str, Any] = {"epochs": 2, "batch_size": 16, "shuffle": False, "verbose": 0}


def network(*middle: Any, optimizer: Any = "sgd") -> keras.Model:
    parts = [keras.Input((6,)), layers.Dense(8), *middle, layers.Dense(3, activation="softmax")]
    model = keras.Sequential(parts)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def dropped(number: float) -> keras.Model:
    return network(layers.Dropout(number, seed=1), layers.AlphaDropout(number, seed=2))


def disturbed(number: float) -> keras.Model:
    return network(layers.GaussianNoise(number, seed=1))


def punished(number: float) -> keras.Model:
    both = keras.regularizers.L1L2(number / 10, number)
    return network(layers.Dense(4, kernel_regularizer=both, bias_regularizer="l2"))


def decayed(number: float) -> keras.Model:
    rate = optimizers.schedules.CosineDecay(number / 10, 10)
    return network(optimizer=optimizers.AdamW(rate, weight_decay=number))


def slowed(number: float) -> keras.Model:
    return network(
        optimizer=optimizers.RMSprop(optimizers.schedules.ExponentialDecay(0.01, 5, number))
    )


def recurrent(number: float) -> keras.Model:
    cell = layers.LSTM(4, dropout=number, recurrent_dropout=number / 2, seed=3)
    return network(layers.Reshape((4, 2)), cell)


def attending(number: float) -> keras.Model:
    inputs = keras.Input((6,))
    times = layers.Reshape((3, 2))(inputs)
    heads = layers.MultiHeadAttention(2, 3, dropout=number, seed=1)(times, times)
    dropped = layers.SpatialDropout1D(number, seed=2)(heads)
    outputs = layers.Dense(3, activation="softmax")(layers.Flatten()(dropped))
    built = keras.Model(inputs, outputs)
    built.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return built


KINDS: list[Callable[[float], keras.Model]] = [
    dropped,
    disturbed,
    punished,
    decayed,
    slowed,
    recurrent,
    attending,
]


def trained(trainer: TensorFlowTrainer, model: keras.Model) -> list[np.ndarray]:
    trainer.fit(model, (ROWS, CLASSES), TRAINING)
    return [np.asarray(weight) for weight in model.get_weights()]


def fresh(make: Callable[[float], keras.Model], number: float) -> keras.Model:
    fresh_session()
    keras.utils.set_random_seed(3)
    return make(number)


@pytest.mark.parametrize("make", KINDS)
def test_models_that_differ_in_a_number_share_one_trace_and_train_as_fit_does(
    make: Callable[[float], keras.Model],
) -> None:
    trainer = TensorFlowTrainer()
    for number in (0.2, 0.45):
        ours = trained(trainer, fresh(make, number))
        model = fresh(make, number)
        model.fit(ROWS, CLASSES, **TRAINING)
        for weight, expected in zip(ours, model.get_weights(), strict=True):
            np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=1e-6)
    assert trainer.programs.compiled == 1


def test_a_number_as_an_input_changes_no_bit() -> None:
    shared, apart = TensorFlowTrainer(), TensorFlowTrainer()
    apart.widths.takes_numbers = False
    ours = trained(shared, fresh(dropped, 0.3))
    for weight, constant in zip(ours, trained(apart, fresh(dropped, 0.3)), strict=True):
        np.testing.assert_array_equal(weight, constant)


def test_no_dropout_is_another_trace_than_some() -> None:
    trainer = TensorFlowTrainer()
    for number in (0.0, 0.3):
        trained(trainer, fresh(dropped, number))
    assert trainer.programs.compiled == 2


class Doubting(keras.layers.Dropout):  # type: ignore[misc]
    """Decides in Python by its rate."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        return inputs if self.rate > 0.25 else super().call(inputs, training=training)


def test_layers_of_the_users_read_their_numbers_as_numbers() -> None:
    trainer = TensorFlowTrainer()
    kinds = {0.2: False, 0.3: True}
    for number, is_passed in kinds.items():
        model = fresh(lambda rate: network(Doubting(rate, seed=1)), number)
        history = trainer.fit(model, (ROWS, CLASSES), TRAINING).history
        same = fresh(lambda rate: network(layers.Dropout(rate, seed=1)), 0 if is_passed else number)
        expected = same.fit(ROWS, CLASSES, **TRAINING).history
        np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-5)


def test_numbers_are_constants_again_where_a_step_cannot_take_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def call(self: Any, inputs: Any, training: bool = False) -> Any:
        return inputs * float(self.rate)  # as another Keras might read it

    monkeypatch.setattr(layers.Dropout, "call", call)
    trainer = TensorFlowTrainer()
    for number in (0.2, 0.45):
        trained(trainer, fresh(lambda rate: network(layers.Dropout(rate, seed=1)), number))
    assert not trainer.widths.takes_numbers
    assert trainer.programs.compiled == 2
