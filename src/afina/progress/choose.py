"""Chooses the display that fits where the process runs."""

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
        verbose: As `model.fit` takes it. 0 shows nothing. "auto" shows a live display on a
            terminal, one block that is drawn in place in a notebook, and lines elsewhere. 1 and 2
            give lines everywhere, because Keras' own progress bar then needs the terminal.
        objective: What the scores measure; None for a number to minimize.
        clock: Seconds that only grow; tests pass their own.
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
    """Whether `sys.stdout` is a terminal that can move its cursor and write all characters."""
    stream = sys.stdout
    if stream is None or not stream.isatty():
        return False
    if not str(stream.encoding or "").lower().startswith("utf"):
        return False
    return os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
