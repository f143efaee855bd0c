"""Writes a project's SQLite file: transactions, and the buffer of reports."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sql
from sqlalchemy import Connection
from sqlalchemy.pool import NullPool

from afina.errors import ProjectVersionError, StoreError
from afina.store.completeness import (
    BESIDE,
    COUNT_FILE,
    HERE,
    LOG,
    check_file,
    check_whole,
    count_finished,
    count_finished_since,
    empty,
    log_of,
    read_count,
    write_count,
)
from afina.store.migrations import afina_version
from afina.store.sql import REVISION, Transaction, leave, prepare, read_revision, write_reports
from afina.store.sqlite_errors import damaged, readable_errors
from afina.store.statements import Statement
from afina.store.tables import (
    ADDED,
    BY_REVISION,
    CLAIMS,
    COUNTER,
    FORMAT,
    META,
    METADATA,
    NEW_TABLES,
    NOTES,
)
from afina.store.write_queue import place_in_line
from afina.trials import Report

R = TypeVar("R")

# How long to wait while another worker, or another program (a database browser, a backup), has
# locked the file.
_PATIENCE = 60.0  # seconds

# How long SQLite waits by itself, in which Python sees no Ctrl-C.
_SHORT = 2.0  # seconds

# The log is moved into the file when it exceeds this size: after some hundred trials.
_LONGEST_LOG = 4 * 2**20  # bytes


_BEGIN = Statement(sql.text("BEGIN IMMEDIATE"))


class SqliteWriter:
    """Writes to a project's file; each transaction includes the buffered reports.

    One thread uses it at a time: the one that holds the guard of the project's writer lock.

    Args:
        file: The SQLite file; created with empty tables if it does not exist.
        worker: Whose claims it writes.
        alone: Whether no other process writes now: then it brings the file into shape.
        forgive: Whether to accept that trials are missing.

    Raises:
        StoreError: The file is damaged, trials are missing, or it cannot be written.
        ProjectVersionError: Another version of Afina made it.
    """

    def __init__(
        self, file: Path, *, worker: str = "", alone: bool = True, forgive: bool = False
    ) -> None:
        self.file = file
        self.worker = worker
        self._file = os.fspath(file)
        self._log = os.fspath(log_of(file))
        self._line = os.fspath(file.parent / COUNT_FILE)
        self.finished = 0
        """How many trials have finished, as of the revision `_counted`."""
        self._counted: int | None = None
        self._open: Transaction | None = None
        self._together = False
        self._place = contextlib.ExitStack()  # in the line, while transactions stay together
        self._unsynced = self._uncounted = False
        self.has_place = False
        """Whether it is this worker's turn already."""
        self._looking = False
        self._waiting: dict[tuple[int, int, int, int], Report] = {}
        self._oldest = 0.0
        self._identity: os.stat_result | None = None
        self._has_log = False
        self._checked = 0  # size of the log when it was last moved into the file
        with readable_errors(file):
            known, log = read_count(file.parent), log_of(file).exists()
            if not forgive:
                check_file(file)
            if not file.exists():
                _create(file)
            self._engine = sql.create_engine(
                "sqlite://", creator=lambda: _open_to_write(file), poolclass=NullPool
            )
            self.connection = self._engine.connect()
            try:
                with self.connection.begin():  # before anything is changed
                    check_tables(self.connection, file)
                    if not forgive:
                        check_whole(file, self.connection, log=log, known=known)
                    self.finished = count_finished(self.connection)
                if alone:
                    self._prepare()
                else:
                    self._read_mode()
                self._sync_less()
            except BaseException:
                self.drop()
                raise
            prepare(self.connection)
            self._identity = file.stat()
            write_count(file.parent, self.finished)

    def _prepare(self) -> None:
        mode = "none"
        # On a file system without shared memory, SQLite keeps its rollback journal. That syncs
        # more often and makes readers wait, but is as safe.
        with self.connection.begin(), contextlib.suppress(sql.exc.OperationalError):
            mode = self.connection.exec_driver_sql("PRAGMA journal_mode=WAL").scalar_one()
        self._has_log = mode == "wal"
        with self._transaction():
            for table, names in missing_columns(self.connection).items():
                for name in names:  # an older Afina made the project
                    self.connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {name} BIGINT")
            for new in NEW_TABLES:
                new.create(self.connection, checkfirst=True)
            BY_REVISION.create(self.connection, checkfirst=True)
            if self.connection.execute(REVISION).one_or_none() is None:
                self.connection.execute(COUNTER.insert().values(id=0, revision=0))
        self._empty_log()

    def _read_mode(self) -> None:
        with self.connection.begin():
            mode = self.connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        self._has_log = mode == "wal"
        self._checked = self._log_size()

    def _empty_log(self) -> None:
        """Moves the log into the file, so that the file alone says that there is more beside it.

        The log overrules the file: moving the log in also changes the note in the file.
        """
        if not self._has_log:
            return
        self._say_where(BESIDE)
        with self.connection.begin():
            pragma = self.connection.exec_driver_sql
            pragma("PRAGMA busy_timeout=0")  # it does not matter if a reader keeps some in the log
            pragma("PRAGMA wal_checkpoint(TRUNCATE)").all()
            pragma(f"PRAGMA busy_timeout={int(min(_SHORT, _PATIENCE) * 1000)}")
        self._say_where(HERE)
        self._sync_log()
        self._checked = self._log_size()

    def _say_where(self, where: str) -> None:
        with self._transaction():
            self.connection.execute(NOTES.delete().where(NOTES.c.key == LOG))
            self.connection.execute(NOTES.insert().values(key=LOG, value=where))

    def _sync_log(self) -> None:
        """Has the system write the log to the disk, so that it survives a power loss."""
        if self._has_log:
            # A disk that refuses keeps the change all the same, unless the power fails.
            with contextlib.suppress(OSError):
                log = os.open(self._log, os.O_RDWR)
                try:
                    os.fsync(log)
                finally:
                    os.close(log)

    def _sync_less(self) -> None:
        if self._has_log:
            with self.connection.begin():
                self.connection.exec_driver_sql("PRAGMA synchronous=NORMAL")

    def _log_size(self) -> int:
        try:
            return os.stat(self._log).st_size
        except FileNotFoundError:
            return 0

    @contextlib.contextmanager
    def look(self) -> Iterator[Connection]:
        """The connection, for reading what has been written."""
        if self._open is not None or self._looking:
            yield self.connection
            return
        with readable_errors(self.file), self.connection.begin():
            self._looking = True
            try:
                yield self.connection
            finally:
                self._looking = False

    @property
    def in_turn(self) -> bool:
        """Whether a transaction is open."""
        return self._open is not None

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Keeps the place in the line between transactions; see `SqliteStore.together`."""
        if self._together:
            yield
            return
        self._together = True
        try:
            yield
        finally:
            self._together = False
            self._place.close()
            self._settle()

    def transact(
        self, write: Callable[[Transaction], R], begun: Callable[[], None] | None = None
    ) -> R:
        """One transaction: what `write` does, and the buffered reports.

        Within another one of this thread, `write` becomes a part of that.

        Args:
            write: What it does.
            begun: Called as soon as nobody else can write.

        Raises:
            StoreError: The file cannot be written. What `write` raises itself is passed on.
        """
        if self._open is not None:
            return write(self._open)
        with readable_errors(self.file), contextlib.ExitStack() as stack:
            stack.enter_context(self._transaction())
            if begun is not None:
                begun()
            revision = read_revision(self.connection)
            ending = stack.pop_all()  # what `write` raises is not ours to explain
        now = self._open = Transaction(self.connection, revision)
        failed: BaseException | None = None
        others = 0
        try:
            result = write(now)
        except BaseException as error:
            failed = error
            raise
        finally:
            self._open = None
            with readable_errors(self.file):
                if failed is not None:
                    with contextlib.suppress(sql.exc.DBAPIError):
                        ending.__exit__(type(failed), failed, failed.__traceback__)
                else:
                    with ending:
                        write_reports(self.connection, list(self._waiting.values()))
                        if now.finishes and self._counted != now.before:  # others have written
                            others = self._finished_by_others(now)
        self._after(now, others)
        return result

    def _after(self, now: Transaction, others: int) -> None:
        """What is due once a transaction has been written."""
        # Cleared only now, so that reports survive a transaction that fails.
        self._waiting.clear()
        self.finished += others + now.finishes
        if now.finishes or self._counted == now.before:
            self._counted = now.revision
        self._unsynced |= now.lasting
        self._uncounted |= now.finishes > 0
        if not self._together:
            self._settle()
        if self._log_size() > self._checked + _LONGEST_LOG:
            # The change is written. What prevents the clean-up now will prevent the next change.
            with contextlib.suppress(sql.exc.DBAPIError):
                self._empty_log()

    def _settle(self) -> None:
        """Has what was written survive a power loss, and then records how much that is."""
        if self._unsynced:
            self._sync_log()
            self._unsynced = False
        if self._uncounted:
            write_count(self.file.parent, self.finished)
            self._uncounted = False

    def _finished_by_others(self, now: Transaction) -> int:
        """How many trials have finished since they were counted, without those of this turn."""
        if self._counted is None:
            return count_finished(self.connection) - now.finishes - self.finished
        return count_finished_since(self.connection, self._counted) - now.finishes

    def owners(self) -> frozenset[str]:
        """The workers that have claimed trials."""
        with self.look() as connection:
            return frozenset(connection.execute(sql.select(CLAIMS.c.owner)).scalars())

    def report(self, report: Report, delay: float) -> None:
        """Buffers a report; writes all of them once one has waited for `delay` seconds."""
        now = time.monotonic()
        if not self._waiting:
            self._oldest = now
        key = (report.trial, report.attempt, report.execution, report.step)
        self._waiting[key] = report
        if now - self._oldest >= delay:
            self.flush()

    def waiting(self, trial: int | None) -> list[Report]:
        """The buffered reports of one trial, or of all trials."""
        return [each for each in self._waiting.values() if trial is None or each.trial == trial]

    def flush(self) -> None:
        """Writes the buffered reports."""
        if self._waiting:
            self.transact(lambda now: None)

    def close(self) -> None:
        """Writes the buffered reports, ends this worker's claims, and closes the file."""
        try:
            self.transact(lambda now: leave(now.connection, self.worker))
            # SQLite moves the log in when the last connection closes; a reader may still be open.
            with contextlib.suppress(sql.exc.SQLAlchemyError), self.connection.begin():
                self.connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").all()
        finally:
            self.drop()

    def drop(self) -> None:
        """Closes the file without writing."""
        # This moves the log into the file; if it fails, the next opening does it.
        with contextlib.suppress(sql.exc.DBAPIError):
            self.connection.close()
        self._engine.dispose()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._check_in_place()
        if self.connection.in_transaction():
            self.connection.rollback()  # Ctrl-C came within the last one
        with self._in_line(), self.connection.begin():
            self._begin()
            yield

    @contextlib.contextmanager
    def _in_line(self) -> Iterator[None]:
        if self.has_place:
            yield
            return
        with contextlib.ExitStack() as place:
            place.enter_context(place_in_line(self._line, _PATIENCE / 2))
            if self._together:
                self.has_place = True
                self._place.callback(self._leave_line)
                self._place.push(place.pop_all())
            yield

    def _leave_line(self) -> None:
        self.has_place = False

    def _begin(self) -> None:
        """Waits until no other worker or program writes."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                # IMMEDIATE: wait for others now, before anything is changed.
                _BEGIN.run(self.connection)
            except sql.exc.OperationalError as error:
                code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
                if code != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                    raise
            else:
                return

    def _check_in_place(self) -> None:
        # A deleted file still accepts writes until it is closed, and they would be lost.
        if self._identity is None:
            return  # it is being created
        try:
            in_place = os.path.samestat(self._identity, os.stat(self._file))
        except FileNotFoundError:
            in_place = False
        if not in_place:
            raise StoreError(
                f"{str(self.file)!r} was deleted or replaced while the search was running. Restore "
                "it, or create the tuner again to continue with what is there now."
            )


def connect(path: str, *, uri: bool = False) -> sqlite3.Connection:
    """Opens a SQLite file for use by any thread, with explicit transactions."""
    return sqlite3.connect(
        path, timeout=min(_SHORT, _PATIENCE), isolation_level=None, check_same_thread=False, uri=uri
    )


def _open_to_write(file: Path) -> sqlite3.Connection:
    connection = connect(str(file))
    # What must survive a power loss is one transaction with one synced write. With a write-ahead
    # log and synchronous=FULL, each commit appends to the log and syncs it once. NORMAL leaves
    # that to us, so that the start of a trial, a report and a lease cost no sync; a log that is
    # cut short is a state that was. FULL is for a rollback journal, which syncs three times, and
    # for a connection that SQLAlchemy opens after Ctrl-C within a statement.
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _create(file: Path) -> None:
    """Creates a database with empty tables; under its own name it never lacks them."""
    part = file.with_name(file.name + ".new")
    for old in (part, part.with_name(part.name + "-journal")):
        old.unlink(missing_ok=True)
    engine = sql.create_engine(
        "sqlite://", creator=lambda: _open_to_write(part), poolclass=NullPool
    )
    with engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        METADATA.create_all(connection)
        connection.execute(META.insert().values(id=0, format=FORMAT, afina=afina_version()))
        connection.execute(COUNTER.insert().values(id=0, revision=0))
    for left in (log_of(file), file.with_name(file.name + "-shm")):  # of an abandoned database
        left.unlink(missing_ok=True)
    os.replace(part, file)
    _sync_folders(file.parent)


def check_tables(connection: Connection, file: Path) -> None:
    """Checks that all tables exist, in the format that this version reads.

    Raises:
        ProjectVersionError: They are in another format.
        StoreError: One is missing.
    """
    query = "SELECT name FROM sqlite_master WHERE type = 'table'"
    there = set(connection.exec_driver_sql(query).scalars())
    if not there:
        raise empty(file)
    if META.name not in there:
        raise damaged(file, f"its table {META.name!r} is missing")
    found = connection.execute(sql.select(META.c.format, META.c.afina)).all()
    if len(found) != 1 or not isinstance(found[0].format, int):
        raise damaged(file, f"its table {META.name!r} must hold one row with a format")
    if found[0].format != FORMAT:
        raise ProjectVersionError(
            f"{str(file)!r} is in format {found[0].format}, written by Afina {found[0].afina}. This"
            f" is Afina {afina_version()}, which reads and writes format {FORMAT}. Nothing was "
            "changed. Use that version of Afina, another project_name, or pass overwrite=True to "
            "delete the project and start over."
        )
    for table in METADATA.tables:
        if table not in there and table not in {each.name for each in NEW_TABLES}:
            raise damaged(file, f"its table {table!r} is missing")


def missing_columns(connection: Connection) -> dict[str, list[str]]:
    """Columns by table that an older Afina has not made."""
    found = {}
    for table, names in ADDED.items():
        columns = connection.exec_driver_sql(f"PRAGMA table_info({table})")
        there = {column[1] for column in columns}
        if missing := [name for name in names if name not in there]:
            found[table] = missing
    return found


def _sync_folders(folder: Path) -> None:
    # A new file survives a power loss only if its folder, and that folder's folder, are synced.
    if sys.platform == "win32":  # pragma: no cover
        return  # Windows cannot sync folders, and need not
    for place in (folder, folder.parent):
        # Some network drives refuse; they guarantee nothing after a power loss anyway.
        with contextlib.suppress(OSError):
            handle = os.open(place, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
