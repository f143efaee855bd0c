"""Programs: compiled once, kept for a while, and cut into batches only where that is the same."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest

from afina.training import Account, keras_parts
from afina.training.epochs import Samples, is_mergeable
from afina.training.epochs.programs import ProgramCache
from afina.training.epochs.reasons import fit_arguments
from afina.training.fused import Engine, FusedTrainer, memory
from afina.training.fused.data import data_cache
from afina.training.fused.plan import Plan
from afina.training.fused.program import Program
from afina.training.python_turn import python_turn

from .conftest import arrays, both, dense, layers, sequential, train

pytestmark = pytest.mark.service  # `make test` searches with such programs: tests/tuners

X, Y = arrays()


def program() -> Program:
    return Program(lambda: None, None)


def test_a_program_is_made_once_for_each_key_and_the_latest_used_are_kept() -> None:
    cache, made = ProgramCache(most=2), []

    def get(key: str) -> Program:
        def make() -> Program:
            made.append(key)
            return program()

        return cache.get(key, make)

    first = get("a")
    assert get("a") is first
    get("b"), get("a"), get("c")  # "b" was used least lately
    assert get("a") is first
    get("b")
    assert made == ["a", "b", "c", "b"]
    assert cache.compiled == 4


def test_without_a_key_a_program_is_made_each_time() -> None:
    cache = ProgramCache()
    assert cache.get(None, program) is not cache.get(None, program)
    assert cache.compiled == 2


def test_a_program_that_could_not_be_made_is_tried_again() -> None:
    cache = ProgramCache()
    with pytest.raises(ZeroDivisionError):
        cache.get("a", lambda: Program(1 / 0, None))  # type: ignore[arg-type]
    assert cache.get("a", program).validate is None
    assert cache.compiled == 1


def test_threads_that_need_the_same_program_wait_for_the_first_one_without_the_turn() -> None:
    cache, results, on_stage = ProgramCache(), [], threading.Event()
    compiling, waiting = threading.Event(), threading.Event()

    def make() -> Program:
        with python_turn.released():
            compiling.set()
            assert waiting.wait(10)
        return program()

    def first() -> None:
        with python_turn.held():
            results.append(cache.get("a", make))

    def second() -> None:
        assert compiling.wait(10)
        with python_turn.held():
            results.append(cache.get("a", lambda: pytest.fail("compiled twice")))

    def third() -> None:
        assert compiling.wait(10)
        with python_turn.held():  # nobody holds it while a program is compiled
            on_stage.set()
        waiting.set()

    threads = [threading.Thread(target=each) for each in (first, second, third)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(20)
    assert on_stage.is_set()
    assert len(results) == 2
    assert results[0] is results[1]


def test_a_second_training_of_the_same_kind_spends_no_time_on_compiling() -> None:
    engine, seconds = Engine(), [Account(), Account()]
    for each in seconds:
        train(
            lambda model, args, kwargs, each=each: FusedTrainer(engine).fit(
                model, args, kwargs, each
            ),
            dense,
            X,
            Y,
            validation_split=0.2,
        )
    first, second = seconds
    assert first.compile > 0
    assert first.trace > 0
    assert second.compile == second.trace == 0
    assert second.train > 0
    assert second.validate > 0


# -- merged batches of validation -----------------------------------------------------------------

MERGED: dict[str, Callable[[], keras.Model]] = {
    "plain": lambda: dense(metrics=["mae"]),
    "all kinds of sums": lambda: dense(
        activation="sigmoid",
        loss="binary_crossentropy",
        metrics=[
            "accuracy",
            keras.metrics.AUC(),
            keras.metrics.Precision(),
            keras.metrics.F1Score(threshold=0.5),
            keras.metrics.RootMeanSquaredError(),
        ],
        weighted_metrics=["mse"],
    ),
    "normalization": lambda: sequential(layers.BatchNormalization(), layers.Dropout(0.2)),
    "regularizer": lambda: sequential(layers.Dense(3, kernel_regularizer="l2")),
}


class Reading(keras.metrics.Metric):  # type: ignore[misc]
    """Counts batches."""

    def __init__(self) -> None:
        super().__init__(name="batches")
        self.count = self.add_weight(name="count", initializer="zeros")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.count.assign_add(1.0)

    def result(self) -> Any:
        return self.count.value


def _functional(function: Callable[[Any], Any], **compiled: Any) -> keras.Model:
    inputs = keras.Input((6,))
    model = keras.Model(inputs, function(inputs))
    model.compile(**{"optimizer": "sgd", "loss": "mse", **compiled})
    return model


def centered(x: Any) -> Any:
    return x - keras.ops.mean(x, axis=0, keepdims=True)


NOT_MERGED: dict[str, Callable[[], keras.Model]] = {
    "loss of a batch": lambda: dense(loss="dice", activation="sigmoid"),
    "metric of a batch": lambda: dense(metrics=[keras.losses.dice], activation="sigmoid"),
    "sum as a loss": lambda: dense(loss=keras.losses.MeanSquaredError(reduction="sum")),
    "loss of the user's": lambda: dense(loss=lambda y_true, y_pred: centered(y_pred) ** 2),
    "metric of the user's": lambda: dense(metrics=[Reading()]),
    "correlation": lambda: dense(metrics=[keras.metrics.CosineSimilarity(axis=0)]),
    "regularizer of outputs": lambda: sequential(layers.Dense(3, activity_regularizer="l2")),
    "regularizing layer": lambda: sequential(layers.ActivityRegularization(0.1)),
    "function over rows": lambda: sequential(layers.Lambda(centered)),
    "activation over rows": lambda: sequential(layers.Dense(3, activation=centered)),
    "operation over rows": lambda: _functional(lambda t: layers.Dense(1)(centered(t))),
    "operation over rows within": lambda: _functional(
        lambda t: layers.Dense(1)(_inner(t)),
    ),
    "two outputs": lambda: _functional(
        lambda t: {"a": layers.Dense(1)(t), "b": layers.Dense(1)(t)},
        loss={"a": "mse", "b": None},
    ),
}


def _inner(inputs: Any) -> Any:
    inner = keras.Input((6,))
    return keras.Model(inner, centered(inner))(inputs)


@pytest.mark.first(
    "plain",
    "all kinds of sums",
    "loss of a batch",
    "metric of the user's",
    "regularizer of outputs",
    "two outputs",
)
@pytest.mark.parametrize("name", [*MERGED, *NOT_MERGED])
def test_batches_of_validation_are_merged_only_where_that_changes_nothing(name: str) -> None:
    make = {**MERGED, **NOT_MERGED}[name]
    y: Any = (Y > 0).astype("float32")
    y = {"a": y, "b": y} if name == "two outputs" else y
    fused, _ = both(
        make, X, y, validation_data=(X, y), validation_batch_size=7, batch_size=16, tolerance=3e-6
    )
    assert is_mergeable(fused.model) == (name in MERGED)


def test_masks_and_ignored_classes_weigh_each_batch_otherwise_and_are_not_merged() -> None:
    words = np.random.default_rng(0).integers(0, 5, (50, 4))

    def tagger(ignored: int | None, mask: bool) -> keras.Model:
        model = keras.Sequential(
            [
                keras.Input((4,)),
                layers.Embedding(5, 3, mask_zero=mask),
                layers.Dense(3, activation="softmax"),
            ]
        )
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(ignore_class=ignored))
        return model

    for ignored, mask in ((None, False), (1, False), (None, True)):
        fused, _ = both(
            lambda ignored=ignored, mask=mask: tagger(ignored, mask),
            words,
            words % 3,
            validation_data=(words, words % 3),
            validation_batch_size=7,
            batch_size=16,
            tolerance=3e-6,
        )
        assert is_mergeable(fused.model) == (ignored is None and not mask)


def test_layers_that_draw_masks_in_a_validation_draw_as_many_as_in_fit() -> None:
    def make() -> keras.Model:
        recurrent = layers.GRU(3, dropout=0.3, recurrent_dropout=0.2, seed=3)
        model = keras.Sequential([keras.Input((4, 3)), recurrent, layers.Dense(1)])
        model.compile("adam", "mse")
        return model

    sequences = np.random.default_rng(0).normal(size=(50, 4, 3)).astype("float32")
    y = sequences.sum((1, 2))[:, None]
    both(
        make,
        sequences,
        y,
        validation_data=(sequences, y),
        validation_batch_size=7,
        batch_size=16,
        epochs=3,
        tolerance=3e-6,
    )


def plan_of(model: keras.Model, rows: int) -> Plan:
    inputs = [1 if size is None else size for size in model.input_shape[1:]]
    x, y = np.zeros((rows, *inputs), "float32"), np.zeros((rows, 1), "float32")
    given = fit_arguments((x, y), {"validation_data": (x, y), "batch_size": 8})
    assert isinstance(given, dict)
    trained, validation = data_cache(sparse=False).parts(given)
    trained.batches.build(model)
    return Plan.of(model, trained, validation)


def _compiled(*parts: Any) -> keras.Model:
    model = keras.Sequential([*parts, layers.Flatten(), layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def test_merged_batches_have_no_remainder_if_that_can_be_had_and_are_not_too_large() -> None:
    assert plan_of(dense(), 40).validation_batch_size == 40
    assert plan_of(dense(), 9000).validation_batch_size == 3000
    assert plan_of(dense(), 9001).validation_batch_size == 3001  # 9001 is a prime number


def test_merged_batches_of_large_outputs_are_small_also_within_nested_models() -> None:
    wide = [keras.Input((64, 64, 1)), layers.UpSampling2D(8)]
    assert plan_of(_compiled(*wide), 200).validation_batch_size <= 50
    nested = keras.Sequential(
        [keras.Input((64, 64, 1)), layers.UpSampling2D(8), layers.AveragePooling2D(8)]
    )
    assert plan_of(_compiled(keras.Input((64, 64, 1)), nested), 200).validation_batch_size <= 50


def test_batches_of_a_size_that_nobody_knows_are_not_merged() -> None:
    model = keras.Sequential([keras.Input((None, 3)), layers.LSTM(2), layers.Dense(1)])
    model.compile("adam", "mse")
    assert plan_of(model, 40).validation_batch_size == 8


# -- memory ---------------------------------------------------------------------------------------


def samples(rows: int) -> Samples:
    return data_cache().parts(fit_arguments((X[:rows], Y[:rows]), {}))[0]  # type: ignore[arg-type]


def test_as_many_whole_batches_are_placed_at_once_as_there_is_memory_for() -> None:
    cpu = jax.devices("cpu")[0]
    data, bytes_a_row = samples(50), 7 * 4
    at_once = memory.rows_at_once
    assert at_once(data, None, 8, cpu, 50 * bytes_a_row) == 50
    assert at_once(data, None, 8, cpu, 50 * bytes_a_row - 1) == 48
    assert at_once(data, None, 8, cpu, 20 * bytes_a_row) == 16
    assert at_once(data, samples(10), 8, cpu, 20 * bytes_a_row) == 8
    assert at_once(data, None, 8, cpu, 0) == 8  # less than a batch is no use
    assert at_once(data, None, 64, cpu, 0) == 50
    data.arrays.on(cpu)
    assert at_once(data, None, 8, cpu, 0) == 50  # it is there already


def test_free_memory_is_the_devices_or_the_systems(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Device:
        platform = "gpu"

        def memory_stats(self) -> dict[str, int] | None:
            return {"bytes_limit": 100, "bytes_in_use": 30}

    assert memory.free_bytes(Device()) == 70
    cpu = jax.devices("cpu")[0]
    told = tmp_path / "meminfo"
    monkeypatch.setattr("afina.training.memory.MEMINFO", told)
    assert memory.free_bytes(cpu) is None
    assert memory.rows_at_once(samples(50), None, 8, cpu, None) == 50
    told.write_text("MemTotal: 9 kB\nMemAvailable: 2 kB\n", encoding="ascii")
    assert memory.free_bytes(cpu) == 2048
    assert memory.rows_at_once(samples(50), None, 8, cpu, None) == 32


def test_the_device_is_the_one_of_the_calling_thread() -> None:
    cpu = jax.devices("cpu")[0]
    with jax.default_device(cpu):
        assert memory.device() is cpu


def test_a_stock_model_is_nothing_but_its_layers() -> None:
    assert keras_parts.is_stock_model(dense())
    assert not keras_parts.is_stock_model(type("Mine", (keras.Sequential,), {})())
