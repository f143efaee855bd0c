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

from afina.store.trouble import told_of
from afina.store.writer import connect, has_tables

_LOGS = ("-wal", "-journal")


class SqliteReader:
    """Opens the file anew for each look, so that it always sees what is there now.

    Args:
        file: The SQLite file; need not exist.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._engine = sql.create_engine(
            "sqlite://", creator=lambda: _open_to_read(file), poolclass=NullPool
        )

    @contextlib.contextmanager
    def look(self) -> Iterator[Connection | None]:
        """A connection for one look, or None where there is nothing to see.

        Raises:
            StoreError: The file is damaged or cannot be read.
            ProjectVersionError: Another version of Afina made it.
        """
        with told_of(self.file):
            if not self.file.exists():
                yield None
                return
            with self._engine.connect() as connection:
                yield connection if has_tables(connection, self.file) else None


def _open_to_read(file: Path) -> sqlite3.Connection:
    # Where a log lies there, somebody writes or a crash left it: hands off. Where none does, SQLite
    # makes an empty one for the look, and only who may write takes it away afterwards.
    in_use = any(file.with_name(file.name + suffix).exists() for suffix in _LOGS)
    mode = "ro" if in_use else "rw"
    connection = connect(f"{file.absolute().as_uri()}?mode={mode}", uri=True)
    try:
        connection.execute("PRAGMA query_only=ON")
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
