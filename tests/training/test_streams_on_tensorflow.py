"""Streams that cannot be read into arrays, trained batch by batch on TensorFlow."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest

from afina.training import Account, Engine, Streams, TrainerChooser, fresh_session
from afina.training.epochs import reasons
from afina.training.on_tensorflow import TensorFlowTrainer, streaming, xla

if keras.backend.backend() != "tensorflow":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

import tensorflow as tf

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(22, 4)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")
W = RNG.uniform(size=22).astype("float32")


@pytest.fixture(autouse=True)
def xla_never_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it draws other numbers than `fit` does."""
    monkeypatch.setattr(xla, "COMPILE", math.inf)


def slices(*arrays: Any) -> Any:
    return tf.data.Dataset.from_tensor_slices(arrays or (X, Y))


def generator(count: int | None = None, kind: type = tuple) -> Iterator[Any]:
    """Samples without end, or in so many batches."""
    rng = np.random.default_rng(2)
    number = 0
    while count is None or number < count:
        number += 1
        x = rng.normal(size=(8, 4)).astype("float32")
        yield kind((x, (x[:, :1] > 0).astype("float32")))


class Reordering(keras.utils.PyDataset):
    """Shuffles at the end of each epoch, in a way of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.rng, self.order = np.random.default_rng(1), np.arange(22)

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        here = self.order[index * 8 : (index + 1) * 8]
        return X[here], Y[here]

    def on_epoch_end(self) -> None:
        self.order = self.rng.permutation(22)


class Endless(keras.utils.PyDataset):
    @property
    def num_batches(self) -> None:
        return None

    def __getitem__(self, index: int) -> Any:
        here = slice(index % 3 * 8, (index % 3 + 1) * 8)
        return X[here], Y[here]


def noisy(x: Any, y: Any) -> Any:
    return x + tf.random.stateless_normal(tf.shape(x), seed=(1, 2)), y


def of_unknown_length() -> Any:
    form = tf.TensorSpec((None, 4), "float32"), tf.TensorSpec((None, 1), "float32")
    return tf.data.Dataset.from_generator(lambda: generator(3), output_signature=form)


STREAMS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "small buffer": (lambda: slices().shuffle(3, seed=1).batch(8), {}),
    "augmented": (lambda: slices().batch(8).map(noisy).prefetch(2), {}),
    "cached, a small buffer": (lambda: slices().cache().shuffle(3, seed=1).batch(8), {}),
    "float64 and sample weights": (
        lambda: slices(X.astype("float64"), Y, W).shuffle(3, seed=1).batch(8),
        {},
    ),
    "class weights": (
        lambda: slices(X, Y[:, 0]).shuffle(3, seed=1).batch(8),
        {"class_weight": {0: 1.0, 1: 3.0}},
    ),
    "equal batches": (
        lambda: slices().shuffle(3, seed=1).batch(8, drop_remainder=True),
        {},
    ),
    "endless": (lambda: slices().repeat().batch(8), {"steps_per_epoch": 4}),
    "a part of a pass": (lambda: slices().batch(4), {"steps_per_epoch": 2}),
    "longer than the stream": (lambda: slices().batch(8), {"steps_per_epoch": 4}),
    "no end known": (lambda: of_unknown_length().map(noisy), {"at_once": 50}),
    "generator": (generator, {"steps_per_epoch": 5}),
    "a generator that ends": (lambda: generator(7), {"steps_per_epoch": 3, "at_once": 3}),
    "PyDataset that reorders": (Reordering, {"shuffle": False}),
    "endless PyDataset": (Endless, {"steps_per_epoch": 2, "shuffle": False}),
    "one batch": (lambda: slices().repeat().batch(8), {"steps_per_epoch": 1}),
}


def network(*middle: Any, units: int = 3, **compiled: Any) -> keras.Model:
    keras.utils.set_random_seed(1)
    middle = middle or (layers.Dense(units, "relu"), layers.Dropout(0.3))
    model = keras.Sequential([keras.Input((4,)), *middle, layers.Dense(1, "sigmoid")])
    given = {"loss": "binary_crossentropy", "metrics": ["accuracy"], **compiled}
    model.compile(keras.optimizers.Adam(0.01), **given)
    return model


def trained(mode: Any = "auto", model: Any = None, **kwargs: Any) -> tuple[Any, ...]:
    """Model, history and notes of a training."""
    account, model = Account(), model or network()
    given = {"epochs": 3, "verbose": 0, "validation_data": (X, Y), **kwargs}
    chooser = TrainerChooser(mode, Engine(), Streams(given.pop("materialize", "auto")))
    with warnings.catch_warnings():
        for told in ("Your input ran out of data", "`shuffle=True` was passed"):  # as by `fit`
            warnings.filterwarnings("ignore", told)
        history = chooser.fit(model, (), given, account)
    return model, history.history, account.notes()["training"]


def assert_trained_as_by_fit(make: Callable[[], dict[str, Any]], **kwargs: Any) -> str:
    """Trains on new streams, and by `fit` on others; returns how.

    Nothing is read into arrays, as a `tf.data` pipeline that was read twice goes on with other
    draws. Where a stream ends unexpectedly, `fit` counts a step that it does not take, unless it
    takes several at once.
    """
    built, at_once = kwargs.pop("build", network), kwargs.pop("at_once", 1)
    kwargs = {"materialize": False, **kwargs}
    model, found, note = trained(model=built(), **make(), **kwargs)
    by_fit = built()
    by_fit.steps_per_execution = at_once
    _, expected, _ = trained("fit", model=by_fit, **make(), **kwargs)
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, err_msg=name)
    for one, other in zip(model.get_weights(), by_fit.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert int(model.optimizer.iterations) == int(by_fit.optimizer.iterations)
    return str(note)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_trained_batch_by_batch_as_by_fit(name: str) -> None:
    make, kwargs = STREAMS[name]
    note = assert_trained_as_by_fit(lambda: {"x": make()}, **kwargs)
    assert note.startswith("fused (batch by batch, as x is a "), note


def test_a_long_epoch_is_several_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "AT_ONCE", 2)
    for make, kwargs in (STREAMS["no end known"], STREAMS["generator"], STREAMS["one batch"]):
        assert_trained_as_by_fit(lambda make=make: {"x": make()}, **kwargs)


VALIDATIONS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "a part": (lambda: slices().batch(8), {"validation_steps": 2}),
    "endless": (lambda: slices().repeat().batch(8), {"validation_steps": 4}),
    "generator": (generator, {"validation_steps": 2}),
    "augmented": (lambda: slices().batch(8).map(noisy), {}),
}


@pytest.mark.parametrize("x", ["arrays", "stream in order", "generator"])
@pytest.mark.parametrize("name", VALIDATIONS)
def test_a_stream_is_validated_batch_by_batch_as_by_fit(name: str, x: str) -> None:
    make, kwargs = VALIDATIONS[name]

    def data() -> dict[str, Any]:
        if x == "arrays":
            return {"x": X, "y": Y, "batch_size": 8, "shuffle": False, "validation_data": make()}
        if x == "generator":
            return {"x": generator(), "steps_per_epoch": 3, "validation_data": make()}
        return {"x": slices().batch(8), "validation_data": make()}

    kwargs = {"materialize": "auto" if name != "augmented" else False, **kwargs}
    note = assert_trained_as_by_fit(data, validation_freq=[1, 3], **kwargs)
    assert note.startswith("fused (")
    assert "batch by batch, as validation_data is a " in note


class OwnLogs(keras.Model):
    """Returns logs of its own from its train step."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(1, "sigmoid")

    def call(self, x: Any) -> Any:
        return self.dense(x)

    def train_step(self, data: Any) -> Any:
        logs = super().train_step(data)
        return {**logs, "largest": keras.ops.max(data[0])}


