"""Locks on open files, as the system has them; they end with their process."""

from __future__ import annotations

import errno
import os
import sys

EXCLUSIVE, SHARED = "exclusive", "shared"

# Errors of file systems without locks (some network and cloud drives).
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK})

CAN_SHARE = sys.platform != "win32"
"""Whether several processes can hold a lock of the kind SHARED."""

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    # Windows locks bytes, and other processes cannot read those: lock one far behind the text.
    _BYTE = 1 << 30

    def try_lock(file: int, kind: str) -> bool | None:
        """Locks an open file, if nobody else has; there, each kind is exclusive."""
        del kind
        os.lseek(file, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def wait_for_lock(file: int) -> None:
        """Does nothing there: the system wakes nobody."""

else:
    import fcntl

    _KINDS = {EXCLUSIVE: fcntl.LOCK_EX, SHARED: fcntl.LOCK_SH}

    def try_lock(file: int, kind: str) -> bool | None:
        """Locks an open file; changes the kind of a lock that it has.

        Args:
            file: A descriptor.
            kind: EXCLUSIVE or SHARED.

        Returns:
            Whether it could be locked; None on a file system without locks. After False it has no
            lock at all.

        Raises:
            OSError: The file cannot be used.
        """
        # Not lockf: its lock ends when this process closes any other descriptor of the same file,
        # as it does after reading the lock file's text.
        try:
            fcntl.flock(file, _KINDS[kind] | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return None
        return True

    def wait_for_lock(file: int) -> None:
        """Waits for an exclusive lock, as long as it takes; the system wakes it at once.

        Args:
            file: A descriptor.

        Raises:
            OSError: The file cannot be locked.
        """
        fcntl.flock(file, fcntl.LOCK_EX)
