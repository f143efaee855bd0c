"""Code of the user's own on PyTorch: recorded where each step runs it alike, else left to `fit`."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from afina.training import Account, TrainerChooser, fresh_session
from afina.training.fused import Engine
from afina.training.on_torch import TorchTrainer

if keras.backend.backend() != "torch":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 6)).astype("float32")
Y = X[:, :1] + 0.1 * RNG.normal(size=(60, 1)).astype("float32")
TRAINING: dict[str, Any] = {"epochs": 3, "batch_size": 16, "validation_split": 0.3, "verbose": 0}

FACTOR = 0.3
COUNTS: list[int] = []


def gated(x: Any, factor: float = FACTOR) -> Any:
    return ops.sigmoid(ops.multiply(x, factor))


class Scaled(layers.Layer):
    """A layer as people write them: variables, numbers, an inner layer, a helper."""

    def __init__(self, units: int, strength: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.strength = strength
        self.inner = layers.Dense(units, activation="relu")
        self.dropout = layers.Dropout(0.2)

    def build(self, shape: Any) -> None:
        self.gain = self.add_weight(shape=(self.units,), initializer="ones", name="gain")
        self.inner.build(shape)
        self.built = True

    def scaled(self, x: Any) -> Any:
        return x * self.gain * self.strength

    def call(self, x: Any, training: bool = False) -> Any:
        hidden = self.dropout(self.inner(x), training=training)
        parts = [self.scaled(hidden) + gated(hidden) for _ in range(2)]
        self.add_loss(1e-3 * ops.mean(ops.square(hidden)))
        return ops.add(*parts)

    def compute_output_shape(self, shape: Any) -> Any:
        return (*shape[:-1], self.units)


class Noisy(layers.Layer):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(3)

    def call(self, x: Any) -> Any:
        return x + 0.1 * keras.random.normal(ops.shape(x), seed=self.seed_generator)


class Huberish(keras.losses.Loss):
    def __init__(self, delta: float = 0.7) -> None:
        super().__init__()
        self.delta = delta

    def call(self, y: Any, p: Any) -> Any:
        apart = ops.abs(y - p)
        return ops.mean(ops.where(apart < self.delta, apart**2, self.delta * apart), axis=-1)


class Bias(keras.metrics.Metric):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.total = self.add_variable((), "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, y: Any, p: Any, sample_weight: Any = None) -> None:
        self.total.assign_add(ops.sum(p - y))
        self.count.assign_add(ops.cast(ops.shape(y)[0], "float32"))

    def result(self) -> Any:
        return self.total / self.count

    def reset_state(self) -> None:
        self.total.assign(0.0)
        self.count.assign(0.0)


def squared(y: Any, p: Any) -> Any:
    return ops.mean(ops.square(y - p), axis=-1)


def model_of(*middle: Any, **compiled: Any) -> keras.Model:
    model = keras.Sequential([keras.Input((6,)), *middle, layers.Dense(1)])
    model.compile(**{"optimizer": "adam", "loss": "mse", **compiled})
    return model


def weighted(weight: float) -> Any:
    return lambda y, p: weight * ops.mean(ops.abs(y - p), axis=-1)


PURE: dict[str, Callable[[], keras.Model]] = {
    "layer": lambda: model_of(Scaled(4)),
    "noise": lambda: model_of(Noisy()),
    "lambda layer": lambda: model_of(layers.Lambda(lambda x: ops.concatenate([x, x**2], -1))),
    "activation": lambda: model_of(layers.Dense(4, activation=gated)),
    "loss class": lambda: model_of(loss=Huberish()),
    "loss function": lambda: model_of(loss=squared, metrics=[squared]),
    "loss of a closure": lambda: model_of(loss=weighted(0.5)),
    "metric class": lambda: model_of(layers.Dense(3), metrics=[Bias(), "mae"]),
}


def trained(make: Callable[[], keras.Model], trainer: Any, **more: Any) -> tuple[Any, list[Any]]:
    fresh_session()
    keras.utils.set_random_seed(1)
    model = make()
    fit: Any = model.fit
    if trainer is not None:
        fit = lambda *args, **given: trainer.fit(model, args, given)  # noqa: E731
    return fit(X, Y, **TRAINING, **more).history, model.get_weights()


@pytest.mark.parametrize("kind", PURE)
def test_code_that_only_computes_is_recorded_with_the_results_of_fit(kind: str) -> None:
    trainer = TorchTrainer(always=True)
    history, values = trained(PURE[kind], None)
    found, mine = trained(PURE[kind], trainer)
    assert trainer.programs.compiled == 1
    for name, curve in history.items():
        np.testing.assert_allclose(found[name], curve, rtol=1e-5, atol=1e-6, err_msg=name)
    for one, other in zip(values, mine, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)


def test_a_number_that_a_callback_changes_counts_from_the_next_epoch_as_in_fit() -> None:
    class Weaker(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.model.layers[0].strength = 0.5 / (epoch + 1)

    curves = [
        trained(PURE["layer"], trainer, callbacks=[Weaker()])[0]["loss"]
        for trainer in (None, TorchTrainer(always=True))
    ]
    np.testing.assert_allclose(*curves, rtol=1e-5)


class Counting(layers.Layer):
    calls = 0

    def call(self, x: Any) -> Any:
        self.calls += 1
        return x * (1.0 if self.calls % 2 else 2.0)


class Remembering(layers.Layer):
    def call(self, x: Any) -> Any:
        COUNTS.append(1)
        return x * float(len(COUNTS))


class Clocked(layers.Layer):
    def call(self, x: Any) -> Any:
        return x * (1.0 + time.time() % 1)


class Drawing(layers.Layer):
    def call(self, x: Any) -> Any:
        return x * float(np.random.default_rng().random())


class ByTurns(layers.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.turns = iter(range(10**6))

    def call(self, x: Any) -> Any:
        return x * float(next(self.turns) % 2)


class Helped(layers.Layer):
    """Its helper counts."""

    class Helper:
        def __init__(self) -> None:
            self.calls = 0

        def bump(self, x: Any) -> Any:
            self.calls += 1
            return x * float(self.calls)

    def __init__(self) -> None:
        super().__init__()
        self.helper = self.Helper()

    def call(self, x: Any) -> Any:
        return self.helper.bump(x)


class Growing(layers.Layer):
    """Adds to its list by another name."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = [1]

    def call(self, x: Any) -> Any:
        sizes = self.sizes
        sizes += [1]
        return x * float(len(sizes))


