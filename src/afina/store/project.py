"""Project folders: open a project's store, recover a project, delete it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from afina.errors import ArgumentError, StoreError, wrong
from afina.store.base import TrialStore
from afina.store.lock import LOCK_FILE
from afina.store.memory import MemoryStore
from afina.store.places import URLS, folder_of, hide_password, is_postgres
from afina.store.writer_lock import writer_lock_of


def no_search(place: Path | str) -> str:
    """The message for a place that holds no search.

    It names a folder below that holds one: users often forget the project_name.
    """
    return wrong("FOLDER", "must hold a search", hide_password(str(place)), _where_else(place))


def _where_else(place: Path | str) -> str:
    if is_postgres(place):
        return 'Add "?project=" and the project_name of a tuner.'
    if os.path.isdir(place):
        for below in sorted(path for path in Path(place).iterdir() if path.is_dir()):
            if open_store(below).header() is not None:
                return f"Did you mean {str(below)!r}?"
    return "Give the directory/project_name of a tuner."


def open_store(where: TrialStore | Path | str | None, *, project: str | None = None) -> TrialStore:
    """Opens the store of a search.

    The first write creates the project; until then nothing changes on disk.

    Args:
        where: A project's folder, `<directory>/<project_name>`, which need not exist. Or a URL:
            "sqlite:///folder" for the same folder, "postgresql://user@host/database" for a
            database that several machines share, "memory:" or None to keep trials in memory. A
            `TrialStore` is returned unchanged.
        project: Tells the searches in one database apart; the URL's own "?project=name" goes
            before. None is "afina".

    Raises:
        ArgumentError: It is none of these, or the URL has another scheme.

    Example:
        >>> open_store("memory:").trials()
        []
    """
    if where is None or where in ("memory:", "memory://"):
        return MemoryStore()
    if isinstance(where, str):
        if is_postgres(where):
            from afina.store.postgres import PostgresStore

            return PostgresStore(where, project=project)
        where = folder_of(where)
    if isinstance(where, Path):
        # SQLAlchemy takes 0.2 s to import: only searches that keep trials on disk pay for it.
        from afina.store.sqlite import SqliteStore

        return SqliteStore(where)
    return check_store_like(where)


def check_store_like(store: Any) -> TrialStore:
    """Returns the store; raises ArgumentError if it lacks methods of a `TrialStore`."""
    if isinstance(store, TrialStore) and not isinstance(store, type):
        return store
    rule = "must be a TrialStore, a folder, or a URL: " + URLS
    advice = "Your own store needs all methods of afina.store.TrialStore."
    if isinstance(store, type):
        advice = f"Pass an instance: {store.__name__}(...)."
    raise ArgumentError(wrong("store", rule, hide_password(store), advice))


def recover_project(folder: Path | str) -> int:
    """Accepts that trials are missing, so that the search can continue with the remaining ones.

    Args:
        folder: `<directory>/<project_name>`: a project for which a StoreError reports missing
            trials.

    Returns:
        The number of finished trials that remain.

    Raises:
        StoreError: The database is damaged; nothing was changed.
        ProjectLockedError: Another running process writes the project.
    """
    from afina.store.completeness import COUNT_FILE, is_empty, log_of
    from afina.store.sqlite import STORE_FILE
    from afina.store.sqlite_errors import readable_errors
    from afina.store.writer import SqliteWriter

    place = Path(os.path.realpath(folder))
    file, lock = place / STORE_FILE, writer_lock_of(place)
    with readable_errors(file), lock.guard:
        if is_empty(file):
            lock.clear(lambda: _delete(file, log_of(file), place / COUNT_FILE))
            return 0
        finished = lock.take(
            lock.turn, lambda: SqliteWriter(file, forgive=True), alone=True
        ).finished
        lock.release()
        return finished


def _delete(*files: Path) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def delete_project(folder: Path | str) -> None:
    """Deletes a project folder and everything in it, including Keras Tuner's files.

    Stores of this process that are open on the project can no longer write.

    Raises:
        ProjectLockedError: Another running process writes the project; nothing was deleted.
        StoreError: The folder contains the working directory or the home directory, or it
            cannot be deleted.
    """
    place = Path(os.path.realpath(folder))
    if not place.exists():
        return
    for kept, name in ((Path.cwd(), "working"), (Path.home(), "home")):
        if kept.is_relative_to(place):
            raise StoreError(
                f"{str(place)!r} contains your {name} directory, so overwrite=True does not delete "
                "it. Give the project its own folder: project_name=..."
            )
    try:
        writer_lock_of(place).clear(lambda: _delete_contents(place))
        # Another process may have started a new project in it a moment ago.
        if not any(place.iterdir()):
            place.rmdir()
    except OSError as error:
        raise StoreError(
            f"The project {str(place)!r} cannot be deleted: {error}. Close other programs that "
            "have its files open, make its folder writable, or use another project_name."
        ) from error


def delete_search(store: TrialStore) -> bool:
    """Deletes the search that a store holds, if stores of its kind can: a folder or a database.

    Returns:
        Whether it is gone; False for other kinds of stores.

    Raises:
        ProjectLockedError: Another process works on it; nothing was deleted.
        StoreError: It cannot be deleted.
    """
    if callable(delete := getattr(store, "delete", None)):
        delete()
        return True
    if isinstance(folder := getattr(store, "folder", None), Path):
        delete_project(folder)
        return True
    return False


def _delete_contents(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name == LOCK_FILE:
            continue  # deleted last: until then it keeps other processes out
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
