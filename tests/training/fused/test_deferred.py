"""Updates of a sparse first layer's kernel are deferred, and end where they would have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np
import pytest

from afina.training import Account, fresh_session
from afina.training.epochs.reasons import fit_arguments
from afina.training.fused import Engine, FusedTrainer, deferred, sparse
from afina.training.fused.active_rows import find_active_rows
from afina.training.fused.data import data_cache
from afina.training.fused.deferred import PendingSteps, can_wait
from afina.training.fused.plan import Plan
from afina.training.fused.sparse import as_sparse_rows

from .conftest import both, layers, sequential, train
from .test_sparse import COUNTS, WIDE, Crowding, X, Y

pytestmark = pytest.mark.service  # `make test` trains such kernels: tests/demos

WEIGHTS = np.linspace(0.1, 2, 60, dtype="float32")
TRAINING: dict[str, Any] = {"epochs": 3, "batch_size": 16, "validation_split": 0.25}


@pytest.fixture(autouse=True)
def small_kernels_wait_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deferred, "LEAST", 1)


def network(*middle: Any, **kwargs: Any) -> keras.Model:
    kwargs = {"optimizer": keras.optimizers.Adam(0.01), **kwargs}
    return sequential(layers.Dense(5, activation="relu"), *middle, columns=WIDE, **kwargs)


def plan_of(make: Callable[[], keras.Model], x: Any = X, **kwargs: Any) -> Plan:
    given = fit_arguments((x, Y[: len(x)]), {**TRAINING, **kwargs})
    assert isinstance(given, dict)
    train, validation = data_cache().parts(given)
    model = make()
    train.batches.build(model)
    return Plan.of(model, train, validation, defers=True)


# -- what a step touches --------------------------------------------------------------------------


@pytest.mark.parametrize("matrix", [X, COUNTS])
@pytest.mark.parametrize("size", [16, 7, 60, 100])
def test_each_step_is_given_its_active_rows_its_non_zeros_and_when_the_rows_were_last_active(
    matrix: Any, size: int
) -> None:
    rows = as_sparse_rows(matrix)
    assert rows is not None
    order = np.random.default_rng(1).permutation(len(matrix)).astype(np.int32)
    found = find_active_rows(rows, order, size, 400, 400)
    assert found is not None
    last = np.zeros(WIDE, int)
    for step, begin in enumerate(range(0, len(order), size)):
        batch = matrix[order[begin : begin + size]]
        named = np.flatnonzero(batch.any(axis=0))
        mine, count = (array[step] for array in found.steps[:4]), int((batch != 0).sum())
        active_rows, since, entries, places = mine
        np.testing.assert_array_equal(active_rows[: len(named)], named)
        assert (active_rows[len(named) :] == WIDE).all()
        np.testing.assert_array_equal(since[: len(named)], last[named])
        last[named] = step + 1
        values = np.ones(400) if found.steps.values is None else found.steps.values[step]
        again = np.zeros_like(batch)
        again[places[:count], active_rows[entries[:count]]] = values[:count]
        np.testing.assert_array_equal(again, batch)
        assert (places[count:] == size).all()
    np.testing.assert_array_equal(found.last, last)


def test_arrays_of_another_epoch_are_taken_again_if_they_fit() -> None:
    rows = as_sparse_rows(COUNTS)
    assert rows is not None
    orders = [np.random.default_rng(seed).permutation(60).astype(np.int32) for seed in (0, 1)]
    first = find_active_rows(rows, orders[0], 16, 400, 256)
    anew = find_active_rows(rows, orders[1], 16, 400, 256)
    again = find_active_rows(rows, orders[1], 16, 400, 256, first)
    assert first is not None
    assert again is not None
    assert anew is not None
    assert again.steps.rows is first.steps.rows
    for mine, its in zip((*again.steps, again.last), (*anew.steps, anew.last), strict=True):
        np.testing.assert_array_equal(mine, its)
    wider = find_active_rows(rows, orders[1], 16, 400, 320, first)
    assert wider is not None
    assert wider.steps.rows.shape == (4, 320)
    assert find_active_rows(rows, orders[1], 16, 400, 20) is None  # a batch names more


# -- what is made up for --------------------------------------------------------------------------


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.98), (0.98, 0.9999), (0.8, 0.99)])
@pytest.mark.parametrize("epsilon", [1e-7, 1e-3, 10.0])
@pytest.mark.parametrize("done", [1, 7, 300])
def test_missed_steps_are_made_up_for_as_if_each_had_been_taken(
    betas: tuple[float, float], epsilon: float, done: int
) -> None:
    """Beside Adam itself, step by step in double precision, with a rate that changes."""
    pending = PendingSteps(*betas, epsilon, 300)
    terms = pending._terms.astype(np.float64)
    rng = np.random.default_rng(0)
    since = np.array([0, done // 2, done - 1, done])
    kernel, momentum = (rng.normal(size=(4, 6)).astype("float32") for _ in range(2))
    velocity = (10.0 ** rng.uniform(-16, 2, (4, 6))).astype("float32")
    velocity[0, 0] = momentum[0, 0] = 0  # never had a gradient
    rates = 0.01 * (1 + np.sin(np.arange(1, done + 1)))
    sums = np.zeros((len(terms) + 300, terms.shape[1]))
    expected = [part.astype(np.float64) for part in (kernel, momentum, velocity)]
    for step, rate in enumerate(rates, start=1):
        sums[step - 1 : step - 1 + len(terms)] += rate * terms
        waiting = since < step
        expected[1][waiting] *= betas[0]
        expected[2][waiting] *= betas[1]
        moved = rate * expected[1] / (np.sqrt(expected[2]) + epsilon)
        expected[0][waiting] -= moved[waiting]
    before = [jax.numpy.asarray(part) for part in (kernel, momentum, velocity)]
    parts = pending.make_up(before, jax.numpy.asarray(np.float32(sums)), since, done)
    for mine, its in zip(parts[1:], expected[1:], strict=True):
        np.testing.assert_allclose(mine, its, rtol=2e-6, atol=1e-37)
    moved = np.abs(expected[0] - kernel)
    assert (np.abs(np.asarray(parts[0]) - expected[0]) <= 2e-6 * moved + 2e-7).all()


WAITING: dict[str, Callable[[], Any]] = {
    "plain": lambda: keras.optimizers.Adam(),
    "schedule": lambda: keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.01, 9)),
    "other betas": lambda: keras.optimizers.Adam(beta_1=0.8, beta_2=0.995, epsilon=1e-4),
    "clipped": lambda: keras.optimizers.Adam(clipvalue=0.1),
}
NOT_WAITING: dict[str, Callable[[], Any]] = {
    "amsgrad": lambda: keras.optimizers.Adam(amsgrad=True),
    "decay": lambda: keras.optimizers.Adam(weight_decay=0.1),
    "AdamW": lambda: keras.optimizers.AdamW(),
    "another": lambda: keras.optimizers.RMSprop(),
    "no momentum": lambda: keras.optimizers.Adam(beta_1=0.0),
    "short memory": lambda: keras.optimizers.Adam(beta_1=0.9, beta_2=0.8),
    "long memory": lambda: keras.optimizers.Adam(beta_1=0.999, beta_2=0.9999),
    "next to no end": lambda: keras.optimizers.Adam(beta_1=0.9874, beta_2=0.99999),
    "many terms": lambda: keras.optimizers.Adam(beta_1=0.94, beta_2=0.9),
}


@pytest.mark.parametrize("name", [*WAITING, *NOT_WAITING])
def test_only_the_updates_of_an_adam_that_few_terms_describe_are_deferred(name: str) -> None:
    model = network(optimizer={**WAITING, **NOT_WAITING}[name]())
    model.optimizer.build(model.trainable_variables)
    assert can_wait(model) == (name in WAITING)


# -- trainings ------------------------------------------------------------------------------------

WAYS: dict[str, tuple[Callable[[], keras.Model], Any, dict[str, Any]]] = {
    **{
        name: (lambda make=make: network(optimizer=make()), X, {}) for name, make in WAITING.items()
    },
    "counts": (lambda: network(layers.Dropout(0.2), metrics=["mae"]), COUNTS, {}),
    "a last batch of its own": (lambda: network(), COUNTS, {"batch_size": 14}),
    "whole batches": (lambda: network(), X, {"batch_size": 9}),
    "one batch": (lambda: network(), X, {"batch_size": 64}),
    "no small variables": (
        lambda: sequential(
            layers.Dense(1, use_bias=False), layers.Rescaling(2.0), columns=WIDE, activation=None
        ),
        X,
        {},
    ),
    "a rate that falls": (
        lambda: network(),
        X,
        {"callbacks": lambda: [keras.callbacks.LearningRateScheduler(lambda i, rate: rate / 2)]},
    ),
    "weights": (lambda: network(), X, {"sample_weight": WEIGHTS}),
}


@pytest.mark.first("plain", "counts", "a last batch of its own", "weights")
@pytest.mark.parametrize("name", WAYS)
def test_a_kernel_with_deferred_updates_is_trained_as_in_fit(name: str) -> None:
    make, x, kwargs = WAYS[name]
    sizes = {key: value for key, value in kwargs.items() if key == "batch_size"}
    assert plan_of(make, x, **sizes).row_room
    both(make, x, Y, engine=Engine(), tolerance=2e-6, **{**TRAINING, **kwargs})


class Weights(keras.callbacks.Callback):  # type: ignore[misc]
    """Notes the first layer's kernel at the end of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Any] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.found.append(np.array(self.model.layers[0].kernel.value))


