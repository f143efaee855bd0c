"""What a tuner tells its display: the events of a search, made of its oracle and its trials."""

from __future__ import annotations

from typing import Any

from afina.progress import SearchStarted, TrialEnded, TrialStarted
from afina.progress.pace import planned_epochs
from afina.study import planned
from afina.trials import Status
from afina.trials.pareto import front_of
from afina.tuners.oracle import Oracle
from afina.tuners.trial import Trial


def search_started(oracle: Oracle, folder: str) -> SearchStarted:
    """A call of `search` starts.

    Args:
        oracle: Of the tuner; its search may have trials of earlier calls.
        folder: Where the trials are kept.
    """
    state = oracle.search_state
    plan, best = planned(state), state.best_trials(1)
    known = list(state.trials.values())
    return SearchStarted(
        total=None if plan is None else plan.trials,
        done=len(oracle.end_order),
        objective=str(oracle.objective.name),
        best=best[0].score if best else None,
        folder=folder,
        front=tuple(front_of(known)),
        total_epochs=None if plan is None else plan.epochs,
        done_epochs=sum(planned_epochs(trial) for trial in known if trial.status.finished),
    )


def trial_started(oracle: Oracle, trial: Trial, epochs: Any) -> TrialStarted:
    """A trial starts.

    Args:
        oracle: Of the tuner.
        trial: As users see it.
        epochs: As given to `search`; the search may plan others for the trial.
    """
    state = oracle.search_state
    best, plan = state.best_trials(1), planned(state)
    number = oracle.number_of(trial.trial_id)
    return TrialStarted(
        trial=state.trials[number],
        label=oracle.ids.label_of(number),
        total=None if plan is None else plan.trials,
        values=dict(trial.hyperparameters.values),
        best_values=dict(best[0].values) if best else None,
        epochs=epochs_of(trial, epochs),
    )


def trial_ended(oracle: Oracle, trial: Trial) -> TrialEnded:
    """A trial has ended, or waits to be run again."""
    number = oracle.number_of(trial.trial_id)
    ended = oracle.search_state.trials[number]
    left = oracle.max_retries_per_trial - ended.retries + (ended.status is Status.WAITING)
    return TrialEnded(ended, label=oracle.ids.label_of(number), retries_left=left)


def epochs_of(trial: Trial, epochs: Any) -> int | None:
    """The epoch at which the trial's training ends, by the search's plan or as given to `search`;
    None if that is no whole number."""
    planned_end = trial.segment and trial.segment.end_epoch
    found = epochs if planned_end is None else planned_end
    return found if isinstance(found, int) else None
