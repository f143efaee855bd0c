"""Writes a project's SQLite file: transactions, and the buffer of reports."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import sqlalchemy as sql
from sqlalchemy import Connection
from sqlalchemy.pool import NullPool

from afina.errors import ProjectVersionError, StoreError
from afina.store import codec
from afina.store.completeness import (
    BESIDE,
    HERE,
    LOG,
    check_file,
    check_whole,
    count_finished,
    empty,
    log_of,
    read_count,
    write_count,
)
from afina.store.sqlite_errors import damaged, readable_errors
from afina.store.tables import FORMAT, META, METADATA, NOTES, REPORTS, TRIALS
from afina.trials import Report

# How long to wait while another program (a database browser, a backup) has locked the file.
_PATIENCE = 10.0  # seconds

# The log is moved into the file when it exceeds this size: after some hundred trials.
_LONGEST_LOG = 4 * 2**20  # bytes

_THIS_REPORT = sql.and_(
    REPORTS.c.trial == sql.bindparam("its_trial"),
    REPORTS.c.attempt == sql.bindparam("its_attempt"),
    REPORTS.c.execution == sql.bindparam("its_execution"),
    REPORTS.c.step == sql.bindparam("its_step"),
)


class SqliteWriter:
    """Writes to a project's file; each transaction includes the buffered reports.

    One thread uses it at a time: the one that holds the guard of the project's writer lock.

    Args:
        file: The SQLite file; created with empty tables if it does not exist.
        forgive: Whether to accept that trials are missing.

    Raises:
        StoreError: The file is damaged, trials are missing, or it cannot be written.
        ProjectVersionError: Another version of Afina made it.
    """

    def __init__(self, file: Path, *, forgive: bool = False) -> None:
        self.file = file
        self.finished = 0
        """How many trials have finished."""
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
                self._prepare()
            except BaseException:
                self.drop()
                raise
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
            for name in missing_columns(self.connection):  # an older Afina made the project
                self.connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN crc INTEGER")
        self._empty_log()

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
            pragma(f"PRAGMA busy_timeout={int(_PATIENCE * 1000)}")
        self._say_where(HERE)
        self._checked = self._log_size()

    def _say_where(self, where: str) -> None:
        with self._transaction():
            self.connection.execute(NOTES.delete().where(NOTES.c.key == LOG))
            self.connection.execute(NOTES.insert().values(key=LOG, value=where))

    def _log_size(self) -> int:
        try:
            return log_of(self.file).stat().st_size
        except FileNotFoundError:
            return 0

    @contextlib.contextmanager
    def look(self) -> Iterator[Connection]:
        """The connection, for reading what has been written."""
        with readable_errors(self.file), self.connection.begin():
            yield self.connection

    @contextlib.contextmanager
    def change(self, *, finishes: bool = False) -> Iterator[Connection]:
        """One transaction: what the caller executes in it, and the buffered reports.

        Args:
            finishes: Whether it finishes a trial.
        """
        with readable_errors(self.file), self._transaction():
            yield self.connection
            self._write_reports()
        # Cleared only now, so that reports survive a transaction that fails.
        self._waiting.clear()
        if finishes:
            self.finished += 1
            write_count(self.file.parent, self.finished)
        if self._log_size() > self._checked + _LONGEST_LOG:
            # The change is written. What prevents the clean-up now will prevent the next change.
            with contextlib.suppress(sql.exc.DBAPIError):
                self._empty_log()

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
            with self.change():
                pass

    def close(self) -> None:
        """Writes the buffered reports, and closes the file."""
        try:
            self.flush()
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
        with self.connection.begin():
            # IMMEDIATE: wait for other programs now, before anything is changed.
            self.connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield

    def _check_in_place(self) -> None:
        # A deleted file still accepts writes until it is closed, and they would be lost.
        if self._identity is None:
            return  # it is being created
        try:
            in_place = os.path.samestat(self._identity, self.file.stat())
        except FileNotFoundError:
            in_place = False
        if not in_place:
            raise StoreError(
                f"{str(self.file)!r} was deleted or replaced while the search was running. Restore "
                "it, or create the tuner again to continue with what is there now."
            )

    def _write_reports(self) -> None:
        if not self._waiting:
            return
        rows = [codec.report_to_row(report) for report in self._waiting.values()]
        keys = [
            {f"its_{name}": row[name] for name in ("trial", "attempt", "execution", "step")}
            for row in rows
        ]
        # Delete and insert: every database spells "replace" differently.
        self.connection.execute(REPORTS.delete().where(_THIS_REPORT), keys)
        self.connection.execute(REPORTS.insert(), rows)


def connect(path: str, *, uri: bool = False) -> sqlite3.Connection:
    """Opens a SQLite file for use by any thread, with explicit transactions."""
    return sqlite3.connect(
        path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False, uri=uri
    )


def _open_to_write(file: Path) -> sqlite3.Connection:
    connection = connect(str(file))
    # A change of state is one transaction, and must survive a power loss with one synced write.
    # With a write-ahead log and synchronous=FULL, a commit appends to the log and syncs it once.
    # NORMAL would sync only when the log is moved into the file; a rollback journal would sync
    # three times. Readers see the last commit and never wait for the writer.
    # Set for each connection: SQLAlchemy opens a new one after Ctrl-C within a statement.
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
        connection.execute(META.insert().values(id=0, format=FORMAT, afina=_afina_version()))
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
            f" is Afina {_afina_version()}, which reads and writes format {FORMAT}. Nothing was "
            "changed. Use that version of Afina, another project_name, or pass overwrite=True to "
            "delete the project and start over."
        )
    for table in METADATA.tables:
        if table not in there:
            raise damaged(file, f"its table {table!r} is missing")


def missing_columns(connection: Connection) -> list[str]:
    """Names of the tables that have no checksums yet: an older Afina made them."""
    found = []
    for table in (META, TRIALS):
        columns = connection.exec_driver_sql(f"PRAGMA table_info({table.name})")
        if "crc" not in {column[1] for column in columns}:
            found.append(table.name)
    return found


def _afina_version() -> str:
    try:
        return version("afina")
    except PackageNotFoundError:  # run from a source folder
        return "(unknown version)"


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
