"""Updates of a first layer's embeddings are deferred where a batch reads few of their rows."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from afina.training.epochs.reasons import fit_arguments
from afina.training.fused import Engine, deferred, plan
from afina.training.fused.plan import Plan
from afina.training.fused.tables import first_embedding

from .conftest import both, layers

pytestmark = pytest.mark.service  # `make test` searches over texts: tests/spaces

VOCABULARY = 300
RNG = np.random.default_rng(0)
WORDS = (RNG.zipf(1.3, (50, 5)) % VOCABULARY).astype("int64")
Y = RNG.normal(size=(50, 1)).astype("float32")
TRAINING: dict[str, Any] = {"epochs": 3, "batch_size": 16, "validation_split": 0.3}


@pytest.fixture(autouse=True)
def small_tables_wait_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deferred, "LEAST", 1)
    monkeypatch.setattr(plan, "WORTH", 1)


def reading(
    *middle: Any, optimizer: Any = "adam", first: Any = None, kind: str = "int32", **options: Any
) -> keras.Model:
    """A model that begins with an embedding."""
    first = layers.Embedding(VOCABULARY, 4, **options) if first is None else first
    inputs = keras.Input((5,), dtype=kind)
    model = keras.Sequential([inputs, first, *middle, layers.Dense(1)])
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


def row_room(make: Callable[[], keras.Model], words: Any = WORDS, **kwargs: Any) -> int:
    """How many rows of a table the plan defers updates around; 0 if it defers none."""
    given = fit_arguments((words, Y), {**TRAINING, **kwargs})
    assert isinstance(given, dict)
    engine, model = Engine(), make()
    train, validation = engine.data.parts(given)
    train.batches.build(model)
    known = engine.words.of(model, train.arrays)
    return Plan.of(model, train, validation, defers=True, words=known).row_room


def named() -> keras.Model:
    """The input goes elsewhere too."""
    inputs = keras.Input((5,), dtype="int32")
    seen = layers.Flatten()(layers.Embedding(VOCABULARY, 4)(inputs))
    seen = layers.Concatenate()([seen, keras.ops.cast(inputs, "float32") / VOCABULARY])
    model = keras.Model(inputs, layers.Dense(1)(seen))
    model.compile("adam", "mse")
    return model


DEFERRED: dict[str, Callable[[], keras.Model]] = {
    "pooled": lambda: reading(layers.GlobalAveragePooling1D()),
    "masked": lambda: reading(layers.GRU(3), mask_zero=True),
    "input of floats": lambda: reading(layers.Flatten(), kind="float32"),
    "with dropout": lambda: reading(
        layers.SpatialDropout1D(0.3), layers.Conv1D(3, 2), layers.Flatten()
    ),
    "schedule": lambda: reading(
        layers.Flatten(),
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.01, 9)),
    ),
    "input used again": named,
}


@pytest.mark.first("pooled", "masked", "input used again")
@pytest.mark.parametrize("name", DEFERRED)
def test_embeddings_of_which_a_batch_reads_few_rows_are_trained_as_in_fit(name: str) -> None:
    assert 0 < row_room(DEFERRED[name]) < VOCABULARY
    both(DEFERRED[name], WORDS, Y, tolerance=2e-6, **TRAINING)


def test_embeddings_in_half_precision_are_trained_as_in_fit() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert row_room(DEFERRED["pooled"]) > 0
        both(DEFERRED["pooled"], WORDS, Y, tolerance=2e-3, **TRAINING)
    finally:
        keras.config.set_dtype_policy("float32")


def tied() -> keras.Model:
    inputs = keras.Input((5,), dtype="int32")
    table = layers.ReversibleEmbedding(VOCABULARY, 4)
    seen = layers.GlobalAveragePooling1D()(table(inputs))
    model = keras.Model(inputs, layers.Dense(1)(table(seen, reverse=True)))
    model.compile("adam", "mse")
    return model


def twice() -> keras.Model:
    inputs = keras.Input((5,), dtype="int32")
    table = layers.Embedding(VOCABULARY, 4)
    both_ways = layers.Concatenate()([table(inputs), table(keras.ops.flip(inputs, -1))])
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(both_ways)))
    model.compile("adam", "mse")
    return model


def frozen() -> keras.Model:
    model = reading(layers.Flatten())
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    return model


optimizers = keras.optimizers
NOT_DEFERRED: dict[str, Callable[[], keras.Model]] = {
    "weight decay": lambda: reading(optimizer=optimizers.Adam(weight_decay=0.1)),
    "clipped by the norm of all": lambda: reading(optimizer=optimizers.Adam(global_clipnorm=1.0)),
    "averages": lambda: reading(optimizer=optimizers.Adam(use_ema=True)),
    "other optimizer": lambda: reading(optimizer="rmsprop"),
    "regularized": lambda: reading(embeddings_regularizer="l2"),
    "constrained": lambda: reading(embeddings_constraint="non_neg"),
    "used twice": twice,
    "used backwards": tied,
    "frozen": frozen,
}


@pytest.mark.parametrize("name", NOT_DEFERRED)
def test_embeddings_that_would_move_otherwise_are_not_deferred(name: str) -> None:
    assert row_room(NOT_DEFERRED[name]) == 0


def test_words_outside_of_the_vocabulary_and_other_numbers_are_left_to_keras() -> None:
    plain = DEFERRED["pooled"]
    assert row_room(plain, -WORDS) == 0
    assert row_room(plain, WORDS + VOCABULARY) == 0
    assert row_room(plain, WORDS.astype("float32")) == 0
    assert first_embedding(plain()) is not None


def test_an_epoch_too_short_to_repay_the_larger_program_defers_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = 3  # 35 samples in batches of 16
    monkeypatch.setattr(plan, "WORTH", steps * VOCABULARY * 4)
    assert row_room(DEFERRED["pooled"]) > 0
    monkeypatch.setattr(plan, "WORTH", steps * VOCABULARY * 4 + 1)
    assert row_room(DEFERRED["pooled"]) == 0


def test_batches_that_read_most_rows_are_not_deferred() -> None:
    every = np.arange(250).reshape(50, 5)
    assert row_room(DEFERRED["pooled"], every, batch_size=16) == 0


def test_data_that_is_fed_in_chunks_is_trained_as_in_fit() -> None:
    both(DEFERRED["pooled"], WORDS, Y, engine=Engine(memory=1000), tolerance=2e-6, **TRAINING)


def test_words_are_kept_as_long_as_the_data_are() -> None:
    given = fit_arguments((WORDS, Y), {"batch_size": 16})
    assert isinstance(given, dict)
    engine, model = Engine(), DEFERRED["pooled"]()
    train, _ = engine.data.parts(given)
    rows = engine.words.of(model, train.arrays)
    assert rows is not None
    assert engine.words.of(model, train.arrays) is rows
    engine.data = Engine().data
    del train
    gc.collect()
    assert not engine.words._known
