"""What becomes of the trials whose worker is gone: they wait to be run again, or have failed.

A worker that left in peace is no reason to count anything. One that died may have been killed by
its trial; see `study.retries`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

from afina.store import Changes
from afina.study.known import KnownTrials
from afina.study.retries import count_death, failure_of_deaths, news_of
from afina.study.sharing import Loss
from afina.trials import Report, Status, Trial


def settle_lost(
    known: KnownTrials,
    rewrite: Callable[[Trial, Callable[[], bool]], Trial | None],
    max_retries: int,
    history: Callable[[int], Sequence[Report]],
) -> bool:
    """Writes what becomes of all lost trials, and warns of it.

    Args:
        known: The trials; the lost ones are settled afterwards.
        rewrite: Writes a trial if a question is answered by yes in its turn; see `SearchState`.
        max_retries: How often a failed trial is run again.
        history: The reports of a trial's last run, by its number.

    Returns:
        Whether some of them are given up.
    """
    by_worker: dict[Loss, list[int]] = {}
    for number, loss in sorted(known.lost.items()):
        by_worker.setdefault(loss, []).append(number)
    again: list[Trial] = []
    given_up: list[Trial] = []
    for loss, numbers in by_worker.items():
        for number in numbers:
            if number not in known.lost:
                continue  # another worker was quicker to settle it
            trial = known.open[number]
            if loss.died:
                far, others = len(history(number)), len(numbers) > 1
                trial = replace(trial, notes=count_death(trial, far, with_others=others))
                failure = failure_of_deaths(trial, known.all.values(), max_retries)
                if failure is not None:
                    trial = replace(trial, status=Status.FAILED, failure=failure)
            settled = rewrite(trial, lambda number=number: number in known.lost)  # type: ignore[misc]
            if settled is None and number in known.lost:
                known.found(number)  # its worker hung, and has shown life again just now
            known.lost.pop(number, None)
            if settled is not None and loss.died:
                (given_up if settled.status.finished else again).append(settled)
    if again or given_up:
        warnings.warn(news_of(again, given_up), stacklevel=5)
    return bool(given_up)


def write_missing(known: KnownTrials, there: Changes, put: Callable[[Trial], None]) -> None:
    """Writes open trials anew that the store does not know any more.

    A database server that crashes may lose the beginning of a trial, though never a result. Trials
    of other workers wait to be run again, as a search needs all of its numbers.

    Args:
        known: The trials.
        there: All that the store has.
        put: Writes an open trial, within a turn.
    """
    kept = {trial.number for trial in there.trials}
    for number, trial in sorted(known.open.items()):
        if number in kept:
            continue
        if number in known.mine:
            put(trial)
        else:
            waiting = replace(trial, status=Status.WAITING)
            put(waiting)
            known.put_back(waiting)
