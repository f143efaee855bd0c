"""What cannot be fused is told, reason by reason, and is left to plain `fit`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from afina.training import keras_parts
from afina.training.epochs import reasons
from afina.training.fused import CannotFuseError, FusedTrainer

from .conftest import arrays, assert_same, dense, layers, plainly, train

X, Y = arrays()
callbacks = keras.callbacks


def why_not(model: keras.Model, *args: Any, **kwargs: Any) -> str:
    """The reason, which `fit` names too."""
    args = args or (X, Y)
    reason = FusedTrainer().why_not(model, args, kwargs)
    with pytest.raises(CannotFuseError) as caught:
        FusedTrainer().fit(model, args, kwargs)
    assert str(caught.value) == reason
    return str(reason)


def test_nothing_is_said_against_a_plain_model() -> None:
    assert FusedTrainer().why_not(dense(), (X, Y), {"epochs": 2}) is None


def test_other_backends_are_left_to_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    assert reasons.why_not_here() == "Keras runs on tensorflow, and fused epochs need JAX"


def test_a_keras_without_the_parts_is_left_to_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_parts, "missing", ("EpochIterator",))
    assert "lacks EpochIterator" in why_not(dense())


def test_a_distribution_is_left_to_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.distribution, "distribution", lambda: object())
    assert why_not(dense()) == "a Keras distribution is set"


def test_capped_epochs_are_left_to_fit() -> None:
    keras.config.set_max_epochs(1)
    try:
        assert "cap epochs" in why_not(dense())
    finally:
        keras.config.set_max_epochs(None)


@pytest.mark.parametrize("name", reasons.OWN_LOOP)
def test_a_model_with_a_loop_of_its_own_is_left_to_it(name: str) -> None:
    def own(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(keras.Model, name)(self, *args, **kwargs)

    model = type("Own", (keras.Sequential,), {name: own})([keras.Input((6,)), layers.Dense(1)])
    model.compile("adam", "mse")
    assert why_not(model) == f"Own overrides {name}"
    patched = dense()
    object.__setattr__(patched, name, lambda *args, **kwargs: None)
    assert why_not(patched) == f"Sequential overrides {name}"


class NoJit(layers.Layer):  # type: ignore[misc]
    """A layer that says that it does not compile."""

    def __init__(self) -> None:
        super().__init__()
        self.supports_jit = False

    def call(self, inputs: Any) -> Any:
        return inputs


class Saver(keras.callbacks.ModelCheckpoint):  # type: ignore[misc]
    """Nothing of its own."""


class Watcher(Saver):
    """Looks at each batch, by way of a question that Keras' own hook asks."""

    def _should_save_on_batch(self, batch: int) -> bool:
        return batch == 3


