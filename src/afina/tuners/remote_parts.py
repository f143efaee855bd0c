"""What a worker process does with a trial, and what stands there for the parent's oracle."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from afina import training
from afina.run.limited import BEGUN
from afina.run.worker import remote
from afina.study.known import this_process
from afina.trials.trial import WORKER
from afina.tuners import trial_files
from afina.tuners.settings import Settings
from afina.tuners.trial import Trial

Path = tuple[str, ...]
"""Names of attributes, from the oracle on."""


class TravellingTuner(Protocol):
    """What a tuner needs so that a copy of it can run a trial in another process."""

    oracle: Any
    trial_timeout: float | None
    _display: Any

    def _attempt(self, trial: Trial, *args: Any, **kwargs: Any) -> None: ...

    def _show(self, event: Any) -> None: ...


def run_here(
    tuner: TravellingTuner,
    trial: Trial,
    fit_args: tuple[Any, ...],
    fit_kwargs: dict[str, Any],
    settings: Settings,
) -> Trial:
    """In a worker process: runs the trial and returns it as it is afterwards.

    Args:
        tuner: A copy, in which something else stands for the oracle and the display.
        trial: A copy, too.
        fit_args: As given to `search`.
        fit_kwargs: Likewise.
        settings: Of the process that the copies come from.
    """
    if tuner.trial_timeout is not None:
        remote(BEGUN)  # now: to import everything may have taken longer than the trial will
    settings.take()
    oracle: Any = tuner.oracle
    trial.notes[WORKER] = this_process()
    try:
        with oracle.following(trial):
            tuner._attempt(trial, *fit_args, **fit_kwargs)
    finally:
        training.release()
        trial_files.let_go(tuner)
    return trial


@dataclass(frozen=True)
class TrainerThere:
    """Stands for the tuner's trainer, whose compiled programs and data belong to its process.

    Unpacked it trains with what that process has compiled so far.
    """

    mode: training.Mode | training.Trainer
    sparse: bool
    materialize: training.Materialize

    def __reduce__(self) -> tuple[Any, ...]:
        return _trainer_here, (self.mode, self.sparse, self.materialize)


def _trainer_here(
    mode: training.Mode | training.Trainer, sparse: bool, materialize: training.Materialize
) -> training.TrainerChooser:
    streams = training.Streams(materialize)
    return training.TrainerChooser(mode, _engine_here(sparse), streams)


@functools.cache
def _engine_here(sparse: bool) -> training.Engine:
    return training.Engine(sparse=sparse)


class RemotePart:
    """In a worker process: stands for a part of the parent's oracle, and forwards all uses of it.

    Attributes are read there each time and copied; what is changed in a copy changes nothing else.
    """

    def __init__(self, path: Path) -> None:
        self.__dict__["_path"] = path

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked for by `copy`, `pickle` and the like, about this object
            raise AttributeError(name)
        path = (*self._path, name)
        kind, value = remote("get", path)
        if kind == "part":
            return RemotePart(path)
        return functools.partial(_call, path) if kind == "method" else value

    def __setattr__(self, name: str, value: Any) -> None:
        remote("set", (*self._path, name), value)

    def __repr__(self) -> str:
        return f"<{'.'.join(('oracle', *self._path))} of the searching process>"


def _call(path: Path, *args: Any, **kwargs: Any) -> Any:
    return remote("call", path, args, kwargs)


class RemoteOracle(RemotePart):
    """In a worker process: stands for the parent's oracle."""

    @contextmanager
    def following(self, trial: Trial) -> Iterator[None]:
        """Within the block, the trial shows what is reported of it, as it would at home."""
        mine = self.__dict__.setdefault("_mine", {})
        mine[trial.trial_id] = trial
        try:
            yield
        finally:
            del mine[trial.trial_id]

    def update_trial(self, trial_id: str, metrics: Mapping[str, Any], step: int = 0) -> Trial:
        """See `Oracle.update_trial`."""
        updated: Trial = _call((*self._path, "update_trial"), trial_id, metrics, step=step)
        mine: Trial | None = self.__dict__.get("_mine", {}).get(trial_id)
        if mine is None:
            return updated
        mine.metrics = updated.metrics
        mine.notes.update(updated.notes)
        return mine


class RemoteDisplay:
    """In a worker process: has the parent show what happens."""

    def handle(self, event: Any) -> None:
        """Passes one event on."""
        remote("show", event)

    def close(self) -> None:
        """Does nothing: the display is the parent's."""
