"""One process writes in a project: a lock of the operating system that dies with its process."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import warnings
from pathlib import Path

from afina.errors import ProjectLockedError
from afina.store import last_words

LOCK_FILE = "afina.lock"

# What file systems answer that know no locks (some network and cloud drives).
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK})

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    # Windows locks bytes, and nobody else may read those: lock one far behind the text.
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
        # flock and not lockf: the latter is lost as soon as this process closes any other
        # descriptor of the same file, as whoever reads the lock file's text does.
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            warnings.warn(
                "The project's folder is on a file system without locks: Afina cannot tell "
                "whether another process searches there. Start only one search in it.",
                RuntimeWarning,
                stacklevel=2,
            )
        return True


def _names_a_dead_process(file: int) -> bool:
    """Whether the text is a holder's name and nothing else: see `ProjectLock`."""
    try:
        text = os.pread(file, 4096, 0) if hasattr(os, "pread") else os.read(file, 4096)
        return bool(json.loads(text)["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


class ProjectLock:
    """Tells other processes that this one writes in a folder.

    The lock file stays in the folder; what locks is the system's lock on it, which ends with its
    process however that dies. The file's text names the holder, for the message of the error. Who
    lets go empties the file, and whom a signal asks to end leaves its last words behind the name:
    a name alone is that of a process that died without warning.

    Args:
        folder: The project's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK_FILE
        self.holder_died = False
        """Whether, when this process took the lock, the last holder had died without warning."""
        self._file: int | None = None

    @property
    def held(self) -> bool:
        """Whether this process holds the lock on the file that lies in the folder now."""
        return self._file is not None and self._is_in_place(self._file)

    def take(self) -> None:
        """Takes the lock, and makes the folder where there is none.

        Raises:
            ProjectLockedError: Another process holds it.
            OSError: The folder cannot be written.
        """
        self.release()
        while True:
            self.path.parent.mkdir(parents=True, exist_ok=True)
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
                last_words.begin(file)
                return
            # Whoever held it has deleted the project meanwhile: lock the file that is there now.
            os.close(file)

    def release(self) -> None:
        """Lets go of the lock."""
        if self._file is None:
            return
        file, self._file = self._file, None
        last_words.end(file)
        try:
            os.ftruncate(file, 0)  # nobody is named who does not hold it
        except OSError:
            pass  # a full or vanished disk; the text alone means nothing
        finally:
            os.close(file)

    def remove(self) -> None:
        """Deletes the lock file, then lets go of the lock."""
        if sys.platform == "win32":  # pragma: no cover
            self.release()  # an open file cannot be deleted there
        self.path.unlink(missing_ok=True)
        self.release()

    def forget(self) -> None:
        """In a forked child: closes its copy of the descriptor, which leaves the parent's lock.

        Otherwise the lock would live until the last child has died, not only its owner.
        """
        if self._file is not None:
            last_words.end(self._file)
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
            who = "another process"  # it has not signed yet
        return (
            f"The project {str(self.path.parent)!r} is being written by {who}; nothing was "
            "changed. Wait for that search to end, stop it, or use another project_name."
        )
