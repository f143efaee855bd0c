"""Calls that are ended after a time, wherever they run: here, or in a worker process.

this process       `TimeLimit` raises in the job's thread
a worker process   `TimeLimit` raises there; if that does not help, the process is ended, and
                   the next call gets a new one
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from afina.run.processes import call, current_pool
from afina.run.threads import worker_index
from afina.run.time_limit import GRACE, TimeLimit, timed_out
from afina.run.worker import remote

PATIENCE = 3 * GRACE
"""Seconds beyond the limit that a process has to end its job by itself."""

BEGUN = "begun"
"""What a worker process asks for when a job begins, after all that it needs was imported."""


class RemoteClock:
    """In the parent: how long a job has been running in a worker process.

    Args:
        seconds: How long it may; None is no limit.
        what: The job, as a sentence's beginning.
    """

    def __init__(self, seconds: float | None, what: str) -> None:
        self.seconds = seconds
        self.what = what
        self._began: float | None = None

    def begin(self) -> None:
        """Starts the clock."""
        self._began = time.monotonic()

    def check(self) -> None:
        """Raises TrialTimeoutError where the job has not ended itself in time."""
        if self.seconds is None or self._began is None:
            return
        ran = time.monotonic() - self._began
        if ran >= self.seconds + PATIENCE:
            raise timed_out(self.what, ran, self.seconds, "Its process was ended.")


def call_within(seconds: float | None, what: str, function: Callable[..., Any], *args: Any) -> Any:
    """Does what `call` does, and ends it after so many seconds.

    Args:
        seconds: How long it may run; None is no limit.
        what: The job, as a sentence's beginning.
        function: What to run.
        args: Its arguments.

    Raises:
        TrialTimeoutError: It ran for too long.
        Exception: As `call`.
    """
    pool = current_pool()
    if pool is None:
        with TimeLimit(seconds, what).running():
            return function(*args)
    if seconds is None:
        return call(function, *args)
    clock = RemoteClock(seconds, what)
    packed = pool.pack(_run_here, seconds, what, function, args)
    return pool.run(worker_index(), packed, serve=lambda name: clock.begin(), check=clock.check)


def _run_here(
    seconds: float, what: str, function: Callable[..., Any], args: tuple[Any, ...]
) -> Any:
    remote(BEGUN)
    with TimeLimit(seconds, what).running():
        return function(*args)
