"""The right to write a project: within this process, one store at a time has it.

People make a second tuner on a project while the first still exists: that is how they reload a
search. So within a process nothing is refused. The newer store takes the writer lock, and the next
write of the older one raises an error. This process' share of the project (`ProjectLock`) and its
sign of life (`WorkerFile`) are held throughout.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from afina.errors import ProjectLockedError, StoreError
from afina.store.lock import ProjectLock
from afina.store.presence import WorkerFile


class Writer(Protocol):
    """What holds the lock: an open connection to the project's files."""

    def close(self) -> None:
        """Writes what is buffered, and closes the files."""
        ...

    def drop(self) -> None:
        """Closes the files without writing: the project will be deleted."""
        ...


W = TypeVar("W", bound=Writer)


class WriterLock:
    """This process's right to write one project.

    Args:
        folder: The project's folder, its real path.
        label: Names one of several workers within this process; "" for the process itself.
    """

    def __init__(self, folder: Path, label: str = "") -> None:
        self.folder = folder
        self.presence = WorkerFile(folder, label)
        """The sign that this worker is alive."""
        self.guard = threading.RLock()
        """Hold it for every use of `writer`."""
        self.writer: Writer | None = None
        self.turn = 0
        """Goes up with each new writer, so that a store notices that another one took over."""
        self.beats = 0
        """How many signs of life this worker has given."""
        self._lock = ProjectLock(folder)
        self._orphans: list[Writer] = []

    @property
    def alone(self) -> bool:
        """Whether no other process can write now."""
        return self._lock.alone

    def take(self, last: int | None, make: Callable[[], W], *, alone: bool = False) -> W:
        """Gives the lock to a new writer; the previous one writes its buffer and closes.

        Args:
            last: The turn of the caller's previous writer; None for its first.
            make: Opens the writer, once the lock is held.
            alone: Whether no other process may be writing.

        Raises:
            StoreError: Another store has taken the lock since `last`.
            ProjectLockedError: Another process keeps the project, or a process of another machine
                writes it.
        """
        with self.guard:
            if last is not None and last != self.turn:
                raise StoreError(
                    f"A newer tuner in this process now writes the project {str(self.folder)!r}. "
                    "Nothing was changed. Use the newer tuner, or create another one: it will "
                    "know all trials."
                )
            self._close_writer()
            if alone:
                self._lock.take_alone()
            elif not self._lock.held:
                self._lock.take()
            try:
                self._check_machine()
                self.presence.take()
                writer = make()
                self._lock.share()
            except BaseException:
                self.presence.release()
                self._lock.release()
                raise
            self.writer = writer
            self.turn += 1
            return writer

    def release(self) -> None:
        """Closes the writer, and lets other processes write."""
        with self.guard:
            writer, self.writer = self.writer, None
            try:
                if writer is not None:
                    writer.close()
            finally:
                self.presence.release()
                self._lock.release()

    def clear(self, delete: Callable[[], None]) -> None:
        """Runs `delete` while nobody writes, removes the lock file, and releases the lock."""
        with self.guard:
            writer, self.writer = self.writer, None
            if writer is not None:
                writer.drop()
            try:
                self._lock.take_alone()
                self.turn += 1
                delete()
            except BaseException:
                self.presence.release()
                self._lock.release()
                raise
            self.presence.release()
            self._lock.remove()

    def _check_machine(self) -> None:
        """Raises ProjectLockedError if a worker of another machine writes the project."""
        if self._lock.alone or (host := self.presence.host_elsewhere()) is None:
            return
        raise ProjectLockedError(
            f"The project {str(self.folder)!r} is being written by a process on {host}. Nothing was"
            " changed. A folder can be shared by the processes of one machine only: for several "
            'machines keep the trials in a database, with storage="postgresql://...".'
        )

    def _close_writer(self) -> None:
        writer, self.writer = self.writer, None
        if writer is not None:
            # Finished trials are written already. If the last reports cannot be written, the new
            # writer is about to meet the same error, and it reports it to the user.
            with contextlib.suppress(StoreError):
                writer.close()

    def forget(self) -> None:
        """In a forked child: the lock and its open files belong to the parent."""
        self.guard = threading.RLock()  # a thread that does not exist here may have held it
        self._lock.forget()
        self.presence.forget()
        if self.writer is not None:
            # SQLite must not notice the fork, not even by closing: keep it, never use it.
            self._orphans.append(self.writer)
            self.writer = None


_LOCKS: dict[tuple[str, str], WriterLock] = {}
_LOCKS_GUARD = threading.Lock()


def writer_lock_of(folder: Path, label: str = "") -> WriterLock:
    """The writer lock of a project: the same one for every path that leads to its folder."""
    path = os.path.realpath(folder)
    with _LOCKS_GUARD:
        key = os.path.normcase(path), label
        return _LOCKS.setdefault(key, WriterLock(Path(path), label))


def _forget_all() -> None:
    global _LOCKS_GUARD
    _LOCKS_GUARD = threading.Lock()
    for lock in _LOCKS.values():
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
