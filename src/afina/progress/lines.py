"""Lets other people's prints pass above a live display, line by line."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from typing import IO, Any

LONG = 4096  # characters of an unfinished line


class LineGate(io.TextIOBase):
    """Stands for `sys.stdout` or `sys.stderr` while a live display owns the terminal.

    Whole lines pass to `show`. A line that rewrites itself, as progress bars do by a carriage
    return or backspaces, is passed once, in its last form; what is flushed without an end of
    line passes as a line, so that the question of `input` can be read.

    Args:
        file: The stream that this one stands for.
        show: Prints one or more whole lines above the display.
    """

    def __init__(self, file: IO[str], show: Callable[[str], None]) -> None:
        self.file = file
        self._show = show
        self._lock = threading.Lock()
        self._pending = ""
        self._rewrites = False
        self._owner = os.getpid()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, text: str) -> int:
        """Keeps the last, unfinished line and shows the others."""
        if os.getpid() != self._owner:  # a forked child has no display of its own
            return self.file.write(text)
        with self._lock:
            *whole, last = (self._pending + text).split("\n")
            self._rewrites = "\r" in last or "\b" in last
            # Kept as it came, for a backspace may yet follow; but a bar may rewrite for hours.
            self._pending = last if len(last) < LONG else "\r" + rewritten(last)
        if whole:
            self._show("\n".join(rewritten(line) for line in whole))
        return len(text)

    def flush(self) -> None:
        """Shows an unfinished line unless it is one that rewrites itself."""
        if os.getpid() != self._owner:
            self.file.flush()
        elif not self._rewrites:
            self.finish()

    def finish(self) -> None:
        """Shows what is left."""
        with self._lock:
            rest, self._pending, self._rewrites = self._pending, "", False
        if rest.strip():
            self._show(rewritten(rest))

    def isatty(self) -> bool:
        """As the stream behind says."""
        return self.file.isatty()

    def fileno(self) -> int:
        """As the stream behind says."""
        return self.file.fileno()

    def writable(self) -> bool:
        """Always."""
        return True


def rewritten(line: str) -> str:
    r"""A line as it stands after its carriage returns and backspaces.

    Example:
        >>> rewritten(" 10 %\r 90 %\r"), rewritten("loss 10\b\b25")
        (' 90 %', 'loss 25')
    """
    parts = [part for part in line.split("\r") if part.strip("\b")]
    last = parts[-1] if parts else ""
    if "\b" not in last:
        return last
    shown: list[str] = []
    at = 0
    for char in last:
        if char == "\b":
            at = max(at - 1, 0)
        else:
            shown[at : at + 1] = [char]
            at += 1
    return "".join(shown)
