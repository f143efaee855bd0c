"""A search whose trials are built and trained in one worker process, on another backend.

The searching process keeps the oracle, the store, the display and the tuner's hooks. The worker
process gets a copy of the tuner and runs the trials as a search on its backend would: in threads,
in groups, or one after the other.

    searching process (TensorFlow, PyTorch)       worker process (JAX)
    _serve_next    the oracle chooses        <--  Handout asks for a trial
    _serve_begin   on_trial_begin            <--
    _serve_call    reports, early stopping   <--  run_trial: build, train, save the best epoch
    _serve_end     on_trial_end              <--  the trial as it is afterwards
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, NoReturn, Protocol

from afina import training
from afina.errors import AfinaError, ArgumentError, LostWorkerError, wrong
from afina.run import Handout, Processes, Signal, WorkerProcesses
from afina.run.worker import remote
from afina.study.known import this_process
from afina.trials import Status, failure_of
from afina.trials.trial import WORKER
from afina.tuners.execution import TrialExecutor, prepared
from afina.tuners.remote import Home, mark_lost, take_over
from afina.tuners.remote_parts import TravellingTuner
from afina.tuners.settings import Settings
from afina.tuners.trial import Trial
from afina.tuners.trial_run import give_back

ADVICE = "Make it inside of the build, or leave train_on out."
"""What to do about something that cannot travel to the process of another backend."""

OWN_BACKENDS = ("tensorflow", "torch")
"""Packages whose import by the user's code may mean that it calls the backend itself."""


