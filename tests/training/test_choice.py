from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from afina.errors import ArgumentError, FatalValueError
from afina.training import Account, choice, why_not_fused
from afina.training.choice import TrainerChooser
from afina.training.fused import Engine, FusedTrainer
from afina.training.on_tensorflow import xla
from afina.training.plain import STEPS_AT_ONCE, hasten

from .conftest import Data, MakeModel


def test_auto_fuses_what_it_can_and_notes_how_long_each_part_took(
    data: Data, make_model: MakeModel
) -> None:
    account = Account()
    kwargs = {"epochs": 2, "verbose": 0, "validation_data": data}
    history = TrainerChooser("auto", Engine()).fit(make_model(), data, kwargs, account)
    assert history.epoch == [0, 1]
    notes = account.notes()
    assert notes["training"] == "fused"
    told = dict(re.findall(r"(\w+) ([\d.]+)", notes["seconds"]))
    assert list(told) == ["build", "trace", "compile", "train", "validate", "fit", "save"]
    assert float(told["train"]) > 0


def test_auto_falls_back_to_fit_and_notes_why(data: Data, make_model: MakeModel) -> None:
    account, model = Account(), make_model()
    trainer = TrainerChooser("auto", Engine())
    history = trainer.fit(model, data, {"steps_per_epoch": 1, "verbose": 0}, account)
    assert len(history.history["loss"]) == 1
    assert int(model.optimizer.iterations) == 1
    assert account.notes()["training"] == "fit: steps_per_epoch is given"


def test_fit_never_fuses(
    data: Data, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FusedTrainer, "fit", lambda *args: pytest.fail("fused"))
    account = Account()
    TrainerChooser("fit", Engine()).fit(make_model(), data, {"verbose": 0}, account)
    assert account.path == "fit: as asked for"


def test_fused_refuses_what_it_cannot_and_names_the_reason(
    data: Data, make_model: MakeModel
) -> None:
    model = make_model()
    with pytest.raises(FatalValueError, match=r'steps_per_epoch is given.*training="auto"'):
        TrainerChooser("fused", Engine()).fit(model, data, {"steps_per_epoch": 1}, Account())
    assert int(model.optimizer.iterations) == 0


def test_what_the_training_raises_is_not_taken_for_a_reason(
    data: Data, make_model: MakeModel
) -> None:
    def fail(epoch: int, logs: Any) -> None:
        raise ValueError("of the user's")

    callbacks = [keras.callbacks.LambdaCallback(on_epoch_end=fail)]
    with pytest.raises(ValueError, match="of the user's"):
        TrainerChooser("auto", Engine()).fit(
            make_model(), data, {"callbacks": callbacks}, Account()
        )


@pytest.mark.parametrize("mode", ["", "Fused", None, True])
def test_other_modes_are_refused(mode: Any) -> None:
    with pytest.raises(ArgumentError, match="training: must be one of"):
        TrainerChooser(mode, Engine())


def test_nothing_is_noted_of_a_trial_that_was_not_trained() -> None:
    assert Account().notes() == {}


def test_seconds_are_counted_also_of_what_an_error_ended() -> None:
    account = Account()
    with pytest.raises(ZeroDivisionError), account.counted("fit"):
        raise ZeroDivisionError
    assert account.fit > 0


def test_why_nothing_can_be_fused_is_known_before_any_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert why_not_fused("auto") is None
    assert why_not_fused("fused") is None
    assert why_not_fused("fit") == "as asked for"
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    assert "torch" in str(why_not_fused("auto"))


# -- plain fit on TensorFlow: here only what is decided, as TensorFlow need not be installed -------


class Own(keras.Sequential):  # type: ignore[misc]
    """Anything may happen in it."""


class OwnLayer(keras.layers.Layer):  # type: ignore[misc]
    """Likewise."""

    def call(self, inputs: Any) -> Any:
        return inputs


def network(*middle: Any, kind: Any = keras.Sequential, **compiled: Any) -> keras.Model:
    model = kind([keras.Input((4,)), *middle, keras.layers.Dense(1)])
    model.compile(**{"optimizer": "adam", "loss": "mse", "jit_compile": False, **compiled})
    return model


