"""What every store refuses, and in which words."""

from __future__ import annotations

from afina.errors import StoreError, wrong
from afina.trials import Status, Trial


def check_begin(*, begun: bool) -> None:
    """Raises StoreError where a search has begun already."""
    if begun:
        raise StoreError(
            "The project has begun already and begins only once; nothing was changed. Another "
            "tuner began it after this one was made: make the tuner anew to go on with its trials."
        )


def check_begun(*, begun: bool) -> None:
    """Raises StoreError where no search has begun."""
    if not begun:
        raise StoreError("The project is empty: a header can be replaced only after `begin`.")


def check_finished(trial: Trial) -> None:
    """Raises StoreError for a trial that may still change."""
    if not trial.status.finished:
        raise StoreError(
            wrong(
                f"trial {trial.number}",
                "finish needs a completed or failed trial",
                trial.status.value,
                "Use put for a trial that goes on.",
            )
        )


def check_replaceable(number: int, status: str | None) -> None:
    """Raises StoreError where the stored trial (None: there is none) has finished."""
    if status is not None and Status(status).finished:
        raise StoreError(
            f"Trial {number} is {status} and a finished trial is never written again; nothing was "
            "changed. If another tuner wrote it after this one was made, make the tuner anew to "
            "go on with its trials."
        )


def same_end(number: int, ended: int) -> StoreError:
    """The error for two trials at one place in the order in which trials finished."""
    return StoreError(
        wrong(f"trial {number}", "no two trials have the same place in `ended`", ended)
    )
