"""How a trial ends: with a score, to be run again, as a failure, or as its owner says."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

from afina.errors import wrong
from afina.study import ENDED_AS
from afina.trials import Status, failure_of
from afina.tuners.adoption import OWN_ID
from afina.tuners.face_trials import metrics_at_best, refresh
from afina.tuners.reserved_keys import split_schedule
from afina.tuners.trial import Trial, TrialStatus

if TYPE_CHECKING:
    from afina.trials import Objective
    from afina.trials import Trial as StoredTrial
    from afina.tuners.oracle import Oracle


def end(oracle: Oracle, trial: Trial) -> None:
    """Ends a trial as its status says, and brings the object up to what is kept.

    Args:
        oracle: Whose trial it is.
        trial: One that has ended before stays as it is.
    """
    stored = oracle.study.trials[oracle.number_of(trial.trial_id)]
    if stored.status.finished:
        _end_again(trial, stored, oracle.objective)
        return
    oracle.check_entries(trial.hyperparameters)
    hp = trial.hyperparameters.copy()
    hp.values, _ = split_schedule(hp.values, oracle.number_of)
    notes = dict(trial.notes)
    if OWN_ID in stored.notes:
        notes[OWN_ID] = trial.trial_id
    if trial.status == TrialStatus.COMPLETED:
        oracle.score_trial(trial)
        score = math.nan if trial.score is None else float(trial.score)
        metrics, best = metrics_at_best(trial), trial.best_step
        ended = oracle.study.complete(
            stored, metrics, score=score, best_step=best, hp=hp, notes=notes
        )
    else:
        if trial.status not in (TrialStatus.INVALID, TrialStatus.FAILED):
            notes[ENDED_AS] = str(trial.status)
            _warn_of_lost_score(oracle, trial)
        why = trial.message or f"The trial ended with status {trial.status}."
        failure = trial.failure or failure_of(why)
        retry = trial.status == TrialStatus.INVALID
        ended = oracle.study.fail(stored, failure, retry=retry, hp=hp, notes=notes)
    if ended.status is Status.WAITING:  # the rerun starts with a clean record
        trial.metrics = type(trial.metrics)()
        trial.score = None
    refresh(trial, ended, oracle.objective)


def _warn_of_lost_score(oracle: Oracle, trial: Trial) -> None:
    if trial.metrics.exists(oracle.objective.name):
        what, rule = f"end_trial: status of trial {trial.trial_id}", 'must be "COMPLETED"'
        advice = "The trial keeps this status and has no score."
        warnings.warn(wrong(what, rule, trial.status, advice), stacklevel=5)


def _end_again(trial: Trial, stored: StoredTrial, objective: Objective) -> None:
    said = trial.status
    refresh(trial, stored, objective)
    if said != trial.status:
        warnings.warn(
            f"end_trial: trial {trial.trial_id} has ended as {trial.status} before, but got "
            f"{said!r}. It stays as it is.",
            stacklevel=5,
        )
