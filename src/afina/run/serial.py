"""One job after the other, in the caller's own thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from afina.run.base import Signal

Job = TypeVar("Job")


@dataclass(frozen=True)
class Serial:
    """Runs jobs one by one.

    Args:
        first_pause: Seconds to sleep on WAIT. No job of this run is running then, so nothing here
            can end the wait: the pause doubles each time, up to `longest_pause`.
        longest_pause: Seconds, upper bound of a pause.
        sleep: How to wait; tests pass their own.
    """

    first_pause: float = 0.01
    longest_pause: float = 1.0
    sleep: Callable[[float], None] = time.sleep

    def run(self, next_job: Callable[[], Job | Signal], work: Callable[[Job], None]) -> None:
        """Returns when `next_job` answers `Signal.STOP`."""
        pause = self.first_pause
        while (job := next_job()) is not Signal.STOP:
            if isinstance(job, Signal):
                self.sleep(pause)
                pause = min(2 * pause, self.longest_pause)
                continue
            pause = self.first_pause
            work(job)
