"""What must be true of a search's trials, beyond the kind of each value.

A store keeps any trial that it is given. These are the rules that a search keeps by itself: where
one is broken, somebody has changed the database, or a part of it is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from afina.errors import StoreError
from afina.trials import Status, Trial


def faults_of(trial: Trial) -> str | None:
    """Why a trial cannot be what a search has made; None if it can."""
    if trial.number < 0:
        return "its number is below 0"
    if trial.status.finished and trial.ended is None:
        return f"it is {trial.status.value}, but has no place in the order of ending"
    if trial.status is Status.COMPLETED and (trial.score is None or trial.loss is None):
        return "it is completed, but has no score"
    if trial.status is Status.FAILED and trial.failure is None:
        return "it has failed, but for no reason"
    return None


def gaps_in(trials: Sequence[Trial]) -> Iterator[str]:
    """Sentences on the trials that are not there, though later ones are."""
    there = {trial.number for trial in trials}
    missing = [n for n in range(max(there, default=-1) + 1) if n not in there][:1000]
    if missing:
        names = ", ".join(map(str, missing[:8])) + ", ..." * (len(missing) > 8)
        one = len(missing) == 1
        yield f"Trial{'s' * (not one)} {names} {'is' if one else 'are'} missing."
    ended = sorted(trial.ended for trial in trials if trial.ended is not None)
    if not missing and ended != list(range(len(ended))):
        yield "The order in which the trials ended is not whole."


def check_trials(trials: Sequence[Trial], folder: Path | None) -> None:
    """Whether a search can go on with these trials.

    Args:
        trials: All of the project, by number.
        folder: The project's, for the message; None for one that has none.

    Raises:
        StoreError: One is missing, or cannot be right.
    """
    faults = [f"Trial {t.number} cannot be right: {f}." for t in trials if (f := faults_of(t))]
    faults += gaps_in(trials)
    if faults:
        read = f"; `afina trials {folder}` lists those that can be read" if folder else ""
        raise StoreError(
            f"The project is damaged: {faults[0]} Nothing was changed. A search cannot go on "
            f"without it: restore the database from a backup{read}. To search anew, use another "
            "project_name, or pass overwrite=True, which deletes the project."
        )
