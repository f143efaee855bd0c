"""Attributes of Keras' objects and methods of its classes that are something else for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Replaces an attribute of the instance within the block, without Keras tracking it."""
    held = vars(owner)
    before = held.get(name, held)
    object.__setattr__(owner, name, value)
    try:
        yield
    finally:
        if before is held:
            object.__delattr__(owner, name)
        else:
            object.__setattr__(owner, name, before)


class MethodPatch:
    """A method of a class, wrapped while any block asks for it.

    Args:
        kind: The class, or one that inherits the method.
        name: The method.
        wrap: Makes the other method from the original one.
    """

    def __init__(
        self, kind: type, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> None:
        self._kind = kind
        self._name = name
        self._wrap = wrap
        self._lock = threading.Lock()
        self._users = 0
        self._original: Any = None
        self._mine: Any = None

    @contextmanager
    def on(self) -> Iterator[None]:
        """Within the block, the method is wrapped."""
        # In the class that defines it, so that calls through `super()` are wrapped too.
        owner = next(kind for kind in self._kind.__mro__ if self._name in vars(kind))
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._original = vars(owner)[self._name]
                self._mine = self._wrap(self._original)
                setattr(owner, self._name, self._mine)
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                # Whoever has replaced it meanwhile calls it: then it stays, and does nothing.
                if self._users == 0 and vars(owner).get(self._name) is self._mine:
                    setattr(owner, self._name, self._original)
