"""What every way to train a model must keep, as checks that anybody can run on their own.

    from afina.testing import check_trainer

    def test_my_trainer_keeps_what_trainers_promise():
        check_trainer(MyTrainer)

Each check is a function of its own that takes a new trainer and fails with a sentence;
`TRAINER_CHECKS` lists them, `check_trainer` runs them all. The models are tiny.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from afina.training import Account, CannotTrainError, Trainer, fresh_session, seeded

Check = Callable[[Trainer], None]
Make = Callable[[], keras.Model]

_ROWS, _SEED = 40, 7
_X = np.random.default_rng(_SEED).normal(size=(_ROWS, 3)).astype("float32")
_Y = _X.sum(axis=1, keepdims=True)
_DATA = (_X, _Y)
_FIT = {"epochs": 3, "batch_size": 8, "validation_split": 0.2, "verbose": 0}
_LOGS = ["loss", "mae", "val_loss", "val_mae"]


def check_trainer(make_trainer: Callable[[], Trainer]) -> None:
    """Runs every check of this file.

    Args:
        make_trainer: Makes a new trainer at each call. It must be able to train a small Sequential
            of Dense layers on arrays; what else it trains is up to it.

    Raises:
        AssertionError: A promise is broken; the message says which.
    """
    for check in TRAINER_CHECKS:
        check(make_trainer())


def _model(**compiled: Any) -> keras.Model:
    layers = [keras.Input((3,)), keras.layers.Dense(4, activation="relu"), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(**{"optimizer": "adam", "loss": "mse", "metrics": ["mae"], **compiled})
    return model


class _Heard(keras.callbacks.Callback):  # type: ignore[misc]
    """Notes what a training calls, at the ends of epochs, validations and the training.

    Args:
        stop: The epoch in which to stop the training, from 0.
    """

    def __init__(self, stop: int | None = None) -> None:
        super().__init__()
        self.stop = stop
        self.calls: list[Any] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.calls.append("train begins")

    def on_train_end(self, logs: Any = None) -> None:
        self.calls.append(("train ends", sorted(logs or {})))

    def on_test_begin(self, logs: Any = None) -> None:
        self.calls.append("validation begins")

    def on_test_end(self, logs: Any = None) -> None:
        self.calls.append(("validation ends", sorted(logs or {})))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.calls.append(f"epoch {epoch} begins")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.calls.append((f"epoch {epoch} ends", sorted(logs or {})))
        if epoch == self.stop:
            self.model.stop_training = True


def _train(trainer: Trainer | None, model: keras.Model | None = None, **kwargs: Any) -> Any:
    """Trains a model from the same seed each time; None trains it by plain `fit`."""
    fresh_session()
    with seeded(_SEED):
        model = model or _model()
        given = {**_FIT, **kwargs}
        if trainer is None:
            return model.fit(*_DATA, **given)
        reason = trainer.why_not(model, _DATA, given)
        assert reason is None, f"it must train a Sequential of Dense layers, but says: {reason}"
        return trainer.fit(model, _DATA, given, Account())


def check_has_a_name(trainer: Trainer) -> None:
    """The notes of a trial call the trainer by its name."""
    name = trainer.name
    assert isinstance(name, str), f"name must be a str, but is {name!r}"
    assert name.strip(), "name must not be empty"


def check_trains_and_returns_a_history_of_all_metrics(trainer: Trainer) -> None:
    """The History holds each metric of each epoch, and the weights have moved."""
    model = _model()
    before = model.get_weights()
    history = _train(trainer, model)
    found = sorted(getattr(history, "history", {}))
    assert found == _LOGS, f"fit must return a History of {_LOGS}, but of {found}"
    assert history.epoch == [0, 1, 2], f"three epochs must be trained, but {history.epoch} were"
    numbers = [number for metric in _LOGS for number in history.history[metric]]
    assert len(numbers) == 3 * len(_LOGS), "each metric must have a number for each epoch"
    assert all(map(math.isfinite, numbers)), f"the metrics must be finite, but are {numbers}"
    moved = any((old != new).any() for old, new in zip(before, model.get_weights(), strict=True))
    assert moved, "the weights of the model must have changed"


def check_trains_as_fit_does(trainer: Trainer) -> None:
    """The same samples in the same order give the losses of plain `fit`, to rounding."""
    expected = _train(None, shuffle=False).history
    found = _train(trainer, shuffle=False).history
    for metric in _LOGS:
        close = np.allclose(found[metric], expected[metric], rtol=1e-3, atol=1e-5)
        assert close, f"{metric} must be that of fit, {expected[metric]}, but is {found[metric]}"


def check_same_seed_same_numbers(trainer: Trainer) -> None:
    """Two trainings from one seed log the same numbers, to the bit."""
    first, second = (_train(trainer).history for _ in range(2))
    assert first == second, f"the same seed must give the same numbers: {first}, then {second}"


def check_calls_callbacks_as_keras_does(trainer: Trainer) -> None:
    """Callbacks are called in the order in which `fit` calls them, and given the same names."""
    for kwargs in ({}, {"validation_freq": 2}, {"initial_epoch": 1}):
        expected, found = _Heard(), _Heard()
        _train(None, callbacks=[expected], **kwargs)
        model = _model()
        _train(trainer, model, callbacks=[found], **kwargs)
        rule = f"with {kwargs}, callbacks must be called as by fit"
        assert found.calls == expected.calls, f"{rule}: {expected.calls}, but were: {found.calls}"
        assert found.model is model, "callbacks must be given the model that is trained"


def check_stops_when_a_callback_says_so(trainer: Trainer) -> None:
    """`model.stop_training` ends the training after the epoch in which it is set."""
    history = _train(trainer, callbacks=[_Heard(stop=1)])
    assert history.epoch == [0, 1], f"epoch 1 must be the last, but were trained: {history.epoch}"


def check_lets_errors_of_callbacks_through(trainer: Trainer) -> None:
    """What a callback raises reaches the caller as it is."""

    def fail(epoch: int, logs: Any) -> None:
        raise ZeroDivisionError("the callback's")

    callback = keras.callbacks.LambdaCallback(on_epoch_end=fail)
    try:
        _train(trainer, callbacks=[callback])
    except ZeroDivisionError:
        return
    except Exception as error:
        raise AssertionError(f"a callback's error must get through, but came {error!r}") from error
    raise AssertionError("a callback's error must get through, but fit returned")


class _OwnStep(keras.Sequential):  # type: ignore[misc]
    """A model that computes its loss in its own way."""

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        return 2.0 * super().compute_loss(*args, **kwargs)


def _own_step() -> keras.Model:
    # TensorFlow takes no name that begins with an underscore.
    model = _OwnStep([keras.Input((3,)), keras.layers.Dense(1)], name="own_step")
    model.compile("sgd", "mse", metrics=["mae"])
    return model


class _Batchwise(keras.callbacks.Callback):  # type: ignore[misc]
    """Looks at single batches."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        pass


