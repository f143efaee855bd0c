"""Where the processes that write one SQLite file wait for one another.

SQLite lets a process that waits sleep for up to 0.1 s before it looks again, so with many processes
the file is idle most of the time. Here the system wakes the next one at once. This is about speed
alone: what keeps two processes from writing at the same moment is SQLite's own lock.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

from afina.store.flock import CAN_SHARE, EXCLUSIVE, try_lock, wait_for_lock


@contextlib.contextmanager
def place_in_line(file: str | Path, patience: float) -> Iterator[None]:
    """Waits until it is this process' turn, and lets the next one in at the end.

    Args:
        file: Any file of the folder that is never replaced, or the folder itself, which is another
            line; without it nobody waits.
        patience: Seconds after which to go on all the same: whoever has the lock may hang.
    """
    held: list[int] = []  # filled at once: Ctrl-C in the wait must not keep the others waiting
    try:
        if CAN_SHARE:
            _take(file, patience, held)
        yield
    finally:
        for each in held:
            os.close(each)


def _take(path: str | Path, patience: float, held: list[int]) -> None:
    try:
        # Opened each time: a forked child must not keep its parent's lock.
        held.append(os.open(path, os.O_RDONLY if os.path.isdir(path) else os.O_RDWR))
    except OSError:
        return
    try:
        if try_lock(held[0], EXCLUSIVE) is not False:
            return
    except OSError:
        os.close(held.pop())
        return
    wait = _LockWait(held[0])
    try:
        wait.over.acquire(timeout=patience)
    finally:
        if not wait.end():
            held.clear()  # the other thread closes it


class _LockWait:
    """The wait for one lock in another thread, as the system's own wait has no limit of time.

    Args:
        file: A descriptor.
    """

    def __init__(self, file: int) -> None:
        self.over = threading.Lock()  # an event, in a tenth of the time
        """Free once the wait is over."""
        self.over.acquire()
        self._file = file
        self._guard = threading.Lock()
        self._wanted = True
        self._locked = False
        (_IDLE.pop() if _IDLE else _Waiter()).asked.put(self)

    def lock(self) -> None:
        """Waits, in the other thread."""
        with contextlib.suppress(OSError):
            wait_for_lock(self._file)
        with self._guard:
            self._locked = True
            self.over.release()
            if not self._wanted:
                os.close(self._file)

    def end(self) -> bool:
        """Whether the file is locked; if not, it is closed as soon as it is."""
        with self._guard:
            self._wanted = self._locked
            return self._wanted


class _Waiter:
    """A thread that waits for one lock after the other: to start one takes longer than to wait."""

    def __init__(self) -> None:
        self.asked: queue.SimpleQueue[_LockWait] = queue.SimpleQueue()
        threading.Thread(target=self._serve, daemon=True, name="afina-line").start()

    def _serve(self) -> None:
        while True:
            self.asked.get().lock()
            _IDLE.append(self)


_IDLE: list[_Waiter] = []
"""Threads that wait for nothing now."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_IDLE.clear)  # the threads are the parent's
