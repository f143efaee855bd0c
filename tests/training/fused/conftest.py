"""Trainings by plain `fit` and by fused epochs, side by side from the same seed.

On TensorFlow `fit` draws the order of batches in a way of its own, so there nothing is shuffled."""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
import pytest

from afina.training import fresh_session
from afina.training.choice import fused_trainer
from afina.training.fused import Engine

layers = keras.layers
Make = Callable[[], keras.Model]
TENSORFLOW = keras.backend.backend() == "tensorflow"
TORCH = keras.backend.backend() == "torch"
TRAINERS: Any = weakref.WeakKeyDictionary()


def arrays(
    rows: int = 50, columns: int = 6, outputs: int = 1, seed: int = 0
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Inputs and targets that have something to do with each other."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns)).astype("float32")
    y = x[:, :outputs] + 0.1 * rng.normal(size=(rows, outputs))
    return x, y.astype("float32")


def sequential(
    *middle: Any,
    columns: int = 6,
    outputs: int = 1,
    activation: str | None = None,
    optimizer: Any = "adam",
    loss: Any = "mse",
    **compiled: Any,
) -> keras.Model:
    """A compiled Sequential of these layers and one more."""
    last = layers.Dense(outputs, activation=activation)
    model = keras.Sequential([keras.Input((columns,)), *middle, last])
    model.compile(optimizer, loss, **compiled)
    return model


def dense(**kwargs: Any) -> keras.Model:
    """The plainest network."""
    return sequential(layers.Dense(5, activation="relu"), **kwargs)


@dataclass
class Trained:
    """What a training leaves behind."""

    model: keras.Model
    history: keras.callbacks.History
    draw: float
    """The next number of NumPy's stream."""

    callbacks: Sequence[Any]

    @property
    def logs(self) -> dict[str, list[Any]]:
        return self.history.history


def train(fit: Callable[..., Any], make: Make, *args: Any, seed: int = 3, **kwargs: Any) -> Trained:
    """A training from a fresh session; `callbacks` may be a function that makes them anew."""
    fresh_session()
    keras.utils.set_random_seed(seed)
    model = make()
    callbacks = kwargs.pop("callbacks", None)
    callbacks = callbacks() if callable(callbacks) else callbacks
    history = fit(model, args, {"verbose": 0, **kwargs, "callbacks": callbacks})
    return Trained(model, history, float(np.random.rand()), callbacks or [])


def plainly(model: keras.Model, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    with warnings.catch_warnings():
        # Keras hands its variables to NumPy in a way that NumPy 2 deprecates.
        warnings.filterwarnings("ignore", "__array__", DeprecationWarning)
        return model.fit(*args, **kwargs)


def assert_same(fused: Trained, plain: Trained, *, tolerance: float = 1e-6) -> None:
    """Asserts that two trainings went the same way: logs, weights, optimizer, seeds, draws.

    Numbers agree but for rounding: a program of many steps adds up in another order than one of a
    single step. Whole numbers (seeds, counters) agree.
    """
    assert list(fused.logs) == list(plain.logs)
    assert fused.history.epoch == plain.history.epoch
    for name, values in plain.logs.items():
        np.testing.assert_allclose(
            fused.logs[name], values, rtol=tolerance, atol=tolerance, err_msg=name
        )
    for kind in ("variables", "optimizer.variables"):
        mine, theirs = (_variables(each.model, kind) for each in (fused, plain))
        assert [_name(v) for v in mine] == [_name(v) for v in theirs]
        for a, b in zip(mine, theirs, strict=True):
            a_value, b_value = (keras.ops.convert_to_numpy(v) for v in (a, b))
            assert a_value.dtype == b_value.dtype, a.path
            if a_value.dtype.kind in "iu":
                np.testing.assert_array_equal(a_value, b_value, err_msg=a.path)
            else:
                rough = 10 * tolerance
                np.testing.assert_allclose(
                    a_value.astype("float32"),
                    b_value.astype("float32"),
                    rtol=rough,
                    atol=rough,
                    err_msg=a.path,
                )
    assert fused.draw == plain.draw


def _name(variable: Any) -> str:
    """On TensorFlow `fit` builds an optimizer in the scope of the one around it."""
    return str(variable.name if TENSORFLOW else variable.path)


def _variables(model: keras.Model, kind: str) -> list[Any]:
    return list(model.variables if kind == "variables" else model.optimizer.variables)


def fused_fit(engine: Engine | None = None) -> Callable[..., Any]:
    """`fit` by fused epochs on this backend; trainings that are given one engine share programs."""
    engine = engine or Engine()
    if engine not in TRAINERS:
        TRAINERS[engine] = fused_trainer(engine, always=True)
    return TRAINERS[engine].fit


def programs_of(engine: Engine) -> int:
    """How many programs were made for the trainings that were given an engine; on TensorFlow
    training and validation are programs of their own."""
    return (TRAINERS[engine] if TENSORFLOW or TORCH else engine).programs.compiled


def both(
    make: Make,
    *args: Any,
    engine: Engine | None = None,
    tolerance: float = 1e-6,
    **kwargs: Any,
) -> tuple[Trained, Trained]:
    """Trains fused and plainly, asserts that it comes to the same, and returns both."""
    if TENSORFLOW:
        kwargs.setdefault("shuffle", False)
        tolerance = max(tolerance, 1e-5)  # TensorFlow's kernels and XLA's round differently
    plain = train(plainly, make, *args, **kwargs)
    fused = train(fused_fit(engine), make, *args, **kwargs)
    assert_same(fused, plain, tolerance=tolerance)
    return fused, plain


@pytest.fixture(autouse=True)
def loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trainings of these tests are short, and would be made of single steps."""
    monkeypatch.setattr("afina.training.fused.plan.FEW", 0)


@pytest.fixture
def engine() -> Engine:
    return Engine()
