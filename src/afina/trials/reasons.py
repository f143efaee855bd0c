"""Sums up why trials failed: each reason once, with its number of trials."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from afina.trials.failures import Failure
from afina.trials.trial import Status, Trial

_MOST = 5  # reasons that are written out
_LONGEST = 300  # characters of one


def reasons_of(failures: Iterable[Failure]) -> list[tuple[Failure, int]]:
    """The distinct reasons and their number of trials, the most frequent first.

    Failures with the same kind and headline have the same reason. The first of them represents it.

    Args:
        failures: The failures of all trials.
    """
    counts: dict[tuple[str, str], list[Failure]] = {}
    for failure in failures:
        counts.setdefault((failure.kind.value, failure.headline), []).append(failure)
    return sorted(((same[0], len(same)) for same in counts.values()), key=lambda pair: -pair[1])


def reasons_in_words(failures: Iterable[Failure]) -> str:
    """One line for each distinct reason, the most frequent first; at most five of them.

    Example:
        >>> from afina.trials import failure_of
        >>> print(reasons_in_words(map(failure_of, [KeyError("x"), ValueError(), KeyError("x")])))
        - KeyError: 'x' (2 trials)
        - ValueError (1 trial)
    """
    reasons = reasons_of(failures)
    lines = [
        f"- {_short(failure.headline)} ({count} trial{'s' * (count != 1)})"
        for failure, count in reasons[:_MOST]
    ]
    if len(reasons) > _MOST:
        others = sum(count for _, count in reasons[_MOST:])
        lines.append(f"- {len(reasons) - _MOST} other reasons ({others} trials)")
    return "\n".join(lines)


def why_none_completed(failures: Sequence[Failure], *, unfinished: int = 0) -> str:
    """Says why a search has no completed trial.

    Args:
        failures: The failures of the failed trials.
        unfinished: The number of trials that are running, or waiting for a retry.

    Example:
        >>> why_none_completed([])
        'No trial has been run yet. Search first.'
    """
    if failures:
        failed = "1 has failed" if len(failures) == 1 else f"{len(failures)} have failed"
        return (
            f"No trial has completed: {failed}.\n{reasons_in_words(failures)}\n"
            "Fix the cause and search again. Failed trials count towards max_trials: raise it, or "
            "start over with overwrite=True."
        )
    if unfinished:
        return f"No trial has completed: {unfinished} not finished yet. Continue the search."
    return "No trial has been run yet. Search first."


def why_no_best(trials: Iterable[Trial]) -> str:
    """`why_none_completed` for all trials of a search."""
    trials = list(trials)
    failed = [trial.failure for trial in trials if trial.status is Status.FAILED and trial.failure]
    return why_none_completed(failed, unfinished=sum(not trial.status.finished for trial in trials))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