def counted(function: Any) -> Any:
    calls = [0]

    @functools.wraps(function)
    def counting(*args: Any) -> Any:
        calls[0] += 1
        return function(*args) * float(calls[0])

    return counting


def counting_loss() -> Any:
    calls = 0

    def loss(y: Any, p: Any) -> Any:
        nonlocal calls
        calls += 1
        return ops.mean(ops.abs(y - p), axis=-1) * float(calls)

    return loss


def remembering_loss() -> Any:
    seen: list[int] = []
    return lambda y, p: ops.mean(ops.abs(y - p), axis=-1) * float(len(seen))


IMPURE: dict[str, Callable[[], keras.Model]] = {
    "counts": lambda: model_of(Counting()),
    "remembers": lambda: model_of(Remembering()),
    "reads the clock": lambda: model_of(Clocked()),
    "draws by NumPy": lambda: model_of(Drawing()),
    "takes turns": lambda: model_of(ByTurns()),
    "has a helper that counts": lambda: model_of(Helped()),
    "adds to its list": lambda: model_of(Growing()),
    "loss within a decorator": lambda: model_of(loss=counted(squared)),
    "Keras' loss within a decorator": lambda: model_of(
        loss=counted(keras.losses.mean_squared_error)
    ),
    "loss that counts": lambda: model_of(loss=counting_loss()),
    "loss with a list": lambda: model_of(loss=remembering_loss()),
    "lambda layer that prints": lambda: model_of(layers.Lambda(lambda x: (print("x"), x)[1])),
}


@pytest.mark.parametrize("kind", IMPURE)
def test_code_that_may_do_something_else_each_time_is_trained_by_fit(kind: str) -> None:
    fresh_session()
    account = Account()
    model = IMPURE[kind]()
    given = {**TRAINING, "epochs": 1}
    chooser = TrainerChooser("auto", Engine())
    chooser._fused.always = True  # type: ignore[union-attr]
    chooser.fit(model, (X, Y), given, account)
    assert account.path.startswith("fit: ")
    assert "each step may be another" in account.path
