"""Project folders: opening the store of one, deleting one."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

from afina.errors import ArgumentError, StoreError, wrong
from afina.store.base import TrialStore
from afina.store.lock import LOCK_FILE
from afina.store.memory import MemoryStore
from afina.store.seat import seat_of


def open_store(where: TrialStore | Path | str | None) -> TrialStore:
    """Opens the store of a search.

    Nothing is made or changed before the first write.

    Args:
        where: A project's folder, `<directory>/<project_name>`, which need not exist; or a URL:
            "sqlite:///folder" means the same folder, and "memory:" keeps the trials in memory, as
            None does. A `TrialStore` is returned as it is.

    Raises:
        ArgumentError: It is none of these, or the URL has another scheme.

    Example:
        >>> open_store("memory:").trials()
        []
    """
    if where is None or where in ("memory:", "memory://"):
        return MemoryStore()
    if isinstance(where, str):
        where = _folder_of(where)
    if isinstance(where, Path):
        # SQLAlchemy takes 0.2 s to import: only who keeps trials on disk pays that.
        from afina.store.sqlite import SqliteStore

        return SqliteStore(where)
    return check_store_like(where)


def check_store_like(store: Any) -> TrialStore:
    """The store; ArgumentError for an object that does not have what a `TrialStore` has."""
    if isinstance(store, TrialStore) and not isinstance(store, type):
        return store
    rule = "must be a TrialStore, a folder, or a URL: " + _URLS
    advice = "A store of your own has all methods of afina.store.TrialStore."
    if isinstance(store, type):
        advice = f"Pass an instance: {store.__name__}(...)."
    raise ArgumentError(wrong("store", rule, store, advice))


_URLS = '"memory:" or "sqlite:///folder"'


def _folder_of(text: str) -> Path:
    """The folder that a path or a URL names."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):(//|$)", text)  # "C:/folder" has none
    if scheme is None:
        return Path(text)
    _, slashes, folder = text.partition(":///")
    if scheme[1].lower() == "sqlite" and slashes and folder:
        return Path(folder)
    raise ArgumentError(wrong("store", f"must be a folder, or a URL: {_URLS}", text))


def recover_project(folder: Path | str) -> int:
    """Gives up the trials that are missing, so that the search can go on with those that are there.

    Args:
        folder: `<directory>/<project_name>`, of which a StoreError says that trials are missing.

    Returns:
        How many finished trials are there.

    Raises:
        StoreError: The database is damaged; nothing was changed.
        ProjectLockedError: Another living process searches in it.
    """
    from afina.store.completeness import COUNT_FILE, is_empty, log_of
    from afina.store.sqlite import STORE_FILE
    from afina.store.trouble import told_of
    from afina.store.writer import SqliteWriter

    place = Path(os.path.realpath(folder))
    file, seat = place / STORE_FILE, seat_of(place)
    with told_of(file), seat.guard:
        if is_empty(file):
            seat.clear(lambda: _delete(file, log_of(file), place / COUNT_FILE))
            return 0
        finished = seat.take(seat.turn, lambda: SqliteWriter(file, forgive=True)).finished
        seat.leave()
        return finished


def _delete(*files: Path) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def delete_project(folder: Path | str) -> None:
    """Deletes a project folder with all that it holds, Keras Tuner's files included.

    A store of this process that is open on it can write no more.

    Raises:
        ProjectLockedError: Another living process searches in it; nothing was deleted.
        StoreError: It holds the working directory or the home directory, or cannot be deleted.
    """
    place = Path(os.path.realpath(folder))
    if not place.exists():
        return
    for kept, name in ((Path.cwd(), "working"), (Path.home(), "home")):
        if kept.is_relative_to(place):
            raise StoreError(
                f"{str(place)!r} holds your {name} directory and is not deleted for "
                "overwrite=True. Give the project a name of its own: project_name=..."
            )
    try:
        seat_of(place).clear(lambda: _delete_contents(place))
        # Somebody who began anew in it a moment ago may keep it.
        if not any(place.iterdir()):
            place.rmdir()
    except OSError as error:
        raise StoreError(
            f"The project {str(place)!r} cannot be deleted: {error}. Nobody else may have its "
            "files open, and its folder must be writable; or use another project_name."
        ) from error


def _delete_contents(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name == LOCK_FILE:
            continue  # the last to go: until then it keeps other processes out
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
