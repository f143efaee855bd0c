"""What an executor is: it runs jobs as long as somebody hands them out."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Protocol, TypeVar

Job = TypeVar("Job")


class Signal(enum.Enum):
    """What `next_job` answers when it has no job."""

    WAIT = "wait"
    """None now; ask again when a running job has ended."""

    STOP = "stop"
    """None will ever come."""


class Executor(Protocol):
    """Runs jobs until there are none.

    **Every job once.** Each job that `next_job` hands out is passed to `work` exactly once.
    **Nothing swallowed.** What `work` raises ends the run and reaches the caller.
    """

    def run(self, next_job: Callable[[], Job | Signal], work: Callable[[Job], None]) -> None:
        """Returns when `next_job` answers `Signal.STOP` and every job has ended."""
        ...
