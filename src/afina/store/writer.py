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
from afina.store.tables import FORMAT, META, METADATA, REPORTS
from afina.store.trouble import told_of
from afina.trials import Report

# How long to wait for another program (a database browser, a backup) that has locked the file.
_PATIENCE = 10.0  # seconds

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

    Raises:
        StoreError: The file is damaged or cannot be written.
        ProjectVersionError: Another version of Afina made it.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._waiting: dict[tuple[int, int, int, int], Report] = {}
        self._oldest = 0.0
        self._identity: os.stat_result | None = None
        with told_of(file):
            fresh = not file.exists()
            self._engine = sql.create_engine(
                "sqlite://", creator=lambda: _open_to_write(file), poolclass=NullPool
            )
            self.connection = self._engine.connect()
            try:
                self._prepare()
            except BaseException:
                self.drop()
                raise
            self._identity = file.stat()
            if fresh:
                _sync_folders(file.parent)

    def _prepare(self) -> None:
        with self.connection.begin():  # before anything is changed
            ready = has_tables(self.connection, self.file)
        # Where a file system cannot do it (no shared memory), SQLite keeps its rollback journal,
        # which syncs more often and makes readers wait, but is as safe.
        with self.connection.begin(), contextlib.suppress(sql.exc.OperationalError):
            self.connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        if not ready:
            with self._transaction():
                METADATA.create_all(self.connection)
                self.connection.execute(
                    META.insert().values(id=0, format=FORMAT, afina=_afina_version())
                )

    @contextlib.contextmanager
    def look(self) -> Iterator[Connection]:
        """The connection, to read what has been written."""
        with told_of(self.file), self.connection.begin():
            yield self.connection

    @contextlib.contextmanager
    def change(self) -> Iterator[Connection]:
        """One transaction: what is executed within, and the reports that wait."""
        with told_of(self.file), self._transaction():
            yield self.connection
            self._write_reports()
        # Only now, so that reports outlive a transaction that failed.
        self._waiting.clear()

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


def has_tables(connection: Connection, file: Path) -> bool:
    """Whether the tables are there, in the format that this version reads.

    Raises:
        ProjectVersionError: They are in another format.
    """
    # A file without tables is what a crash leaves in the first moments of a project: empty.
    if not sql.inspect(connection).has_table(META.name):
        return False
    found = connection.execute(sql.select(META.c.format, META.c.afina)).one_or_none()
    if found is None:
        return False
    if found.format != FORMAT:
        raise ProjectVersionError(
            f"{str(file)!r} is in format {found.format}, written by Afina {found.afina}; this is "
            f"Afina {_afina_version()}, which reads and writes format {FORMAT}. Nothing was "
            "changed. Use that version of Afina, another project_name, or pass overwrite=True to "
            "delete the project and start anew."
        )
    return True


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
