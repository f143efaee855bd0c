"""Fused epochs on PyTorch: equal to plain `fit`, or refused with the reason."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from afina.training import Account, TrainerChooser, fresh_session
from afina.training.fused import Engine
from afina.training.on_torch import TorchTrainer

if keras.backend.backend() != "torch":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 6)).astype("float32")
Y = X[:, :1] + 0.1 * RNG.normal(size=(60, 1)).astype("float32")
CLASSES = (X[:, 0] > 0).astype("int64")
PICTURES = RNG.normal(size=(60, 8, 8, 2)).astype("float32")
SEQUENCES = RNG.normal(size=(60, 5, 6)).astype("float32")
WORDS = RNG.integers(0, 9, (60, 5)).astype("int32")
TRAINING: dict[str, Any] = {"epochs": 3, "batch_size": 16, "validation_split": 0.3, "verbose": 0}

Make = Callable[[], tuple[keras.Model, Any, Any]]


def sequential(x: Any, *middle: Any, **compiled: Any) -> tuple[keras.Model, Any, Any]:
    model = keras.Sequential([keras.Input(x.shape[1:]), *middle, layers.Dense(1)])
    model.compile(**{"optimizer": "adam", "loss": "mse", "metrics": ["mae"], **compiled})
    return model, x, Y


def classifying(**compiled: Any) -> tuple[keras.Model, Any, Any]:
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, "relu"), layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(**{"optimizer": "adam", "loss": loss, "metrics": ["accuracy"], **compiled})
    return model, X, CLASSES


def of_two() -> tuple[keras.Model, Any, Any]:
    one, other = keras.Input((6,), name="one"), keras.Input((5, 6), name="other")
    both = layers.Concatenate()([layers.Dense(3)(one), layers.Flatten()(other)])
    outputs = {"a": layers.Dense(1, name="a")(both), "b": layers.Dense(2, name="b")(both)}
    model = keras.Model({"one": one, "other": other}, outputs)
    losses = {
        "a": "mse",
        "b": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    }
    model.compile("adam", losses, metrics={"a": ["mae"], "b": ["accuracy"]})
    return model, {"one": X, "other": SEQUENCES}, {"a": Y, "b": CLASSES}


def attending() -> tuple[keras.Model, Any, Any]:
    inputs = keras.Input((5, 6))
    seen = layers.MultiHeadAttention(2, 4, dropout=0.1)(inputs, inputs)
    outputs = layers.Dense(1)(layers.GlobalAveragePooling1D()(layers.LayerNormalization()(seen)))
    model = keras.Model(inputs, outputs)
    model.compile("adam", "mse", metrics=["mae"])
    return model, SEQUENCES, Y


def mixed() -> tuple[keras.Model, Any, Any]:
    policy = keras.DTypePolicy("mixed_bfloat16")
    return sequential(X, layers.Dense(4, "relu", dtype=policy))


def schedule() -> Any:
    return keras.optimizers.schedules.ExponentialDecay(1e-2, 3, 0.5)


KINDS: dict[str, Make] = {
    "dense": lambda: sequential(X, layers.Dense(4, "relu")),
    "classes": classifying,
    "batch normalization": lambda: sequential(X, layers.BatchNormalization(), layers.Dense(4)),
    "dropout": lambda: sequential(X, layers.Dropout(0.3), layers.Dense(4)),
    "seeded dropout": lambda: sequential(X, layers.Dropout(0.3, seed=5), layers.Dense(4)),
    "noise": lambda: sequential(X, layers.GaussianNoise(0.3), layers.GaussianDropout(0.2)),
    "convolution": lambda: sequential(
        PICTURES,
        *(layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten()),
    ),
    "dropout of pictures": lambda: sequential(
        PICTURES,
        *(layers.Conv2D(4, 3), layers.MaxPooling2D(), layers.Dropout(0.3), layers.Flatten()),
    ),
    "same padding": lambda: sequential(
        PICTURES,
        *(layers.Conv2D(4, 3, strides=2, padding="same"), layers.GlobalAveragePooling2D()),
    ),
    "separable convolution": lambda: sequential(
        PICTURES, layers.SeparableConv2D(3, 3), layers.AveragePooling2D(2), layers.Flatten()
    ),
    "convolution of sequences": lambda: sequential(
        SEQUENCES, layers.Conv1D(4, 3, padding="causal"), layers.GlobalMaxPooling1D()
    ),
    "embedding and GRU": lambda: sequential(WORDS, layers.Embedding(9, 4), layers.GRU(3)),
    "LSTM": lambda: sequential(SEQUENCES, layers.LSTM(3, return_sequences=True), layers.LSTM(2)),
    "masked GRU": lambda: sequential(WORDS, layers.Embedding(9, 4, mask_zero=True), layers.GRU(3)),
    "both directions": lambda: sequential(SEQUENCES, layers.Bidirectional(layers.GRU(2))),
    "simple recurrence": lambda: sequential(SEQUENCES, layers.SimpleRNN(3, dropout=0.2)),
    "layer normalization": lambda: sequential(X, layers.LayerNormalization()),
    "attention": attending,
    "two inputs and outputs": of_two,
    "regularizers": lambda: sequential(
        X, layers.Dense(4, kernel_regularizer="l2", activity_regularizer="l1")
    ),
    "constraint": lambda: sequential(X, layers.Dense(4, kernel_constraint="max_norm")),
    "schedule": lambda: sequential(
        X, layers.Dense(4), optimizer=keras.optimizers.SGD(schedule(), momentum=0.9)
    ),
    "mixed precision": mixed,
    "AUC": lambda: sequential(
        X,
        layers.Dense(4),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=["auc", keras.metrics.Precision()],
    ),
    "clipped gradients": lambda: sequential(
        X, layers.Dense(4), optimizer=keras.optimizers.Adam(clipnorm=0.1)
    ),
    "all gradients clipped": lambda: sequential(
        X, layers.Dense(4), optimizer=keras.optimizers.Adam(global_clipnorm=0.1)
    ),
    "AMSGrad": lambda: sequential(
        X, layers.Dense(4), optimizer=keras.optimizers.Adam(amsgrad=True)
    ),
    "weight decay": lambda: sequential(
        X, layers.Dense(4), optimizer=keras.optimizers.AdamW(1e-2, weight_decay=0.1)
    ),
    **{
        name: lambda name=name: sequential(X, layers.Dense(4), optimizer=name)
        for name in ("SGD", "RMSprop", "Nadam", "Adagrad", "Adadelta", "Adamax", "Ftrl", "Lion")
    },
}


def trained(make: Make, trainer: TorchTrainer | None, **kwargs: Any) -> tuple[Any, list[Any]]:
    """Logs and weights after a training by traced steps, or by plain `fit`."""
    fresh_session()
    keras.utils.set_random_seed(1)
    model, x, y = make()
    given = {**TRAINING, **kwargs}
    if isinstance(x, dict):
        given.pop("validation_split")
        given["validation_data"] = (x, y)
    fit = model.fit if trainer is None else (lambda *args, **more: trainer.fit(model, args, more))
    history = fit(x, y, **given).history
    values = [*model.get_weights(), *(np.asarray(v) for v in model.optimizer.variables)]
    return history, values


def check(make: Make, trainer: TorchTrainer | None = None, **kwargs: Any) -> None:
    history, values = trained(make, None, **kwargs)
    found, mine = trained(make, trainer or TorchTrainer(always=True), **kwargs)
    assert found.keys() == history.keys()
    for name, values_of_one in history.items():
        np.testing.assert_allclose(found[name], values_of_one, rtol=1e-5, atol=1e-6, err_msg=name)
    for one, other in zip(values, mine, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_curves_and_weights_are_those_of_fit(kind: str) -> None:
    check(KINDS[kind])


# -- what is refused ------------------------------------------------------------------------------


def path_of(model: keras.Model, *args: Any, **kwargs: Any) -> str:
    """How a chooser trained a model."""
    account = Account()
    given = {**TRAINING, "epochs": 60, **kwargs}
    TrainerChooser("auto", Engine()).fit(model, args or (X, Y), given, account)
    return account.path


class OwnStep(keras.Model):
    """A functional model with a train step of its own, which counts its calls in Python."""

    calls = 0

    def train_step(self, data: Any) -> Any:
        self.calls += 1
        return super().train_step(data)


class Reading(layers.Layer):
    """Reads a number out of a tensor at each step."""

    def call(self, inputs: Any) -> Any:
        return inputs * (2.0 if inputs.sum().item() > 0 else 1.0)

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


def test_a_training_of_enough_steps_is_fused() -> None:
    model, x, y = KINDS["dense"]()
    assert path_of(model, x, y) == "fused"


def test_a_train_step_of_the_users_own_is_trained_by_fit() -> None:
    inputs = keras.Input((6,))
    model = OwnStep(inputs, layers.Dense(1)(inputs))
    model.compile("adam", "mse")
    assert path_of(model, epochs=2).startswith("fit: ")
    assert model.calls == 6


def test_a_layer_that_reads_numbers_is_trained_by_fit() -> None:
    model, x, y = sequential(X, Reading())
    assert path_of(model, x, y, epochs=2).startswith("fit: ")
    assert int(model.optimizer.iterations) == 6


def test_a_loss_of_the_users_own_is_trained_by_fit() -> None:
    model, x, y = sequential(X, loss=lambda y, p: keras.ops.mean((y - p) ** 2))
    assert path_of(model, x, y, epochs=1).startswith("fit: ")


def test_what_keras_reads_at_each_step_is_trained_by_fit_with_the_reason() -> None:
    optimizer = keras.optimizers.Adam(use_ema=True, ema_overwrite_frequency=2)
    model, x, y = sequential(X, optimizer=optimizer)
    assert path_of(model, x, y).startswith("fit: the step cannot be traced: ")
    assert int(model.optimizer.iterations) == 180


def test_long_sequences_that_keras_unrolls_are_trained_by_fit() -> None:
    words = RNG.integers(0, 9, (60, 40)).astype("int32")
    for mask, expected in ((True, "fit: a recurrent layer has a mask"), (False, "fused")):
        fresh_session()
        model, x, y = sequential(words, layers.Embedding(9, 2, mask_zero=mask), layers.GRU(2))
        given: dict[str, Any] = {"epochs": 50 if not mask else 1, "batch_size": 14}
        assert path_of(model, x, y, **given).startswith(expected)


def test_few_steps_are_not_worth_a_trace() -> None:
    model, x, y = KINDS["dense"]()
    assert path_of(model, x, y, epochs=2) == ("fit: the 4 steps planned do not pay for tracing one")


def test_batches_shuffled_each_by_itself_are_trained_by_fit() -> None:
    model, x, y = KINDS["dense"]()
    assert "shuffle" in path_of(model, x, y, shuffle="batch", epochs=1)


def test_a_trace_that_does_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from afina.training.on_torch import tracing

    plain = tracing.simplified

    def broken(traced: Any, count: int, **given: Any) -> Any:
        step = plain(traced, count, **given)
        return lambda *tensors: (step(*tensors), tensors[0].add_(1e-3))

    monkeypatch.setattr(tracing, "simplified", broken)
    model, x, y = KINDS["dense"]()
    assert "otherwise than Keras does" in path_of(model, x, y)


# -- what is as in fit ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {"shuffle": False},
        {"batch_size": 7, "validation_freq": 2},
        {"sample_weight": np.linspace(0.1, 2.0, 60)},
        {"batch_size": 100},
        {"initial_epoch": 1},
        {"validation_split": 0.0},
    ],
    ids=str,
)
def test_the_arguments_of_fit_mean_what_they_mean_there(given: dict[str, Any]) -> None:
    check(KINDS["dropout"], **given)


def test_class_weights_count_as_in_fit() -> None:
    check(classifying, class_weight={0: 0.5, 1: 2.0})


def test_callbacks_stop_change_the_rate_and_see_the_weights_of_each_epoch() -> None:
    seen: dict[bool, list[Any]] = {True: [], False: []}

    class Halving(keras.callbacks.Callback):
        def __init__(self, fused: bool) -> None:
            super().__init__()
            self.fused = fused

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.optimizer.learning_rate = 0.01 / (epoch + 1)
            seen[self.fused].append(self.model.get_weights()[0])
            self.model.stop_training = epoch == 2

    for fused in (True, False):
        trainer = TorchTrainer(always=True) if fused else None
        trained(KINDS["dropout"], trainer, epochs=9, callbacks=[Halving(fused)])
    assert len(seen[True]) == 3
    for one, other in zip(seen[True], seen[False], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_fit_goes_on_from_a_fused_training_as_from_its_own() -> None:
    def twice(trainer: TorchTrainer | None) -> Any:
        fresh_session()
        keras.utils.set_random_seed(1)
        model, x, y = KINDS["dropout"]()
        fit: Any = model.fit
        if trainer is not None:
            fit = lambda *args, **more: trainer.fit(model, args, more)  # noqa: E731
        fit(x, y, **TRAINING)
        return model.fit(x, y, **TRAINING).history["loss"]

    np.testing.assert_allclose(twice(TorchTrainer(always=True)), twice(None), rtol=1e-5)


# -- what is shared -------------------------------------------------------------------------------


def test_models_of_one_key_share_a_trace_and_each_is_trained_in_its_own_variables() -> None:
    trainer, losses = TorchTrainer(always=True), set()
    for number in range(5):
        fresh_session()
        keras.utils.set_random_seed(number)
        optimizer = keras.optimizers.Adam(1e-3 * (number + 1))
        model, x, y = sequential(X, layers.Dense(4), layers.Dropout(0.2), optimizer=optimizer)
        losses.add(trainer.fit(model, (x, y), TRAINING).history["loss"][0])
    assert trainer.programs.compiled == 1
    assert len(losses) == 5


def test_a_model_of_another_key_gets_a_trace_of_its_own() -> None:
    trainer = TorchTrainer(always=True)
    for rate in (0.2, 0.4):
        fresh_session()
        model, x, y = sequential(X, layers.Dropout(rate))
        trainer.fit(model, (x, y), TRAINING)
    assert trainer.programs.compiled == 2


def test_a_trained_model_is_not_kept_alive_by_its_trace() -> None:
    trainer = TorchTrainer(always=True)
    model, x, y = KINDS["seeded dropout"]()
    trainer.fit(model, (x, y), TRAINING)
    kept = weakref.ref(model)
    del model
    fresh_session()
    gc.collect()
    assert kept() is None
    assert trainer.programs.compiled == 1


def test_a_trace_that_leaves_the_cache_leaves_no_graph_behind() -> None:
    from torch.fx import Graph

    def alive() -> int:
        gc.collect()
        return sum(isinstance(each, Graph) for each in gc.get_objects())

    before = alive()
    trainer = TorchTrainer(always=True)
    trainer.programs.most = 2
    for rate in (0.1, 0.2, 0.3, 0.4):
        fresh_session()
        model, x, y = sequential(X, layers.Dropout(rate))
        trainer.fit(model, (x, y), TRAINING)
    assert alive() - before <= 2
    del trainer
    assert alive() == before
