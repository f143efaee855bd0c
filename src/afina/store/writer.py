"""The one open way into a project's SQLite file: its transactions, and the reports that wait."""

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
from afina.store.tables import FORMAT, META, METADATA, NOTES, REPORTS, TRIALS
from afina.store.trouble import damaged, told_of
from afina.trials import Report

# How long to wait for another program (a database browser, a backup) that has locked the file.
_PATIENCE = 10.0  # seconds

# So long grows the log before it is moved into the file: some hundred trials.
_LONGEST_LOG = 4 * 2**20  # bytes

_THIS_REPORT = sql.and_(
    REPORTS.c.trial == sql.bindparam("its_trial"),
    REPORTS.c.attempt == sql.bindparam("its_attempt"),
    REPORTS.c.execution == sql.bindparam("its_execution"),
    REPORTS.c.step == sql.bindparam("its_step"),
)


class SqliteWriter:
    """Writes in a project's file, one transaction at a time, with the reports that came before.

    It is used by one thread at a time: whoever holds the guard of the project's seat.

    Args:
        file: The SQLite file; made with empty tables where there is none.
        forgive: Whether trials that are missing are given up.

    Raises:
        StoreError: The file is damaged, or trials are missing, or it cannot be written.
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
        with told_of(file):
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
        # Where a file system cannot do it (no shared memory), SQLite keeps its rollback journal,
        # which syncs more often and makes readers wait, but is as safe.
        with self.connection.begin(), contextlib.suppress(sql.exc.OperationalError):
            mode = self.connection.exec_driver_sql("PRAGMA journal_mode=WAL").scalar_one()
        self._has_log = mode == "wal"
        with self._transaction():
            for name in missing_columns(self.connection):  # of a project made by an older Afina
                self.connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN crc INTEGER")
        self._empty_log()

    def _empty_log(self) -> None:
        """Moves the log into the file, so that the file alone tells that there is more beside it.

        What the file says is overruled by the log; whoever moves that one in, moves in that, too.
        """
        if not self._has_log:
            return
        self._say_where(BESIDE)
        with self.connection.begin():
            pragma = self.connection.exec_driver_sql
            pragma("PRAGMA busy_timeout=0")  # a reader keeps some of it in the log: never mind
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
        """The connection, to read what has been written."""
        with told_of(self.file), self.connection.begin():
            yield self.connection

    @contextlib.contextmanager
    def change(self, *, finishes: bool = False) -> Iterator[Connection]:
        """One transaction: what is executed within, and the reports that wait.

        Args:
            finishes: Whether a trial has finished with it.
        """
        with told_of(self.file), self._transaction():
            yield self.connection
            self._write_reports()
        # Only now, so that reports outlive a transaction that failed.
        self._waiting.clear()
        if finishes:
            self.finished += 1
            write_count(self.file.parent, self.finished)
        if self._log_size() > self._checked + _LONGEST_LOG:
            # The change is written; what is in the way of tidying up will be in that of the next.
            with contextlib.suppress(sql.exc.DBAPIError):
                self._empty_log()

    def report(self, report: Report, delay: float) -> None:
        """Lets a report wait for the next change; writes all where one waits over `delay` s."""
        now = time.monotonic()
        if not self._waiting:
            self._oldest = now
        key = (report.trial, report.attempt, report.execution, report.step)
        self._waiting[key] = report
        if now - self._oldest >= delay:
            self.flush()

    def waiting(self, trial: int | None) -> list[Report]:
        """The reports of one trial, or of all, that are not written yet."""
        return [each for each in self._waiting.values() if trial is None or each.trial == trial]

    def flush(self) -> None:
        """Writes the reports that wait."""
        if self._waiting:
            with self.change():
                pass

    def close(self) -> None:
        """Writes the reports that wait, and closes the file."""
        try:
            self.flush()
            # SQLite does it at the last closing, which is not this one while somebody reads.
            with contextlib.suppress(sql.exc.SQLAlchemyError), self.connection.begin():
                self.connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").all()
        finally:
            self.drop()

    def drop(self) -> None:
        """Closes the file without writing."""
        # The log is moved into the file now; where that fails, the next opening does it.
        with contextlib.suppress(sql.exc.DBAPIError):
            self.connection.close()
        self._engine.dispose()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._check_in_place()
        with self.connection.begin():
            # IMMEDIATE: wait for other programs now, while nothing has been done.
            self.connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield

    def _check_in_place(self) -> None:
        # A deleted file goes on taking writes until it is closed; nobody would ever read them.
        if self._identity is None:
            return  # it is being made
        try:
            in_place = os.path.samestat(self._identity, self.file.stat())
        except FileNotFoundError:
            in_place = False
        if not in_place:
            raise StoreError(
                f"{str(self.file)!r} was deleted or replaced while the search was running. Put it "
                "back, or make the tuner anew to search on from what is there now."
            )

    def _write_reports(self) -> None:
        if not self._waiting:
            return
        rows = [codec.report_to_row(report) for report in self._waiting.values()]
        keys = [
            {f"its_{name}": row[name] for name in ("trial", "attempt", "execution", "step")}
            for row in rows
        ]
        # Delete and insert, as no two databases agree on how to say "replace".
        self.connection.execute(REPORTS.delete().where(_THIS_REPORT), keys)
        self.connection.execute(REPORTS.insert(), rows)


def connect(path: str, *, uri: bool = False) -> sqlite3.Connection:
    """Opens a SQLite file for use by any thread, transactions begun by hand."""
    return sqlite3.connect(
        path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False, uri=uri
    )


def _open_to_write(file: Path) -> sqlite3.Connection:
    connection = connect(str(file))
    # A state change is one transaction, and must survive a power loss with one synced write.
    # With a write-ahead log and synchronous=FULL a commit appends to the log and syncs it once;
    # NORMAL would not sync before the log is moved into the file, and a rollback journal would
    # sync three times. Readers see the last commit and never wait for the writer.
    # Said here and not once, as SQLAlchemy opens anew after Ctrl-C within a statement.
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _create(file: Path) -> None:
    """Makes a database with empty tables; there is never one without them under its name."""
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
    for left in (log_of(file), file.with_name(file.name + "-shm")):  # of one that was given up
        left.unlink(missing_ok=True)
    os.replace(part, file)
    _sync_folders(file.parent)


def check_tables(connection: Connection, file: Path) -> None:
    """Whether the tables are there, in the format that this version reads.

    Raises:
        ProjectVersionError: They are in another format.
        StoreError: They are not all there.
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
            f"{str(file)!r} is in format {found[0].format}, written by Afina {found[0].afina}; this"
            f" is Afina {_afina_version()}, which reads and writes format {FORMAT}. Nothing was "
            "changed. Use that version of Afina, another project_name, or pass overwrite=True to "
            "delete the project and start anew."
        )
    for table in METADATA.tables:
        if table not in there:
            raise damaged(file, f"its table {table!r} is missing")


def missing_columns(connection: Connection) -> list[str]:
    """Names of the tables that have no checksums yet."""
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
    # A new file is safe only when the folder that names it is, and the folder's own name too.
    if sys.platform == "win32":  # pragma: no cover
        return  # it cannot, and need not, sync folders
    for place in (folder, folder.parent):
        # Some network drives refuse; they promise nothing after a power loss anyway.
        with contextlib.suppress(OSError):
            handle = os.open(place, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
