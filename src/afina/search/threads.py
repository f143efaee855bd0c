"""Small matrices on one thread."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_inside = 0
_limit: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Runs linear algebra on the calling thread alone, where that can be arranged.

    Matrices of a few hundred rows gain nothing from more threads, and on a busy machine they lose
    a hundredfold: every product waits until the other core is free to do its half. The number of
    threads belongs to the process, so callers inside at the same time share one change of it, and
    the last one out takes it back.

    Needs threadpoolctl; without it nothing happens.
    """
    global _inside, _limit
    with _lock:
        _inside += 1
        if _inside == 1:
            controller = _controller()
            _limit = controller and controller.limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _limit is not None:
                _limit.restore_original_limits()


@functools.cache
def _controller() -> Any:
    """Knows the loaded BLAS libraries; finding them takes milliseconds, so it is done once."""
    try:
        from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]
    except ImportError:
        return None
    return ThreadpoolController()