def nested() -> keras.Model:
    return network(keras.Sequential([keras.Input((4,)), OwnLayer()]))


HASTENED: dict[str, tuple[Callable[[], keras.Model], Any, bool, int]] = {
    "plain": (network, None, True, STEPS_AT_ONCE),
    "epochs are looked at": (network, [keras.callbacks.EarlyStopping()], True, STEPS_AT_ONCE),
    "batches are looked at": (network, [keras.callbacks.TerminateOnNaN()], True, 1),
    "steps of the user's": (lambda: network(steps_per_execution=7), None, True, 7),
    "nested": (lambda: network(keras.Sequential([keras.layers.Dense(4)])), None, True, 100),
    "eager": (lambda: network(run_eagerly=True), None, False, 1),
    "own model": (lambda: network(kind=Own), None, False, 1),
    "own layer": (lambda: network(OwnLayer()), None, False, 1),
    "own layer within": (nested, None, False, 1),
    "own loss": (lambda: network(loss=lambda y, p: (y - p) ** 2), None, False, 1),
    "own metric": (lambda: network(metrics=[lambda y, p: y - p]), None, False, 1),
    "own activation": (lambda: network(keras.layers.Dense(4, abs)), None, False, 1),
    "function": (lambda: network(keras.layers.Lambda(lambda x: 2 * x)), None, False, 1),
}


@pytest.mark.parametrize("name", HASTENED)
def test_on_tensorflow_steps_are_compiled_and_run_many_at_once_where_that_is_safe(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, callbacks, compiled, steps = HASTENED[name]
    model = make()
    monkeypatch.setattr("afina.training.plain.keras.backend.backend", lambda: "tensorflow")
    hasten(model, callbacks)
    assert (bool(model.jit_compile), model.steps_per_execution) == (compiled, steps)


layers = keras.layers
IMAGE, LINE = (6, 6, 2), (8, 2)


def shaped(shape: tuple[int, ...], *middle: Any) -> Callable[[], keras.Model]:
    def make() -> keras.Model:
        end = [layers.Flatten(), layers.Dense(1)]
        model = keras.Sequential([keras.Input(shape), *middle, *end])
        model.compile("adam", "mse", jit_compile=False)
        return model

    return make


def of_functions() -> keras.Model:
    inputs = keras.Input(IMAGE)
    convolved = keras.ops.conv(inputs, np.ones((3, 3, 2, 2), "float32"))
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(convolved)))
    model.compile("adam", "mse", jit_compile=False)
    return model


def inner(*middle: Any) -> keras.Model:
    return keras.Sequential([keras.Input(IMAGE), *middle])


WITHOUT_XLA: dict[str, Callable[[], keras.Model]] = {
    "2 dimensions": shaped(IMAGE, layers.Conv2D(2, 3)),
    "3 dimensions": shaped((4, 4, 4, 1), layers.Conv3D(2, 3)),
    "transposed": shaped(IMAGE, layers.Conv2DTranspose(2, 3)),
    "depthwise": shaped(IMAGE, layers.DepthwiseConv2D(3)),
    "separable": shaped(IMAGE, layers.SeparableConv2D(2, 3)),
    "recurrent": shaped((3, *IMAGE), layers.ConvLSTM2D(2, 3)),
    "both ways": shaped((3, *IMAGE), layers.Bidirectional(layers.ConvLSTM2D(2, 3))),
    "at each time": shaped((3, *IMAGE), layers.TimeDistributed(layers.Conv2D(2, 3))),
    "nested": shaped(IMAGE, inner(layers.Conv2D(2, 3))),
    "nested twice": shaped(IMAGE, inner(inner(layers.Conv2D(2, 3)))),
    "of functions": of_functions,
    "interpolation": shaped(IMAGE, layers.UpSampling2D(interpolation="bilinear")),
}
WITH_XLA: dict[str, Callable[[], keras.Model]] = {
    "1 dimension": shaped(LINE, layers.Conv1D(2, 3)),
    "1 dimension depthwise": shaped(LINE, layers.DepthwiseConv1D(3)),
    "pooling": shaped(IMAGE, layers.MaxPooling2D(), layers.AveragePooling2D(2)),
    "recurrent": shaped(LINE, layers.Bidirectional(layers.LSTM(2))),
    "nested": shaped(IMAGE, inner(layers.Dense(2))),
}


