"""Keras Tuner's module path `src.api_export`: the mark of what its public names are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def keras_tuner_export(path: str | Sequence[str]) -> Callable[[Any], Any]:
    """Decorates a class or function and changes nothing: packages mark their own with it.

    Args:
        path: The public names that Keras Tuner would list it under.
    """
    del path
    return lambda marked: marked


__all__ = ["keras_tuner_export"]
