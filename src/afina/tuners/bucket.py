"""Trials' files at a URL, for machines that share no folder: `RayExecutor(checkpoint_dir="s3://...")`.

    a process' own folder          the URL's folder, by fsspec
      trial_3/checkpoint  ◀─pull─  .../project/trial_3/checkpoint
                          ─push─▶

Trials read and write ordinary files. `pull` brings what the URL has and this process lacks or has
older; `push` sends what has changed here, and deletes there what was deleted here. `trial_files`
says when. fsspec is imported when the first bucket is opened.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from afina.errors import AfinaError, StoreError, wrong
from afina.run.orphans import make_folder, remove_folder
from afina.store.places import hide_password

Result = TypeVar("Result")

PAUSES = (0.5, 1.0, 2.0)
"""Seconds before each further try to reach the URL."""

_HOPELESS = (PermissionError, ImportError, NotImplementedError)  # not tried again

# What file systems call the version of a file, or the time at which it was written.
_VERSIONS = (
    *("ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "last_modified"),
    *("updated", "modified", "modify", "created"),
)

_Stamp = tuple[Any, ...]


@dataclass(frozen=True)
class _Synced:
    """How a file was here and there when the two were the same."""

    here: _Stamp
    there: _Stamp | None


class Bucket:
    """A folder at a URL, and a copy of some of it on this machine.

    Args:
        url: Of the folder; its file system is one that fsspec knows.

    Raises:
        StoreError: By all methods: the URL cannot be reached, after several tries.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.shown: str = hide_password(url)
        """The URL without a password."""

        self.folder, held = make_folder()
        """Of this process; removed when it ends, or by the next one if it is killed."""

        atexit.register(_removed_by, os.getpid(), self.folder, held)
        self._lock = threading.RLock()
        self._synced: dict[str, _Synced] = {}

    @functools.cached_property
    def _system(self) -> tuple[Any, str, bool]:
        """The file system, the folder's path in it, and whether it can rename files."""
        system, path = importlib.import_module("fsspec.core").url_to_fs(self._url)
        # An object store shows an object when it is whole, and would copy instead of renaming.
        plain = importlib.import_module("fsspec.spec").AbstractFileSystem.mv
        return system, path.rstrip("/"), type(system).mv is not plain

    def check(self) -> None:
        """Writes and removes a small file."""
        name = f".afina-{secrets.token_hex(4)}.part"
        with self._lock:
            probe = self.folder / name
            try:
                probe.write_text("Can this be written?", encoding="utf-8")
                self._upload(name)
                self._delete(name)
            finally:
                probe.unlink(missing_ok=True)

    def pull(self, name: str) -> None:
        """Brings a folder here: what is new or newer there, and what was deleted there.

        Args:
            name: Of the folder.
        """
        with self._lock:
            there = self._list(name)
            for file, stamp in there.items():
                known = self._synced.get(file)
                if known is None or known.there != stamp or len(stamp) < 2:
                    self._download(file, stamp)
            for file in self._known(name) - set(there):
                if self._here(file) == self._synced.pop(file).here:
                    (self.folder / file).unlink(missing_ok=True)

    def push(self, name: str) -> None:
        """Sends what has changed in a folder here since it was the same there.

        Args:
            name: Of the folder.
        """
        with self._lock:
            files = (file for file in (self.folder / name).rglob("*") if file.is_file())
            here = {
                file.relative_to(self.folder).as_posix(): _stamp_of(file)
                for file in files
                if not _is_part(file.name)
            }
            known = self._synced
            changed = [f for f in sorted(here) if f not in known or known[f].here != here[f]]
            gone = self._known(name) - set(here)
            for file in changed:
                self._upload(file)
            for file in gone:
                self._delete(file)
            if changed:
                there = self._list(name)
                known.update({file: _Synced(here[file], there.get(file)) for file in changed})

    def remove(self, name: str, *patterns: str) -> None:
        """Deletes files of a folder, here and there.

        Args:
            name: Of the folder.
            patterns: Of the files' names, as for `fnmatch`.
        """
        with self._lock:
            found = set(self._list(name, parts=True)) | self._known(name)
            for file in found:
                last = PurePosixPath(file).name
                if any(fnmatchcase(last, p) or fnmatchcase(last, f".{p}.*.part") for p in patterns):
                    (self.folder / file).unlink(missing_ok=True)
                    self._delete(file)

    def clear(self) -> None:
        """Deletes all files of trials, here and there."""
        with self._lock:
            for file in self._list("", parts=True):
                if file.startswith("trial_"):
                    self._delete(file)
            self.let_go()

    def let_go(self) -> None:
        """Deletes the copy that is here."""
        with self._lock:
            self._synced.clear()
            for each in self.folder.glob("trial_*"):
                shutil.rmtree(each, ignore_errors=True)

    # -- one file ---------------------------------------------------------------------------------

    def _known(self, name: str) -> set[str]:
        return {file for file in self._synced if file.startswith(f"{name}/")}

    def _here(self, file: str) -> _Stamp | None:
        path = self.folder / file
        return _stamp_of(path) if path.is_file() else None

    def _list(self, name: str, *, parts: bool = False) -> dict[str, _Stamp]:
        """The files of a folder there, with their stamps."""

        def find() -> dict[str, Any]:
            system, path, _ = self._system
            system.invalidate_cache()
            try:
                found: dict[str, Any] = system.find(f"{path}/{name}".rstrip("/"), detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return {}
            below = f"{path}/"
            return {n.removeprefix(below): i for n, i in found.items() if n.startswith(below)}

        return {
            file: _version_of(info)
            for file, info in self._tried(find).items()
            if ".." not in file.split("/") and (parts or not _is_part(PurePosixPath(file).name))
        }

    def _download(self, file: str, stamp: _Stamp) -> None:
        target = self.folder / file
        part = target.with_name(f".{target.name}.part")

        def get() -> bool:
            system, path, _ = self._system
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                system.get_file(f"{path}/{file}", str(part))
            except FileNotFoundError:  # deleted a moment ago
                return False
            return True

        try:
            if self._tried(get):
                os.replace(part, target)
                self._synced[file] = _Synced(_stamp_of(target), stamp)
        finally:
            part.unlink(missing_ok=True)

    def _upload(self, file: str) -> None:
        def put() -> None:
            system, path, renames = self._system
            target = f"{path}/{file}"
            folder, _, last = target.rpartition("/")
            # Another name for each try of each process: one that hangs may go on later.
            aim = f"{folder}/.{last}.{secrets.token_hex(4)}.part" if renames else target
            try:
                if renames:
                    system.makedirs(folder, exist_ok=True)
                system.put_file(str(self.folder / file), aim)
                if renames:
                    _move(system, aim, target)
            except BaseException:
                if renames:
                    with contextlib.suppress(Exception):
                        system.rm_file(aim)
                raise

        self._tried(put)

    def _delete(self, file: str) -> None:
        def delete() -> None:
            system, path, _ = self._system
            with contextlib.suppress(FileNotFoundError):
                system.rm_file(f"{path}/{file}")

        self._tried(delete)
        self._synced.pop(file, None)

    def _tried(self, call: Callable[[], Result]) -> Result:
        """What a call returns, after a few more tries if the URL cannot be reached."""
        for pause in (*PAUSES, None):
            try:
                return call()
            except (AfinaError, MemoryError):
                raise
            except Exception as error:
                if pause is None or isinstance(error, _HOPELESS):
                    # Without its cause: that may show the URL with its password.
                    raise StoreError(self._why(error)) from None
                time.sleep(pause)
        raise AssertionError

    def _why(self, error: Exception) -> str:
        said = str(hide_password(str(error).replace(self._url, self.shown)))
        advice = (
            "Check the network, the rights of this machine, and that fsspec and the package of "
            "the URL's protocol are installed on every machine. What has been kept stays; search "
            "again to continue."
        )
        rule = "must be a place that every machine can read and write"
        got = f"{self.shown} ({type(error).__name__}: {said})"
        return wrong("checkpoint_dir", rule, got, advice)


@functools.cache
def open_bucket(url: str, process: int) -> Bucket:
    """The one bucket of a process for a URL.

    Args:
        url: Of its folder.
        process: The process; a forked one has a folder of its own.
    """
    del process
    return Bucket(url)


def _removed_by(process: int, folder: Path, held: int | None) -> None:
    if os.getpid() == process:  # not a fork of it
        remove_folder(folder, held)


def _is_part(name: str) -> bool:
    """Whether a file of this name is being written."""
    return name.startswith(".") and ".part" in name


def _stamp_of(file: Path) -> _Stamp:
    found = file.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def _version_of(info: dict[str, Any]) -> _Stamp:
    """What tells two versions of a file apart: its size, and what else the file system knows."""
    return info.get("size"), *(str(info[name]) for name in _VERSIONS if info.get(name) is not None)


def _move(system: Any, part: str, target: str) -> None:
    try:
        system.mv(part, target)
    except OSError:  # some refuse to replace a file
        if not (system.exists(part) and system.exists(target)):
            raise
        system.rm_file(target)
        system.mv(part, target)