def own_logs() -> keras.Model:
    keras.utils.set_random_seed(1)
    model = OwnLogs()
    model.compile("sgd", "binary_crossentropy")
    return model


@pytest.mark.parametrize("at_once", [2, 1000])
def test_logs_of_a_train_step_of_the_users_own_are_those_of_the_last_batch(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "AT_ONCE", at_once)
    for make in (lambda: slices().batch(8), of_unknown_length):
        kwargs = {"build": own_logs, "at_once": 50 if make is of_unknown_length else 1}
        note = assert_trained_as_by_fit(lambda make=make: {"x": make()}, **kwargs)
        assert note.startswith("fused (batch by batch")


class Counting(OwnLogs):
    """Counts how often its train step is traced; the first of its logs is a count of one batch."""

    traced = 0

    def train_step(self, data: Any) -> Any:
        type(self).traced += 1
        rows = keras.ops.cast(keras.ops.sum(data[1]), "int32")
        return {"rows": rows, "of each": {"loss": super().train_step(data)["loss"]}}


def counting() -> keras.Model:
    keras.utils.set_random_seed(1)
    model = Counting()
    model.compile("sgd", "binary_crossentropy")
    return model


def test_a_train_step_with_logs_of_its_own_is_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Counting, "traced", 0)
    trained(model=counting(), x=slices().batch(8), materialize=False)
    assert Counting.traced == 1
    assert_trained_as_by_fit(lambda: {"x": slices().batch(8)}, build=counting)


