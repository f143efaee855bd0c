"""Looks into a project's SQLite file that this store does not write, and changes nothing."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sql
from sqlalchemy import Connection
from sqlalchemy.pool import NullPool

from afina.store.completeness import check_file, check_whole, log_of, read_count
from afina.store.trouble import told_of
from afina.store.writer import check_tables, connect, missing_columns

_LOGS = ("-wal", "-journal")


class SqliteReader:
    """Opens the file anew for each look, so that it always sees what is there now.

    Args:
        file: The SQLite file; need not exist.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._whole = False  # nothing was missing when it was looked at first
        self._engine = sql.create_engine(
            "sqlite://", creator=lambda: open_to_read(file), poolclass=NullPool
        )

    @contextlib.contextmanager
    def look(self) -> Iterator[Connection | None]:
        """A connection for one look, or None where there is nothing to see.

        Raises:
            StoreError: The file is damaged or cannot be read, or trials are missing.
            ProjectVersionError: Another version of Afina made it.
        """
        with told_of(self.file):
            known, log = read_count(self.file.parent), log_of(self.file).exists()
            check_file(self.file)
            if not self.file.exists():
                yield None
                return
            with self._engine.connect() as connection:
                check_tables(connection, self.file)
                if not self._whole:
                    check_whole(self.file, connection, log=log, known=known)
                    self._whole = True
                for name in missing_columns(connection):  # of a project made by an older Afina
                    connection.exec_driver_sql(
                        f"CREATE TEMP VIEW {name} AS SELECT *, NULL AS crc FROM main.{name}"
                    )
                connection.exec_driver_sql("PRAGMA query_only=ON")
                yield connection


def open_to_read(file: Path) -> sqlite3.Connection:
    """A connection that changes nothing, not even what a crash has left."""
    # Where a log lies there, somebody writes or a crash left it: hands off. Where none does, SQLite
    # makes an empty one for the look, and only who may write takes it away afterwards.
    in_use = any(file.with_name(file.name + suffix).exists() for suffix in _LOGS)
    mode = "ro" if in_use else "rw"
    connection = connect(f"{file.absolute().as_uri()}?mode={mode}", uri=True)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        # A folder where we may not write has no room for the log's index, and a log or journal
        # left there by a crash cannot be worked off: do that on a copy.
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            return _copy_to_read(file)
        raise
    except BaseException:
        connection.close()
        raise
    return connection


def _copy_to_read(file: Path) -> sqlite3.Connection:
    with tempfile.TemporaryDirectory(prefix="afina-") as folder:
        for suffix in ("", *_LOGS):
            part = file.with_name(file.name + suffix)
            if part.exists():
                shutil.copyfile(part, Path(folder, part.name))
        with contextlib.closing(connect(str(Path(folder, file.name)))) as source:
            memory = connect(":memory:")
            source.backup(memory)
    return memory
