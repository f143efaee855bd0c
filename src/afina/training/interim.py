"""Checkpoints inside a training: after a crash it continues at the epoch after the last of them.

    epochs   0   1   2   3   4   5   ✂                 the process dies
                     └──┬──┘                            the file: all of the training after epoch 3
                        └─────▶  4   5   6   ...        the next start

One file holds what the rest of a training depends on: the model with its optimizer and its seed
generators, the best epoch so far, the logs of all epochs, the random streams from which Keras draws
the order of batches, and what Keras' own callbacks count. A training that was continued gives the
numbers of one that was not interrupted, to the last bit. TensorFlow's own random streams cannot be
saved: code that draws from them gets other numbers.

The file is replaced in one step, and a checksum of each array tells whether it is whole. It is
gone when the trial has ended, and a training shorter than the interval never writes one.
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from afina.errors import ArgumentError, CheckpointError, TrialTimeoutError, check_number, wrong
from afina.training.callbacks import BestEpoch
from afina.training.checkpoint import replace_file
from afina.training.session import read_globals
from afina.training.snapshot import Array, Snapshot, apply_snapshot, fits, take_snapshot

INTERIM = "interim.npz"
"""The file's name within a trial's folder."""

VERSION = 1

_RULE = 'must be a number of seconds above 0, a text such as "5 epochs", or None'

RESTORED: dict[type, tuple[str, ...]] = {
    keras.callbacks.EarlyStopping: ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "cooldown_counter", "best"),
    keras.callbacks.ModelCheckpoint: ("best", "epochs_since_last_save"),
    keras.callbacks.LearningRateScheduler: (),
    keras.callbacks.TerminateOnNaN: (),
    keras.callbacks.TensorBoard: (),
}
"""Keras' callbacks that can be continued, with the attributes that hold what they count."""


@dataclass(frozen=True)
class Interval:
    """How often a training is saved: after so many seconds, or so many epochs."""

    seconds: float | None = None
    epochs: int | None = None

    @classmethod
    def of(cls, often: Any) -> Interval | None:
        """Reads `checkpoint_every=`; None never saves.

        Raises:
            ArgumentError: It is neither seconds, nor a number of epochs as a text, nor None.

        Example:
            >>> Interval.of("2 epochs"), Interval.of(300)
            (Interval(seconds=None, epochs=2), Interval(seconds=300.0, epochs=None))
        """
        if often is None:
            return None
        if isinstance(often, str):
            found = re.fullmatch(r"(\d+ )?epochs?", often.strip())
            count = int((found and found[1]) or 1)
            if found is None or count < 1:
                raise ArgumentError(wrong("checkpoint_every", _RULE, often))
            return cls(epochs=count)
        return cls(seconds=check_number("checkpoint_every", often, above=0))


@dataclass(frozen=True)
class Interim:
    """All of a trial in the middle of a training."""

    key: str
    """What is trained; another training does not continue from it."""

    epochs: int
    """Number of the epoch to continue at."""

    seen: tuple[tuple[tuple[int, Mapping[str, Any]], ...], ...]
    """Each epoch's number and logs, of all executions so far; the last one is the running one."""

    model: Snapshot
    best: Snapshot | None
    score: float | None
    best_execution: int | None
    streams: Mapping[str, Any] = field(default_factory=dict)
    callbacks: Sequence[Mapping[str, Any]] = ()

    @property
    def execution(self) -> int:
        """Which of the trial's repeated trainings was running, from 0."""
        return len(self.seen) - 1

    def write(self, path: Path) -> None:
        """Writes the file; the old one stays until the new one is whole."""
        arrays: list[Array] = []
        facts = _packed(
            {
                "version": VERSION,
                "key": self.key,
                "epochs": self.epochs,
                "seen": self.seen,
                "model": _fields(self.model),
                "best": None if self.best is None else _fields(self.best),
                "score": self.score,
                "best_execution": self.best_execution,
                "streams": self.streams,
                "callbacks": self.callbacks,
            },
            arrays,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
        try:
            with part.open("wb") as file:
                named: dict[str, Any] = {f"a{n}": each for n, each in enumerate(arrays)}
                np.savez(file, facts=text, **named)
            replace_file(part, path)
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: Path) -> Interim:
        """Reads the file.

        Raises:
            CheckpointError: It is not there, damaged, or of another version.
        """
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}  # their checksums are compared
            facts = _unpacked(json.loads(arrays["facts"].tobytes()), arrays)
            if facts.pop("version") != VERSION:
                raise ValueError("another version")
            best = facts.pop("best")
            return cls(
                seen=tuple(tuple((n, logs) for n, logs in part) for part in facts.pop("seen")),
                model=_snapshot(facts.pop("model")),
                best=None if best is None else _snapshot(best),
                **facts,
            )
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise CheckpointError(
                wrong(f"checkpoint {path}", "must be whole to be continued from", str(error))
            ) from error


