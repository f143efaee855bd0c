"""What every store refuses, and its messages."""

from __future__ import annotations

from afina.errors import LostLeaseError, StoreError, wrong
from afina.trials import Status, Trial


def check_begin(*, begun: bool) -> None:
    """Raises StoreError if a search has started already."""
    if begun:
        raise StoreError(
            "The project has already been started by another tuner. Nothing was changed. Create "
            "the tuner again to continue with the trials of that one."
        )


def check_begun(*, begun: bool) -> None:
    """Raises StoreError if no search has started."""
    if not begun:
        raise StoreError("The project is empty: call `begin` before you replace its header.")


def check_finished(trial: Trial) -> None:
    """Raises StoreError if the trial may still change."""
    if not trial.status.finished:
        raise StoreError(
            wrong(
                f"trial {trial.number}",
                "finish needs a completed or failed trial",
                trial.status.value,
                "Use put for an unfinished trial.",
            )
        )


def check_replaceable(number: int, status: str | None) -> None:
    """Raises StoreError if the stored trial has finished; None means that none is stored."""
    if status is not None and Status(status).finished:
        raise StoreError(
            f"Trial {number} is {status}, and a finished trial is never written again. Nothing was "
            "changed. If another tuner wrote it, create this tuner again to continue with the "
            "trials of that one."
        )


def same_end(number: int, ended: int) -> StoreError:
    """The error for two trials with the same place in the order in which trials finished."""
    return StoreError(wrong(f"trial {number}", "its place in `ended` must be free", ended))


def claimed(number: int, owner: str) -> LostLeaseError:
    """The error for a write of a trial that another worker runs."""
    return LostLeaseError(
        f"Trial {number} is being run by another worker, {owner}. Nothing was changed. If this "
        "worker ran it before, its lease ended because it showed no sign of life for too long."
    )
