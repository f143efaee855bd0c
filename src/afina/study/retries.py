"""Whether a trial that has failed, or whose process died, is run again.

A failed trial has `max_retries` chances more; one whose worker process died has one besides.

A configuration can kill the process that trains it: memory runs out, compiled code crashes. The
next start finds its trial running, and no result. It is run again, for the process may have been
killed from outside; with `LIMIT` deaths it has failed. Where several trials were running, none is
blamed. Whatever has died is run again while no other trial runs, so that the next death tells more.

    died with others  ->  again, alone  ->  died: 1  ->  again, alone  ->  died: 2  ->  ...  failed

Its last chance comes when there is nothing else to do. So a trial that kills its process does not
keep the others from ending, and whoever kills processes from outside shows himself: the others die
too, and end well later. Then a trial has more chances. This is for one trial at a time, the first:
where every trial kills its process, the search must come to its end.

A death counts only if the trial came no further than at the death before. A long trial that is
killed from outside now and then, and continues each time, is therefore never given up. One that
kills its process is: it cannot come further each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from afina.trials import Failure, FailureKind, Report, Status, Trial
from afina.trials.trial import BOOSTED, PRIOR, QUEUED, USER_ATTR

LOST = "lost_worker"
"""The note of a trial that is run again because its worker process died; once only."""

RETRIES = "retries"
"""The note of a trial that says how often it was run again for other reasons."""

ENDED_AS = "ended_as"
"""The note of a trial that its owner has ended without a score, under a status of his own."""

DEATHS = "deaths"
"""Note of a trial whose process died: how often while no other trial was running."""

FAR = "died_after"
"""Note of a trial whose process died: how many epochs it had reported by then."""

LIMIT = 3
"""Deaths with which a trial has failed, where `max_retries` does not allow more."""

_DOUBT = 3  # deaths more, at most, where it looks as if somebody kills the process from outside


def counts_as_failure(trial: Trial) -> bool:
    """Whether a finished trial is one of those that end a search when they come in a row."""
    return trial.status is Status.FAILED and ENDED_AS not in trial.notes


def next_chance(
    trial: Trial, failure: Failure, max_retries: int, history: Sequence[Report]
) -> dict[str, str]:
    """What a trial that is run again notes of it; nothing where it has no chance left.

    Args:
        trial: As it was handed out.
        failure: What it came to.
        max_retries: How often a configuration is run again.
        history: Its reports.
    """
    far = len(history)
    used = {name: trial.notes[name] for name in (LOST, RETRIES) if name in trial.notes}
    lost = failure.kind is FailureKind.LOST_WORKER
    if lost and (LOST not in trial.notes or _came_further(trial, far)):
        # The machine's fault, most likely: neither a retry of the configuration's, nor a reason
        # to train with other draws. Once, for it may have been the configuration's; and again if
        # it came further this time.
        again = {LOST: "run again, as the process that trained it had died"}
        return {**used, **again, **_noted(far)}
    if trial.retries < max_retries:
        return {**used, RETRIES: str(trial.retries + 1)}
    return {}


# -- deaths of the process that searches ----------------------------------------------------------


def must_run_alone(trial: Trial) -> bool:
    """Whether no other trial may run while this one does."""
    return DEATHS in trial.notes


def comes_last(trial: Trial) -> bool:
    """Whether a trial that died has one chance left, which can wait until the others have ended.

    Args:
        trial: One that waits to be run again.
    """
    return _deaths(trial) >= LIMIT - 1


def run_again(trial: Trial) -> Trial:
    """A trial that waits, as it is handed out again."""
    return replace(trial, status=Status.RUNNING, attempt=trial.attempt + 1)


def kept_notes(trial: Trial) -> dict[str, str]:
    """The notes that a trial keeps, however it ends."""
    kept = (DEATHS, FAR, QUEUED, BOOSTED, PRIOR)
    notes = trial.notes.items()
    return {name: text for name, text in notes if name in kept or name.startswith(USER_ATTR)}


def count_death(trial: Trial, far: int, *, with_others: bool) -> dict[str, str]:
    """The notes of a trial that has died once more.

    Args:
        trial: As it ran.
        far: How many epochs this run of it had reported.
        with_others: Whether its process was running other trials too.
    """
    counts = not with_others and not _came_further(trial, far)
    kept = {name: text for name, text in trial.notes.items() if name != FAR}
    return {**kept, DEATHS: str(_deaths(trial) + counts), **_noted(far)}


def failure_of_deaths(trial: Trial, trials: Iterable[Trial], max_retries: int) -> Failure | None:
    """Why a trial that has died is not run again; None if it is.

    Args:
        trial: Its death is counted already.
        trials: All of the search. Those that died and have been completed since were not to
            blame, so that somebody else must have killed them: a reason to be patient.
        max_retries: How often a failed trial is run again.
    """
    deaths = _deaths(trial)
    innocent = sum(_deaths(each) for each in trials if each.status is Status.COMPLETED)
    if deaths < max(LIMIT, max_retries + 1) + min(innocent, _DOUBT):
        return None
    return Failure(
        FailureKind.LOST_WORKER,
        f"The process of the search died {deaths} times while it ran this trial alone, and the "
        "trial came no further: killed, as the system does when memory runs out, or crashed in "
        "compiled code. Leave such configurations out of the space, or make room for them. If "
        "something else ends the process that often, save trials more often: checkpoint_every=60.",
    )


def news_of(again: Sequence[Trial], given_up: Sequence[Trial]) -> str:
    """The warning at the next start."""
    sentences = ["The process that searched here before died while it ran"]
    sentences[0] += f" {_named([*again, *given_up])}."
    if given_up:
        sentences.append(f"Given up, as it has died too often: {_named(given_up)}.")
    if again:
        sentences.append(
            f"Run again, one at a time: {_named(again)}. A trial with which the process dies "
            f"again and again, no further than before, has failed after {LIMIT} times, and the "
            "search goes on."
        )
    return " ".join(sentences)


def _came_further(trial: Trial, far: int) -> bool:
    """Whether a trial came further than when it died before."""
    died_before = DEATHS in trial.notes or LOST in trial.notes
    return died_before and far > int(trial.notes.get(FAR, 0))


def _noted(far: int) -> dict[str, str]:
    return {FAR: str(far)} if far else {}


def _deaths(trial: Trial) -> int:
    return int(trial.notes.get(DEATHS, 0))


def _named(trials: Sequence[Trial]) -> str:
    numbers = [str(trial.number) for trial in trials]
    shown = numbers if len(numbers) <= 8 else [*numbers[:7], f"{len(numbers) - 7} more"]
    return f"trial{'s' * (len(numbers) > 1)} " + " and ".join(
        part for part in (", ".join(shown[:-1]), shown[-1]) if part
    )
