"""Whatever form the data have, fused epochs see what plain `fit` sees, in the same order."""

from __future__ import annotations

from typing import Any

import jax
import keras
import numpy as np
import pandas
import pytest

from afina.training.epochs.reasons import fit_arguments
from afina.training.fused import Engine, FusedTrainer
from afina.training.fused.data import data_cache

from .conftest import arrays, assert_same, both, dense, layers, plainly, sequential, train

X, Y = arrays()
WEIGHTS = np.random.default_rng(5).uniform(0.1, 2, 50).astype("float32")
CLASSES = np.random.default_rng(6).integers(0, 3, 50)

CALLS: dict[str, dict[str, Any]] = {
    "a smaller last batch": {"batch_size": 16, "validation_split": 0.3},
    "whole batches": {"batch_size": 10, "validation_data": (X, Y)},
    "fewer samples than a batch": {"batch_size": 64},
    "no batch size": {"epochs": 3},
    "no shuffling": {"shuffle": False, "batch_size": 16},
    "shuffling within batches": {"shuffle": "batch", "batch_size": 16},
    "weights of samples": {"sample_weight": WEIGHTS, "validation_split": 0.3},
    "validation with weights": {
        "validation_data": (X, Y, WEIGHTS),
        "validation_batch_size": 7,
        "batch_size": 16,
    },
    "validation every second epoch": {"validation_split": 0.2, "validation_freq": 2, "epochs": 4},
    "validation after some epochs": {
        "validation_split": 0.2,
        "validation_freq": [1, 3],
        "epochs": 3,
    },
    "a later beginning": {"initial_epoch": 1, "epochs": 3, "batch_size": 16},
    "nothing to train": {"initial_epoch": 2, "epochs": 2},
}


@pytest.mark.first(
    "a smaller last batch",
    "no shuffling",
    "weights of samples",
    "validation with weights",
    "validation every second epoch",
)
@pytest.mark.parametrize("name", CALLS)
def test_arguments_of_fit_mean_what_they_mean_there(name: str) -> None:
    both(
        lambda: dense(metrics=["mae"], weighted_metrics=["mse"]),
        X,
        Y,
        **{"epochs": 2, **CALLS[name]},
    )


@pytest.mark.first("targets0")
@pytest.mark.parametrize("targets", [CLASSES, CLASSES.astype("float32"), np.eye(3)[CLASSES]])
def test_weights_of_classes_count_as_in_fit(targets: Any) -> None:
    loss = "categorical_crossentropy" if targets.ndim == 2 else "sparse_categorical_crossentropy"
    both(
        lambda: sequential(outputs=3, activation="softmax", loss=loss, metrics=["accuracy"]),
        X,
        targets,
        class_weight={0: 1.0, 1: 0.2, 2: 3.0},
        epochs=2,
        batch_size=16,
    )


FRAME = pandas.DataFrame(X, columns=list("abcdef"))
FORMS: dict[str, tuple[Any, Any]] = {
    "float64": (X.astype("float64"), Y.astype("float64")),
    "float16": (X.astype("float16"), Y),
    "int64": ((10 * X).astype("int64"), Y[:, 0]),
    "uint8": (np.abs(10 * X).astype("uint8"), Y > 0),
    "rows that do not lie together": (np.asfortranarray(X)[::-1], Y[::-1]),
    "jax": (jax.numpy.asarray(X), jax.numpy.asarray(Y)),
    "frame and series": (FRAME, pandas.Series(Y[:, 0])),
    "frames of mixed types": (FRAME.assign(a=range(50)), pandas.DataFrame(Y)),
    "read-only": (np.broadcast_to(X[:1], X.shape), Y),
}


@pytest.mark.first("float64", "uint8", "jax", "frames of mixed types")
@pytest.mark.parametrize("name", FORMS)
def test_arrays_and_frames_of_all_types_reach_the_model_as_in_fit(name: str) -> None:
    x, y = FORMS[name]
    both(
        lambda: dense(optimizer="sgd", metrics=["mae"]),
        x,
        y,
        epochs=2,
        batch_size=16,
        validation_split=0.2,
    )


