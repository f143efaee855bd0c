"""Prints the output of user code above a live display, line by line."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from typing import IO, Any

LONG = 4096  # characters of an unfinished line


class LineGate(io.TextIOBase):
    """Replaces `sys.stdout` or `sys.stderr` while a live display owns the terminal.

    It passes whole lines to `show`. A line that rewrites itself by carriage returns or backspaces,
    as progress bars do, is passed once, in its last form. A flush passes an unfinished line, so
    that the prompt of `input` can be read.

    Args:
        file: The stream to replace.
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
            # Kept unchanged: a backspace may follow. Shortened if long: a bar may run for hours.
            self._pending = last if len(last) < LONG else "\r" + rewritten(last)
        if whole:
            self._show("\n".join(rewritten(line) for line in whole))
        return len(text)

    def flush(self) -> None:
        """Shows an unfinished line, unless the line rewrites itself."""
        if os.getpid() != self._owner:
            self.file.flush()
        elif not self._rewrites:
            self.finish()

    def finish(self) -> None:
        """Shows the last, unfinished line."""
        with self._lock:
            rest, self._pending, self._rewrites = self._pending, "", False
        if rest.strip():
            self._show(rewritten(rest))

    def isatty(self) -> bool:
        """Whether the replaced stream is a terminal."""
        return self.file.isatty()

    def fileno(self) -> int:
        """The file descriptor of the replaced stream."""
        return self.file.fileno()

    def writable(self) -> bool:
        """True: text can be written to it."""
        return True


def rewritten(line: str) -> str:
    r"""A line as it looks after its carriage returns and backspaces.

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
