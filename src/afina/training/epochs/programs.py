"""`ProgramCache`: the compiled programs of a search, by key."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import keras

from afina.training import keras_parts
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
        self._of_models: Any = weakref.WeakKeyDictionary()

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
        with python_turn.undisturbed():
            with python_turn.released():
                slot.lock.acquire()
            try:
                if slot.program is None:
                    slot.program = make()
                    self.compiled += 1
                return slot.program
            finally:
                slot.lock.release()

    def has(self, key: Any) -> bool:
        """Whether there is a program of this key."""
        with self._lock:
            slot = None if key is None else self._slots.get(key)
            return slot is not None and slot.program is not None

    def get_own(self, model: keras.Model, key: Any, make: Callable[[], Program]) -> Program:
        """The program of a model that shares it with no other, kept while the model lives.

        A second `fit` of the model need not trace its step again, unless it was compiled meanwhile:
        Keras' own `fit` keeps its step as long.

        Args:
            model: Compiled.
            key: What the program depends on besides the model and what `compile` gave it.
            make: Makes the program if there is none yet.
        """
        parts = model.optimizer, keras_parts.loss_of(model), keras_parts.metrics_of(model)
        own = key, tuple(None if part is None else weakref.ref(part) for part in parts)
        known: dict[Any, Program] = self._of_models.setdefault(model, {})
        if own not in known:
            known[own] = self.get(None, make)
        return known[own]
