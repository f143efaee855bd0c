"""Trials kept in one SQLite file in the project's folder."""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from afina.errors import StoreError, check_number
from afina.store import codec
from afina.store.base import Changes, Claim
from afina.store.presence import Life
from afina.store.reader import SqliteReader
from afina.store.sql import SqlStore, Transaction
from afina.store.sqlite_errors import damaged, readable_errors
from afina.store.write_queue import place_in_line
from afina.store.writer import SqliteWriter
from afina.store.writer_lock import WriterLock, writer_lock_of
from afina.trials import Report

R = TypeVar("R")

STORE_FILE = "afina.sqlite3"

# Seconds after which a worker learns ahead without being the next in line: whoever is may hang.
_LINE = 2.0


class SqliteStore(SqlStore):
    """A `SharedStore` in the file `<folder>/afina.sqlite3`, for the processes of one machine.

    The first write creates folder and file, and makes this process one of the project's workers
    until `close`, until the last reference to the store ends, or the process. Within the process,
    the newest store that writes takes over from the others. Many threads may use a store; a forked
    child is another process.

    The file is plain SQL: `SELECT number, score, json_extract("values", '$.units') FROM trials`.

    Args:
        folder: The project's folder; it need not exist.
        report_delay: How many seconds a report may wait for the next change of a trial's state.
            After that, it is written alone.
        lease: After how many seconds without a sign of life a trial is given to others. A process
            that has died is known at once; this is for one that hangs.
        worker: Names a worker of its own within this process, beside that of the other stores.
    """

    def __init__(
        self,
        folder: Path,
        *,
        report_delay: float = 5.0,
        lease: float = 60.0,
        worker: str = "",
    ) -> None:
        # Made absolute now: the working directory may change while a search runs.
        self.folder = Path(os.path.abspath(folder))
        self.file = self.folder / STORE_FILE
        self.report_delay = report_delay
        self.lease = check_number("lease", lease, above=0.0)
        self._reader = SqliteReader(self.file)
        self._lock = writer_lock_of(self.folder, worker)
        self._turn: int | None = None
        self._writer: SqliteWriter | None = None
        self._closing: weakref.finalize[..., object] | None = None
        # When each claim's sign of life was last seen to change, by this process' own clock.
        self._seen: dict[tuple[int, str], tuple[float, float]] = {}

    # -- what the database adds ---------------------------------------------------------------

    @property
    def worker(self) -> str:
        """The name of this worker; empty before it has written."""
        return self._lock.presence.name

    @contextlib.contextmanager
    def _look(self) -> Iterator[Connection | None]:
        with self._lock.guard:
            mine = self._current_writer()
            if mine is not None:
                with mine.look() as connection:
                    yield connection
                return
        with self._reader.look() as connection:
            yield connection

    def _transact(self, write: Callable[[Transaction], R]) -> R:
        with self._lock.guard:
            return self._acquire_writer().transact(write)

    def _take_turn(
        self,
        write: Callable[[Transaction], R],
        since: int | None,
        learn: Callable[[Changes], int] | None,
    ) -> R:
        with self._lock.guard:
            writer = self._acquire_writer()
            if learn is None or writer.in_turn or writer.has_place:
                return writer.transact(write)
            with contextlib.ExitStack() as place:
                place.enter_context(place_in_line(self.folder, _LINE))
                learn(self.news(since))
                return writer.transact(write, place.close)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Keeps the worker's place from the first turn within to the end of the block.

        Each turn is written by itself. The disk is waited for at the end of the block, once, while
        others have their turns.
        """
        with self._lock.guard, self._acquire_writer().together():
            yield

    def _explained(self) -> contextlib.AbstractContextManager[None]:
        return readable_errors(self.file)

    def _waiting(self, number: int | None) -> list[Report]:
        with self._lock.guard:
            mine = self._current_writer()
            return mine.waiting(number) if mine else []

    def _now(self, connection: Connection) -> float:
        # A count, not a time: the clocks of processes may be set, and a count goes up all the same.
        del connection
        with self._lock.guard:
            self._lock.beats += 1
            return float(self._lock.beats)

    def _life_of(self, owner: str) -> Life:
        return self._lock.presence.life_of(owner)

    def _claim(self, row: codec.Row, now: float, life_of: Callable[[str], Life]) -> Claim:
        del now
        trial, owner = row["trial"], row["owner"]
        mine = owner == self.worker
        life = Life.ALIVE if mine else life_of(owner)
        stale = not mine and self._is_stale(trial, owner, row["beat"])
        return Claim(
            trial=trial,
            owner=f"process {owner.partition('-')[0]}",
            mine=mine,
            lost=stale or life in (Life.ENDED, Life.DIED),
            died=life is Life.DIED or (stale and life is not Life.ENDED),
        )

    def _is_stale(self, trial: int, owner: str, beat: float) -> bool:
        clock = time.monotonic()
        known, since = self._seen.get((trial, owner), (None, clock))
        if beat != known:
            since = clock
        self._seen[trial, owner] = (beat, since)
        return clock - since > self.lease

    def _damaged(self, reason: str) -> StoreError:
        return damaged(self.file, reason)

    # -- writing ------------------------------------------------------------------------------

    def report(self, report: Report) -> None:
        """Keeps one epoch's metrics; they are written with the next change or seconds later."""
        plain = codec.row_to_report(codec.report_to_row(report))
        with self._lock.guard:
            self._acquire_writer().report(plain, self.report_delay)

    def close(self) -> None:
        """Writes what is buffered and leaves the project; a later write joins it again."""
        with self._lock.guard:
            if self._current_writer() is not None:
                self._lock.release()
            self._forget_writer()

    def _current_writer(self) -> SqliteWriter | None:
        """This store's writer, unless another store took over or this is a forked child."""
        return self._writer if self._lock.writer is self._writer else None

    def _acquire_writer(self) -> SqliteWriter:
        writer = self._current_writer()
        if writer is None:
            self._forget_writer()
            with readable_errors(self.file):
                writer = self._lock.take(self._turn, self._open)
            self._writer, self._turn = writer, self._lock.turn
            # Closes the writer when the store is garbage-collected or the process exits normally.
            self._closing = weakref.finalize(self, _release, self._lock, writer)
        return writer

    def _open(self) -> SqliteWriter:
        alone, presence = self._lock.alone, self._lock.presence
        writer = SqliteWriter(self.file, worker=presence.name, alone=alone)
        if alone:
            presence.sweep(writer.owners())
        return writer

    def _forget_writer(self) -> None:
        self._writer = None
        if self._closing is not None:
            self._closing.detach()
            self._closing = None


def _release(lock: WriterLock, writer: SqliteWriter) -> None:
    # May be called at any moment in any thread, so it never waits. If the guard is taken, its
    # holder replaces or closes the writer; otherwise the end of the process closes it.
    if lock.guard.acquire(blocking=False):
        try:
            if lock.writer is writer:
                lock.release()
        finally:
            lock.guard.release()
