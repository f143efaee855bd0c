"""Plain lines, for logs and pipes: the text that Keras Tuner's users and their scripts know."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import IO

from afina.progress.base import SilentDisplay
from afina.progress.board import Board, Ended
from afina.progress.events import (
    EpochEnded,
    Event,
    Message,
    SearchEnded,
    TrialEnded,
    TrialStarted,
)
from afina.progress.fronts import front_line, reached
from afina.progress.wording import clock_time, number, reason
from afina.trials import Objective, Status
from afina.trials.text import printable

WIDTH = 18  # of a column, in characters


class PlainDisplay(SilentDisplay):
    """Prints a table when a trial begins and its score when it ends.

    Beyond Keras Tuner's text it says why a trial failed, why a search ended before its last
    trial, and, for trials that train long and silently, an epoch's metrics now and then.

    Args:
        objective: What the scores measure.
        clock: Seconds, as `time.monotonic`.
        stream: Where to print; None is `sys.stdout` as it is at the time of each line.
        silence: Seconds without a line after which an epoch is worth one.
        clear: Called before a trial's end is printed: empties a notebook's output.
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
        self._board = Board(objective, began=clock())
        self._last_line = clock()

    def handle(self, event: Event) -> None:
        """Prints what the event is worth."""
        now = self._clock()
        with self._lock:
            board = self._board = self._board.after(event, now)
            lines = self._lines(event, board, now)
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

    def _lines(self, event: Event, board: Board, now: float) -> list[str]:
        match event:
            case TrialStarted():
                return start_lines(replace(event, best_values=None) if board.several else event)
            case TrialEnded() if board.last is not None:
                if event.trial.status is Status.WAITING:
                    return retry_lines(event)
                return end_lines(board, board.last, now)
            case EpochEnded() if now - self._last_line >= self._silence:
                mine = board.running.get(event.number) if len(board.running) > 1 else None
                return [epoch_line(event, None if mine is None else mine.start.label)]
            case SearchEnded() if board.total is None or board.done < board.total:
                return ["", f"Search ended: {event.reason}."]
            case Message():
                return [event.text]
            case _:
                return []


def start_lines(event: TrialStarted) -> list[str]:
    """The head and the table of a trial that begins."""
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
    """The reason of a failure, and what is left to try."""
    trial = event.trial
    name = trial.number if event.label is None else event.label
    announced = f"Trial {name} failed {trial.attempt + 1} times."
    if event.retries_left is not None:
        announced += f" {event.retries_left} retries left."
    return [trial.failure.message.rstrip(), announced] if trial.failure else [announced]


def end_lines(board: Board, ended: Ended, now: float) -> list[str]:
    """The score of a trial, or why it has none, and where the search stands."""
    trial, name = ended.trial, board.objective.name
    lines = ["", f"Trial {ended.label} Complete [{clock_time(ended.seconds)}]"]
    if trial.status is Status.COMPLETED and board.several:
        lines += [f"{each}: {value}" for each, value in reached(board.objective, trial)]
    elif trial.status is Status.COMPLETED:
        lines.append(f"{name}: {trial.score}")
    else:
        kind = trial.failure.kind.value if trial.failure else "error"
        lines.append(f"failed ({kind}): {reason(trial.failure)}")
        if trial.failure and "\n" in trial.failure.message.strip():
            lines.insert(0, trial.failure.message.rstrip())
    best = f"Best {name} So Far: {board.best}"
    if board.several:
        best = front_line(board)
        best = best[0].upper() + best[1:]
    lines += ["", best]
    return [*lines, f"Total elapsed time: {clock_time(board.elapsed(now))}"]


def epoch_line(event: EpochEnded, label: str | None = None) -> str:
    """One epoch's metrics; the trial's label is told where several trials run."""
    of = f"/{event.epochs}" if event.epochs else ""
    metrics = " - ".join(f"{name}: {value:.4g}" for name, value in event.metrics.items())
    whose = "" if label is None else f"Trial {label}: "
    return f"{whose}Epoch {event.epoch + 1}{of} - {metrics}"
