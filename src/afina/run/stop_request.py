"""Whether this process was asked to stop: by Ctrl-C, or by SIGTERM."""

from __future__ import annotations

import signal
from dataclasses import dataclass


@dataclass
class StopRequest:
    """A signal that asks the search of this process to stop, if one has come."""

    number: int | None = None
    """The signal; None before."""

    times: int = 0
    """How many have come."""

    @property
    def is_by_scheduler(self) -> bool:
        """Whether it was SIGTERM, which clusters send some time before they kill."""
        return self.number == getattr(signal, "SIGTERM", None)

    def add(self, number: int) -> None:
        """Records a signal."""
        self.number = number
        self.times += 1

    def clear(self) -> None:
        """Forgets all: the search has stopped."""
        self.number, self.times = None, 0


stop_request = StopRequest()
"""Of this process. `study.stop_signals` sets it; `stopping()` asks it."""