class InterimCheckpoint(keras.callbacks.Callback):  # type: ignore[misc]
    """Saves a trial's training now and then, and continues one that was saved.

    Args:
        path: The file.
        key: What is trained.
        interval: How often.
        best: The best epoch so far, saved and restored too.
        is_stopping: Says whether the search is to stop after this epoch, which is then saved.
        on_trouble: Called with a sentence if the file cannot be written or read.
        written: Called when the file is written.
    """

    def __init__(
        self,
        path: Path,
        key: str,
        interval: Interval,
        best: BestEpoch,
        *,
        is_stopping: Callable[[], bool],
        on_trouble: Callable[[str], None],
        written: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.path = path
        self.key = key
        self.interval = interval
        self.best = best
        self.is_stopping = is_stopping
        self.on_trouble = on_trouble
        self.written = written
        self.resumed = self._read()
        """What this training continues from; None for one from its beginning, or continued."""

        self.seen: list[list[tuple[int, Mapping[str, Any]]]] = []
        self._others: Sequence[Any] = ()
        self._last = time.monotonic()
        if self.resumed is not None:
            best.best, best.score = self.resumed.best, self.resumed.score
            best.best_execution = self.resumed.best_execution
            self.seen = [list(part) for part in self.resumed.seen]

    def _read(self) -> Interim | None:
        if not self.path.is_file():
            return None
        try:
            found = Interim.read(self.path)
        except CheckpointError as error:
            self.on_trouble(f"A training starts over: {error}")
            return None
        return found if found.key == self.key else None

    def begin(self, execution: int, callbacks: Sequence[Any]) -> None:
        """Begins an execution, with the user's callbacks for it."""
        self._others = callbacks
        if execution == len(self.seen):
            self.seen.append([])
        self.set_model(None)

    def start_over(self) -> None:
        """Forgets what was read: it does not fit the model."""
        self.resumed = None
        self.seen = [[]]
        self.best.best = self.best.score = self.best.best_execution = None

    def fits(self, model: keras.Model) -> bool:
        """Whether the model can continue from what was read."""
        if self.resumed is None or not getattr(model, "built", False):
            return self.resumed is not None
        return fits(model.variables, self.resumed.model.variables)

    # -- called by the training -------------------------------------------------------------------

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Puts everything into the state that was read, before the first epoch."""
        del epoch, logs
        found, self.resumed = self.resumed, None
        if found is None:
            return
        model = self.model
        optimizer = getattr(model, "optimizer", None)
        if isinstance(optimizer, keras.optimizers.Optimizer) and not optimizer.built:
            optimizer.build(model.trainable_variables)
        apply_snapshot(found.model, model)
        _restore_callbacks(self._others, found.callbacks)
        history = getattr(model, "history", None)
        if isinstance(history, keras.callbacks.History):
            _restore_history(history, found.seen[-1])
        _write_streams(found.streams)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Saves the training if it is time."""
        self.seen[-1].append((epoch, {name: _plain(value) for name, value in (logs or {}).items()}))
        if not self.is_last(epoch) and (self._is_due(epoch) or self.is_stopping()):
            self.save(epoch + 1)

    def is_last(self, epoch: int) -> bool:
        """Whether the training ends after this epoch.

        Args:
            epoch: Its number, from 0.
        """
        whole = (self.params or {}).get("epochs", 0)
        return bool(epoch + 1 >= whole or self.model.stop_training)

    def _is_due(self, epoch: int) -> bool:
        if self.interval.epochs is not None:
            return (epoch + 1) % self.interval.epochs == 0
        assert self.interval.seconds is not None
        return time.monotonic() - self._last >= self.interval.seconds

    def save(self, epochs: int) -> bool:
        """Writes the file; what is in the way is no reason to end the training.

        Args:
            epochs: How many epochs have been trained.

        Returns:
            Whether it is written.
        """
        saved = True
        try:
            Interim(
                key=self.key,
                epochs=epochs,
                seen=tuple(map(tuple, self.seen)),
                model=take_snapshot(self.model, epochs),
                best=self.best.best,
                score=self.best.score,
                best_execution=self.best.best_execution,
                streams=_read_streams(),
                callbacks=[_state_of(each) for each in self._others],
            ).write(self.path)
            self.written()
        except (MemoryError, TrialTimeoutError):
            raise
        except Exception as error:
            self.on_trouble(f"A running training cannot be saved: {type(error).__name__}: {error}")
            saved = False
        self._last = time.monotonic()
        return saved

    def remove(self) -> None:
        """Removes the file: the trial has ended."""
        remove_interim(self.path)


def remove_interim(path: Path) -> None:
    """Removes a trial's file, if there is one."""
    path.unlink(missing_ok=True)


# -- callbacks ------------------------------------------------------------------------------------


def why_not_continued(callbacks: Sequence[Any]) -> str | None:
    """Why a training with these callbacks of the user's cannot be continued; None if it can."""
    for each in callbacks:
        if type(each) not in RESTORED:
            return f"{type(each).__name__} may keep a state of its own"
    return None


def _state_of(callback: Any) -> dict[str, Any]:
    names = RESTORED.get(type(callback), ())
    return {name: getattr(callback, name) for name in names if hasattr(callback, name)}


def _restore_callbacks(callbacks: Sequence[Any], states: Sequence[Mapping[str, Any]]) -> None:
    for callback, state in zip(callbacks, states, strict=False):
        for name, value in state.items():
            setattr(callback, name, value)


def _restore_history(history: Any, seen: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
    history.epoch = [epoch for epoch, _ in seen]
    history.history = {}
    for _, logs in seen:
        for name, value in logs.items():
            history.history.setdefault(name, []).append(value)


def past_history(seen: Sequence[tuple[int, Mapping[str, Any]]]) -> keras.callbacks.History:
    """The History of a training that has ended before."""
    history = keras.callbacks.History()
    _restore_history(history, seen)
    return history


# -- random streams -------------------------------------------------------------------------------


def _read_streams() -> dict[str, Any]:
    kind, keys, *rest = np.random.get_state()
    streams: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": [kind, np.array(keys), *rest],
    }
    if (generator := _keras_generator()) is not None:
        streams["keras"] = np.array(keras.ops.convert_to_numpy(generator.state.value))
    torch = sys.modules.get("torch") if keras.backend.backend() == "torch" else None
    if torch is not None:
        streams["torch"] = torch.get_rng_state().numpy()
    return streams


def _write_streams(streams: Mapping[str, Any]) -> None:
    version, numbers, gauss = streams["python"]
    random.setstate((version, tuple(numbers), gauss))
    np.random.set_state(tuple(streams["numpy"]))
    generator = _keras_generator()
    if generator is not None and "keras" in streams:
        generator.state.assign(streams["keras"])
    if "torch" in streams and "torch" in sys.modules:
        torch = sys.modules["torch"]
        torch.set_rng_state(torch.from_numpy(streams["torch"].copy()))


def _keras_generator() -> Any:
    return read_globals(("global_seed_generator",)).get("global_seed_generator")


# -- from values to JSON and arrays, and back -----------------------------------------------------


def _fields(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "variables": snapshot.variables,
        "optimizers": snapshot.optimizers,
        "epochs": snapshot.epochs,
    }


def _snapshot(fields: Mapping[str, Any]) -> Snapshot:
    return Snapshot(
        variables=tuple(fields["variables"]),
        optimizers=tuple(tuple(each) for each in fields["optimizers"]),
        epochs=fields["epochs"],
    )


def _plain(value: Any) -> Any:
    """A logged number as a number of Python; an array as one of NumPy."""
    array = np.asarray(value)
    return float(array) if array.ndim == 0 else array


def _packed(value: Any, arrays: list[Array]) -> Any:
    """A value as JSON, its arrays moved into the list."""
    if isinstance(value, Mapping):
        return {name: _packed(part, arrays) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_packed(part, arrays) for part in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if not isinstance(value, np.ndarray):
        value = np.asarray(value)
        if value.ndim == 0:  # a number of NumPy or of the backend
            return value.item()
    # The types that NumPy's files do not know, such as bfloat16, are kept as bytes.
    known = value.dtype.isbuiltin == 1
    whole = np.ascontiguousarray(value)
    arrays.append(whole if known else np.frombuffer(whole.tobytes(), np.uint8))
    return {"array": len(arrays) - 1, "dtype": value.dtype.name, "shape": list(value.shape)}


def _unpacked(value: Any, arrays: Mapping[str, Array]) -> Any:
    if isinstance(value, list):
        return [_unpacked(part, arrays) for part in value]
    if not isinstance(value, dict):
        return value
    if set(value) != {"array", "dtype", "shape"}:
        return {name: _unpacked(part, arrays) for name, part in value.items()}
    array = arrays[f"a{value['array']}"]
    if array.dtype.name != value["dtype"]:
        array = np.frombuffer(array.tobytes(), np.dtype(value["dtype"]))
    return array.reshape(value["shape"])
