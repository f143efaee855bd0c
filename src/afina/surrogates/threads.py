"""Small matrices on one thread."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Runs linear algebra on the calling thread alone, where that can be arranged.

    Matrices of a few hundred rows gain nothing from more threads, and on a busy machine they lose
    tenfold: every product waits until another core is free to do its half. The number of threads
    belongs to the whole process, so callers go one after the other.

    Needs threadpoolctl; without it nothing happens.
    """
    controller = _controller()
    if controller is None:
        yield
        return
    with _lock:
        try:
            with controller.limit(limits=1, user_api="blas"):
                yield
        finally:
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