def test_callbacks_find_every_row_up_to_date() -> None:
    fused, plain = both(
        network, X, Y, engine=Engine(), callbacks=lambda: [Weights()], tolerance=2e-6, **TRAINING
    )
    for mine, its in zip(fused.callbacks[0].found, plain.callbacks[0].found, strict=True):
        np.testing.assert_allclose(mine, its, rtol=2e-5, atol=2e-6)


def test_a_batch_with_more_active_rows_than_there_is_room_for_gets_another_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sparse, "COLUMN_SPREADS", -4.0)
    x = COUNTS.copy()
    x[5, ::9] = 1  # more words than 64
    engine = Engine()
    assert plan_of(network, x).row_room == 64
    kwargs = {**TRAINING, "callbacks": lambda: [Crowding()]}
    both(network, x, Y, engine=engine, tolerance=2e-6, **kwargs)
    assert engine.programs.compiled > 1


def frozen() -> keras.Model:
    model = network(optimizer="adam")
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    return model


def looked_at_by_the_loss() -> keras.Model:
    dense = layers.Dense(5, activation="relu")

    def loss(y_true: Any, y_pred: Any) -> Any:
        error = keras.ops.mean(keras.ops.square(y_true - y_pred))
        return error + 0.01 * keras.ops.sum(keras.ops.square(dense.kernel))

    return sequential(dense, columns=WIDE, loss=loss)


