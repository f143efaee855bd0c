"""Checks whether stored trials can belong to one search.

A store keeps any trial that it is given. A search always follows the rules below, so a violation
means that somebody changed the database, or that a part of it is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from afina.errors import StoreError
from afina.trials import Status, Trial


def faults_of(trial: Trial) -> str | None:
    """Why no search can have produced this trial; None if one can."""
    if trial.number < 0:
        return "its number is below 0"
    if trial.status.finished and trial.ended is None:
        return f"it is {trial.status.value}, but has no place in the order of finishing"
    if trial.status is Status.COMPLETED and (trial.score is None or trial.loss is None):
        return "it is completed, but has no score"
    if trial.status is Status.FAILED and trial.failure is None:
        return "it has failed, but has no reason"
    return None


def gaps_in(trials: Sequence[Trial]) -> Iterator[str]:
    """Sentences that name missing trials: those with a later trial after them."""
    there = {trial.number for trial in trials}
    missing = [n for n in range(max(there, default=-1) + 1) if n not in there][:1000]
    if missing:
        names = ", ".join(map(str, missing[:8])) + ", ..." * (len(missing) > 8)
        one = len(missing) == 1
        yield f"Trial{'s' * (not one)} {names} {'is' if one else 'are'} missing."
    ended = sorted(trial.ended for trial in trials if trial.ended is not None)
    if not missing and ended != list(range(len(ended))):
        yield "The order in which the trials finished has gaps."


def check_trials(trials: Sequence[Trial], folder: Path | None) -> None:
    """Checks that a search can continue with these trials.

    Args:
        trials: All trials of the project, by number.
        folder: The project's folder, for the message; None for a search in memory.

    Raises:
        StoreError: A trial is missing, or no search can have produced it.
    """
    faults = [f"Trial {t.number} cannot be right: {f}." for t in trials if (f := faults_of(t))]
    faults += gaps_in(trials)
    if faults:
        read = f"; `afina trials {folder}` lists those that can still be read" if folder else ""
        raise StoreError(
            f"The project is damaged: {faults[0]} Nothing was changed. A search needs all of its "
            f"trials: restore the database from a backup{read}. To start over, use another "
            "project_name, or pass overwrite=True, which deletes the project."
        )
