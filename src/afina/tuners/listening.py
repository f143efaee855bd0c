"""`listeners=` of a tuner: what its display is shown, they are told."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from afina.progress import Display, EpochEnded, TrialEnded, TrialStarted
from afina.study.listeners import Telling


class HeardDisplay:
    """A display whose events go to the listeners of the search, too.

    Worker processes send their events to the display of the search's own process, so listeners
    hear of all trials, wherever they run.

    Args:
        display: Shows the events.
        telling: Tells the listeners.
    """

    def __init__(self, display: Display, telling: Telling) -> None:
        self.display = display
        self.telling = telling

    def handle(self, event: Any) -> None:
        """Shows one event, and tells it."""
        self.display.handle(event)
        if isinstance(event, TrialStarted):
            self.telling.begun(event.trial)
        elif isinstance(event, EpochEnded):
            self.telling.reported(event.number, event.metrics, event.epoch, event.execution)
        elif isinstance(event, TrialEnded):
            self.telling.ended(event.trial)

    def close(self) -> None:
        """Ends the display, then waits for the listeners."""
        self.display.close()
        self.telling.close()

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
