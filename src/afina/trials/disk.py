"""Errors that tell of a full or read-only disk: no trial's fault, and the next fails as well."""

from __future__ import annotations

import errno
import re

_NUMBERS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})

# HDF5, NumPy, TensorFlow and SQLite tell of it in a text alone.
_WORDS = re.compile(
    r"No space left on device|Disk quota exceeded|Read-only file system|File too large"
    r"|database or disk is full|\d+ requested and \d+ written"
    rf"|errno = (?:{'|'.join(str(number) for number in sorted(_NUMBERS))})\b",
)


def disk_trouble(error: BaseException) -> str | None:
    """What the disk refuses, if that is what an exception or one of its causes tells of.

    Example:
        >>> disk_trouble(OSError(28, "No space left on device", "a.h5"))
        "[Errno 28] No space left on device: 'a.h5'"
        >>> disk_trouble(ValueError("no"))
    """
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        try:
            text = str(cause)
        except Exception:
            text = ""
        if isinstance(cause, OSError) and cause.errno in _NUMBERS:
            return text
        # Not a ValueError, say: it may quote anything.
        framework = type(cause).__module__.partition(".")[0] in ("tensorflow", "jaxlib", "h5py")
        if (framework or isinstance(cause, OSError | RuntimeError)) and _WORDS.search(text):
            return text.splitlines()[0][:300]
        cause = cause.__cause__ or cause.__context__
    return None


def disk_message(reason: str, *, trial: int, folder: str | None) -> str:
    """What stops the search, and what to do.

    Args:
        reason: By `disk_trouble`.
        trial: Number of the trial that met it.
        folder: The project's; None for a search in memory.
    """
    where = f" (the project lies in {folder!r})" if folder else ""
    return (
        f"The disk cannot be written: {reason}. Trial {trial} met it, and the search has stopped. "
        f"The trials finished so far are kept. Make room{where}, or make the place writable, and "
        "search again: the search goes on where it stopped, with this trial."
    )