class Counter(Saver):
    """Looks at each batch."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        super().on_train_batch_end(batch, logs)


def test_a_subclass_is_judged_by_the_hooks_that_are_its_own() -> None:
    assert reasons.why_not_callbacks([Saver("m.keras")]) is None
    assert "on_train_batch_end" in str(reasons.why_not_callbacks([Saver("m.keras", save_freq=3)]))
    assert "callback Watcher overrides" in str(reasons.why_not_callbacks([Watcher("m.keras")]))
    assert "callback Counter overrides" in str(reasons.why_not_callbacks([Counter("m.keras")]))


MODELS: dict[str, tuple[Callable[[], keras.Model], str]] = {
    "not compiled": (lambda: keras.Sequential([keras.Input((6,)), layers.Dense(1)]), "optimizer"),
    "eager": (lambda: dense(run_eagerly=True), "run_eagerly=True"),
    "not compiled by XLA": (lambda: dense(jit_compile=False), "jit_compile=False"),
    "layer without XLA": (lambda: _with(NoJit()), "does not support it"),
}


def _with(layer: Any) -> keras.Model:
    model = keras.Sequential([keras.Input((6,)), layer, layers.Dense(1)])
    model.compile("adam", "mse")
    return model


@pytest.mark.parametrize("name", MODELS)
def test_how_a_model_is_compiled_may_stand_against_it(name: str) -> None:
    make, reason = MODELS[name]
    assert reason in why_not(make())


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        return X[:8], Y[:8]


def sparse_jax() -> Any:
    from jax.experimental import sparse

    return sparse.BCOO.fromdense(X)


def sparse_scipy() -> Any:
    scipy = pytest.importorskip("scipy.sparse")
    return scipy.csr_matrix(X)


ARGUMENTS: dict[str, tuple[Callable[[], tuple[Any, ...]], dict[str, Any], str]] = {
    "steps": (lambda: (X, Y), {"steps_per_epoch": 2}, "steps_per_epoch is given"),
    "validation steps": (
        lambda: (X, Y),
        {"validation_data": (X, Y), "validation_steps": 1},
        "validation_steps is given",
    ),
    "nothing": (lambda: (None,), {}, "x is missing"),
    "dataset": (lambda: (Batches(),), {}, "x is no dense array of numbers but Batches"),
    "generator": (lambda: (iter([(X, Y)]),), {}, "but list_iterator"),
    "numbers": (lambda: ([[1.0, 2.0]], Y[:1]), {}, "but float"),
    "objects": (lambda: (X.astype(object), Y), {}, "but ndarray of object"),
    "texts": (lambda: (np.array([["a"]] * 50), Y), {}, "but ndarray of <U1"),
    "complex numbers": (lambda: (X, Y.astype("complex64")), {}, "y is no dense array"),
    "sparse in JAX": (lambda: (sparse_jax(), Y), {}, "but BCOO of float32"),
    "sparse in SciPy": (lambda: (sparse_scipy(), Y), {}, "but csr_matrix of float32"),
    "weights as a list": (lambda: (X, Y), {"sample_weight": [1.0] * 50}, "sample_weight is no"),
    "validation dataset": (
        lambda: (X, Y),
        {"validation_data": Batches()},
        "validation_data is a Batches",
    ),
    "validation texts": (
        lambda: (X, Y),
        {"validation_data": (X, np.array(["a"] * 50))},
        "y of validation_data is no dense array",
    ),
    "what fit does not know": (
        lambda: (X, Y),
        {"bath_size": 3},
        r"fit does not take ['bath_size']",
    ),
    "too many": (lambda: (X,) * 20, {}, "so many arguments"),
    "twice": (lambda: (X, Y), {"x": X}, "fit was given ['x'] twice"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_of_fit_may_stand_against_it(name: str) -> None:
    make, kwargs, reason = ARGUMENTS[name]
    assert reason in str(FusedTrainer().why_not(dense(), make(), kwargs))
    with pytest.raises(CannotFuseError):
        FusedTrainer().fit(dense(), make(), kwargs)


def overriding(hook: str) -> Any:
    def own(self: Any, *args: Any) -> None:
        del self, args

    return type("Own", (callbacks.Callback,), {hook: own})()


AGAINST: dict[str, Callable[[], Any]] = {
    **{hook: (lambda hook=hook: overriding(hook)) for hook in reasons.BATCH_HOOKS},
    "not a number": callbacks.TerminateOnNaN,
    "lambda": lambda: callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None),
    "checkpoints in epochs": lambda: callbacks.ModelCheckpoint("a.keras", save_freq=3),
    "in a list": lambda: callbacks.CallbackList([callbacks.TerminateOnNaN()]),
    "nested": lambda: [[callbacks.History(), callbacks.TerminateOnNaN()]],
}
FOR: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "lambda": lambda: callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None),
    "checkpoints": lambda: [callbacks.ModelCheckpoint("a.keras")],
    "backup": lambda: [callbacks.BackupAndRestore("a")],
    "others": lambda: [
        callbacks.EarlyStopping(),
        callbacks.ReduceLROnPlateau(),
        callbacks.CSVLogger("a"),
        callbacks.RemoteMonitor(),
        callbacks.History(),
        callbacks.ProgbarLogger(),
    ],
}


@pytest.mark.parametrize("name", AGAINST)
def test_callbacks_that_look_at_batches_stand_against_it(name: str) -> None:
    assert "overrides on_" in why_not(dense(), callbacks=AGAINST[name]())


@pytest.mark.parametrize("name", FOR)
def test_callbacks_that_look_at_epochs_do_not(name: str) -> None:
    assert FusedTrainer().why_not(dense(), (X, Y), {"callbacks": FOR[name]()}) is None


class Drifting(keras.Model):  # type: ignore[misc]
    """Its step gives back other types than it was given: no scan can go on with that."""

    def __init__(self) -> None:
        super().__init__()
        self.last = layers.Dense(1)

    def call(self, inputs: Any) -> Any:
        return self.last(inputs)

    def train_step(self, state: Any, data: Any) -> Any:
        logs, (trainable, *rest) = super().train_step(state, data)
        return logs, ([each.astype("float16") for each in trainable], *rest)


def drifting() -> keras.Model:
    model = Drifting()
    model.compile("adam", "mse")
    return model


def test_a_step_that_does_not_fit_into_a_program_is_left_to_fit_with_the_model_as_it_was() -> None:
    def fit(model: keras.Model, args: Any, kwargs: Any) -> Any:
        with pytest.raises(CannotFuseError, match="the train step cannot become one program: "):
            FusedTrainer().fit(model, args, kwargs)
        return plainly(model, args, kwargs)

    kwargs = {"epochs": 2, "batch_size": 16, "shuffle": False}
    fallen = train(fit, drifting, X, Y, **kwargs)
    assert_same(fallen, train(plainly, drifting, X, Y, **kwargs))


def test_the_order_of_batches_after_falling_back_is_that_of_fit() -> None:
    def fit(model: keras.Model, args: Any, kwargs: Any) -> Any:
        with pytest.raises(CannotFuseError):
            FusedTrainer().fit(model, args, kwargs)
        return plainly(model, args, kwargs)

    kwargs = {"epochs": 2, "batch_size": 16}
    assert_same(train(fit, drifting, X, Y, **kwargs), train(plainly, drifting, X, Y, **kwargs))
