"""Callbacks see and do in fused epochs what they see and do in plain `fit`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from afina.training.fused import Engine

from .conftest import (
    TENSORFLOW,
    TORCH,
    arrays,
    assert_same,
    both,
    dense,
    fused_fit,
    layers,
    plainly,
    programs_of,
    sequential,
    train,
)

X, Y = arrays()
TRAINING: dict[str, Any] = {"epochs": 5, "batch_size": 16, "validation_split": 0.3}
callbacks = keras.callbacks
Callback: Any = callbacks.Callback

CALLS = (
    "on_train_begin",
    "on_epoch_begin",
    "on_test_begin",
    "on_test_end",
    "on_epoch_end",
    "on_train_end",
)


class Listener(Callback):
    """Writes down every call with the logs that come with it, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[Any, ...]] = []

    def __getattribute__(self, name: str) -> Any:
        if name not in CALLS:
            return super().__getattribute__(name)

        def hear(*args: Any, **kwargs: Any) -> None:
            *place, logs = *args, *kwargs.values()
            logs = logs or {}
            self.heard.append((name, *place, list(logs), set(map(type, logs.values()))))

        return hear


class Halving(Callback):
    """Halves the learning rate, and stops after four epochs."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        rate = self.model.optimizer.learning_rate
        self.model.optimizer.learning_rate = rate / 2
        self.model.stop_training = epoch == 3


class Noise(Callback):
    """Draws from NumPy's stream, which orders the batches, and adds to the weights."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        weights = self.model.get_weights()
        self.model.set_weights([w + np.float32(1e-2 * np.random.rand()) for w in weights])


class Extra(Callback):
    """Adds to the logs, as those after it may read."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["extra"] = -logs["loss"]


class Evaluating(Callback):
    """Uses the model in the middle of its training."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seen.append(self.model.evaluate(X, Y, verbose=0))
        self.seen += self.model.predict(X[:2], verbose=0).ravel().tolist()


class Measuring(Callback):
    """Leaves something in the metrics at the beginning of each epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model.evaluate(X, Y, verbose=0)


class Thawing(Callback):
    """Sets a layer's rate of dropout: without effect where the step of `fit` is traced already."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.layers[1].rate = 0.9


EACH: dict[str, Callable[[], Any]] = {
    "best weights": lambda: [
        callbacks.EarlyStopping(patience=1, min_delta=9.0, restore_best_weights=True)
    ],
    "plateaus": lambda: [callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=9.0)],
    "schedule": lambda: [callbacks.LearningRateScheduler(lambda epoch, rate: rate / (1 + epoch))],
    "lambda": lambda: [callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: np.random.rand())],
    "rate and stop": lambda: [Halving()],
    "noise": lambda: [Noise()],
    "extra": lambda: [Extra(), callbacks.EarlyStopping("extra", mode="min", patience=1)],
    "in use": lambda: [Evaluating()],
    "measured before": lambda: [Measuring()],
    "rate of dropout": lambda: [Thawing()],
    "a tuple": lambda: (Halving(), Extra()),
}


@pytest.fixture(scope="module")
def shared_engine() -> Engine:
    return Engine()


@pytest.mark.parametrize("name", EACH)
def test_a_callback_does_what_it_does_in_fit(name: str, shared_engine: Engine) -> None:
    def make() -> keras.Model:
        return sequential(layers.Dense(5, activation="relu"), layers.Dropout(0.2))

    fused, plain = both(
        make, X, Y, callbacks=EACH[name], engine=shared_engine, tolerance=2e-6, **TRAINING
    )
    for mine, theirs in zip(fused.callbacks, plain.callbacks, strict=True):
        if isinstance(mine, Evaluating):
            np.testing.assert_allclose(mine.seen, theirs.seen, rtol=1e-5, atol=1e-5)
    # On PyTorch `fit` reads the rate of dropout at each step, so another rate is another program.
    expected = {1, 2} if TORCH else {2 if TENSORFLOW else 1}
    assert programs_of(shared_engine) in expected


def test_hooks_are_called_in_the_order_and_with_the_logs_of_fit() -> None:
    make = lambda: dense(metrics=["mae", keras.metrics.F1Score(threshold=0.5)])  # noqa: E731
    fused, plain = both(
        make,
        X,
        (Y > 0).astype("float32"),
        callbacks=lambda: [Listener()],
        validation_freq=2,
        **TRAINING,
    )
    [mine], [theirs] = fused.callbacks, plain.callbacks
    names = [heard[:-1] for heard in mine.heard]
    assert names == [heard[:-1] for heard in theirs.heard]
    assert [name for name, *_ in names[:6]] == [
        "on_train_begin",
        "on_epoch_begin",
        "on_epoch_end",
        "on_epoch_begin",
        "on_test_begin",
        "on_test_end",
    ]
    logged = [kinds for name, *_, kinds in mine.heard if name == "on_epoch_end"]
    assert all(float in kinds for kinds in logged)


