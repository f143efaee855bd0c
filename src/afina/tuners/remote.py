"""Trials in worker processes: for trainings that cannot share one process.

The tuner is copied into the process and runs the trial there, so whatever a subclass overrides
runs unchanged. The oracle, the display and the project's database stay here: what stands for them
over there asks us.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import keras

from afina import training
from afina.errors import LostWorkerError, TrialTimeoutError
from afina.progress import Message
from afina.run import RemoteClock, WorkerProcesses, stopping, worker_index
from afina.run.limited import BEGUN
from afina.run.processes import WorkerPool
from afina.study import SearchState
from afina.study.retries import LOST
from afina.trials import Failure, FailureKind, classify_failure
from afina.tuners import half_batch, remote_parts, trial_files
from afina.tuners.remote_parts import (
    Path,
    RemoteDisplay,
    RemoteOracle,
    RemotePart,
    TrainerThere,
    TravellingTuner,
    run_here,
)
from afina.tuners.settings import Settings
from afina.tuners.trial import Trial, TrialStatus


class Home:
    """Answers what worker processes ask the process that searches.

    Args:
        tuner: The one that searches, with the display that it then has.
    """

    def __init__(self, tuner: TravellingTuner) -> None:
        self._tuner = tuner
        self._shown: set[str] = set()

    def stand_ins(self) -> list[tuple[object, object]]:
        """What travels instead of the tuner's oracle, store, display and trainer."""
        tuner = self._tuner
        state = tuner.oracle.search_state
        pairs: list[tuple[object, object]] = [
            (self, None),
            (tuner.oracle, RemoteOracle(())),
            (state, RemotePart(("search_state",))),
            (state.store, RemotePart(("search_state", "store"))),
        ]
        if tuner._display is not None:
            pairs.append((tuner._display, RemoteDisplay()))
        trainer = getattr(tuner, "_trainer", None)
        if trainer is not None:
            materialize = trainer.streams.materialize
            there = TrainerThere(trainer.training, trainer.engine.sparse, materialize)
            pairs.append((trainer, there))
        return pairs

    def serve(self, what: str, *args: Any, **kwargs: Any) -> Any:
        """Answers one question: the method `_serve_` of this name does."""
        answer: Callable[..., Any] = getattr(self, f"_serve_{what}")
        return answer(*args, **kwargs)

    def _serve_get(self, path: Path) -> tuple[str, Any]:
        """What an attribute is to a process: a "part", a "method", or a "value" and which."""
        value = self._at(path)
        if isinstance(value, SearchState) or path[1:] in (("store",), ("algorithm",)):
            return "part", None
        if callable(value) and not isinstance(value, type):
            return "method", None
        return "value", value

    def _serve_set(self, path: Path, value: Any) -> None:
        setattr(self._at(path[:-1]), path[-1], value)

    def _serve_call(self, path: Path, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._at(path)(*args, **kwargs)

    def _serve_show(self, event: Any) -> None:
        if isinstance(event, Message):  # every copy of the tuner believes it is the first to say it
            if event.text in self._shown:
                return
            self._shown.add(event.text)
        self._tuner._show(event)

    def _at(self, path: Path) -> Any:
        value: Any = self._tuner.oracle
        for name in path:
            value = getattr(value, name)
        return value


class RemoteTrials:
    """Runs the trials of one search in processes, one for each worker of the executor.

    What a trial changes about the tuner in its process is lost with the copy, except for the trial
    itself: its hyperparameters, its metrics, its status and its notes come back. A process that
    dies fails its trial, which `SearchState.fail` lets run once more.

    Args:
        tuner: Whose trials; made when its search begins, with the display that it then has.
        workers: How many processes.
        fit_args: As given to `search`.
        fit_kwargs: Likewise.
        pool: Processes to use, which stay when these trials are over; None starts new ones.
        backend: Of new processes; None is that of this one.

    Raises:
        ArgumentError: Something that a trial needs cannot travel; the message names it.
    """

    def __init__(
        self,
        tuner: TravellingTuner,
        workers: int,
        fit_args: tuple[Any, ...] = (),
        fit_kwargs: Mapping[str, Any] | None = None,
        *,
        pool: WorkerPool | None = None,
        backend: str | None = None,
    ) -> None:
        self._tuner = tuner
        self._fit_args = fit_args
        self._fit_kwargs = dict(fit_kwargs or {})
        trial_files.check(tuner)
        shared = getattr(getattr(tuner, "executor", None), "checkpoint_dir", None)
        self._settings = Settings.read(with_folder=shared is None)
        self._home = Home(tuner)
        self._is_guest = pool is not None
        self._pool: WorkerPool = pool or keras_processes(workers, backend)
        try:
            self._pack(None)  # says now, before the first trial, what cannot travel
        except BaseException:
            self.close()
            raise

    def run(self, trial: Trial) -> None:
        """Does in the process of the calling worker what `_attempt` does here.

        A thread on the stage is on it while the tuner is copied, and leaves it for the training.

        Raises:
            FatalError: The trial raised it.
            StoreError: The trial's files or its record could not be written.
        """
        packed = self._pack(trial)
        clock = RemoteClock(self._tuner.trial_timeout, f"Trial {trial.trial_id}")

        def serve(what: str, *args: Any, **kwargs: Any) -> Any:
            return clock.begin() if what == BEGUN else self._home.serve(what, *args, **kwargs)

        try:
            with training.python_turn.released():
                after = self._pool.run(
                    worker_index(),
                    packed,
                    serve=serve,
                    guard=training.python_turn.held,
                    check=clock.check,
                )
        except (LostWorkerError, TrialTimeoutError) as error:
            if stopping():
                raise KeyboardInterrupt from None
            halves = getattr(self._tuner, "halve_batch_on_oom", False)
            can_halve = halves and half_batch.can_halve(self._fit_args, self._fit_kwargs)
            mark_lost(trial, error, can_halve=can_halve)
        else:
            take_over(trial, after)

    def stop(self) -> None:
        """For `Threads`: ends the processes at once; their trials are not failed ones."""
        self._pool.stop()

    def close(self) -> None:
        """Ends the processes, unless they were somebody else's."""
        if not self._is_guest:
            self._pool.close()

    def __enter__(self) -> RemoteTrials:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _pack(self, trial: Trial | None) -> bytes:
        return self._pool.pack(
            run_here,
            stand_ins=[(self, None), *self._home.stand_ins()],
            tuner=self._tuner,
            trial=trial,
            fit_args=self._fit_args,
            fit_kwargs=self._fit_kwargs,
            settings=self._settings,
        )


def mark_lost(
    trial: Trial, error: LostWorkerError | TrialTimeoutError, *, can_halve: bool = False
) -> None:
    """Has a trial fail because its process died, or was ended.

    Args:
        trial: The trial.
        error: What became of its process.
        can_halve: Whether a retry may train with half the batch, if memory was the reason.
    """
    kind, trial.status = classify_failure(error), TrialStatus.INVALID
    if isinstance(error, TrialTimeoutError):
        trial.status = TrialStatus.FAILED
    elif error.out_of_memory:
        if can_halve:
            half_batch.note(trial)
        # The first time it is run again, for what ran beside it may have taken the memory.
        if LOST in trial.notes:
            kind = FailureKind.OUT_OF_MEMORY
    trial.failure = Failure(kind, str(error))
    trial.message = trial.failure.message


def take_over(trial: Trial, after: Trial) -> None:
    """Makes a trial what its copy has become in another process."""
    notes = {**trial.notes, **after.notes}
    vars(trial).update({**vars(after), "notes": notes})


def keras_processes(count: int, backend: str | None = None) -> WorkerProcesses:
    """Processes that train with a backend; None is that of this one."""
    environment = backend_variables(backend)
    return WorkerProcesses(count, environment=environment, preload=(remote_parts.__name__,))


def backend_variables(backend: str | None = None) -> dict[str, str]:
    """The environment variables of a process that trains with a backend; None is that of this."""
    return {"KERAS_BACKEND": backend or keras.backend.backend()}