class Tied(keras.layers.Layer):  # type: ignore[misc]
    """Multiplies by another layer's kernel, turned round."""

    def __init__(self, other: Any) -> None:
        super().__init__()
        self.other = other

    def call(self, inputs: Any) -> Any:
        return inputs @ keras.ops.transpose(self.other.kernel)


def looked_at_by_a_layer() -> keras.Model:
    dense = layers.Dense(5, activation="relu")
    return sequential(dense, Tied(dense), columns=WIDE)


def with_a_note() -> keras.Model:
    """Its optimizer has a variable more than Keras' own."""
    model = network(optimizer="adam")
    model.optimizer.build(model.trainable_variables)
    model.optimizer.note = model.optimizer.add_variable((), name="note")
    return model


TOUCHING_ALL: dict[str, Callable[[], keras.Model]] = {
    "a loss that looks": looked_at_by_the_loss,
    "a layer that looks": looked_at_by_a_layer,
    "a variable more": with_a_note,
    "regularizer": lambda: sequential(layers.Dense(4, kernel_regularizer="l2"), columns=WIDE),
    "constraint": lambda: sequential(layers.Dense(4, kernel_constraint="non_neg"), columns=WIDE),
    "frozen": frozen,
    "norm of all": lambda: network(optimizer=keras.optimizers.Adam(global_clipnorm=0.1)),
    "average": lambda: network(optimizer=keras.optimizers.Adam(use_ema=True)),
}


@pytest.mark.first("a loss that looks", "frozen", "norm of all")
@pytest.mark.parametrize("name", TOUCHING_ALL)
def test_updates_of_kernels_whose_rows_move_by_themselves_are_not_deferred(name: str) -> None:
    assert not plan_of(TOUCHING_ALL[name]).row_room
    both(TOUCHING_ALL[name], X, Y, engine=Engine(), tolerance=2e-6, **TRAINING)


def test_a_last_batch_is_filled_up_with_rows_that_there_are() -> None:
    """A row of nothing but zeros may have no loss, which no weight of 0 takes away."""
    full = X[(X != 0).any(axis=1)][:45]
    positive = keras.initializers.RandomUniform(0.5, 1.0, seed=1)

    def make() -> keras.Model:
        last = layers.Dense(1, kernel_initializer=positive, bias_initializer=below)
        inputs = keras.Input((WIDE,))
        model = keras.Model(inputs, last(layers.Dense(5, kernel_initializer=positive)(inputs)))
        model.compile(keras.optimizers.Adam(0.001), "poisson")
        return model

    below = keras.initializers.Constant(-0.05)
    kwargs = {**TRAINING, "batch_size": 32, "validation_split": 0.0, "sample_weight": WEIGHTS[:45]}
    plan = plan_of(make, full, batch_size=32, validation_split=0.0)
    assert plan.filler is not None
    assert plan.row_room
    fused, _ = both(make, full, np.abs(Y[:45]), engine=Engine(), tolerance=2e-6, **kwargs)
    assert np.isfinite(fused.logs["loss"]).all()


def test_layers_frozen_without_compiling_anew_fail_as_in_fit() -> None:
    class Freezing(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.model.layers[1].trainable = epoch == 0

    def make() -> keras.Model:
        return network(layers.Dense(3))

    with pytest.raises(ValueError, match="optimizer"):
        train(FusedTrainer().fit, make, X, Y, callbacks=lambda: [Freezing()], **TRAINING)


def test_no_active_rows_are_kept_after_a_training() -> None:
    engine = Engine()
    fresh_session()
    model = network()
    training = FusedTrainer(engine).training(model, (X, Y), {**TRAINING, "verbose": 0}, Account())
    training.run()
    assert training._active_epoch is None


def test_updates_of_small_kernels_and_of_mostly_active_rows_are_not_deferred(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert plan_of(network).row_room
    with monkeypatch.context() as patch:
        patch.setattr(deferred, "LARGEST_SHARE", 0.01)
        assert not plan_of(network).row_room
    with monkeypatch.context() as patch:
        patch.setattr(deferred, "LARGEST_BYTES", 1000)
        assert not plan_of(network).row_room
    monkeypatch.setattr(deferred, "LEAST", 2**17)
    assert not plan_of(network).row_room
