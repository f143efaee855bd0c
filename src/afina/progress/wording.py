"""How numbers, times, reasons and fronts are written for people."""

from __future__ import annotations

import math
from collections.abc import Sequence

from afina.progress.search_progress import Running, SearchProgress
from afina.trials import Failure, MultiObjective, Objective, Trial
from afina.trials.text import printable

LISTED = 4  # more trials than this, and only their number is written


def number(value: object, digits: int = 5) -> str:
    """Writes a float with few digits; whole numbers, texts and booleans unchanged.

    Example:
        >>> number(0.123456789), number(100000), number(True)
        ('0.12346', '100000', 'True')
    """
    return f"{value:.{digits}g}" if isinstance(value, float) else printable(str(value))


def clock_time(seconds: float) -> str:
    """Writes a time as Keras Tuner prints it.

    Example:
        >>> clock_time(3725.9)
        '01h 02m 05s'
        >>> clock_time(90000)
        '1d 01h 00m 00s'
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days}d " if days else "") + f"{hours:02d}h {minutes:02d}m {rest:02d}s"


def duration(seconds: float) -> str:
    """Writes a time in its two largest units.

    Example:
        >>> duration(0.42), duration(72), duration(7500)
        ('0.4 s', '1 min 12 s', '2 h 5 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{int(seconds)} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    hours, minutes = divmod(int(seconds // 60), 60)
    return f"{hours} h {minutes} min"


def time_left(seconds: float) -> str:
    """Writes an estimated time, coarsely enough that it does not flicker.

    Example:
        >>> time_left(20), time_left(200), time_left(7300)
        ('less than a minute left', 'about 4 min left', 'about 2 h left')
    """
    if seconds < 60:
        return "less than a minute left"
    minutes = math.ceil(seconds / 60)
    if minutes < 100:
        return f"about {minutes} min left"
    hours = round(minutes / 60)
    return f"about {hours} h left" if hours < 48 else f"about {round(hours / 24)} days left"


def reason(failure: Failure | None) -> str:
    """The most informative line of a failure.

    Example:
        >>> from afina.trials import FailureKind
        >>> reason(Failure(FailureKind.ERROR, "Traceback ...\\nValueError: no"))
        'ValueError: no'
    """
    if failure is None:
        return "no reason is known"
    return printable(failure.headline)


def running_trials(labels: Sequence[str], done: int, total: int | None) -> str:
    """Writes which trials are running, and how many have finished.

    Example:
        >>> running_trials(["2"], 2, 30), running_trials(["3", "5"], 4, None)
        ('trial 2, 2 of 30 done', 'trials 3 and 5')
        >>> running_trials("345678", 3, 30)
        '6 trials, the newest 8, 3 of 30 done'
    """
    of = f", {done} of {total} done" if total else ""
    if not labels:
        return ""
    *others, last = labels
    if not others:
        return f"trial {last}{of}"
    if len(others) < LISTED:
        return f"trials {', '.join(others)} and {last}{of}"
    return f"{len(labels)} trials, the newest {last}{of}"


def epoch_of(running: Running, *, short: bool = False) -> str:
    """Writes which epoch a trial has reached. Before its first one it builds and compiles.

    Args:
        running: The trial.
        short: Whether to leave out which epoch follows.
    """
    of = f" of {running.epochs}" if running.epochs else ""
    if running.epoch is not None:
        return f"epoch {running.epoch.epoch + 1}{of}"
    if not running.epochs:
        return "running"
    if short:
        return "compiling"
    plan = running.start.trial.schedule
    first = 1 if plan is None else plan.start_epoch + 1
    return f"compiling, then epoch {first}{of}"


def plural(count: int, noun: str) -> str:
    """Writes a count with its noun.

    Example:
        >>> plural(1, "trial"), plural(2, "trial")
        ('1 trial', '2 trials')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def reached(objective: Objective, trial: Trial) -> list[tuple[str, float]]:
    """A completed trial's value in each of several objectives; empty if one is missing."""
    if not isinstance(objective, MultiObjective) or not objective.losses(trial.metrics):
        return []
    return [(part.name, part.get_value(trial.metrics)) for part in objective.objectives]


def front_line(progress: SearchProgress) -> str:
    """Writes the front in one line: how many trials, and the best value in each objective."""
    if not isinstance(progress.objective, MultiObjective) or not progress.front:
        return "no trial on the Pareto front yet"
    count = len(progress.front)
    said = [f"{count} {'trial' if count == 1 else 'trials'} on the Pareto front"]
    for part in progress.objective.objectives:
        rows = [(part.get_value(each.trial.metrics), each.label) for each in progress.front]
        value, label = min(rows, key=lambda row, part=part: part.loss(row[0]))  # type: ignore[misc]
        said.append(f"best {part.name} {number(value)} (trial {label})")
    return ", ".join(said)
