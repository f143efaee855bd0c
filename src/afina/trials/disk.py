"""Recognizes errors of a full or read-only disk: no trial caused them, and the next fails too."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from afina.errors import StoreError
from afina.trials.failures import attempt

_NUMBERS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})

# HDF5, NumPy, TensorFlow and SQLite report it only in the text of the error.
_WORDS = re.compile(
    r"No space left on device|Disk quota exceeded|Read-only file system|File too large"
    r"|database or disk is full|\d+ requested and \d+ written"
    rf"|errno = (?:{'|'.join(str(number) for number in sorted(_NUMBERS))})\b",
)


def disk_trouble(error: BaseException) -> str | None:
    """The text of a disk error, if an exception or one of its causes is one; otherwise None.

    Example:
        >>> disk_trouble(OSError(28, "No space left on device", "a.h5"))
        "[Errno 28] No space left on device: 'a.h5'"
        >>> disk_trouble(ValueError("no"))
    """
    return attempt(lambda: next(filter(None, map(_refusal, _origins(error))), None), None)


def _origins(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        yield each
        seen.add(id(each))
        each = each.__cause__ or each.__context__


def _refusal(error: BaseException) -> str | None:
    kind = type(error)
    is_os_error = issubclass(kind, OSError)
    # Not any kind of error: a ValueError, say, may quote anything.
    framework = kind.__module__.partition(".")[0] in ("tensorflow", "jaxlib", "h5py")
    if not (framework or is_os_error or issubclass(kind, RuntimeError)):
        return None
    text = str(error)
    if is_os_error and getattr(error, "errno", None) in _NUMBERS:
        return text
    return text.splitlines()[0][:300] if _WORDS.search(text) else None


def raise_disk_trouble(error: Exception, *, trial: int, folder: str | None = None) -> None:
    """Returns if a trial's error is its own; a disk that cannot be written stops the search.

    Args:
        error: What the trial has raised.
        trial: Number of the trial.
        folder: The project's folder; None for a search in memory.

    Raises:
        StoreError: The error, or one of its causes, says that the disk is full, or the like.
    """
    if (reason := disk_trouble(error)) is None:
        return
    where = f" (the project is in {folder!r})" if folder else ""
    raise StoreError(
        f"The disk cannot be written: {reason}. The search has stopped at trial {trial}. "
        f"The trials finished so far are kept. Make room{where}, or make the folder writable, and "
        "search again: the search continues with this trial."
    ) from error
