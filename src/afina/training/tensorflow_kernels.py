"""TensorFlow's cache of kernels, which a new session and a new seed would empty.

The cache holds what TensorFlow has made of each function: its optimized graphs and their executors.
Making them anew takes a tenth of a second for each function, and a trial needs two. So between
trials that share functions the cache stays. Random operations outside of functions are seeded as
ever: their kernels depend on the seed, and a seed that was set before empties the cache.
"""

from __future__ import annotations

import contextlib
import functools
import random
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

from afina.training.replacing import replaced

MOST = 32
"""How often in a row the cache is kept: a trial begins a session and sets a seed. The cache also
holds kernels for each new shape of variables, about half a megabyte a trial."""

_worth: weakref.WeakSet[Any] = weakref.WeakSet()
_lock = threading.Lock()
_seeds: set[int] = set()
"""The seeds that were set since the cache was emptied."""

_kept: list[bool] = []
"""One entry for each time that the cache was kept, since it was emptied."""


def keep_kernels_of(function: Any) -> None:
    """Keeps the cache of kernels between trials as long as this object lives.

    Args:
        function: Runs a function of TensorFlow's that trials share.
    """
    _worth.add(function)


@contextlib.contextmanager
def kernels_kept() -> Iterator[None]:
    """Within the block, a new session and a new seed leave the cache of kernels as it is, if there
    are shared functions in it."""
    context = _context() if _worth else None
    if context is None:
        yield
        return
    empty = functools.partial(_emptied, type(context).clear_kernel_cache, context)
    seed = functools.partial(_seeded, type(context)._set_global_seed, context)
    with (
        _lock,
        replaced(context, "clear_kernel_cache", empty),
        replaced(context, "_set_global_seed", seed),
    ):
        yield


def _context() -> Any:
    """TensorFlow's context; None if TensorFlow is not in use, or this one keeps seeds elsewhere."""
    if "tensorflow" not in sys.modules:
        return None
    from tensorflow.python.eager import context

    found = context.context()
    seeds = {"_seed", "_rng"} <= set(vars(found))
    known = all(hasattr(type(found), name) for name in ("clear_kernel_cache", "_set_global_seed"))
    return found if seeds and known else None


def _emptied(by_tensorflow: Any, context: Any) -> None:
    """Empties the cache only if it was kept many times."""
    if len(_kept) >= MOST:
        by_tensorflow(context)
        _begin_anew()
    _kept.append(True)


def _seeded(by_tensorflow: Any, context: Any, seed: Any) -> None:
    """Sets the global seed; empties the cache if a kernel in it may have drawn from this seed."""
    _seeds.add(context._seed)  # perhaps of the user's
    if type(seed) is not int or seed in _seeds:
        by_tensorflow(context, seed)
        _begin_anew()
    else:
        context._seed, context._rng = seed, random.Random(seed)
        _kept.append(True)
    _seeds.add(seed)


def _begin_anew() -> None:
    _seeds.clear()
    _kept.clear()
