"""Inputs that are nearly all zero are multiplied by their non-zeros, to the same end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np
import pytest

from afina.training.epochs.partial import can_be_filled
from afina.training.epochs.reasons import fit_arguments
from afina.training.fused import Engine, FusedTrainer
from afina.training.fused.data import data_cache
from afina.training.fused.plan import Plan
from afina.training.fused.sparse import (
    DENSEST,
    NARROWEST,
    SparseRows,
    as_sparse_rows,
    first_dense,
    take,
)

from .conftest import Trained, arrays, assert_same, both, dense, layers, sequential, train

pytestmark = pytest.mark.service  # a whole search on bags of words is in `make test`: tests/demos

WIDE = 1200
ROWS = 60


def texts(rows: int = ROWS, *, ones: bool = True, dtype: str = "float32", seed: int = 0) -> Any:
    """Bags of words: each row has some words, one row has none, one has many."""
    rng = np.random.default_rng(seed)
    matrix = np.zeros((rows, WIDE), dtype)
    for row in range(rows):
        words = rng.choice(WIDE, 0 if row == 3 else 40 if row == 7 else int(rng.integers(1, 9)))
        matrix[row, words] = 1 if ones else rng.integers(1, 4, len(words))
    return matrix


X = texts()
COUNTS = texts(ones=False)
Y = (X[:, :600].sum(axis=1, keepdims=True) - 3).astype("float32")
TRAINING: dict[str, Any] = {"epochs": 2, "batch_size": 16, "validation_split": 0.25}


def network(*middle: Any, **kwargs: Any) -> keras.Model:
    return sequential(layers.Dense(5, activation="relu"), *middle, columns=WIDE, **kwargs)


def is_sparse(engine: Engine, x: Any, **kwargs: Any) -> bool:
    given = fit_arguments((x, Y), {**TRAINING, **kwargs})
    assert isinstance(given, dict)
    return engine.data.parts(given)[0].arrays.is_sparse


def uses_rows(trained: Trained) -> bool:
    return first_dense(trained.model) is not None


# -- the layout -----------------------------------------------------------------------------------


@pytest.mark.parametrize("matrix", [X, COUNTS, COUNTS.astype("int32"), X.astype("bool")])
def test_a_matrix_by_its_non_zeros_is_the_matrix(matrix: Any) -> None:
    rows = as_sparse_rows(matrix)
    assert rows is not None
    assert (rows.values is None) == bool(matrix.max() == 1)
    assert rows.shape == matrix.shape
    assert rows.nbytes < matrix.nbytes / 20
    np.testing.assert_array_equal(rows.dense(), matrix)
    assert rows.dense().dtype == matrix.dtype
    np.testing.assert_array_equal(rows.counts(), (matrix != 0).sum(axis=1))


def test_only_wide_matrices_of_numbers_that_are_nearly_all_zero_are_kept_so() -> None:
    assert as_sparse_rows(X[:, : NARROWEST - 1]) is None
    assert as_sparse_rows(np.zeros((20, WIDE))) is None  # nothing to multiply by
    assert as_sparse_rows(X[:0]) is None
    assert as_sparse_rows(np.stack([X, X])) is None
    assert as_sparse_rows(np.ones((20, WIDE))) is None
    limit = int(DENSEST * WIDE)
    filled = np.zeros((20, WIDE))
    filled[:, :limit] = 1
    assert as_sparse_rows(filled) is not None
    filled[0, limit] = 1
    assert as_sparse_rows(filled) is None


def test_a_batch_taken_from_the_rows_gives_the_product_with_any_kernel() -> None:
    kernel = np.random.default_rng(1).normal(size=(WIDE, 4)).astype("float32")
    for matrix in (X, COUNTS):
        rows = as_sparse_rows(matrix)
        assert rows is not None
        placed = rows.on(jax.devices()[0])
        for places in ([3], [7, 3, 0], [5, 5, 59, 7]):
            count = int(rows.counts()[places].sum())
            for room in (max(count, 1), count + 37):
                batch = take(placed, np.array(places, "int32"), room)
                values = 1 if batch.values is None else np.asarray(batch.values)[:count, None]
                summed = np.zeros((len(places), 4), "float32")
                where = np.asarray(batch.places)
                np.add.at(summed, where[:count], kernel[np.asarray(batch.columns)[:count]] * values)
                np.testing.assert_allclose(summed, matrix[places] @ kernel, atol=1e-5)
                assert (where[count:] == len(places)).all()
                assert (np.diff(where) >= 0).all()


def test_there_is_room_for_likely_batches_and_never_more_than_for_the_fullest() -> None:
    rows = as_sparse_rows(X)
    assert rows is not None
    counts = np.sort(rows.counts())
    for size in (1, 8, 16, ROWS):
        room = rows.room(size)
        assert room % 64 == 0
        assert room < counts[-size:].sum() + 64
    orders = np.random.default_rng(0)
    assert all(rows.fits(orders.permutation(ROWS), 16, rows.room(16)) for _ in range(50))
    fullest = np.argsort(rows.counts())[::-1].copy()
    assert not rows.fits(fullest, 16, int(counts[-16:].sum()) - 1)
    assert rows.fits(fullest, 16, int(counts[-16:].sum()))


# -- trainings ------------------------------------------------------------------------------------


def per_word(**kwargs: Any) -> keras.Model:
    return network(layers.Dropout(0.2), metrics=["mae"], **kwargs)


WAYS: dict[str, tuple[Callable[[], keras.Model], Any, dict[str, Any]]] = {
    "words": (per_word, X, {}),
    "counts": (per_word, COUNTS, {}),
    "whole numbers": (per_word, COUNTS.astype("int64"), {}),
    "no bias": (lambda: sequential(layers.Dense(4, use_bias=False), columns=WIDE), X, {}),
    "weights": (per_word, X, {"sample_weight": np.linspace(0.1, 2, ROWS, dtype="float32")}),
    "regularizers": (
        lambda: sequential(layers.Dense(4, kernel_regularizer="l2"), columns=WIDE),
        X,
        {},
    ),
    "batch size of no power of two": (per_word, X, {"batch_size": 14}),
    "one batch": (per_word, X, {"batch_size": 64}),
    "whole batches": (per_word, X, {"batch_size": 9}),
    "functional": (
        lambda: _functional(lambda inputs: layers.Dense(1)(layers.Dense(4)(inputs))),
        X,
        {},
    ),
    "sum of a batch in the loss": (
        lambda: network(loss=keras.losses.MeanSquaredError(reduction="sum"), optimizer="sgd"),
        X,
        {},
    ),
}


def _functional(function: Callable[[Any], Any]) -> keras.Model:
    inputs = keras.Input((WIDE,))
    model = keras.Model(inputs, function(inputs))
    model.compile("adam", "mse")
    return model


@pytest.mark.first("words", "counts", "weights", "whole batches", "functional")
@pytest.mark.parametrize("name", WAYS)
def test_a_first_dense_layer_on_few_non_zeros_is_trained_as_in_fit(name: str) -> None:
    make, x, kwargs = WAYS[name]
    engine = Engine()
    fused, _ = both(make, x, Y, engine=engine, tolerance=2e-6, **{**TRAINING, **kwargs})
    assert is_sparse(engine, x, **kwargs)
    assert uses_rows(fused)


def test_without_sparse_inputs_every_number_is_multiplied() -> None:
    engine = Engine(sparse=False)
    both(per_word, X, Y, engine=engine, **TRAINING)
    assert not is_sparse(engine, X)


def test_half_precision_adds_up_the_words_in_full() -> None:
    """A product adds in float32 whatever it is given; so must the sums of rows."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        ways = [
            train(
                FusedTrainer(Engine(sparse=sparse)).fit,
                network,
                COUNTS,
                Y,
                **{**TRAINING, "epochs": 1},
            )
            for sparse in (True, False)
        ]
    finally:
        keras.config.set_dtype_policy("float32")
    assert_same(*ways, tolerance=1e-3)