class SearchingTuner(TravellingTuner, Protocol):
    """What a tuner needs so that a copy of it can run trials of a search in another process."""

    hypermodel: Any
    _process: WorkerProcesses | None
    _trainer: training.TrainerChooser

    def on_trial_begin(self, trial: Trial) -> None:
        """Called before a trial runs."""

    def on_trial_end(self, trial: Trial) -> None:
        """Ends a trial."""

    def _next_trial(self, place: int) -> Trial | Signal: ...

    def _choose_executor(self) -> TrialExecutor: ...

    def _training_by(self, executor: TrialExecutor) -> AbstractContextManager[None]: ...

    def _run_by(
        self, executor: TrialExecutor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None: ...

    def _build_hypermodel(self, hp: Any) -> Any: ...

    def _whose_training(self) -> str | None: ...


class RemoteSearch(Home):
    """Runs the trials of one search in a worker process.

    A process that dies fails the trials that it was running. `SearchState.fail` lets each of them
    run once more; then one runs at a time, so that the next death has one culprit.

    Args:
        tuner: Whose trials.
        pool: The process.
        fit_args: As given to `search`.
        fit_kwargs: Likewise.

    Raises:
        ArgumentError: Something that a trial needs cannot travel; the message names it.
    """

    def __init__(
        self,
        tuner: SearchingTuner,
        pool: WorkerProcesses,
        fit_args: tuple[Any, ...],
        fit_kwargs: Mapping[str, Any],
    ) -> None:
        super().__init__(tuner)
        self._searching = tuner
        self._pool = pool
        self._open: dict[str, Trial] = {}  # handed out, by id
        self._alone: set[str] = set()  # ids of trials that died together
        self._error: BaseException | None = None  # raised here while the process was answered
        self._packed = pool.pack(
            search_here,
            stand_ins=self.stand_ins(),
            advice=ADVICE,
            tuner=tuner,
            fit_args=fit_args,
            fit_kwargs=dict(fit_kwargs),
            settings=Settings.read(),
        )

    def run(self) -> int | None:
        """Runs all trials.

        Returns:
            None; or a number if no trial was run because the search needs so many processes, one
            for each worker.

        Raises:
            ArgumentError: The models cannot be built or trained on the other backend.
            LostWorkerError: The process dies although it runs no trial.
        """
        while True:
            try:
                workers: int | None = self._pool.run(0, self._packed, serve=self.serve)
            except LostWorkerError as error:
                if not self._open:
                    raise
                self._end_lost(error)
            except Exception:
                if self._error is not None:
                    raise self._error from None
                raise
            else:
                return workers

    def _end_lost(self, error: LostWorkerError) -> None:
        lost, self._open = list(self._open.values()), {}
        for trial in lost:
            mark_lost(trial, error)
            self._searching.on_trial_end(trial)
        trials = self._searching.oracle.search_state.trials
        for trial in lost if len(lost) > 1 else ():
            if trials[self._searching.oracle.number_of(trial.trial_id)].status is Status.WAITING:
                self._alone.add(trial.trial_id)

    def serve(self, what: str, *args: Any, **kwargs: Any) -> Any:
        """Answers one question; what an answer raises ends the search here, too."""
        try:
            return super().serve(what, *args, **kwargs)
        except BaseException as error:
            if what in ("next", "begin", "end"):
                self._error = error
            raise

    def _serve_next(self, place: int) -> Trial | Signal:
        if self._alone and self._open:
            return Signal.WAIT
        answer = self._searching._next_trial(place)
        if not isinstance(answer, Signal):
            self._open[answer.trial_id] = answer
        return answer

    def _serve_begin(self, trial_id: str) -> None:
        self._searching.on_trial_begin(self._open[trial_id])

    def _serve_end(self, after: Trial) -> None:
        trial = self._open.pop(after.trial_id)
        self._alone.discard(after.trial_id)
        take_over(trial, after)
        self._searching.on_trial_end(trial)


# -- in the worker process ------------------------------------------------------------------------


def search_here(
    tuner: SearchingTuner,
    fit_args: tuple[Any, ...],
    fit_kwargs: dict[str, Any],
    settings: Settings,
) -> int | None:
    """In the worker process: runs trials until the searching process has no more.

    Args:
        tuner: A copy, in which something else stands for the oracle and the display.
        fit_args: As given to `search`.
        fit_kwargs: Likewise.
        settings: Of the searching process.

    Returns:
        How many processes it needs; None if the trials were run.

    Raises:
        ArgumentError: A model cannot be built or trained here.
    """
    settings.take()
    _try_backend(tuner, fit_args, fit_kwargs)
    executor = tuner._choose_executor()
    if isinstance(executor, Processes):
        return executor.workers
    oracle: Any = tuner.oracle

    def work(trial: Trial) -> None:
        remote("begin", trial.trial_id)
        trial.notes[WORKER] = this_process()
        with oracle.following(trial):
            tuner._attempt(trial, *fit_args, **dict(fit_kwargs))
        remote("end", trial)
        give_back(trial)

    with tuner._training_by(executor), prepared(executor, _no_processes) as way:
        Handout(lambda place: remote("next", place), work).run(way.executor)
    return None


def _no_processes(count: int, pool: object) -> NoReturn:
    raise AssertionError(f"{count} processes are started by the searching process")


def _try_backend(
    tuner: SearchingTuner, fit_args: tuple[Any, ...], fit_kwargs: Mapping[str, Any]
) -> None:
    """Builds one model, and trains it for a step if the user's code may call a backend itself."""
    if tuner.hypermodel is None:
        return
    seed = training.trial_seed(tuner.oracle.seed or 0, 0, 0)
    try:
        with training.seeded(seed):
            with training.building():
                model = tuner._build_hypermodel(tuner.oracle.get_space())
            if tuner._whose_training() is None and any(
                name in sys.modules for name in OWN_BACKENDS
            ):
                _train_a_step(model, training.by_name(fit_args, fit_kwargs))
    except AfinaError:
        return  # it says something about these hyperparameters, which may fail their trial
    except Exception as error:
        rule = "needs models that can be built and trained on JAX"
        advice = "Use keras.ops in place of the backend's own functions, or leave train_on out."
        got = failure_of(error).headline
        raise ArgumentError(wrong("train_on", rule, got, advice)) from error
    finally:
        training.release()


def _train_a_step(model: Any, given: Mapping[str, Any]) -> None:
    """Trains for one step on the training data, where they are given to `search`."""
    taken = {
        name: given[name] for name in ("x", "y", "sample_weight", "batch_size") if name in given
    }
    if taken.get("x") is not None:
        model.fit(**taken, epochs=1, steps_per_epoch=1, verbose=0)
