"""The lock of a project: shared by the processes that work on it, held alone to open or delete it.

    take ──▶ alone: nobody else writes ──share──▶ shared ──release──▶
        └──▶ shared: others write already

A system lock that ends with its process, however that dies.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import warnings
from pathlib import Path

from afina.errors import ProjectLockedError
from afina.store.flock import CAN_SHARE, EXCLUSIVE, SHARED, try_lock
from afina.store.folder import make_project_folder

LOCK_FILE = "afina.lock"

_PATIENCE = 10.0  # seconds to wait for a process that opens or deletes the project


class ProjectLock:
    """Lets processes write in a folder together, and one of them alone when it must be alone.

    The lock file stays in the folder. What locks is the system's lock on it. The file's text names
    the process that came last, for the error message.

    Args:
        folder: The project's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK_FILE
        self.alone = False
        """Whether no other process can write now."""
        self._file: int | None = None

    @property
    def held(self) -> bool:
        """Whether this process holds the lock on the file that is in the folder now."""
        return self._file is not None and self._is_in_place(self._file)

    def take(self, *, alone: bool = False) -> None:
        """Takes the lock: alone if nobody else has it, else shared. Creates the folder.

        Args:
            alone: Whether it must be alone.

        Raises:
            ProjectLockedError: Another process keeps it, or has it where this one must be alone.
            OSError: The folder cannot be written.
        """
        self.release()
        until = time.monotonic() + (0.0 if alone else _PATIENCE)
        while True:
            make_project_folder(self.path.parent)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                got = self._try(file, alone=alone)
                in_place = got and self._is_in_place(file)
                if in_place:
                    self._sign(file)
            except BaseException:
                os.close(file)
                raise
            if in_place:
                self._file = file
                return
            # It is busy, or its last holder has deleted the project: lock what is there now.
            os.close(file)
            if not got:
                if time.monotonic() >= until:
                    raise ProjectLockedError(self._message())
                time.sleep(0.02)

    def _try(self, file: int, *, alone: bool) -> bool:
        got = try_lock(file, EXCLUSIVE)
        if got is None:
            warnings.warn(
                "The project's folder is on a file system without locks, so Afina cannot detect "
                "other processes that search in it. Start only one search in this folder.",
                RuntimeWarning,
                stacklevel=2,
            )
        self.alone = got is not False
        if self.alone or alone or not CAN_SHARE:
            return self.alone
        return try_lock(file, SHARED) is not False

    def share(self) -> None:
        """Lets other processes in, after a `take` that was alone."""
        if self._file is None or not self.alone or not CAN_SHARE:
            return
        self.alone = False
        # Another process may slip in between and hold it alone for a moment.
        until = time.monotonic() + _PATIENCE
        while try_lock(self._file, SHARED) is False:
            if time.monotonic() >= until:
                raise ProjectLockedError(self._message())
            time.sleep(0.01)

    def take_alone(self) -> None:
        """Makes sure that no other process can write.

        Raises:
            ProjectLockedError: Another process works on the project.
        """
        if not self.held:
            self.take(alone=True)
        elif not self.alone and self._file is not None and CAN_SHARE:
            if try_lock(self._file, EXCLUSIVE) is False:
                try_lock(self._file, SHARED)
                raise ProjectLockedError(self._message())
            self.alone = True

    def release(self) -> None:
        """Releases the lock."""
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            # The text names only a current holder: the last one empties the file.
            if self.alone or try_lock(file, EXCLUSIVE) is not False:
                os.ftruncate(file, 0)
        except OSError:
            pass  # the disk is full or gone; the text alone does not lock
        finally:
            self.alone = False
            os.close(file)

    def remove(self) -> None:
        """Deletes the lock file, then releases the lock."""
        if sys.platform == "win32":  # pragma: no cover
            self.release()  # an open file cannot be deleted there
        self.path.unlink(missing_ok=True)
        self.release()

    def forget(self) -> None:
        """In a forked child: closes its copy of the descriptor; the parent keeps the lock.

        Otherwise the lock would last until the last child has ended.
        """
        if self._file is not None:
            os.close(self._file)
            self._file = None
            self.alone = False

    def _is_in_place(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), self.path.stat())
        except OSError:
            return False

    def _sign(self, file: int) -> None:
        text = json.dumps({"pid": os.getpid(), "host": socket.gethostname()})
        os.ftruncate(file, 0)
        os.lseek(file, 0, os.SEEK_SET)
        os.write(file, text.encode())

    def _message(self) -> str:
        try:
            holder = json.loads(self.path.read_text())
            who = f"process {holder['pid']} on {holder['host']}"
        except (OSError, ValueError, KeyError, TypeError):
            who = "another process"  # it has not written its name yet
        return (
            f"The project {str(self.path.parent)!r} is being written by {who}. Nothing was "
            "changed. Wait for that search to end, stop it, or use another project_name. To join "
            "it, leave out overwrite=True."
        )
