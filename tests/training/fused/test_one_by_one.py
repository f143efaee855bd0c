"""Trainings of few steps: one compiled step, called for each batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from afina.training import Account
from afina.training.fused import Engine, FusedTrainer, plan
from afina.training.fused.program import OneByOne

from .conftest import TENSORFLOW, arrays, both, dense, layers, sequential, train

pytestmark = pytest.mark.service  # `make test` has many short trainings

if TENSORFLOW:
    pytest.skip("TensorFlow compiles no loops", allow_module_level=True)

X, Y = arrays(rows=48)
IMAGES = np.random.default_rng(2).normal(size=(48, 6, 6, 1)).astype("float32")
TRAINING: dict[str, Any] = {"epochs": 2, "batch_size": 16, "validation_data": (X[:20], Y[:20])}


@pytest.fixture(autouse=True)
def few(loops: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """These trainings of six steps are of few steps."""
    del loops
    monkeypatch.setattr(plan, "FEW", 6)


def program_of(engine: Engine) -> Any:
    [slot] = engine.programs._slots.values()
    assert slot.program is not None
    return slot.program


def normalized(**compiled: Any) -> keras.Model:
    block = [layers.Dense(5, use_bias=False), layers.BatchNormalization(), layers.Dropout(0.3)]
    return sequential(*block, **compiled)


def scheduled() -> keras.Model:
    schedule = keras.optimizers.schedules.ExponentialDecay(0.05, 2, 0.5)
    return dense(optimizer=keras.optimizers.AdamW(schedule), metrics=["mae"])


def convolutional() -> keras.Model:
    parts = [layers.Reshape((6, 1)), layers.Conv1D(4, 3), layers.Flatten()]
    return sequential(*parts, layers.Dense(3, activation="relu"))


def limited() -> keras.Model:
    return dense(optimizer=keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.1))


@pytest.mark.first("dense", "scheduled", "convolutional")
@pytest.mark.parametrize("make", [dense, normalized, scheduled, convolutional, limited])
def test_a_few_steps_called_one_by_one_come_to_what_fit_comes_to(
    make: Callable[[], keras.Model], engine: Engine
) -> None:
    both(make, X, Y, engine=engine, **TRAINING)
    assert isinstance(program_of(engine).train, OneByOne)


def test_callbacks_and_weights_of_samples_count_in_single_steps(engine: Engine) -> None:
    weights = np.random.default_rng(0).random(48).astype("float32")

    def callbacks() -> list[Any]:
        return [keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (1 + epoch))]

    both(dense, X, Y, engine=engine, callbacks=callbacks, sample_weight=weights, **TRAINING)
    assert isinstance(program_of(engine).train, OneByOne)


def test_trainings_of_single_steps_share_a_program(engine: Engine) -> None:
    for rate in (0.1, 0.01):

        def make(rate: float = rate) -> keras.Model:
            return dense(optimizer=keras.optimizers.Adam(rate))

        both(make, X, Y, engine=engine, **TRAINING)
    assert engine.programs.compiled == 1


@pytest.mark.parametrize(
    ("epochs", "rows"), [(3, 48), (2, 40)], ids=["more steps", "a smaller batch"]
)
def test_more_steps_or_batches_of_two_sizes_are_a_loop(
    epochs: int, rows: int, engine: Engine
) -> None:
    given = {**TRAINING, "epochs": epochs}
    both(dense, X[:rows], Y[:rows], engine=engine, **given)
    assert not isinstance(program_of(engine).train, OneByOne)


def test_single_steps_leave_convolutions_to_xla(engine: Engine) -> None:
    def make() -> keras.Model:
        parts = [layers.Conv2D(3, 3, activation="relu"), layers.Flatten(), layers.Dense(1)]
        model = keras.Sequential([keras.Input((6, 6, 1)), *parts])
        model.compile("adam", "mse")
        return model

    account = Account()

    def fit(model: keras.Model, args: Any, kwargs: Any) -> Any:
        return FusedTrainer(engine).fit(model, args, kwargs, account)

    train(fit, make, IMAGES, Y, epochs=1, batch_size=16)
    assert not program_of(engine).convolves
    assert account.choices == ["few steps: each is a call"]
