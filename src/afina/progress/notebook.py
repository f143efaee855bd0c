"""The display of a notebook: one output that is redrawn in place."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable
from typing import Any

from afina.progress.base import SilentDisplay
from afina.progress.events import Event, Message, SearchEnded, SearchStarted, TrialEnded
from afina.progress.search_progress import Running, SearchProgress
from afina.progress.wording import (
    duration,
    epoch_of,
    front_line,
    number,
    plural,
    reason,
    running_trials,
    time_left,
)
from afina.trials import Objective
from afina.trials.text import markup

FAILURES_SHOWN = 5
COLUMNS = 4  # running trials whose hyperparameters are shown side by side


def running_in_notebook() -> bool:
    """Whether the process is a kernel that shows rich output: Jupyter, VS Code, Colab, Kaggle."""
    ipython = sys.modules.get("IPython")  # a kernel has loaded it already
    get_shell = getattr(ipython, "get_ipython", None)
    shell = get_shell() if get_shell is not None else None
    kind = type(shell)
    return kind.__name__ == "ZMQInteractiveShell" or kind.__module__.startswith("google.colab")


def clear_notebook_output() -> None:
    """Clears the cell's output when the next output comes."""
    importlib.import_module("IPython.display").clear_output(wait=True)


class NotebookDisplay(SilentDisplay):
    """Shows one block of HTML and replaces it as the search runs.

    Args:
        objective: What the scores measure.
        clock: Returns seconds, such as `time.monotonic`.
        pause: Seconds between two drawings; each drawing is a message to the browser.
    """

    def __init__(
        self, objective: Objective, *, clock: Callable[[], float], pause: float = 0.5
    ) -> None:
        self._clock = clock
        self._pause = pause
        self._progress = SearchProgress(objective, began=clock())
        self._lock = threading.Lock()
        self._notes: list[str] = []
        self._handle: Any = None
        self._drawn = -float("inf")
        self._stale = False

    def handle(self, event: Event) -> None:
        """Updates the progress, and redraws it if the last drawing is old enough."""
        now = self._clock()
        with self._lock:
            progress = self._progress = self._progress.after(event, now)
            self._stale = True
            if isinstance(event, Message):
                self._notes.append(event.text)
            elif isinstance(event, TrialEnded) and event.trial.failure is not None:
                label = progress.last.label if progress.last else str(event.trial.number)
                self._notes.append(f"trial {label} failed: {reason(event.trial.failure)}")
            at_once = isinstance(event, SearchStarted | SearchEnded)
            if at_once or now - self._drawn >= self._pause:
                self._show(now)

    def close(self) -> None:
        """Draws the block for the last time."""
        with self._lock:
            if self._stale:
                self._show(self._clock())

    def _show(self, now: float) -> None:
        self._drawn, self._stale = now, False
        ipython = importlib.import_module("IPython.display")
        drawing = ipython.HTML(draw_html(self._progress, self._notes, now))
        if self._handle is None:
            self._handle = ipython.display(drawing, display_id=True)
        else:
            self._handle.update(drawing)


def draw_html(progress: SearchProgress, notes: list[str], now: float) -> str:
    """Draws the block as HTML. The page chooses the colours, light or dark.

    Args:
        progress: What to draw.
        notes: Lines for below the drawing, the newest last; only the newest few are shown.
        now: Seconds on the display's clock.
    """
    parts = [_head(progress, now)]
    if progress.total:
        parts.append(_bar(progress.done, progress.total, "100%"))
    parts.append(_standing(progress))
    parts.append(_table(progress))
    parts += [_epochs(progress, running) for running in progress.running.values()]
    parts += [f'<div style="opacity:.7">{markup(note)}</div>' for note in notes[-FAILURES_SHOWN:]]
    return (
        '<div style="max-width:44em;line-height:1.6;font-variant-numeric:tabular-nums">'
        + "".join(parts)
        + "</div>"
    )


def _head(progress: SearchProgress, now: float) -> str:
    labels = [running.start.label for running in progress.running.values()]
    if progress.reason is not None:
        left = f"Search ended: {progress.reason}, {plural(progress.done, 'trial')} finished"
    elif labels:
        left = f"Search: {running_trials(labels, progress.done, progress.total)}"
    else:
        left = "Search"
    right = duration(progress.elapsed(now))
    remaining = progress.seconds_left(now) if progress.reason is None else None
    if remaining is not None:
        right += f" · {time_left(remaining)}"
    return (
        '<div style="display:flex;justify-content:space-between">'
        f"<b>{markup(left)}</b><span>{markup(right)}</span></div>"
    )


def _bar(done: int, total: int, width: str) -> str:
    return f'<progress value="{min(done, total)}" max="{total}" style="width:{width}"></progress>'


def _standing(progress: SearchProgress) -> str:
    if progress.several:
        failed = f" · {progress.failed} failed" if progress.failed else ""
        return f"<div>{markup(front_line(progress))}{failed}</div>"
    name = markup(progress.objective.name)
    best = "no score yet" if progress.best is None else f"best <b>{number(progress.best)}</b>"
    label = progress.best_label
    where = f" in trial {markup(label)}" if label is not None else ""
    failed = f" · {progress.failed} failed" if progress.failed else ""
    return f"<div>{name}: {best}{where}{failed}</div>"


def _table(progress: SearchProgress) -> str:
    """The hyperparameters of the running trials; of the best trial if none is running."""
    best = dict(progress.best_values or {})
    shown = progress.newest(COLUMNS)
    columns = [f"trial {running.start.label}" for running in shown] if len(shown) > 1 else ["now"]
    heads = ["hyperparameter", *columns, "best so far"] if shown else ["hyperparameter", "best"]
    names = dict.fromkeys(name for running in shown for name in running.values) if shown else best
    if not names:
        return ""
    head = "".join(f'<th style="text-align:left">{markup(each)}</th>' for each in heads)
    rows = []
    for name in names:
        known = [*(running.values for running in shown), best]
        cells = [name, *(number(values.get(name, "-")) for values in known)]
        row = "".join(f'<td style="text-align:left">{markup(cell)}</td>' for cell in cells)
        rows.append(f"<tr>{row}</tr>")
    return f'<table style="margin:.4em 0"><tr>{head}</tr>{"".join(rows)}</table>'


def _epochs(progress: SearchProgress, running: Running) -> str:
    several = len(progress.running) > 1
    label = markup(f"trial {running.start.label}, ") if several else ""
    if running.epoch is None:
        return f"<div>{label}{epoch_of(running)}</div>"
    done, epochs = running.epoch.epoch + 1, running.epochs
    bar = f" {_bar(done, epochs, '12em')}" if epochs else ""
    metrics = " &nbsp; ".join(
        f"{markup(name)} {number(value, 4)}" for name, value in running.epoch.metrics.items()
    )
    between = " &nbsp; " if several else "</div><div>"
    return f"<div>{label}{epoch_of(running)}{bar}{between}{metrics}</div>"
