"""What every display is, and the one that shows nothing."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from afina.progress.events import Event


class Display(Protocol):
    """Shows a search to a person while it runs.

    `handle` is cheap and may be called from any thread. `close` gives the terminal back; it may be
    called twice, and must be called when the search raises, too: use `with`, or `finally`.
    """

    def handle(self, event: Event) -> None:
        """Takes one event in."""
        ...

    def close(self) -> None:
        """Ends the display, and leaves what should stay."""
        ...

    def __enter__(self) -> Display: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class SilentDisplay:
    """Shows nothing."""

    def handle(self, event: Event) -> None:
        """Takes one event in."""

    def close(self) -> None:
        """Ends the display."""

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
