"""What people may ask of a tuner's search while it runs, and how a training is paused.

    before the first trial    tell_abilities: what cannot be done, and why, for the page
    after each epoch          paused_or: saves a paused training, and ends its run

`study.by_hand` has the search's part.
"""

from __future__ import annotations

from typing import Any

from afina import training
from afina.errors import TrialPausedError
from afina.study import SearchState
from afina.trials import Decision
from afina.trials import Trial as StoredTrial
from afina.tuners import checkpoints, trial_files
from afina.tuners.overrides import is_overridden
from afina.tuners.trial import Trial

FOLDS = "the folds of a cross-validated trial are not saved while they train"
"""Why a trial with `cv` can be neither paused nor continued."""

OWN_ORACLE = "the oracle chooses by its own populate_space"
"""Why the ranges of a search cannot be changed."""


def tell_abilities(tuner: Any, why_not_saved: str | None) -> None:
    """Tells the search which requests it cannot follow, and why.

    Args:
        tuner: A `Tuner`, about to search.
        why_not_saved: Why its running trials are not saved; None if they are.
    """
    state: SearchState = tuner.oracle.search_state
    cannot = state.by_hand.requests.cannot
    whose = tuner._whose_training()
    found = {
        "pause": FOLDS if tuner._folds else why_not_saved,
        "boost": FOLDS if tuner._folds else whose,
        "ranges": OWN_ORACLE if is_overridden(tuner.oracle, "populate_space") else None,
    }
    for name, reason in found.items():
        if reason is not None:
            cannot[name] = reason
        elif name != "ranges":
            cannot.pop(name, None)
    state.by_hand.requests.folder = trial_files.shown_root(tuner)
    state.by_hand.can_continue = lambda trial: _why_not_continued(tuner, trial)


def _why_not_continued(tuner: Any, trial: StoredTrial) -> str | None:
    """Why a trial has no checkpoint; None if it has one."""
    folder = trial_files.fetched(tuner, tuner.oracle.id_of(trial.number))
    if (folder / training.CHECKPOINT).is_file():
        return None
    why = trial.notes.get(checkpoints.NO_CHECKPOINT, "").removeprefix("none: ")
    kept = tuner.keep_checkpoints
    gone = f"keep_checkpoints={kept} keeps those of the best trials only"
    return why or f"it has left no checkpoint ({gone})"


def paused_or(decision: Decision, tuner: Any, trial: Trial, epoch: int) -> Decision:
    """What a training does after an epoch.

    Args:
        decision: What the search says.
        tuner: Whose trial.
        trial: The trial.
        epoch: The epoch, from 0.

    Raises:
        TrialPausedError: The trial is paused, and saved.
    """
    if decision is not Decision.PAUSE:
        return decision
    interim = tuner._interims.get(trial.trial_id)
    if interim is None or interim.is_last(epoch) or not interim.save(epoch + 1):
        return Decision.CONTINUE
    raise TrialPausedError(f"Trial {trial.trial_id} is paused after epoch {epoch + 1}.")


def clean_up(tuner: Any) -> None:
    """Removes the checkpoints that neither people nor the search need any more.

    Args:
        tuner: One of its trials has ended.
    """
    state: SearchState = tuner.oracle.search_state
    needed = tuner.oracle.needed_trials() | state.by_hand.needed(state.running)
    tuner._cleaner.clean(
        tuner.keep_checkpoints,
        state,
        needed,
        lambda number: trial_files.remove_models(tuner, tuner.oracle.id_of(number)),
    )
