"""Small matrices on one thread."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_inside = threading.local()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Runs linear algebra on the calling thread alone.

    Matrices of a few hundred rows gain nothing from more threads. On a busy machine they become ten
    times as slow: every product waits until another core is free for its half. The number of
    threads is a setting of the whole process, so callers take turns: call it for what takes less
    than a second. Within another call of the same thread it changes nothing.

    Needs threadpoolctl; without it nothing changes.
    """
    controller = _controller()
    if controller is None or getattr(_inside, "limited", False):
        yield
        return
    with _lock:
        _inside.limited = True
        try:
            with controller.limit(limits=1, user_api="blas"):
                yield
        finally:
            _inside.limited = False
            # Versions from 3.8 on let one thread alone limit OpenBLAS until it hands that over.
            for library in controller.lib_controllers:
                getattr(library, "clear_controlling_thread", bool)()


@functools.cache
def _controller() -> Any:
    """Knows the loaded BLAS libraries; finding them takes milliseconds, so it is done once."""
    try:
        from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]
    except ImportError:
        return None
    return ThreadpoolController()
