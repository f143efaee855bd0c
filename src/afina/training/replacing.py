"""Attributes of Keras' objects that are something else for a while."""

from __future__ import annotations

from collections.abc import Iterator
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
