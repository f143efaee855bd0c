"""Project folders: opening the store of one, deleting one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from afina.errors import StoreError
from afina.store.base import TrialStore
from afina.store.lock import LOCK_FILE
from afina.store.memory import MemoryStore
from afina.store.seat import seat_of


def open_store(folder: Path | str | None) -> TrialStore:
    """The store of a project folder, or one in memory for None.

    Nothing is made or changed before the first write.

    Args:
        folder: `<directory>/<project_name>`; need not exist.
    """
    if folder is None:
        return MemoryStore()
    # SQLAlchemy takes 0.2 s to import: only who keeps trials on disk pays that.
    from afina.store.sqlite import SqliteStore

    return SqliteStore(Path(folder))


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
