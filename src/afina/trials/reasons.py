"""Why trials failed, all of them together: each reason once, with how many trials it met."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from afina.trials.failures import Failure
from afina.trials.trial import Status, Trial

_MOST = 5  # reasons that are written out
_LONGEST = 300  # characters of one


def reasons_of(failures: Iterable[Failure]) -> list[tuple[Failure, int]]:
    """The distinct reasons, most frequent first, and how many trials each has met.

    Two failures have one reason if kind and headline are the same; the first of them stands for it.

    Args:
        failures: Of all trials, in any order; among equals the first stays first.
    """
    counts: dict[tuple[str, str], list[Failure]] = {}
    for failure in failures:
        counts.setdefault((failure.kind.value, failure.headline), []).append(failure)
    return sorted(((same[0], len(same)) for same in counts.values()), key=lambda pair: -pair[1])


def reasons_in_words(failures: Iterable[Failure]) -> str:
    """One line for each distinct reason, most frequent first; of many the first five.

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
        failures: Of the trials that failed.
        unfinished: How many trials run, or wait to be run again.

    Example:
        >>> why_none_completed([])
        'No trial has been run yet. Search first.'
    """
    if failures:
        failed = "1 has failed" if len(failures) == 1 else f"{len(failures)} have failed"
        return (
            f"No trial has completed: {failed}.\n{reasons_in_words(failures)}\n"
            "Mend the cause and search again. Failed trials count towards max_trials: raise it, or "
            "begin anew with overwrite=True."
        )
    if unfinished:
        return f"No trial has completed: {unfinished} still to end. Search on."
    return "No trial has been run yet. Search first."


def why_no_best(trials: Iterable[Trial]) -> str:
    """`why_none_completed` of a search's trials.

    Args:
        trials: All of them.
    """
    trials = list(trials)
    failed = [trial.failure for trial in trials if trial.status is Status.FAILED and trial.failure]
    return why_none_completed(failed, unfinished=sum(not trial.status.finished for trial in trials))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
