"""Are all trials still there? Detects a database without its log, and an old copy of a database.

SQLite appends committed changes to a log beside the database, and moves them in from time to time.
A database that was copied without its log looks valid, but is older than it should be, or empty.
Three signs reveal it:

    afina.count             how many trials had finished; written after each one, never before
    the note LOG            "beside" in the database alone, "here" if its log is there too
    no tables, no bytes     Afina never leaves such a file: it creates it under another name
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from pathlib import Path

import sqlalchemy as sql
from sqlalchemy import Connection

from afina.errors import StoreError
from afina.store.lock import LOCK_FILE
from afina.store.statements import Statement
from afina.store.tables import NOTES, TRIALS
from afina.trials import Status

COUNT_FILE = "afina.count"

LOG = "_log"
"""The note that says where the latest changes are."""

_COUNT_BYTES = 40  # longer than any count, so that each one replaces the last

BESIDE, HERE = '"beside"', '"here"'

_ADVICE = (
    "Nothing was changed. Restore the project's files, the log included. Or run "
    "`afina recover {folder}` to continue with the trials that are left. Or pass overwrite=True "
    "to start over."
)

_OPEN: list[sql.ColumnElement[str]] = [
    sql.literal_column(f"'{each.value}'") for each in Status if not each.finished
]
_FINISHED = (
    sql.select(sql.func.count().label("count"))
    .select_from(TRIALS)
    .where(TRIALS.c.status.not_in(_OPEN))
)
_FINISHED_SINCE = Statement(_FINISHED.where(TRIALS.c.revision > sql.bindparam("since")))


class LostLogError(StoreError):
    """A database says that its log is beside it, and there was none."""


def log_of(file: Path) -> Path:
    """Where SQLite keeps a database's log."""
    return file.with_name(file.name + "-wal")


def count_finished(connection: Connection) -> int:
    """How many trials of the database have finished."""
    return int(connection.execute(_FINISHED).scalar_one())


def count_finished_since(connection: Connection, revision: int) -> int:
    """How many trials have finished after a revision of the search, that of now included."""
    return int(_FINISHED_SINCE.rows(connection, {"since": revision})[0]["count"])


def read_count(folder: Path) -> int | None:
    """How many finished trials a project should have; None if that is not recorded."""
    try:
        return int(json.loads((folder / COUNT_FILE).read_text())["finished"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_count(folder: Path, finished: int) -> None:
    """Records the count. If that fails, a later loss of trials may go unnoticed; nothing worse."""
    # In place: file systems write a file that is emptied first to the disk at once.
    text = json.dumps({"finished": finished}).ljust(_COUNT_BYTES)
    with contextlib.suppress(OSError):
        file = os.open(folder / COUNT_FILE, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            os.write(file, text.encode())
        finally:
            os.close(file)


def check_file(file: Path) -> None:
    """Checks the file before SQLite opens it: SQLite would delete the log of an empty database.

    Raises:
        StoreError: The file is gone or empty, although there was a search.
    """
    if file.exists():
        if file.stat().st_size == 0:
            raise empty(file)
        return
    known = read_count(file.parent) or 0
    if not known and (file.parent / LOCK_FILE).exists():
        known = sum(1 for entry in file.parent.glob("trial_*") if entry.is_dir())
    log = log_of(file).exists()
    if (known or log) and not file.exists():  # else another process has just begun it
        raise StoreError(f"{_missing(known)}: {str(file)!r} is gone. " + _advice(file))


def check_whole(file: Path, connection: Connection, *, log: bool, known: int | None) -> None:
    """Compares the database with what is recorded about it.

    Args:
        file: The database.
        connection: An open connection to it.
        log: Whether its log existed before it was opened.
        known: `read_count` before it was opened; a running search can only increase it.

    Raises:
        StoreError: Trials are missing.
    """
    there = count_finished(connection)
    where = connection.execute(sql.select(NOTES.c.value).where(NOTES.c.key == LOG)).scalar()
    lost_log = where == BESIDE and not log
    if known is not None and known > there:
        raise StoreError(
            f"{_missing(known - there)}: {str(file)!r} holds {there} finished trials, but "
            f"{COUNT_FILE!r} beside it says {known}. The file is an old copy, or was "
            f"copied without its log {log_of(file).name!r}. " + _advice(file)
        )
    if lost_log and known is None:
        raise LostLogError(
            f"Trials may be missing: {str(file)!r} holds {there} finished trials, but was copied "
            f"without its log {log_of(file).name!r}, which held the latest. " + _advice(file)
        )


def is_empty(file: Path) -> bool:
    """Whether there is no database, or one without any table."""
    if not file.exists() or file.stat().st_size == 0:
        return True
    with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as db:
        return not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def empty(file: Path) -> StoreError:
    """The error for a database without any table."""
    known = read_count(file.parent)
    return StoreError(
        f"{_missing(known)}: {str(file)!r} is empty. It was truncated, or copied without its log "
        f"{log_of(file).name!r}. " + _advice(file)
    )


def _missing(count: int | None) -> str:
    if count == 1:
        return "1 trial is missing"
    return f"{count} trials are missing" if count else "The trials are missing"


def _advice(file: Path) -> str:
    return _ADVICE.format(folder=file.parent)
