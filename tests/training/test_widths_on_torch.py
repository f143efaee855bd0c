"""Recorded steps on PyTorch that serve models of other widths and rates of dropout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from afina.training import Account, TrainerChooser, fresh_session
from afina.training.fused import Engine
from afina.training.on_torch import TorchTrainer, sharing

if keras.backend.backend() != "torch":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

layers = keras.layers
RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(60, 6)).astype("float32")
PICTURES = RNG.normal(size=(60, 8, 8, 2)).astype("float32")
SEQUENCES = RNG.normal(size=(60, 5, 6)).astype("float32")
WORDS = RNG.integers(0, 9, (60, 5)).astype("int32")
Y = ROWS[:, :1] + 0.1 * RNG.normal(size=(60, 1)).astype("float32")
TRAINING: dict[str, Any] = {"epochs": 3, "batch_size": 16, "validation_split": 0.3, "verbose": 0}

Block = Callable[[int, float], list[Any]]
"""Layers of a width and a rate of dropout."""


def normalized(width: int, rate: float) -> list[Any]:
    block = [layers.Dense(width, use_bias=False), layers.BatchNormalization(), layers.ReLU()]
    return [*block, layers.Dropout(rate), layers.Dense(width + 3), layers.LayerNormalization()]


KINDS: dict[str, tuple[Any, Block]] = {
    "dense": (ROWS, lambda width, rate: [layers.Dense(width, "relu")]),
    "dropout": (ROWS, lambda width, rate: [layers.Dense(width), layers.Dropout(rate)]),
    "normalization": (ROWS, normalized),
    "pictures": (
        PICTURES,
        lambda width, rate: [
            *(layers.Conv2D(width, 3, padding="same"), layers.MaxPooling2D()),
            *(layers.Conv2D(width + 2, 3, activation="relu"), layers.AveragePooling2D(2)),
            *(layers.Flatten(), layers.Dropout(rate)),
        ],
    ),
    "sequences": (
        SEQUENCES,
        lambda width, rate: [layers.Conv1D(width, 3), layers.GlobalMaxPooling1D()],
    ),
    "GRU": (WORDS, lambda width, rate: [layers.Embedding(9, width + 1), layers.GRU(width)]),
    "LSTM": (
        SEQUENCES,
        lambda width, rate: [layers.LSTM(width, return_sequences=True), layers.LSTM(width + 1)],
    ),
    "simple recurrence": (SEQUENCES, lambda width, rate: [layers.SimpleRNN(width)]),
}


def model_of(kind: str, width: int, rate: float, **compiled: Any) -> tuple[keras.Model, Any]:
    x, block = KINDS[kind]
    model = keras.Sequential([keras.Input(x.shape[1:]), *block(width, rate), layers.Dense(1)])
    model.compile(**{"optimizer": "adam", "loss": "mse", "metrics": ["mae"], **compiled})
    return model, x


def trained(
    trainer: TorchTrainer | None, kind: str, width: int, rate: float, **compiled: Any
) -> tuple[Any, list[Any]]:
    fresh_session()
    keras.utils.set_random_seed(width)
    model, x = model_of(kind, width, rate, **compiled)
    if trainer is None:
        history = model.fit(x, Y, **TRAINING).history
    else:
        history = trainer.fit(model, (x, Y), TRAINING).history
    return history, model.get_weights()


def check(trainer: TorchTrainer, kind: str, width: int, rate: float, **compiled: Any) -> None:
    history, values = trained(None, kind, width, rate, **compiled)
    found, mine = trained(trainer, kind, width, rate, **compiled)
    for name, curve in history.items():
        np.testing.assert_allclose(found[name], curve, rtol=1e-5, atol=1e-6, err_msg=name)
    for one, other in zip(values, mine, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_one_recording_serves_other_widths_and_rates_with_the_results_of_fit(kind: str) -> None:
    trainer = TorchTrainer(always=True)
    trained(trainer, kind, 7, 0.2)
    assert trainer.recordings.resized == 0
    for width, rate in ((5, 0.4), (12, 0.1)):
        check(trainer, kind, width, rate)
    assert trainer.recordings.resized == 2


@pytest.mark.parametrize("width", [16, 6])
def test_a_width_that_is_also_another_length_gives_the_results_of_fit(width: int) -> None:
    trainer = TorchTrainer(always=True)
    trained(trainer, "normalization", width, 0.2)  # 16 rows are a batch, 6 are the columns
    for other, rate in ((7, 0.2), (16, 0.3)):
        check(trainer, "normalization", other, rate)


def test_layers_of_one_rate_that_get_different_ones_give_the_results_of_fit() -> None:
    trainer = TorchTrainer(always=True)
    for rates in ((0.2, 0.2), (0.2, 0.4), (0.3, 0.1)):
        block = [layers.Dropout(rates[0]), layers.Dense(4), layers.Dropout(rates[1])]
        curves = []
        for fused in (True, False):
            fresh_session()
            keras.utils.set_random_seed(1)
            copies = [type(each).from_config(each.get_config()) for each in block]
            model = keras.Sequential([keras.Input((6,)), *copies, layers.Dense(1)])
            model.compile("adam", "mse")
            fit: Any = model.fit
            if fused:
                fit = lambda *args, **more: trainer.fit(model, args, more)  # noqa: B023, E731
            curves.append(fit(ROWS, Y, **TRAINING).history["loss"])
        np.testing.assert_allclose(*curves, rtol=1e-5)


def test_numbers_that_a_recording_holds_are_not_shared() -> None:
    trainer = TorchTrainer(always=True)
    for power in (0.5, 0.9):
        rate = keras.optimizers.schedules.ExponentialDecay(1e-2, 3, power)
        optimizer = keras.saving.serialize_keras_object(keras.optimizers.SGD(rate))
        check(trainer, "dense", 5, 0.0, optimizer=optimizer)
    assert trainer.recordings.resized == 0


def test_trainings_of_few_steps_count_together() -> None:
    chooser = TrainerChooser("auto", Engine())
    paths = []
    for width in (5, 6, 7, 8):
        fresh_session()
        model, x = model_of("dense", width, 0.0)
        account = Account()
        chooser.fit(model, (x, Y), {**TRAINING, "epochs": 5, "shuffle": True}, account)
        paths.append(account.path.partition(":")[0])
    assert sharing.WORTH == 30  # 10 full batches a training
    assert paths == ["fit", "fit", "fused", "fused"]


def test_a_recording_made_over_wrongly_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = sharing.record_again

    def doubled(recording: Any, model: Any, batch: Any) -> Any:
        import torch

        made = plain(recording, model, batch)
        for node in made.graph.nodes:
            if node.target is torch.ops.aten.relu.default:
                node.target = torch.ops.aten.neg.default
        return made

    monkeypatch.setattr(sharing, "record_again", doubled)
    trainer = TorchTrainer(always=True)
    trained(trainer, "dense", 7, 0.0)
    for width in (5, 6):
        check(trainer, "dense", width, 0.0)
    assert trainer.recordings.resized == 0


def test_a_structure_that_cannot_be_recorded_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def failing(*args: Any) -> Any:
        tried.append(args)
        raise sharing.TraceError("a step does what it likes")

    monkeypatch.setattr(sharing, "record", failing)
    chooser = TrainerChooser("auto", Engine())
    for width in (5, 6):
        fresh_session()
        model, x = model_of("dense", width, 0.0)
        account = Account()
        chooser.fit(model, (x, Y), {**TRAINING, "epochs": 20, "validation_split": 0.0}, account)
        assert account.path == "fit: the step cannot be traced: a step does what it likes"
    assert len(tried) == 1