@pytest.mark.parametrize("name", [*WITHOUT_XLA, *(f"with {name}" for name in WITH_XLA)])
def test_on_tensorflow_steps_are_compiled_where_that_makes_them_quicker(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = name.startswith("with ")
    model = WITH_XLA[name.removeprefix("with ")]() if compiled else WITHOUT_XLA[name]()
    monkeypatch.setattr("afina.training.plain.keras.backend.backend", lambda: "tensorflow")
    hasten(model)
    assert (bool(model.jit_compile), model.steps_per_execution) == (compiled, STEPS_AT_ONCE)


def test_xla_that_the_user_asks_for_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    model = WITHOUT_XLA["2 dimensions"]()
    model.compile("adam", "mse", jit_compile=True)
    monkeypatch.setattr("afina.training.plain.keras.backend.backend", lambda: "tensorflow")
    hasten(model)
    assert model.jit_compile


def test_on_a_gpu_xla_compiles_convolutions_too(monkeypatch: pytest.MonkeyPatch) -> None:
    model = WITHOUT_XLA["2 dimensions"]()
    monkeypatch.setattr("afina.training.plain.keras.backend.backend", lambda: "tensorflow")
    monkeypatch.setattr("afina.training.on_tensorflow.xla.has_gpu", lambda: True)
    hasten(model)
    assert model.jit_compile


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="the layout is XLA's on a CPU")
def test_what_fused_epochs_have_chosen_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afina.training.fused.plan.FEW", 0)  # such trainings have one step
    chooser, notes = TrainerChooser("auto", Engine()), []
    for make, shape in ((WITHOUT_XLA["2 dimensions"], IMAGE), (network, (4,))):
        model, account = make(), Account()
        model.compile("adam", "mse")
        data = np.ones((8, *shape), "float32"), np.ones((8, 1), "float32")
        for _ in range(2):  # the second one finds its program
            chooser.fit(model, data, {"verbose": 0}, account)
        notes.append(account.notes().get("choices"))
    assert notes == ["convolutions in the layout that is quick in loops", None]


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_on_other_backends_plain_fit_is_left_as_it_is(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network()
    monkeypatch.setattr("afina.training.plain.keras.backend.backend", lambda: backend)
    hasten(model)
    assert (model.jit_compile, model.steps_per_execution) == (False, 1)


def test_a_model_that_was_not_compiled_is_left_to_keras_and_its_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    monkeypatch.setattr("afina.training.plain.keras.backend.backend", lambda: "tensorflow")
    hasten(model)
    assert not model.compiled


def test_building_draws_weights_without_a_compilation_for_each_shape(
    make_model: MakeModel,
) -> None:
    keras.utils.set_random_seed(1)
    plain = make_model(7).get_weights()
    keras.utils.set_random_seed(1)
    with choice.building():
        quick = make_model(7).get_weights()
    assert all((a == b).all() for a, b in zip(plain, quick, strict=True))


def test_long_trainings_of_dense_networks_gain_on_jax_and_others_do_not() -> None:
    layers = keras.layers

    def network(*middle: keras.Layer) -> keras.Model:
        model = keras.Sequential([keras.Input((6,)), *middle, layers.Dense(1)])
        model.compile("adam", "mse")
        return model

    dense = network(layers.Dense(4, "relu"), layers.Dropout(0.1))
    assert xla.gains_on_jax(dense, xla.PAYS_ON_JAX)
    assert not xla.gains_on_jax(dense, xla.PAYS_ON_JAX - 1)
    assert not xla.gains_on_jax(network(layers.Reshape((6, 1)), layers.Conv1D(2, 3)), 10**6)
    assert not xla.gains_on_jax(network(layers.Reshape((6, 1)), layers.GRU(2)), 10**6)
    assert not xla.gains_on_jax(network(layers.Lambda(lambda x: x)), 10**6)
