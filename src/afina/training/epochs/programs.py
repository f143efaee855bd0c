"""`ProgramCache`: the compiled programs of a search, by key."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from afina.training.python_turn import python_turn

Program = TypeVar("Program")

PROGRAMS = 32
"""How many compiled programs are kept, the most recently used ones; each takes about a megabyte."""


@dataclass
class _Slot(Generic[Program]):
    """The place of a program that a thread compiles or has compiled."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    program: Program | None = None


class ProgramCache(Generic[Program]):
    """Compiled programs by key; each is compiled once, by the first thread that needs it.

    Args:
        most: How many are kept.
    """

    def __init__(self, most: int = PROGRAMS) -> None:
        self.most = most
        self.compiled = 0
        """How many programs have been compiled."""
        self._lock = threading.Lock()
        self._slots: dict[Any, _Slot[Program]] = {}

    def get(self, key: Any, make: Callable[[], Program]) -> Program:
        """The program of this key; calls `make`, under the python turn, if there is none yet."""
        if key is None:
            self.compiled += 1
            return make()
        with self._lock:
            slot = self._slots.pop(key, None) or _Slot()
            self._slots[key] = slot  # the newest is last
            while len(self._slots) > self.most:
                del self._slots[next(iter(self._slots))]
        with python_turn.released():
            slot.lock.acquire()
        try:
            if slot.program is None:
                slot.program = make()
                self.compiled += 1
            return slot.program
        finally:
            slot.lock.release()
