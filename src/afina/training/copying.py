"""Copies of callbacks for each training: they keep state, and the user's own must not change."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import keras

from afina.trials import failure_of


def copy_callbacks(callbacks: Any, *, warn: Callable[[str], None] | None = None) -> list[Any]:
    """Copies callbacks deeply; copies share with each other what the originals share.

    An attribute that cannot be copied (an open file, a lock, a progress bar) is shared with the
    original, and so is a callback that cannot be copied at all. A warning says so.

    Args:
        callbacks: What `fit(callbacks=...)` takes: a callback, a list of them, or None.
        warn: Called with the warning; None calls `warnings.warn`.
    """
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks.callbacks
    memo: dict[int, Any] = {}
    given = [] if callbacks is None else keras.tree.flatten(callbacks)
    return [_copy(callback, memo, warn or _warn) for callback in given]


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=5)


def _copy(callback: Any, memo: dict[int, Any], warn: Callable[[str], None]) -> Any:
    try:
        return _deepcopy(callback, memo)
    except Exception:  # deep copies run code of the objects, which may raise anything
        pass
    try:
        twin, shared = _copy_by_attribute(callback, memo)
    except Exception as error:
        memo[id(callback)] = callback
        warn(
            f"callback {type(callback).__name__} cannot be copied ({failure_of(error).headline}). "
            "All trainings will share it, with what it remembers of each."
        )
        return callback
    if shared:
        warn(
            f"callback {type(callback).__name__}: {', '.join(shared)} cannot be copied, "
            "so all trainings will share it."
        )
    return twin


def _copy_by_attribute(callback: Any, memo: dict[int, Any]) -> tuple[Any, list[str]]:
    """A copy, and the names of the attributes that it shares with the original."""
    twin = copy.copy(callback)
    memo[id(callback)] = twin  # for attributes that point back
    shared = []
    for name, value in vars(callback).items():
        try:
            setattr(twin, name, _deepcopy(value, memo))
        except Exception:
            shared.append(name)
    return twin, shared


def _deepcopy(value: Any, memo: dict[int, Any]) -> Any:
    """A deep copy; a failed one leaves no halves of copies in `memo`."""
    attempt = dict(memo)
    result = copy.deepcopy(value, attempt)
    memo.update(attempt)
    return result
