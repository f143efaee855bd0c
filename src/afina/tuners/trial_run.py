"""One run of a trial: its executions, trained one after the other, and saved now and then.

    train_trial ─▶ for each execution: build, fit, watch          training/fit.py
        │              └─▶ every few minutes: interim.npz         training/interim.py
        └─▶ the best epoch's model                                checkpoints.py

A trial that ran when its process died is run again by the next start. `continued` then takes it to
where the last interim checkpoint left it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import keras

from afina import training
from afina.progress import Message
from afina.run import stopping
from afina.training.data import by_name
from afina.training.interim import (
    InterimCheckpoint,
    Interval,
    past_history,
    why_not_continued,
)
from afina.trials import Decision, FailureKind
from afina.tuners import checkpoints, trial_files
from afina.tuners.by_hand import paused_or
from afina.tuners.half_batch import HALVED
from afina.tuners.overrides import AROUND, first_overridden, is_overridden, named_override
from afina.tuners.results import read_result
from afina.tuners.trial import Trial

RESUMED = "resumed"
"""The note of a trial that says after how many epochs it was continued."""

NO_INTERIM = "interim_checkpoints"
"""The note of a long trial that says why it was not saved while it ran."""

_ARGUMENTS = ("epochs", "batch_size", "validation_split", "shuffle", "initial_epoch")
_NAMED_ONLY = 11  # the place of initial_epoch among the positional arguments of `fit`


class RunningTuner(Protocol):
    """What a run needs of a `Tuner`."""

    oracle: Any
    hypermodel: Any
    executions_per_trial: int
    checkpoint_every: Interval | None
    _accounts: dict[str, training.Account]
    _interims: dict[str, InterimCheckpoint]

    def _get_checkpoint_fname(self, trial_id: str) -> str: ...
    def _build_and_fit_model(self, trial: Trial, *args: Any, **kwargs: Any) -> Any: ...
    def _deepcopy_callbacks(self, callbacks: list[Any]) -> list[Any]: ...
    def _configure_tensorboard_dir(
        self, callbacks: list[Any], trial: Trial | str, execution: int = 0
    ) -> list[Any]: ...
    def _hooks(self, trial: Trial) -> Any: ...
    def _epoch_ended(
        self, trial: Trial, execution: int, epoch: int, metrics: dict[str, float]
    ) -> Any: ...
    def _whose_training(self) -> str | None: ...
    def _tell_path(self, trial: Trial, account: training.Account) -> None: ...
    def _warn_once(self, message: str) -> None: ...
    def _show(self, event: Any) -> None: ...


def train_trial(
    tuner: RunningTuner, trial: Trial, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[Any]:
    """Builds and trains the trial's model as often as `executions_per_trial` says.

    Args:
        tuner: Whose trial.
        trial: Its notes get what is worth knowing.
        args: As given to `search`.
        kwargs: As given to `search`.

    Returns:
        What `HyperModel.fit` returned, one for each execution.
    """
    callbacks, seeds = planned_arguments(tuner, trial, kwargs)
    best = training.BestEpoch(tuner.oracle.objective)
    account = tuner._accounts[trial.trial_id] = training.Account()
    reason = why_not_saved(tuner, callbacks, args)
    interim = _interim(tuner, trial, seeds, best, args, kwargs) if reason is None else None
    whose = named_override((tuner, "_build_and_fit_model"), (tuner.hypermodel, "fit"))
    results: list[Any] = []
    for index in range(tuner.executions_per_trial):
        if interim is not None and interim.resumed and index < interim.resumed.execution:
            results.append(past_history(interim.resumed.seen[index]))
            continue
        own = tuner._deepcopy_callbacks(callbacks)
        tuner._configure_tensorboard_dir(own, trial, index)
        if interim is not None:
            interim.begin(index, own)
        results.append(
            training.watch_execution(
                lambda watched: tuner._build_and_fit_model(
                    trial, *args, callbacks=watched, **kwargs
                ),
                objective=tuner.oracle.objective,
                callbacks=[*own, tuner._hooks(trial)],
                best=best,
                interim=interim,
                on_epoch=functools.partial(_epoch_ended, tuner, trial),
                execution=index,
                seed=training.trial_seed(seeds[0], seeds[1], index, seeds[2]),
                from_logs=tuner._whose_training() is None,
            )
        )
        reported = trial.metrics.exists(tuner.oracle.objective.name)  # by the user's own call
        if whose is not None and not reported and not is_overridden(tuner, "run_trial"):
            # A result without a score is refused before the next execution is trained.
            read_result(results[-1], tuner.oracle.objective, f"{whose}()")
    with account.counted("save"):
        path = Path(tuner._get_checkpoint_fname(trial.trial_id))
        checkpoints.save_best(trial, best, path)
    tuner._interims.pop(trial.trial_id, None)
    often = tuner.checkpoint_every
    if reason is not None and often is not None and account.fit >= (often.seconds or 0.0):
        trial.notes[NO_INTERIM] = f"none: {reason}"
    tuner._tell_path(trial, account)
    return results


def _epoch_ended(
    tuner: RunningTuner, trial: Trial, execution: int, epoch: int, metrics: dict[str, float]
) -> Decision:
    decision: Decision = tuner._epoch_ended(trial, execution, epoch, metrics)
    return paused_or(decision, tuner, trial, epoch)


def planned_arguments(
    tuner: RunningTuner, trial: Trial, kwargs: dict[str, Any]
) -> tuple[Any, tuple[Any, Any, int]]:
    """The callbacks, and what seeds the trial; `kwargs` get the epochs of its plan.

    Args:
        tuner: Whose trial.
        trial: What is to be trained.
        kwargs: Of `search`; the callbacks are taken out of them.
    """
    segment = trial.segment
    if segment is not None and segment.end_epoch is not None:
        kwargs["epochs"], kwargs["initial_epoch"] = segment.end_epoch, segment.start_epoch
    callbacks = kwargs.pop("callbacks", None) or []
    state = tuner.oracle.search_state
    number = tuner.oracle.number_of(trial.trial_id)
    return callbacks, (state.seed, state.stream(number), state.trials[number].retries)


def why_not_saved(tuner: RunningTuner, callbacks: Any, args: tuple[Any, ...]) -> str | None:
    """Why a trial cannot be continued, so that it is not saved; None if it can.

    Args:
        tuner: Whose trial.
        callbacks: Of `search`.
        args: Of `search`.
    """
    if tuner.checkpoint_every is None:
        return "checkpoint_every=None"
    if len(args) > _NAMED_ONLY:
        return "initial_epoch was given by its place"
    reason = tuner._whose_training() or first_overridden(tuner, AROUND)
    if reason is not None:
        return reason
    if hasattr(callbacks, "callbacks"):
        return "the callbacks are a CallbackList"
    return why_not_continued(list(keras.tree.flatten(callbacks)))


def _interim(
    tuner: RunningTuner,
    trial: Trial,
    seeds: tuple[Any, ...],
    best: training.BestEpoch,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> InterimCheckpoint:
    """What saves the trial while it runs."""
    assert tuner.checkpoint_every is not None
    given = by_name(args, kwargs)
    key = [
        *seeds,
        tuner.executions_per_trial,
        trial.notes.get(HALVED),
        [repr(given.get(name)) for name in _ARGUMENTS],
    ]
    interim = tuner._interims[trial.trial_id] = InterimCheckpoint(
        trial_files.interim_path(tuner, trial.trial_id),
        json.dumps(key),
        tuner.checkpoint_every,
        best,
        is_stopping=stopping,
        on_trouble=tuner._warn_once,
        written=functools.partial(trial_files.send, tuner, trial.trial_id),
    )
    return interim


def continued(
    tuner: RunningTuner, trial: Trial, model: Any, kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The arguments of `fit` for a training that may continue where it was interrupted.

    Args:
        tuner: Whose trial.
        trial: Its notes say that it was continued.
        model: As built anew.
        kwargs: Of `fit`.
    """
    interim = tuner._interims.get(trial.trial_id)
    if interim is None or (found := interim.resumed) is None:
        return kwargs
    if not interim.fits(model) or found.epochs >= kwargs.get("epochs", 1):
        interim.start_over()
        return kwargs
    for execution, part in enumerate(found.seen):  # of this attempt nothing is reported yet
        for epoch, logs in part:
            numbers = training.scalars(logs)
            tuner.oracle.report_epoch(trial.trial_id, execution, epoch, numbers)
    tuner.oracle.keep_reports()  # should it die again, it is known to have come this far
    trial.notes[RESUMED] = f"after epoch {found.epochs}, where its process had saved it"
    tuner._show(Message(f"Trial {trial.trial_id} continues after epoch {found.epochs}."))
    return {**kwargs, "initial_epoch": found.epochs}


def forget(tuner: RunningTuner, trial: Trial) -> None:
    """Lets go of a trial that has been run; if it has ended, its interim checkpoint is removed."""
    tuner._interims.pop(trial.trial_id, None)
    oracle = tuner.oracle
    stored = oracle.search_state.trials[oracle.number_of(trial.trial_id)]
    if stored.failure is None and not stored.status.finished:
        return  # it is paused
    # A lost worker's trial is continued by another one.
    if stored.failure is None or stored.failure.kind is not FailureKind.LOST_WORKER:
        trial_files.forget_interim(tuner, trial.trial_id)


def give_back(trial: Trial) -> None:
    """Gives back the memory of a trial; programs of fused epochs stay for the next ones."""
    fused = trial.notes.get("training", "").startswith("fused")
    training.release(programs=not fused)
