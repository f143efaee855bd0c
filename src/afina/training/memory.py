"""Memory given back between trials, without making equal models compile twice."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

GROWTH = 24 * 2**20
"""Bytes that the process may grow by before compiled programs are thrown away.

JAX keeps every program that it has compiled: about 13 MB for each new layer width of a small model.
If they were thrown away after each trial, a search over one architecture would compile its
initializers each time. With this limit such a search never does, and a search over many widths does
every second or third trial.
"""

PATIENCE = 6
"""Factor for the growth allowed after trials of fused epochs: JAX does not keep their programs,
only what it traced for them."""

GARBAGE = 16 * 2**20
"""Bytes that the process may grow by before garbage is collected: models are reference cycles,
which only the collector frees, and a collection takes as long as a short epoch."""

BLIND_TRIALS = 3
"""Trials after which programs are thrown away, if the resident size cannot be read."""

SHARE = 0.5
"""Share of the free memory that data may take; models and programs need the rest."""

STATM = Path("/proc/self/statm")
MEMINFO = Path("/proc/meminfo")


def resident_bytes() -> int | None:
    """Bytes of this process that are in RAM; None if the system does not say."""
    try:
        pages = int(STATM.read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGESIZE")


def free_host_bytes() -> int | None:
    """Free bytes of the system; None if unknown."""
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
        [line] = [line for line in lines if line.startswith("MemAvailable:")]
        return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None


def trim_heap() -> None:
    """Gives freed memory back to the system if the C library is glibc; otherwise does nothing."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # TypeError: Windows has no CDLL(None)
        return


def clear_programs() -> None:
    """Throws away the programs that JAX has compiled; other backends free theirs themselves."""
    jax = sys.modules.get("jax")
    if jax is not None:
        jax.clear_caches()


def lives_in_ram() -> bool:
    """Whether models lie in the process' own memory, and not on a GPU."""
    jax, torch = sys.modules.get("jax"), sys.modules.get("torch")
    if jax is not None and jax.default_backend() != "cpu":
        return False
    if torch is not None and torch.cuda.is_available():
        return False
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is None or not tensorflow.config.list_physical_devices("GPU")


@dataclass
class Keeper:
    """Decides when to collect garbage and to throw compiled programs away.

    Args:
        growth: Bytes to grow by before programs are thrown away.
        garbage: Bytes to grow by before garbage is collected.
        resident: Reads the process' size.
        clear: Throws programs away.
        shows: Says whether the process' size shows what models take.
    """

    growth: int = GROWTH
    garbage: int = GARBAGE
    resident: Callable[[], int | None] = resident_bytes
    clear: Callable[[], None] = clear_programs
    shows: Callable[[], bool] = lives_in_ram
    baseline: int | None = field(default=None, init=False)
    """Bytes after programs were last thrown away, or less if the process has shrunk since."""
    collected: int | None = field(default=None, init=False)
    """Bytes after the last collection, or less if the process has shrunk since."""
    blind: int = field(default=0, init=False)
    """Trials since programs were last thrown away, if the size cannot be read."""

    def release(self, *, programs: bool = True) -> bool:
        """Frees what a finished trial held; returns whether programs were thrown away.

        Args:
            programs: Whether JAX keeps programs of the trial; fused epochs keep their own.
        """
        if not self._collects():
            return False
        gc.collect()
        if not self._is_due(self.growth if programs else PATIENCE * self.growth):
            trim_heap()  # what a model leaves lies between what stays, and other sizes miss it
            self.collected = self.resident() if self.shows() else None
            return False
        self.clear()
        gc.collect()
        trim_heap()
        self.baseline, self.blind = self.resident(), 0
        self.collected = self.baseline
        return True

    def _collects(self) -> bool:
        """Whether there may be garbage worth a collection; always, if that is unknown."""
        now = self.resident() if self.shows() else None
        if now is None or self.collected is None:
            return True
        self.collected = min(self.collected, now)
        return now - self.collected > self.garbage

    def _is_due(self, growth: int) -> bool:
        now = self.resident()
        if now is None:
            self.blind += 1
            return self.blind >= BLIND_TRIALS
        if self.baseline is not None and now - self.baseline > growth:
            trim_heap()  # perhaps it is only the heap that a large model has left behind
            now = self.resident() or now
        if self.baseline is None or now < self.baseline:
            self.baseline = now
        return now - self.baseline > growth


_keeper = Keeper()  # one for the process, as memory is the process' too


_skips: list[bool] = []  # one entry while a block of `cheap_collections` is open


@contextmanager
def cheap_collections() -> Iterator[None]:
    """Within the block, the garbage collector skips the objects that were alive at its beginning.

    Keras and its backend keep about a million objects, and each full collection would walk through
    all of them: 0.2 s a trial. Within another such block, or if the caller has frozen objects
    before, nothing is done.
    """
    if _skips or gc.get_freeze_count():  # which counts the objects one by one: 30 ms
        yield
        return
    gc.collect()
    gc.freeze()
    _skips.append(True)
    try:
        yield
    finally:
        _skips.clear()
        gc.unfreeze()


def release(*, programs: bool = True) -> None:
    """Frees what a trial has left; call it when nothing refers to its model any more.

    Models are reference cycles, so they wait for the garbage collector. It runs when the process
    has grown by more than `GARBAGE`; compiled programs stay until it has grown by `GROWTH`.

    Args:
        programs: Whether JAX keeps programs of the trial.
    """
    _keeper.release(programs=programs)
