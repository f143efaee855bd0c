"""Warnings of Keras' that each build of a model repeats, shown once a search."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()


class KerasWarnings:
    """Remembers which of Keras' warnings have been shown.

    A search builds one model after the other by the same lines. Python would show each warning once
    a line, but forgets what it has shown whenever a filter is set, as Keras' parts and Afina's do.
    What a filter turns into an error stays one, and warnings that others issue are left alone.

    Example:
        >>> with KerasWarnings().once():
        ...     pass
    """

    def __init__(self) -> None:
        self.shown: set[tuple[str, str, str, int]] = set()
        """Text, category, file and line of each."""

    @contextmanager
    def once(self) -> Iterator[None]:
        """Within the block, a warning that Keras issues again with the same text at the same place
        is not shown again."""
        before = warnings.showwarning

        def show(
            message: Any, category: Any, filename: Any, lineno: Any, *args: Any, **kwargs: Any
        ) -> None:
            if _is_by_keras():
                key = str(message), category.__name__, str(filename), int(lineno)
                with _lock:
                    if key in self.shown:
                        return
                    self.shown.add(key)
            before(message, category, filename, lineno, *args, **kwargs)

        warnings.showwarning = show
        try:
            yield
        finally:
            if warnings.showwarning is show:
                warnings.showwarning = before


def _is_by_keras() -> bool:
    """Whether the code that issues the warning at hand is Keras' own."""
    frame: Any = sys._getframe(2)
    while frame is not None and _home(frame) in ("warnings", "_py_warnings", __name__):
        frame = frame.f_back
    return frame is not None and _home(frame).partition(".")[0] == "keras"


def _home(frame: Any) -> str:
    return str(frame.f_globals.get("__name__", ""))
