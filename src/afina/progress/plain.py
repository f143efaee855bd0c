"""Plain lines for logs and pipes: the text that Keras Tuner prints, which scripts may parse."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import IO

from afina.progress.base import SilentDisplay
from afina.progress.events import (
    EpochEnded,
    Event,
    Message,
    SearchEnded,
    TrialEnded,
    TrialStarted,
)
from afina.progress.search_progress import Ended, SearchProgress
from afina.progress.wording import clock_time, front_line, number, reached, reason
from afina.trials import Objective, Status
from afina.trials.text import printable

WIDTH = 18  # of a column, in characters


class PlainDisplay(SilentDisplay):
    """Prints a table when a trial starts and its score when it ends.

    It prints more than Keras Tuner: why a trial failed, why a search ended before its last trial,
    and, during a long training, an epoch's metrics now and then.

    Args:
        objective: What the scores measure.
        clock: Returns seconds, such as `time.monotonic`.
        stream: Where to print; None for the current `sys.stdout` at the time of each line.
        silence: After this many seconds without output, the next epoch prints a line.
        clear: Called before the end of a trial is printed, to clear a notebook's output.
    """

    def __init__(
        self,
        objective: Objective,
        *,
        clock: Callable[[], float],
        stream: IO[str] | None = None,
        silence: float = 60.0,
        clear: Callable[[], None] | None = None,
    ) -> None:
        self._clock = clock
        self._stream = stream
        self._silence = silence
        self._clear = clear
        self._lock = threading.Lock()
        self._progress = SearchProgress(objective, began=clock())
        self._last_line = clock()

    def handle(self, event: Event) -> None:
        """Prints the lines for the event, if it has any."""
        now = self._clock()
        with self._lock:
            progress = self._progress = self._progress.after(event, now)
            lines = self._lines(event, progress, now)
            if not lines:
                return
            self._last_line = now
            if isinstance(event, TrialEnded) and self._clear is not None:
                self._clear()
            print(
                "\n".join(printable(line, lines=True) for line in lines),
                file=self._stream or sys.stdout,
                flush=True,
            )

    def _lines(self, event: Event, progress: SearchProgress, now: float) -> list[str]:
        match event:
            case TrialStarted():
                return start_lines(replace(event, best_values=None) if progress.several else event)
            case TrialEnded() if progress.last is not None:
                if event.trial.status is Status.WAITING:
                    return retry_lines(event)
                return end_lines(progress, progress.last, now)
            case EpochEnded() if now - self._last_line >= self._silence:
                mine = progress.running.get(event.number) if len(progress.running) > 1 else None
                return [epoch_line(event, None if mine is None else mine.start.label)]
            case SearchEnded() if not _as_announced(event, progress):
                return ["", f"Search ended: {event.reason}."]
            case Message():
                return [event.text]
            case _:
                return []


def _as_announced(event: SearchEnded, progress: SearchProgress) -> bool:
    """Whether the search ended with the last of its `max_trials`: Keras Tuner prints nothing."""
    whole = progress.total is not None and progress.done >= progress.total
    return whole and event.reason.startswith("max_trials=")


def start_lines(event: TrialStarted) -> list[str]:
    """The heading and the table of a trial that starts."""
    lines = ["", f"Search: Running Trial #{event.label}", ""]
    if not event.values:
        return [*lines, "default configuration", ""]
    best = event.best_values or {}
    lines.append(_row("Value", "Best Value So Far", "Hyperparameter"))
    for name, value in event.values.items():
        lines.append(_row(number(value), number(best.get(name, "?")), name))
    return [*lines, ""]


def _row(value: str, best: str, name: str) -> str:
    return f"{_cell(value)}|{_cell(best)}|{printable(name)}"


def _cell(text: str) -> str:
    short = text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."
    return short.ljust(WIDTH)


def retry_lines(event: TrialEnded) -> list[str]:
    """The reason for a failure, and how many retries are left; or that the trial is paused."""
    trial = event.trial
    name = trial.number if event.label is None else event.label
    if trial.failure is None:
        return [f"Trial {name} is paused."]
    announced = f"Trial {name} failed {trial.attempt + 1} times."
    if event.retries_left is not None:
        announced += f" {event.retries_left} retries left."
    return [trial.failure.message.rstrip(), announced]


def end_lines(progress: SearchProgress, ended: Ended, now: float) -> list[str]:
    """The trial's score, or why it has none, and where the search stands."""
    trial, name = ended.trial, progress.objective.name
    lines = ["", f"Trial {ended.label} Complete [{clock_time(ended.seconds)}]"]
    if trial.status is Status.COMPLETED and progress.several:
        lines += [f"{each}: {value}" for each, value in reached(progress.objective, trial)]
    elif trial.status is Status.COMPLETED:
        lines.append(f"{name}: {trial.score}")
    else:
        kind = trial.failure.kind.value if trial.failure else "error"
        lines.append(f"failed ({kind}): {reason(trial.failure)}")
        if trial.failure and "\n" in trial.failure.message.strip():
            lines.insert(0, trial.failure.message.rstrip())
    best = f"Best {name} So Far: {progress.best}"
    if progress.several:
        best = front_line(progress)
        best = best[0].upper() + best[1:]
    lines += ["", best]
    return [*lines, f"Total elapsed time: {clock_time(progress.elapsed(now))}"]


def epoch_line(event: EpochEnded, label: str | None = None) -> str:
    """One epoch's metrics; with the trial's label, if one is given."""
    of = f"/{event.epochs}" if event.epochs else ""
    metrics = " - ".join(f"{name}: {value:.4g}" for name, value in event.metrics.items())
    whose = "" if label is None else f"Trial {label}: "
    return f"{whose}Epoch {event.epoch + 1}{of} - {metrics}"