def test_data_in_chunks_give_the_same_as_whole() -> None:
    kwargs: dict[str, Any] = {
        "epochs": 2,
        "batch_size": 8,
        "validation_data": (X, Y),
        "sample_weight": WEIGHTS,
    }
    engine = Engine(memory=X.nbytes + Y.nbytes + 20 * (X.nbytes + Y.nbytes + WEIGHTS.nbytes) // 50)
    whole = train(FusedTrainer().fit, dense, X, Y, **kwargs)
    chunked, _ = both(dense, X, Y, engine=engine, **kwargs)
    assert_same(chunked, whole)
    assert engine.programs.compiled == 2  # 16 rows at a time, and 2 that are left
    [samples, _] = engine.data.parts(given(X, Y, **kwargs))
    assert not samples.arrays.placed


def given(*args: Any, **kwargs: Any) -> dict[str, Any]:
    arguments = fit_arguments(args, kwargs)
    assert isinstance(arguments, dict)
    return arguments


def test_all_trials_share_one_copy_of_the_data() -> None:
    cache = data_cache()
    first, tested = cache.parts(given(X, Y, validation_split=0.2))
    again, _ = cache.parts(given(X, Y, validation_split=0.2, batch_size=7, shuffle=False))
    assert again.arrays is first.arrays
    assert (first.size, tested.size if tested else 0) == (40, 10)
    other, _ = cache.parts(given(X.copy(), Y, validation_split=0.2))
    assert other.arrays is not first.arrays


def test_data_that_were_changed_in_place_are_read_again() -> None:
    x, y = X.copy(), Y.copy()
    engine = Engine()
    both(dense, x, y, engine=engine)
    x *= 2
    both(dense, x, y, engine=engine)
    y[::7] += 1
    both(dense, x, y, engine=engine, validation_split=0.2)
    y[-5:] *= 3
    both(dense, x, y, engine=engine, validation_split=0.2)
    frame = pandas.DataFrame(x).assign(kind=1)
    both(lambda: dense(columns=7), frame, y, engine=engine, validation_split=0.2)
    frame["kind"] = 0
    both(lambda: dense(columns=7), frame, y, engine=engine, validation_split=0.2)


def test_large_arrays_are_recognised_by_a_look_at_some_of_their_numbers() -> None:
    cache = data_cache()
    x, y = np.zeros((5000, 300), "float32"), np.zeros(9000)
    for strided in (x, x[::2, ::3], np.asfortranarray(x)):
        looks = set()
        for _ in range(4):
            looks.add(cache.look(given(strided, y)))
            strided += np.arange(strided.shape[1], dtype="float32")
        looks.add(cache.look(given(strided, y)))
        assert len(looks) == 5
    before = cache.look(given(x, y))
    np.random.default_rng(0).shuffle(x)
    y += np.arange(9000)
    shuffled = cache.look(given(x, y))
    np.random.default_rng(0).shuffle(y)
    assert len({before, shuffled, cache.look(given(x, y))}) == 3
    assert cache.look(given(x, y)) == cache.look(given(x, y))


def test_a_callback_that_changes_the_data_changes_the_next_epoch() -> None:
    """As augmenting in place does."""
    x, y = X.copy(), Y.copy()

    class Blur(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            x[:] = X + epoch

    both(dense, x, y, callbacks=lambda: [Blur()], epochs=3, validation_data=(x, y))


def test_another_type_of_floats_is_another_copy_of_the_data() -> None:
    cache, x = data_cache(), X.astype("float64")
    first, _ = cache.parts(given(x, Y))
    keras.config.set_floatx("float16")
    try:
        second, _ = cache.parts(given(x, Y))
    finally:
        keras.config.set_floatx("float32")
    assert [each.arrays.leaves[0].dtype for each in (first, second)] == ["float32", "float16"]


def test_data_that_keras_refuses_are_refused_with_its_words() -> None:
    for fit in (plainly, FusedTrainer().fit):
        with pytest.raises(ValueError, match="cardinality"):
            train(fit, dense, X, Y[:-1])


def test_weights_of_both_kinds_are_refused_as_in_fit() -> None:
    with pytest.raises(ValueError, match="class_weight"):
        train(FusedTrainer().fit, dense, X, Y, sample_weight=WEIGHTS, class_weight={0: 1.0})


def test_a_fixed_batch_size_is_no_hindrance() -> None:
    def make() -> keras.Model:
        model = keras.Sequential(
            [keras.Input((4, 3), batch_size=10), layers.LSTM(3, stateful=True), layers.Dense(1)]
        )
        model.compile("adam", "mse")
        return model

    x = np.random.default_rng(8).normal(size=(40, 4, 3)).astype("float32")
    both(make, x, Y[:40], batch_size=10, epochs=2, validation_split=0.5, shuffle=False)
