"""Within this process, one store at a time writes a project; the newest one takes over.

People make a second tuner on the same project while the first still exists (that is how a search is
reloaded), so within a process nothing is refused: the newer store takes the seat, and the older
one's next write says so. The lock against other processes stays with the seat throughout.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from afina.errors import StoreError
from afina.store.lock import ProjectLock


class Writer(Protocol):
    """What sits on a seat: an open way into the project's files."""

    def close(self) -> None:
        """Writes what is buffered, and closes the files."""
        ...

    def drop(self) -> None:
        """Closes the files without writing: the project is to be deleted."""
        ...


W = TypeVar("W", bound=Writer)


class Seat:
    """The one place from which this process writes a project.

    Args:
        folder: The project's folder, its real path.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.guard = threading.RLock()
        """Hold it for every use of `writer`."""
        self.writer: Writer | None = None
        self.turn = 0
        """Counts the takings, so that a store learns of those that it did not see."""
        self.predecessor_died = False
        """Whether the process that wrote before this one died without warning; until asked for."""
        self._lock = ProjectLock(folder)
        self._orphans: list[Writer] = []

    def take(self, last: int | None, make: Callable[[], W]) -> W:
        """Seats a new writer; one that sits there writes what it has buffered and leaves.

        Args:
            last: The turn at which the caller's previous writer was seated, None for the first.
            make: Opens the writer, when the lock is held.

        Raises:
            StoreError: Another store has had the seat since `last`.
            ProjectLockedError: Another process writes the project.
        """
        with self.guard:
            if last is not None and last != self.turn:
                raise StoreError(
                    f"A newer tuner of this process has taken the project {str(self.folder)!r}; "
                    "nothing was changed. Go on with the newer one, or make a tuner anew: it "
                    "will know all trials."
                )
            self._unseat()
            if not self._lock.held:
                self._lock.take()
                self.predecessor_died |= self._lock.holder_died
            try:
                writer = make()
            except BaseException:
                self._lock.release()
                raise
            self.writer = writer
            self.turn += 1
            return writer

    def leave(self) -> None:
        """Closes the writer, and lets other processes write."""
        with self.guard:
            writer, self.writer = self.writer, None
            try:
                if writer is not None:
                    writer.close()
            finally:
                self._lock.release()

    def clear(self, delete: Callable[[], None]) -> None:
        """Runs `delete` while nobody writes, removes the lock file, and frees the seat."""
        with self.guard:
            writer, self.writer = self.writer, None
            if writer is not None:
                writer.drop()
            if not self._lock.held:
                self._lock.take()
            self.turn += 1
            self.predecessor_died = False  # with all that it has left
            try:
                delete()
            except BaseException:
                self._lock.release()
                raise
            self._lock.remove()

    def _unseat(self) -> None:
        writer, self.writer = self.writer, None
        if writer is not None:
            # Finished trials are written already. Where the last reports cannot be, the new
            # writer is about to meet the same trouble and says so to those who can mend it.
            with contextlib.suppress(StoreError):
                writer.close()

    def forget(self) -> None:
        """In a forked child: the seat and its open files are the parent's, not ours."""
        self.guard = threading.RLock()  # a thread that does not exist here may have held it
        self._lock.forget()
        if self.writer is not None:
            # SQLite must not be told of a fork, not even by closing: keep it, never use it.
            self._orphans.append(self.writer)
            self.writer = None


_SEATS: dict[str, Seat] = {}
_SEATS_GUARD = threading.Lock()


def seat_of(folder: Path) -> Seat:
    """The seat of a project, the same one for every path that leads to its folder."""
    path = os.path.realpath(folder)
    with _SEATS_GUARD:
        return _SEATS.setdefault(os.path.normcase(path), Seat(Path(path)))


def _forget_all() -> None:
    global _SEATS_GUARD
    _SEATS_GUARD = threading.Lock()
    for seat in _SEATS.values():
        seat.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
