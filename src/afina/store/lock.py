"""Lets only one process write a project: a system lock that ends with its process."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import warnings
from pathlib import Path

from afina.errors import ProjectLockedError
from afina.store import termination
from afina.store.folder import make_project_folder

LOCK_FILE = "afina.lock"

# Errors of file systems without locks (some network and cloud drives).
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK})

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    # Windows locks bytes, and other processes cannot read those: lock one far behind the text.
    _BYTE = 1 << 30

    def _try_lock(file: int) -> bool:
        os.lseek(file, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(file: int) -> bool:
        # Not lockf: its lock ends when this process closes any other descriptor of the same file,
        # as it does after reading the lock file's text.
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            warnings.warn(
                "The project's folder is on a file system without locks, so Afina cannot detect "
                "other processes that search in it. Start only one search in this folder.",
                RuntimeWarning,
                stacklevel=2,
            )
        return True


def _names_a_dead_process(file: int) -> bool:
    """Whether the lock file contains a holder's name and nothing else; see `ProjectLock`."""
    try:
        text = os.pread(file, 4096, 0) if hasattr(os, "pread") else os.read(file, 4096)
        return bool(json.loads(text)["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


class ProjectLock:
    """Keeps other processes from writing in a folder while this one does.

    The lock file stays in the folder. What locks is the system's lock on it, which ends with its
    process, however that dies. The file's text names the holder, for the error message. Releasing
    the lock empties the file, and a signal that ends the process leaves text behind the name. So a
    name alone means that its process died without warning.

    Args:
        folder: The project's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK_FILE
        self.holder_died = False
        """Whether the previous holder had died without warning when this process took the lock."""
        self._file: int | None = None

    @property
    def held(self) -> bool:
        """Whether this process holds the lock on the file that is in the folder now."""
        return self._file is not None and self._is_in_place(self._file)

    def take(self) -> None:
        """Takes the lock; creates the folder if it does not exist.

        Raises:
            ProjectLockedError: Another process holds it.
            OSError: The folder cannot be written.
        """
        self.release()
        while True:
            make_project_folder(self.path.parent)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                if not _try_lock(file):
                    raise ProjectLockedError(self._message())
                in_place = self._is_in_place(file)
                if in_place:
                    self.holder_died = _names_a_dead_process(file)
                    self._sign(file)
            except BaseException:
                os.close(file)
                raise
            if in_place:
                self._file = file
                termination.start(file)
                return
            # The previous holder has deleted the project since: lock the file that is there now.
            os.close(file)

    def release(self) -> None:
        """Releases the lock."""
        if self._file is None:
            return
        file, self._file = self._file, None
        termination.stop(file)
        try:
            os.ftruncate(file, 0)  # the text names only a current holder
        except OSError:
            pass  # the disk is full or gone; the text alone does not lock
        finally:
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
            termination.stop(self._file)
            os.close(self._file)
            self._file = None

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
            "changed. Wait for that search to end, stop it, or use another project_name."
        )
