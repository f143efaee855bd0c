"""Whether a trial that has failed is run again."""

from __future__ import annotations

from afina.trials import Failure, FailureKind, Status, Trial

# Notes of a trial that is run again.
LOST = "lost_worker"  # once, for a worker that died
RETRIES = "retries"  # how often for other reasons; `Trial.retries` reads it

ENDED_AS = "ended_as"
"""The note of a trial that its owner has ended without a score, under a status of his own."""


def counts_as_failure(trial: Trial) -> bool:
    """Whether a finished trial is one of those that end a search when they come in a row."""
    return trial.status is Status.FAILED and ENDED_AS not in trial.notes


def next_chance(trial: Trial, failure: Failure, max_retries: int) -> dict[str, str]:
    """What a trial that is run again notes of it; nothing where it has no chance left.

    Args:
        trial: As it was handed out.
        failure: What it came to.
        max_retries: How often a configuration is run again.
    """
    used = {name: trial.notes[name] for name in (LOST, RETRIES) if name in trial.notes}
    if failure.kind is FailureKind.LOST_WORKER and LOST not in trial.notes:
        # The machine's fault, most likely: neither a retry of the configuration's, nor a reason
        # to train with other draws. Once, for it may have been the configuration's.
        return {**used, LOST: "run again, as the process that trained it had died"}
    if trial.retries < max_retries:
        return {**used, RETRIES: str(trial.retries + 1)}
    return {}
