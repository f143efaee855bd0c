"""Reads a project's SQLite file without writing to it."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sql
from sqlalchemy import Connection
from sqlalchemy.pool import NullPool

from afina.store.completeness import (
    LostLogError,
    check_file,
    check_whole,
    log_of,
    read_count,
)
from afina.store.sqlite_errors import readable_errors
from afina.store.tables import COUNTER, NEW_TABLES
from afina.store.writer import check_tables, connect, missing_columns

_LOGS = ("-wal", "-journal")

# How often, and how many seconds apart, a log is looked for before it counts as lost. A process
# that opens the project writes the note about the log and begins the log one after the other.
_LOOKS, _BETWEEN = 4, 0.05


class SqliteReader:
    """Opens the file again for each read, so that it always sees the current content.

    Args:
        file: The SQLite file; it need not exist.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._whole = False  # whether the first read found it complete
        self._engine = sql.create_engine(
            "sqlite://", creator=lambda: open_to_read(file), poolclass=NullPool
        )

    @contextlib.contextmanager
    def look(self) -> Iterator[Connection | None]:
        """A connection for one read; None if there is no file.

        Raises:
            StoreError: The file is damaged or cannot be read, or trials are missing.
            ProjectVersionError: Another version of Afina made it.
        """
        with readable_errors(self.file):
            check_file(self.file)
            if not self.file.exists():
                yield None
                return
            with self._checked() as connection:
                _complete(connection)  # an older Afina made the project
                connection.exec_driver_sql("PRAGMA query_only=ON")
                yield connection

    def _checked(self) -> Connection:
        """A connection to the file; the first one makes sure that no trials are missing.

        It looks again before it calls a log lost: another process may just have begun one.
        """
        looks_left = _LOOKS
        while True:
            known, log = read_count(self.file.parent), log_of(self.file).exists()
            connection = self._engine.connect()
            try:
                check_tables(connection, self.file)
                if not self._whole:
                    check_whole(self.file, connection, log=log, known=known)
                    self._whole = True
            except LostLogError:
                connection.close()
                looks_left -= 1
                if not looks_left:
                    raise
                time.sleep(_BETWEEN)
            except BaseException:
                connection.close()
                raise
            else:
                return connection


def _complete(connection: Connection) -> None:
    """Shows columns and tables that are not there as empty ones."""
    for table, names in missing_columns(connection).items():
        nothing = ", ".join(f"NULL AS {name}" for name in names)
        connection.exec_driver_sql(
            f"CREATE TEMP VIEW {table} AS SELECT *, {nothing} FROM main.{table}"
        )
    there = connection.exec_driver_sql("SELECT name FROM sqlite_master").scalars().all()
    for new in NEW_TABLES:
        if new.name not in there:
            columns = ", ".join(f"0 AS {column.name}" for column in new.columns)
            some = "" if new is COUNTER else "WHERE 0"
            connection.exec_driver_sql(f"CREATE TEMP VIEW {new.name} AS SELECT {columns} {some}")


def open_to_read(file: Path, *, truncated: bool = False) -> sqlite3.Connection:
    """Opens a connection that changes nothing, not even what a crash left behind.

    Args:
        file: The database.
        truncated: Whether to read what is left of a file whose end is missing.
    """
    # A log means that another process writes, or that one crashed: open read-only. Without a log,
    # SQLite creates an empty one, and only a connection with write access deletes it again.
    in_use = any(file.with_name(file.name + suffix).exists() for suffix in _LOGS)
    mode = "ro" if in_use else "rw"
    connection = connect(f"{file.absolute().as_uri()}?mode={mode}", uri=True)
    if truncated:  # else SQLite reads nothing of a file that is shorter than its header says
        connection.execute("PRAGMA writable_schema = ON")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        # In a folder without write access, SQLite can neither create the log's index nor apply a
        # log or journal that a crash left: do that on a copy.
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
