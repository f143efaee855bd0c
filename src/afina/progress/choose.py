"""Chooses the display: for a terminal, a notebook, or a log file."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from afina.progress.base import Display, SilentDisplay
from afina.progress.notebook import (
    NotebookDisplay,
    clear_notebook_output,
    running_in_notebook,
)
from afina.progress.plain import PlainDisplay
from afina.trials import Objective


def create_display(
    verbose: Any = "auto",
    objective: Objective | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Display:
    """The display for this process and this verbosity.

    Args:
        verbose: The same values as for `model.fit`. "auto" shows a live display on a terminal, one
            block that is redrawn in place in a notebook, and lines elsewhere. 1 and 2 print lines
            everywhere, because Keras' own progress bar then needs the terminal. 0 shows nothing.
        objective: What the scores measure; None for a number to minimize.
        clock: Returns seconds, such as `time.monotonic`; tests pass their own.
    """
    goal = objective if objective is not None else Objective("default_objective", "min")
    if verbose in (0, None, "0"):
        return SilentDisplay()
    notebook = running_in_notebook()
    if verbose != "auto":
        return PlainDisplay(goal, clock=clock, clear=clear_notebook_output if notebook else None)
    if notebook:
        return NotebookDisplay(goal, clock=clock)
    if on_terminal():
        from afina.progress.live import LiveDisplay  # loads Rich

        return LiveDisplay(goal, clock=clock)
    return PlainDisplay(goal, clock=clock)


def on_terminal() -> bool:
    """Whether `sys.stdout` is a terminal that can move its cursor and print Unicode."""
    stream = sys.stdout
    if stream is None or not stream.isatty():
        return False
    if not str(stream.encoding or "").lower().startswith("utf"):
        return False
    return os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