class Crowding(keras.callbacks.Callback):  # type: ignore[misc]
    """Makes NumPy put the fullest rows into one batch."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.before = np.random.permutation

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        emptiest = np.argsort((X != 0).sum(axis=1)[:45])
        order = emptiest[::-1] if epoch == 1 else emptiest
        np.random.permutation = lambda size: order.copy()

    def on_train_end(self, logs: Any = None) -> None:
        np.random.permutation = self.before


def test_texts_of_very_different_lengths_have_room_too() -> None:
    draws = np.random.default_rng(1)
    counts = np.minimum(draws.lognormal(4, 0.8, 3000).astype("int32"), 900) + 1
    starts = np.concatenate([[0], np.cumsum(counts)]).astype("int32")
    columns = np.concatenate([np.arange(count, dtype="int32") for count in counts])
    room = SparseRows(columns, starts, None, 1000, "float32").room(32)
    sums = counts[draws.integers(3000, size=(100_000, 32))].sum(axis=1)
    assert (sums > room).sum() <= 3
    assert room < 1.5 * np.quantile(sums, 0.999)


def test_a_long_last_row_does_not_fill_up_the_last_batch() -> None:
    x = X.copy()
    x[44, :300] = 1
    engine = Engine()
    kwargs = {**TRAINING, "shuffle": False}
    both(network, x, Y, engine=engine, tolerance=2e-6, **kwargs)
    assert engine.programs.compiled == 1


def test_a_batch_of_more_non_zeros_than_there_is_room_for_gets_more_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = as_sparse_rows(X[:45])
    assert rows is not None
    monkeypatch.setattr("afina.training.fused.sparse.RAREST", 1.0)
    assert not rows.fits(np.argsort(-rows.counts()), 16, rows.room(16))
    engine = Engine()
    both(
        network,
        X,
        Y,
        engine=engine,
        callbacks=lambda: [Crowding()],
        tolerance=2e-6,
        **{**TRAINING, "epochs": 3},
    )
    assert engine.programs.compiled > 1


def dense_on_a_column() -> keras.Model:
    """The data lack an axis that Keras adds: the layer multiplies single numbers."""
    inputs = keras.Input((WIDE, 1))
    outputs = layers.Dense(1)(layers.Flatten()(layers.Dense(2)(inputs)))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", keras.losses.MeanSquaredError())
    return model


def whole_numbers() -> keras.Model:
    inputs = keras.Input((WIDE,), dtype="int32")
    model = keras.Model(inputs, layers.Dense(1)(inputs))
    model.compile("adam", "mse")
    return model


def with_lora() -> keras.Model:
    model = network()
    model.layers[0].enable_lora(2)
    model.compile("adam", "mse")
    return model


def patched() -> keras.Model:
    model = network()
    plain = model.layers[0].call
    object.__setattr__(model.layers[0], "call", lambda inputs, **kwargs: 2 * plain(inputs))
    model.compile("adam", "mse")
    return model


def twice() -> keras.Model:
    layer = layers.Dense(WIDE)
    return _functional(lambda inputs: layers.Dense(1)(layer(layer(inputs))))


def looking() -> keras.Model:
    """Its loss looks at the inputs."""
    model = network(optimizer="sgd")

    def compute_loss(x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool) -> Any:
        return keras.ops.mean((y - y_pred) ** 2) + keras.ops.mean(x)

    object.__setattr__(model, "compute_loss", compute_loss)
    return model


def twice_within() -> keras.Model:
    """The layer is used again in a model within the model."""
    layer = layers.Dense(WIDE)
    within = keras.Sequential([keras.Input((WIDE,)), layer])
    return _functional(lambda inputs: layers.Dense(1)(within(layer(inputs))))


MORE: dict[str, tuple[Callable[[], keras.Model], Any]] = {
    "dropout first": (
        lambda: sequential(layers.Dropout(0.2), layers.Dense(3), columns=WIDE),
        X,
    ),
    "two readers": (
        lambda: _functional(
            lambda inputs: layers.Dense(1)(
                layers.Concatenate()([layers.Dense(3)(inputs), layers.Dense(3)(inputs)])
            )
        ),
        X,
    ),
    "inputs go on": (
        lambda: _functional(
            lambda t: layers.Dense(1)(layers.Concatenate()([layers.Dense(2)(t), t]))
        ),
        X,
    ),
    "an operation reads": (
        lambda: _functional(lambda t: layers.Dense(1)(t) + keras.ops.sum(t, axis=1, keepdims=True)),
        X,
    ),
    "inputs are an output": (lambda: _autoencoder(), X),
    "an axis is added": (dense_on_a_column, X),
    "used twice": (twice, X),
    "used again within": (twice_within, X),
    "low rank": (with_lora, X),
    "another call": (patched, X),
    "a loss that looks": (looking, X),
    "convolution": (
        lambda: sequential(
            layers.Reshape((WIDE, 1)), layers.Conv1D(2, 5, 50), layers.Flatten(), columns=WIDE
        ),
        X,
    ),
}


def _autoencoder() -> keras.Model:
    inputs = keras.Input((WIDE,))
    model = keras.Model(inputs, [layers.Dense(1)(inputs), inputs])
    model.compile("adam", ["mse", None])
    return model


@pytest.mark.first("dropout first", "two readers", "inputs are an output", "a loss that looks")
@pytest.mark.parametrize("name", MORE)
def test_models_that_do_more_with_their_inputs_are_trained_on_all_numbers(name: str) -> None:
    make, x = MORE[name]
    kwargs = {**TRAINING, "batch_size": 32, "epochs": 1}
    targets = Y if name != "inputs are an output" else [Y, X]
    both(make, x, targets, tolerance=5e-6, **kwargs)


def test_numbers_that_the_inputs_type_cannot_hold_are_cut_off_as_in_fit() -> None:
    both(whole_numbers, COUNTS * np.float32(0.75), Y, tolerance=2e-6, **TRAINING)


def test_a_validation_that_is_not_sparse_goes_with_a_training_that_is() -> None:
    validation = (np.random.default_rng(1).normal(size=(20, WIDE)), Y[:20])
    kwargs = {**TRAINING, "validation_split": 0.0, "validation_data": validation}
    both(per_word, X, Y, tolerance=2e-6, **kwargs)
    both(per_word, *validation, **{**kwargs, "validation_data": (X, Y)})


# -- the last batch -------------------------------------------------------------------------------


def plan_of(make: Callable[[], keras.Model], **kwargs: Any) -> Plan:
    given = fit_arguments((X, Y), {**TRAINING, **kwargs})
    assert isinstance(given, dict)
    train, validation = data_cache().parts(given)
    model = make()
    train.batches.build(model)
    return Plan.of(model, train, validation)


def test_a_smaller_last_batch_of_sparse_rows_is_filled_up() -> None:
    assert plan_of(network).filler is not None
    assert plan_of(network, batch_size=9).filler is None  # 45 rows: there is none
    assert plan_of(network, batch_size=14).filler is None
    assert plan_of(lambda: network(layers.BatchNormalization())).filler is None


FILLED: dict[str, Callable[[], keras.Model]] = {
    "plain": dense,
    "dropout": lambda: sequential(
        layers.Dense(3), layers.Dropout(0.2), layers.LayerNormalization()
    ),
    "regularizer": lambda: sequential(layers.Dense(3, kernel_regularizer="l2")),
    "metrics": lambda: dense(metrics=["mae", keras.metrics.CosineSimilarity()]),
    "recurrent": lambda: sequential(layers.Reshape((3, 2)), layers.LSTM(2)),
}
NOT_FILLED: dict[str, Callable[[], keras.Model]] = {
    "batch normalization": lambda: sequential(layers.BatchNormalization()),
    "wrapped batch normalization": lambda: sequential(
        layers.Reshape((3, 2)),
        layers.TimeDistributed(layers.BatchNormalization()),
        layers.Flatten(),
    ),
    "regularizer of outputs": lambda: sequential(layers.Dense(3, activity_regularizer="l2")),
    "regularizing layer": lambda: sequential(layers.ActivityRegularization(0.1)),
    "function": lambda: sequential(layers.Lambda(lambda x: x - keras.ops.mean(x, axis=0))),
    "activation": lambda: sequential(layers.Dense(3, lambda x: x - keras.ops.mean(x, axis=0))),
    "operation": lambda: _over_rows(),
    "sum as a loss": lambda: dense(loss=keras.losses.MeanSquaredError(reduction="sum")),
    "loss of the user's": lambda: dense(loss=lambda y_true, y_pred: (y_true - y_pred) ** 2),
    "loss of a batch": lambda: dense(loss="dice"),
    "metric of a batch": lambda: dense(metrics=[keras.losses.dice]),
    "metric of sums": lambda: dense(metrics=[keras.metrics.AUC()], activation="sigmoid"),
    "weighted metric": lambda: dense(weighted_metrics=["mae"]),
    "step of its own": lambda: _stepping(),
}


def _over_rows() -> keras.Model:
    inputs = keras.Input((6,))
    centered = inputs - keras.ops.mean(inputs, axis=0, keepdims=True)
    model = keras.Model(inputs, layers.Dense(1)(centered))
    model.compile("adam", "mse")
    return model


def _stepping() -> keras.Model:
    model = dense()
    object.__setattr__(model, "train_step", lambda state, data: ({}, state))
    return model


@pytest.mark.parametrize("name", [*FILLED, *NOT_FILLED])
def test_only_where_rows_do_not_meet_a_batch_may_be_filled_up(name: str) -> None:
    model = {**FILLED, **NOT_FILLED}[name]()
    x, y = arrays()
    given = fit_arguments((x, (y > 0).astype("float32")), {"batch_size": 16})
    assert isinstance(given, dict)
    data_cache().parts(given)[0].batches.build(model)
    assert can_be_filled(model, 16) == (name in FILLED)
    assert not can_be_filled(model, 12)
