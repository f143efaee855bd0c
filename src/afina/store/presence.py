"""Which workers of a project are alive: each keeps a file locked in the project's folder.

The system ends the lock with its process, however that dies, so a dead worker is known at once. The
file's text names the worker. A worker that closes its store removes the file, and a signal that
ends the process leaves text behind the name. So a file that nobody locks and that holds a name
alone belongs to a worker that died without warning.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import hashlib
import json
import os
import secrets
import socket
import time
from pathlib import Path

from afina.store import termination
from afina.store.flock import EXCLUSIVE, SHARED, try_lock

_PREFIX = "afina.worker."


class Life(enum.Enum):
    """What is known of a worker."""

    ALIVE = "alive"
    UNKNOWN = "unknown"
    """The file system has no locks: only its signs of life tell."""
    ENDED = "ended"
    """It closed its store, or was ended by a signal that gave warning."""
    DIED = "died"


class WorkerFile:
    """The sign that this process works on a project.

    Args:
        folder: The project's folder.
        label: Part of the name; tests give two workers of one process different ones.
    """

    def __init__(self, folder: Path, label: str = "") -> None:
        self.folder = folder
        self.label = label
        self._begins = os.path.join(folder, _PREFIX)
        self.name = ""
        """The worker's name; empty before `take`."""
        self._file: int | None = None

    def take(self) -> None:
        """Makes the file; does nothing if it is there."""
        if self._file is not None:
            return
        self.name = self.name or f"{os.getpid()}-{self.label}{secrets.token_hex(4)}"
        file = os.open(self._path(self.name), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            try_lock(file, EXCLUSIVE)
            os.ftruncate(file, 0)
            os.write(file, json.dumps(_self()).encode())
        except BaseException:
            os.close(file)
            raise
        self._file = file
        termination.start(file)

    def release(self) -> None:
        """Removes the file: this worker has ended in peace."""
        if self._file is None:
            return
        file, self._file = self._file, None
        termination.stop(file)
        with contextlib.suppress(OSError):
            os.ftruncate(file, 0)
        os.close(file)
        with contextlib.suppress(OSError):
            os.unlink(self._path(self.name))

    def forget(self) -> None:
        """In a forked child: the file belongs to the parent; the child is another worker."""
        if self._file is not None:
            termination.stop(self._file)
            os.close(self._file)
            self._file = None
        self.name = ""

    def life_of(self, name: str) -> Life:
        """What is known of a worker of this project."""
        try:
            file = os.open(self._path(name), os.O_RDWR)
        except FileNotFoundError:
            return Life.ENDED
        except OSError:
            return Life.UNKNOWN
        try:
            free = try_lock(file, SHARED)
            if free is None:
                return Life.UNKNOWN
            if not free:
                return Life.ALIVE
            return Life.DIED if _read(file) else Life.ENDED
        finally:
            os.close(file)

    def host_elsewhere(self) -> str | None:
        """The host of a worker that is alive on another machine; None if there is none."""
        for path in self.folder.glob(_PREFIX + "*"):
            name = path.name.removeprefix(_PREFIX)
            if name == self.name:
                continue
            try:
                known = json.loads(path.read_text(encoding="utf-8"))
                elsewhere = known["machine"] != _machine()
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if elsewhere and self.life_of(name) is Life.ALIVE:
                return str(known["host"])
        return None

    def sweep(self, kept: frozenset[str]) -> None:
        """Removes the files of the dead; only while no other worker can be starting.

        Args:
            kept: Workers whose files still tell how they ended.
        """
        for path in self.folder.glob(_PREFIX + "*"):
            name = path.name.removeprefix(_PREFIX)
            if name != self.name and name not in kept and self.life_of(name) is not Life.ALIVE:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _path(self, name: str) -> str:
        return self._begins + name  # asked for with each claim of others, in each turn


def process_mark() -> str:
    """Tells this process from all others, also from a later one of the same number."""
    return f"{_processes_of(os.getpid())}.{_began(os.getpid())}"


def is_gone(pid: int, mark: str) -> bool:
    """Whether a process was one of this machine, and has ended; False if that cannot be told.

    Args:
        pid: Its number.
        mark: Its `process_mark`.
    """
    where, _, began = mark.partition(".")
    if not began or not (here := _processes_of(os.getpid())) or where != here:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    clock = time.monotonic()
    if clock - _KNOWN.get((pid, began), -_RECENT) < _RECENT:
        return False  # its number has not been given to another process since
    now = _began(pid)
    if now == began:
        _KNOWN[pid, began] = clock
    return bool(now) and now != began


_RECENT = 1.0
"""Seconds within which the system does not give the number of a process to another one."""

_KNOWN: dict[tuple[int, str], float] = {}
"""When each process was last known to be the one that began then."""


@functools.lru_cache(maxsize=1)
def _processes_of(pid: int) -> str:
    """`_processes`, read once in each process."""
    del pid
    return _processes()


def _processes() -> str:
    """Names the set of processes in which numbers are unique: containers have their own."""
    try:
        names = _machine() + os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
    return hashlib.blake2b(names.encode(), digest_size=4).hexdigest()


def _began(pid: int) -> str:
    """When a process began, in ticks since the machine did; empty if that cannot be told."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _self() -> dict[str, object]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "machine": _machine()}


def _machine() -> str:
    """What processes share that share their memory: containers of one machine do."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return socket.gethostname()


def _read(file: int) -> bool:
    """Whether the file contains a name and nothing else."""
    try:
        return bool(json.loads(os.read(file, 4096))["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