def test_named_inputs_and_sequences_of_varied_lengths_are_trained_as_by_fit() -> None:
    def build() -> keras.Model:
        keras.utils.set_random_seed(1)
        inputs = keras.Input((None,), name="words", dtype="int32")
        hidden = layers.Embedding(9, 4)(inputs)
        outputs = layers.Dense(1)(layers.GlobalAveragePooling1D()(hidden))
        model = keras.Model({"words": inputs}, outputs)
        model.compile("sgd", "mse")
        return model

    def stream() -> dict[str, Any]:
        words = tf.data.Dataset.from_tensor_slices(tf.ragged.range([3, 5, 2, 7, 4, 8]))
        words = words.map(lambda each: ({"words": each}, tf.constant([1.0])))
        return {"x": words.padded_batch(2), "validation_data": None}

    assert assert_trained_as_by_fit(stream, build=build).startswith("fused (batch by batch")


def test_xla_compiles_the_steps_of_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xla, "COMPILE", 0.0)
    make, kwargs = STREAMS["small buffer"]

    def build() -> keras.Model:
        return network(layers.Reshape((2, 2)), layers.GRU(3))

    build()  # the first GRU of a process has other weights
    note = assert_trained_as_by_fit(lambda: {"x": make()}, build=build, **kwargs)
    assert note.startswith("fused (batch by batch")
    account, given = Account(), {"x": make(), "verbose": 0, "shuffle": False}
    TrainerChooser("auto", Engine()).fit(build(), (), given, account)
    assert account.choices == ["XLA: the 3 steps planned pay for compiling"]


def test_trials_of_several_widths_share_the_functions_of_a_stream() -> None:
    trainer = TensorFlowTrainer()
    for units in (3, 5, 4):
        fresh_session()
        given = {"x": generator(), "steps_per_epoch": 3, "validation_data": (X, Y), "verbose": 0}
        names = reasons.fit_arguments((), given)
        assert isinstance(names, dict)
        trainer.fit_stream(network(units=units), names, Account())
    assert trainer.programs.compiled == 2  # the training and the validation


def test_no_more_batches_are_read_than_are_trained() -> None:
    read = []

    def counted(x: Any, y: Any) -> Any:
        read.append(0)
        return x, y

    kinds = "float32", "float32"
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False
    options.autotune.enabled = False
    stream = slices().batch(8).repeat().map(lambda x, y: tf.numpy_function(counted, [x, y], kinds))
    stream = stream.map(lambda x, y: (tf.ensure_shape(x, (None, 4)), tf.ensure_shape(y, (None, 1))))
    stream = stream.with_options(options)
    *_, note = trained(x=stream, steps_per_epoch=4, validation_data=None)
    assert note.startswith("fused (batch by batch")
    assert len(read) == 12