def test_files_are_written_as_in_fit(tmp_path: Path) -> None:
    folders = iter([tmp_path / "plain", tmp_path / "fused"])

    def make() -> list[Any]:
        folder = next(folders)
        folder.mkdir()
        return [
            callbacks.ModelCheckpoint(str(folder / "{epoch}.weights.h5"), save_weights_only=True),
            callbacks.CSVLogger(str(folder / "log.csv")),
        ]

    fused, _ = both(dense, X, Y, callbacks=make, **TRAINING)
    tables = [(tmp_path / way / "log.csv").read_text().splitlines() for way in ("plain", "fused")]
    assert tables[0][0] == tables[1][0] == "epoch,loss,val_loss"
    rows = [[[float(cell) for cell in line.split(",")] for line in table[1:]] for table in tables]
    np.testing.assert_allclose(*rows, rtol=1e-5)
    files = [sorted(path.name for path in (tmp_path / way).iterdir()) for way in ("plain", "fused")]
    assert files[0] == files[1]
    fused.model.load_weights(tmp_path / "plain" / "2.weights.h5")
    theirs = fused.model.get_weights()
    fused.model.load_weights(tmp_path / "fused" / "2.weights.h5")
    for a, b in zip(fused.model.get_weights(), theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_training_that_was_backed_up_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    class Break(Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

    def both_parts(fit: Any) -> Any:
        def fits(model: keras.Model, args: Any, kwargs: Any) -> Any:
            backup = callbacks.BackupAndRestore(str(tmp_path / fit.__name__))
            with pytest.raises(KeyboardInterrupt):
                fit(model, args, {**kwargs, "callbacks": [backup, Break()]})
            return fit(model, args, {**kwargs, "callbacks": [backup]})

        return fits

    given = {**TRAINING, "shuffle": not TENSORFLOW}
    results = [train(both_parts(fit), dense, X, Y, **given) for fit in (fused_fit(), plainly)]
    assert_same(*results)
    assert results[0].history.epoch == [2, 3, 4]


def test_numbers_that_a_callback_has_read_do_not_change_afterwards() -> None:
    """The arrays behind them are given to the program, which may overwrite them."""

    class Reading(Callback):
        def __init__(self) -> None:
            super().__init__()
            self.read: list[list[np.ndarray[Any, Any]]] = []
            self.copies: list[list[np.ndarray[Any, Any]]] = []

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.read.append(self.model.get_weights())
            self.copies.append([np.array(weight, copy=True) for weight in self.read[-1]])

    reading = Reading()
    train(fused_fit(), dense, X, Y, callbacks=[reading], **TRAINING)
    assert len(reading.read) == 5
    for read, copies in zip(reading.read, reading.copies, strict=True):
        assert all(map(np.array_equal, read, copies))
    assert not np.array_equal(reading.read[0][0], reading.read[1][0])


def test_a_layer_that_is_frozen_by_a_new_compile_is_not_trained_from_then_on() -> None:
    """Plain `fit` breaks down at this."""

    class Freezing(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                self.model.layers[0].trainable = False
                self.model.compile("sgd", "mae", metrics=["mse"])
                self.frozen = self.model.layers[0].get_weights()
                self.free = self.model.layers[1].get_weights()

    freezing = Freezing()
    trained = train(fused_fit(), dense, X, Y, callbacks=[freezing], **TRAINING)
    first, last = trained.model.layers
    assert all(map(np.array_equal, first.get_weights(), freezing.frozen))
    assert not np.array_equal(last.get_weights()[0], freezing.free[0])
    assert [len(trained.logs[name]) for name in ("loss", "val_loss", "mse")] == [5, 5, 3]
    scored = trained.model.evaluate(X[35:], Y[35:], verbose=0)
    assert trained.logs["val_loss"][-1] == pytest.approx(scored[0], rel=1e-5)
    assert trained.logs["val_mse"][-1] == pytest.approx(scored[1], rel=1e-5)


@pytest.mark.skipif(TENSORFLOW or TORCH, reason="there fit goes on without an error")
def test_a_layer_that_is_frozen_without_a_new_compile_is_refused_as_in_fit() -> None:
    class Freezing(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.layers[0].trainable = False

    errors = []
    for fit in (plainly, fused_fit()):
        with pytest.raises(ValueError, match="trainable_variables") as caught:
            train(fit, dense, X, Y, callbacks=[Freezing()], **TRAINING)
        errors.append(type(caught.value))
    assert errors[0] is errors[1]


@pytest.mark.parametrize(
    "hook", ["on_train_begin", "on_epoch_begin", "on_test_end", "on_epoch_end"]
)
def test_what_a_callback_raises_passes(hook: str) -> None:
    ended: list[int] = []

    def fail(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError(hook)

    failing = Callback()
    setattr(failing, hook, fail)
    ending = callbacks.LambdaCallback(on_train_end=lambda logs: ended.append(1))
    models = []

    def make() -> keras.Model:
        models.append(dense(optimizer=keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)))
        return models[0]

    with pytest.raises(ZeroDivisionError, match=hook):
        train(fused_fit(), make, X, Y, callbacks=[failing, ending], **TRAINING)
    assert not ended
    assert np.isfinite(models[0].predict(X, verbose=0)).all()  # the model can be used


def test_the_history_is_returned_and_is_the_models() -> None:
    trained = train(fused_fit(), dense, X, Y, **TRAINING)
    assert isinstance(trained.history, callbacks.History)
    assert trained.model.history is trained.history
    assert trained.history.epoch == [0, 1, 2, 3, 4]


def test_a_list_of_callbacks_that_keras_has_made_is_taken_as_it_is() -> None:
    listener = Listener()
    model = dense()
    own = callbacks.CallbackList([listener], add_history=True, model=model)
    fused_fit()(model, (X, Y), {"callbacks": own, "epochs": 2})
    assert [name for name, *_ in listener.heard].count("on_epoch_end") == 2


def test_progress_is_printed_at_the_ends_of_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    fused_fit()(dense(), (X, Y), {"epochs": 2, "verbose": 2})
    printed = capsys.readouterr().out
    assert "Epoch 1/2" in printed
    assert printed.count("loss:") == 2