class _Dataset(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches instead of arrays."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        return _X[:8], _Y[:8]


_ODD: dict[str, Callable[[], tuple[keras.Model, Sequence[Any], dict[str, Any]]]] = {
    "an eager model": lambda: (_model(run_eagerly=True), _DATA, {}),
    "a model with a loss of its own": lambda: (_own_step(), _DATA, {}),
    "a callback that looks at batches": lambda: (_model(), _DATA, {"callbacks": [_Batchwise()]}),
    "steps_per_epoch": lambda: (_model(), _DATA, {"steps_per_epoch": 2}),
    "a dataset": lambda: (_model(), (_Dataset(),), {}),
    "sample weights": lambda: (_model(), _DATA, {"sample_weight": np.ones(_ROWS)}),
}
"""Trainings that `fit` can do, and that a trainer may refuse."""


def _state(model: keras.Model) -> list[Any]:
    variables = [*model.variables, *model.optimizer.variables]
    return [keras.ops.convert_to_numpy(each.value).tolist() for each in variables]


def _draws() -> Any:
    """How far NumPy's global stream has come."""
    return np.random.get_state(legacy=False)["state"]["pos"]


def check_refuses_with_a_sentence_and_changes_nothing(trainer: Trainer) -> None:
    """What it cannot train it refuses in words, with model, callbacks and streams as they were."""
    for name, make in _ODD.items():
        fresh_session()
        with seeded(_SEED):
            model, args, kwargs = make()
            model.optimizer.build(model.trainable_variables)
            heard = _Heard()
            kwargs = {"verbose": 0, **kwargs, "callbacks": [heard, *kwargs.get("callbacks", [])]}
            before, draw = _state(model), _draws()
            reason = trainer.why_not(model, args, kwargs)
            what = f"asked for {name}, why_not"
            assert _draws() == draw, f"{what} must draw no random numbers"
            assert reason is None or isinstance(reason, str), f"{what} must answer in words or None"
            if reason is None:
                try:
                    trainer.fit(model, args, kwargs, Account())
                except CannotTrainError as error:
                    reason, what = str(error), f"asked for {name}, fit"
                else:
                    continue
            assert reason.strip(), f"{what} must say why not"
            assert "\n" not in reason, f"{what} must say why not in one line, but says {reason!r}"
            assert _state(model) == before, f"{what} must leave the model as it was"
            assert not heard.calls, f"{what} must not call callbacks, but called {heard.calls}"


TRAINER_CHECKS: list[Check] = [
    check_has_a_name,
    check_trains_and_returns_a_history_of_all_metrics,
    check_trains_as_fit_does,
    check_same_seed_same_numbers,
    check_calls_callbacks_as_keras_does,
    check_stops_when_a_callback_says_so,
    check_lets_errors_of_callbacks_through,
    check_refuses_with_a_sentence_and_changes_nothing,
]