def test_what_a_stream_raises_reaches_the_user() -> None:
    def failing() -> Iterator[Any]:
        yield from generator(4)
        raise ZeroDivisionError("no such file")

    with pytest.raises(tf.errors.UnknownError, match="no such file"):
        trained(x=failing(), steps_per_epoch=3)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "sparse": (
        lambda: slices(tf.sparse.from_dense(X), Y).shuffle(3).batch(8),
        "its batches are not dense arrays of numbers",
    ),
    "steps_per_execution": (generator, "steps_per_execution"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_taken_batch_by_batch_is_left_to_fit(name: str) -> None:
    make, reason = REFUSED[name]
    compiled = {"steps_per_execution": 2} if name == "steps_per_execution" else {}
    model = network(layers.Dense(3), **compiled)
    *_, note = trained(model=model, x=make(), steps_per_epoch=2)
    assert note.startswith("fit: ")
    assert reason in note


def test_batches_that_a_refused_generator_has_given_are_trained_by_fit() -> None:
    def sparse(count: int) -> Iterator[Any]:
        for x, y in generator(count):
            yield tf.sparse.from_dense(x), y

    given = {"steps_per_epoch": 3, "epochs": 2, "validation_data": None}
    model, *_, note = trained(model=network(layers.Dense(3)), x=sparse(6), **given)
    assert note.startswith("fit: ")
    assert int(model.optimizer.iterations) == 6


def test_a_generator_stays_open_for_the_next_trial() -> None:
    batches = generator()
    for steps in (3, 4):
        model, *_, note = trained(x=batches, steps_per_epoch=steps, validation_data=None)
        assert note.startswith("fused (batch by batch")
        assert int(model.optimizer.iterations) == 3 * steps


def test_an_epoch_without_batches_has_logs_as_by_fit() -> None:
    given: dict[str, Any] = {"steps_per_epoch": 3, "validation_data": None}
    _, found, _ = trained(x=generator(6), **given)
    _, expected, _ = trained("fit", x=generator(6), **given)
    assert found["loss"][2] == expected["loss"][2] == 0
    assert list(found) == list(expected)


def varied_lengths() -> Iterator[Any]:
    for number, (x, y) in enumerate(generator()):
        yield np.repeat(x[:, :, None], 2, 2)[:, : 2 + number % 3], y


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_xla_compiles_no_steps_of_streams_of_unknown_length_or_of_varied_shapes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(xla, "COMPILE", 0.0)

    def recurrent() -> keras.Model:
        model = keras.Sequential([keras.Input((None, 2)), layers.GRU(2), layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    for make, given, data, choice in (
        (network, {}, of_unknown_length, "no XLA: the number of steps is unknown"),
        (
            recurrent,
            {"steps_per_epoch": 3},
            varied_lengths,
            "no XLA: the batches vary in shape",
        ),
    ):
        account = Account()
        given = {"x": data(), "verbose": 0, "shuffle": False, **given}
        chooser = TrainerChooser("auto", Engine(), Streams(materialize=False))
        chooser.fit(make(), (), given, account)
        assert account.choices == [choice]


def test_a_smaller_last_batch_is_a_second_program_of_xla(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    steps = 40
    monkeypatch.setattr(xla, "COMPILE", 0.75 * steps * xla._saved(model) / 4)
    assert xla.why_xla(model, steps, shapes=1)[0]
    assert not xla.why_xla(model, steps, shapes=2)[0]


def test_slow_steps_are_taken_in_short_calls_and_quick_ones_in_long_calls() -> None:
    def calls(seconds: float) -> list[int]:
        taken: list[int] = []
        now = [0.0]

        def take(iterator: Any, steps: int) -> tuple[int, dict[str, Any]]:
            taken.append(steps)
            now[0] += seconds * steps
            return steps, {}

        batches = streaming.StreamBatches(generator(), shuffle=False, class_weight=None, steps=5000)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "monotonic", lambda: now[0])
            batches.epoch(take)
        assert sum(taken) == 5000
        return taken

    assert max(calls(1.0)[1:]) == 1
    assert max(calls(0.1)[1:]) <= 5
    assert len(calls(1e-6)) <= 12
