"""Nothing outlives a process that is killed: neither its worker processes nor its files.

    the parent dies ──> its pipes close ──> a child's listening thread removes the files and leaves
                   └──> the kernel's signal ──> a child stuck in compiled code ends a second later
    the next start  ──> folders that nobody holds any more are removed

The signal comes on Linux only. Elsewhere a child that is stuck while it holds the interpreter's
lock lives on until the compiled code returns.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

PREFIX = "afina-arrays-"
"""How the names of folders of shared arrays begin; the process' number follows."""

MAKING = "afina-making-"
"""How they begin until the folder is locked: nobody may take it for a leftover meanwhile."""

_LOCK = "owner.lock"
_OLD = 3600.0  # seconds after which an unlocked folder in the making is a leftover
_PR_SET_PDEATHSIG = 1


# -- processes ------------------------------------------------------------------------------------


class _Starter:
    """A thread that starts processes, and lives as long as this process does.

    Linux signals a child when the *thread* that started it ends. The threads of a search end with
    the search; the worker processes may stay for the next one.
    """

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._orders: queue.SimpleQueue[tuple[Future[Any], Sequence[str], dict[str, Any]]] = (
            queue.SimpleQueue()
        )
        threading.Thread(target=self._work, name="afina-starter", daemon=True).start()

    def start(self, arguments: Sequence[str], options: dict[str, Any]) -> subprocess.Popen[bytes]:
        done: Future[subprocess.Popen[bytes]] = Future()
        self._orders.put((done, arguments, options))
        return done.result()

    def _work(self) -> None:
        while True:
            done, arguments, options = self._orders.get()
            try:
                done.set_result(subprocess.Popen(arguments, **options))
            except BaseException as error:  # the caller's
                done.set_exception(error)
            del done


_starter: _Starter | None = None
_starting = threading.Lock()


def start_child(arguments: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Starts a process that may call `end_with_parent`.

    Args:
        arguments: The program and its arguments.
        options: As for `subprocess.Popen`.
    """
    global _starter
    with _starting:
        if _starter is None or _starter.owner != os.getpid():  # threads do not survive a fork
            _starter = _Starter()
        starter = _starter
    return starter.start(arguments, options)


def end_with_parent(parent: int) -> bool:
    """In a child: has the kernel end it about a second after its parent's death.

    The second lets a child that can still run Python remove what the parent has left. The signal's
    handler is the C library's `alarm`, called with the signal's number: so SIGHUP, which is 1, sets
    an alarm in one second, whose default action ends the process whatever code it is in.

    Args:
        parent: The number of the process that has started this one.

    Returns:
        False if the parent has died already, before the kernel was asked.
    """
    if not sys.platform.startswith("linux"):
        return True
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
        libc.signal.restype = ctypes.c_void_p
        libc.signal(signal.SIGHUP, ctypes.cast(libc.alarm, ctypes.c_void_p))
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGHUP, 0, 0, 0)
    except (OSError, AttributeError):  # no such C library: only the pipe tells
        return True
    return os.getppid() == parent


# -- files ----------------------------------------------------------------------------------------


def make_folder() -> tuple[Path, int | None]:
    """A new folder for shared arrays, held until its descriptor is closed or this process dies.

    Returns:
        The folder, and the descriptor of its lock; None where the system has no such locks.
    """
    remove_leftovers()
    making = Path(tempfile.mkdtemp(prefix=MAKING))
    held = _hold(making / _LOCK, os.O_CREAT | os.O_RDWR)
    if held is None:
        (making / _LOCK).unlink(missing_ok=True)  # what is never locked is never a leftover
    random = making.name.removeprefix(MAKING)
    return making.rename(making.with_name(f"{PREFIX}{os.getpid()}-{random}")), held


def remove_folder(folder: Path, held: int | None) -> None:
    """Removes what `make_folder` made."""
    shutil.rmtree(folder, ignore_errors=True)
    if held is not None:
        with contextlib.suppress(OSError):
            os.close(held)


def remove_leftovers() -> list[Path]:
    """Removes the folders of this user's processes that have died without doing it.

    A lock says whether a folder's process is alive: the kernel releases it when the process dies.
    Process numbers would not do: containers that share a folder each count from 1.

    Returns:
        The folders that were removed.
    """
    removed = []
    for folder in Path(tempfile.gettempdir()).glob("afina-*"):
        if _is_leftover(folder):
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return removed


def _is_leftover(folder: Path) -> bool:
    if not hasattr(os, "geteuid"):  # Windows keeps what is in use, and has no `flock`
        return False
    try:
        found = folder.lstat()
    except OSError:
        return False
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return False
    if folder.name.startswith(MAKING):
        return time.time() - found.st_mtime > _OLD
    if not folder.name.startswith(PREFIX):
        return False
    held = _hold(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    if held is None:
        return False
    os.close(held)
    return True


def _hold(file: Path, flags: int) -> int | None:
    """Locks a file and returns its descriptor. None if somebody else holds the lock, or if there is
    no file, or no such lock on this system."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        descriptor = os.open(file, flags, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
