"""One trace for models that differ in the widths of layers only, and updates by one operation."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from afina.training import fresh_session
from afina.training.on_tensorflow import TensorFlowTrainer
from afina.training.on_tensorflow.siblings import sibling_shapes

if keras.backend.backend() != "tensorflow":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

layers = keras.layers
RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(40, 6)).astype("float32")
WORDS = RNG.integers(0, 20, (40, 5)).astype("int32")
TIMES = RNG.normal(size=(40, 4, 3)).astype("float32")
IMAGES = RNG.normal(size=(40, 6, 6, 1)).astype("float32")
CLASSES = RNG.integers(0, 3, 40)
TRAINING: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 16,
    "shuffle": False,
    "validation_data": None,
    "verbose": 0,
}


def compiled(model: keras.Model, optimizer: Any = "adam") -> keras.Model:
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def stack(x: Any, *middle: Any, optimizer: Any = "adam") -> keras.Model:
    kind = "int32" if x is WORDS else "float32"
    parts = [keras.Input(x.shape[1:], dtype=kind), *middle, layers.Dense(3, activation="softmax")]
    return compiled(keras.Sequential(parts), optimizer)


def two_inputs(width: int) -> keras.Model:
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    both = layers.Concatenate()([layers.Dense(width)(a), layers.Dense(width, "relu")(b)])
    hidden = layers.Dense(width, "tanh")(both)
    added = layers.Add()([hidden, layers.Dense(width)(both)])
    return compiled(keras.Model([a, b], layers.Dense(3, activation="softmax")(added)))


def normalized(width: int) -> keras.Model:
    # A bias before the normalization would be trained by nothing but errors of rounding.
    dense = layers.Dense(width, use_bias=False)
    block = [dense, layers.BatchNormalization(), layers.Activation("relu")]
    return stack(ROWS, *block, layers.Dropout(0.2, seed=3), layers.LayerNormalization())


def convolutional(width: int) -> keras.Model:
    first = [layers.Conv2D(width, 3, activation="relu"), layers.LayerNormalization()]
    return stack(
        IMAGES, *first, layers.Conv2D(width + 1, 2), layers.MaxPooling2D(), layers.Flatten()
    )


def regularized(width: int) -> keras.Model:
    decayed = layers.Dense(width, "relu", kernel_regularizer="l2", kernel_constraint="max_norm")
    return stack(ROWS, decayed, layers.GaussianNoise(0.1, seed=2))


def embedded(width: int) -> keras.Model:
    return stack(WORDS, layers.Embedding(20, width), layers.GlobalAveragePooling1D())


def deep(width: int) -> keras.Model:
    return stack(ROWS, *(layers.Dense(width + each, "relu") for each in range(4)))


def recurrent(width: int) -> keras.Model:
    first = layers.LSTM(width, return_sequences=True, recurrent_dropout=0.2, seed=3)
    return stack(TIMES, first, layers.GRU(width + 1, dropout=0.1, seed=4), layers.Dense(width))


def masked(width: int) -> keras.Model:
    words = layers.Embedding(20, width, mask_zero=True)
    before = layers.GRU(width, return_sequences=True, go_backwards=True, reset_after=False)
    return stack(WORDS, words, before, layers.SimpleRNN(width))


def of_cells(width: int) -> keras.Model:
    return stack(TIMES, layers.RNN([layers.LSTMCell(width), layers.GRUCell(width)]))


SHARED: dict[str, tuple[Any, Callable[[int], keras.Model]]] = {
    "deep": (ROWS, deep),
    "normalized": (ROWS, normalized),
    "regularized": (ROWS, regularized),
    "convolutional": (IMAGES, convolutional),
    "embedded": (WORDS, embedded),
    "two inputs": ({"a": ROWS, "b": ROWS[::-1].copy()}, two_inputs),
    "recurrent": (TIMES, recurrent),
    "masked": (WORDS, masked),
}


def attending(width: int) -> keras.Model:
    inputs = keras.Input((4, 3))
    attended = layers.MultiHeadAttention(2, width)(inputs, inputs)
    pooled = layers.GlobalAveragePooling1D()(attended)
    return compiled(keras.Model(inputs, layers.Dense(3, activation="softmax")(pooled)))


def grouped(width: int) -> keras.Model:
    parts = [layers.Conv2D(2 * width, 2), layers.Conv2D(2 * width, 2, groups=2), layers.Flatten()]
    return stack(IMAGES, *parts)


APART: dict[str, tuple[Any, Callable[[int], keras.Model]]] = {
    "of cells": (TIMES, of_cells),
    "attending": (TIMES, attending),
    "grouped": (IMAGES, grouped),
}


def fresh(make: Callable[[int], keras.Model], width: int) -> keras.Model:
    fresh_session()
    keras.utils.set_random_seed(width)
    return make(width)


def check_equal(
    trainer: TensorFlowTrainer,
    make: Callable[[int], keras.Model],
    x: Any,
    width: int,
    tolerance: float = 1e-5,
    **more: Any,
) -> None:
    """Trains by the trainer and by `fit`, and compares curves and weights."""
    given = {**TRAINING, "validation_data": (x, CLASSES), **more}
    ours, plain = fresh(make, width), fresh(make, width)
    plain.set_weights(ours.get_weights())
    curves = trainer.fit(ours, (x, CLASSES), given).history
    expected = plain.fit(x, CLASSES, **given).history
    for name, values in expected.items():
        np.testing.assert_allclose(
            curves[name], values, rtol=tolerance, atol=tolerance, err_msg=name
        )
    for one, other in zip(ours.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=10 * tolerance, atol=tolerance)
    assert int(ours.optimizer.iterations) == int(plain.optimizer.iterations)


@pytest.mark.parametrize("kind", SHARED)
def test_models_of_other_widths_share_a_trace_and_train_as_fit_does(kind: str) -> None:
    x, make = SHARED[kind]
    trainer = TensorFlowTrainer()
    for width in (3, 5, 8, 3):
        check_equal(trainer, make, x, width)
    assert trainer.programs.compiled == 2  # one to train, one to validate


@pytest.mark.parametrize("kind", SHARED)
def test_a_model_trains_to_the_same_bits_whichever_width_was_met_before(kind: str) -> None:
    x, make = SHARED[kind]
    weights = []
    for before in ([], [3, 7]):
        trainer = TensorFlowTrainer()
        for width in (*before, 5):
            model = fresh(make, width)
            trainer.fit(model, (x, CLASSES), TRAINING)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_finding_the_lengths_that_vary_draws_nothing_and_names_nothing() -> None:
    model = fresh(deep, 5)
    model.optimizer.build(model.trainable_variables)
    state, drawn = random.getstate(), np.random.get_state()[1]
    shapes = sibling_shapes(model)
    assert shapes is not None
    assert shapes[:2] == ((6, 6), (6,))
    assert random.getstate() == state
    np.testing.assert_array_equal(np.random.get_state()[1], drawn)
    # Four hidden layers and an output: the next one is the sixth.
    assert layers.Dense(1).name == "dense_5"


@pytest.mark.parametrize("kind", APART)
def test_layers_that_need_their_width_are_traced_for_each_width(kind: str) -> None:
    x, make = APART[kind]
    trainer = TensorFlowTrainer()
    for width in (2, 3, 4):
        check_equal(trainer, make, x, width)
    assert trainer.programs.compiled == 6


def test_a_structure_that_cannot_be_traced_without_lengths_is_tried_once() -> None:
    trainer = TensorFlowTrainer()

    def of_columns(width: int) -> keras.Model:
        hidden = layers.Dense(width, use_bias=False)
        return stack(ROWS, hidden, layers.BatchNormalization(axis=1))  # Keras asks for the length

    for width in (3, 4, 5):
        check_equal(trainer, of_columns, ROWS, width)
    assert trainer.programs.compiled == 6


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "Adam": lambda: keras.optimizers.Adam(0.01, beta_1=0.8, epsilon=1e-5),
    "AdamW": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "SGD": lambda: keras.optimizers.SGD(0.1),
    "momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    "nesterov": lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "amsgrad": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
    "RMSprop": lambda: keras.optimizers.RMSprop(0.01),
    "clipnorm": lambda: keras.optimizers.Adam(0.01, clipnorm=0.1),
    "global_clipnorm": lambda: keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.1),
    "EMA": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=2),
    "accumulated": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=2),
    "schedule": lambda: keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, 6)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_updates_models_of_other_widths_as_in_fit(name: str) -> None:
    trainer = TensorFlowTrainer()
    for width in (3, 5, 6):
        check_equal(
            trainer,
            lambda width: stack(ROWS, layers.Dense(width), optimizer=OPTIMIZERS[name]()),
            ROWS,
            width,
        )
    # Keras adds gradients up in a branch, which needs to know their lengths.
    assert trainer.programs.compiled == (6 if name == "accumulated" else 2)


WEIGHTS: dict[str, dict[str, Any]] = {
    "samples": {"sample_weight": RNG.random(40).astype("float32")},
    "classes": {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}},
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_of_samples_and_classes_count_in_a_shared_trace(kind: str) -> None:
    trainer = TensorFlowTrainer()
    for width in (3, 5, 6):
        check_equal(trainer, embedded, WORDS, width, **WEIGHTS[kind])
    assert trainer.programs.compiled == 2


def test_mixed_precision_trains_in_a_shared_trace_as_fit_does() -> None:
    def make(width: int) -> keras.Model:
        hidden = layers.Dense(width, "relu", dtype="mixed_float16")
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-2))
        return stack(ROWS, hidden, optimizer=optimizer)

    trainer = TensorFlowTrainer()
    for width in (3, 5, 6):  # in half precision, sums in another order differ by 1e-3
        check_equal(trainer, make, ROWS, width, tolerance=1e-3)
    assert trainer.programs.compiled == 2


def test_outputs_of_other_lengths_share_no_trace() -> None:
    def make(width: int) -> keras.Model:
        model = keras.Sequential([keras.Input((6,)), layers.Dense(width, activation="softmax")])
        return compiled(model)

    trainer = TensorFlowTrainer()
    for width in (3, 4):
        check_equal(trainer, make, ROWS, width)
    assert trainer.programs.compiled == 4


def test_a_batch_size_of_validation_is_not_part_of_the_trace() -> None:
    trainer = TensorFlowTrainer()
    for rows in (40, 24, 17):
        trainer.fit(
            fresh(deep, 4),
            (ROWS, CLASSES),
            {**TRAINING, "validation_data": (ROWS[:rows], CLASSES[:rows])},
        )
    assert trainer.programs.compiled == 2


def test_stand_ins_keep_no_weights_of_a_model() -> None:
    trainer = TensorFlowTrainer()
    for width in (300, 400, 500):
        trainer.fit(fresh(lambda w: stack(ROWS, layers.Dense(w)), width), (ROWS, CLASSES), TRAINING)
    kept = [slot.program for slot in trainer.programs._slots.values()]
    stands = [each._stand_ins for each in kept if each is not None and each._stand_ins is not None]
    assert stands
    assert all(int(np.size(v)) <= 18 for each in stands for v in each.variables.values())
