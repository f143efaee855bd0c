"""What every display promises, and the display that shows nothing."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from afina.progress.events import Event


class Display(Protocol):
    """Shows a search to a person while it runs.

    `handle` is cheap, and any thread may call it. `close` gives the terminal back. Call it even if
    the search raises: use `with` or `finally`. A second call does nothing.
    """

    def handle(self, event: Event) -> None:
        """Shows one event."""
        ...

    def close(self) -> None:
        """Ends the display, and prints what should stay."""
        ...

    def __enter__(self) -> Display: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class SilentDisplay:
    """A display that shows nothing."""

    def handle(self, event: Event) -> None:
        """Shows one event."""

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
