"""Errors of SQLite and the operating system, turned into messages that say what to do."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from afina.errors import StoreError

_SAFE = "Nothing was changed: the trials finished so far are kept."


@contextlib.contextmanager
def readable_errors(file: Path) -> Iterator[None]:
    """Turns errors of the database and the file system into StoreErrors with advice."""
    try:
        yield
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise store_error(file, error.orig) from error
        raise
    except (sqlite3.Error, OSError) as error:
        raise store_error(file, error) from error
    except (SQLAlchemyError, UnicodeError, OverflowError, MemoryError) as error:
        # SQLite returns impossible values from a database that is damaged inside.
        raise damaged(file, f"{type(error).__name__}: {error}") from error


def store_error(file: Path, error: sqlite3.Error | OSError) -> StoreError:
    """The StoreError for an error that was raised while `file` was read or written."""
    where = repr(str(file))
    match _cause(error):
        case "damaged":
            return damaged(file, str(error))
        case "readonly":
            return StoreError(
                f"The project in {where} cannot be written ({error}). {_SAFE} Make its folder "
                "writable, or choose another directory."
            )
        case "full":
            return StoreError(
                f"The project in {where} cannot be written ({error}): the disk is full or broken, "
                f"or a quota is used up. {_SAFE} Make room and search again: the search "
                "continues where it stopped."
            )
        case "busy":
            return StoreError(
                f"Another program has locked {where} ({error}). {_SAFE} Close the program that "
                "has the file open and search again."
            )
        case _:
            return StoreError(f"The project in {where} cannot be used: {error}. {_SAFE}")


def damaged(file: Path, reason: str) -> StoreError:
    """The StoreError for a file that Afina did not write, or that was damaged since."""
    return StoreError(
        f"{str(file)!r} is damaged or is not an Afina project ({reason}). Nothing was changed. "
        f"Restore the file from a backup; `afina trials {file.parent}` lists the trials that can "
        "still be read. To start over, use another project_name, or pass overwrite=True, which "
        "deletes the project."
    )


def _cause(error: sqlite3.Error | OSError) -> str:
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            return "full"
        return "readonly"
    # The last byte is the family of the error; the rest is its kind within the family.
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return "damaged"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return "readonly"
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            return "full"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return "busy"
        case _:
            return ""
