"""How many trials are trained side by side, and in which surroundings."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras

from afina import training
from afina.errors import check_whole
from afina.run import processors
from afina.training.session import (
    SETTINGS,
    read_globals,
    read_session,
    write_globals,
    write_session,
)

MOST = 8
"""Trainings side by side that "auto" goes up to: each has a model and its state in memory."""


def check_workers(workers: Any) -> None:
    """Raises ArgumentError unless `workers` is "auto" or a whole number from 1 up."""
    if workers == "auto":
        return
    check_whole("workers", workers, rule='must be "auto" or a whole number from 1 up')


def count_workers(workers: Any, *, why_one: Callable[[], str | None]) -> int:
    """The number of workers.

    Args:
        workers: As the user gave it.
        why_one: Says why "auto" means one here; None if there is no reason.
    """
    if workers != "auto":
        return int(workers)
    if why_one() is not None:
        return 1
    devices = accelerators()
    return len(devices) or min(processors(), MOST)


def accelerators() -> list[Any]:
    """The GPUs and TPUs that JAX sees here; none for other backends."""
    if keras.backend.backend() != "jax":
        return []
    import jax

    return [device for device in jax.local_devices() if device.platform != "cpu"]


def surroundings() -> Callable[[int], contextlib.AbstractContextManager[Any]]:
    """What is around each worker's thread: if there are several GPUs, one of them each."""
    devices = accelerators()

    def around(index: int) -> contextlib.AbstractContextManager[Any]:
        return on_device(devices[index % len(devices)] if len(devices) > 1 else None)

    return around


def settings_here() -> Callable[[], None]:
    """Reads Keras' settings of the calling thread; what it returns sets them in another one.

    Call that in a worker's thread, in its python turn, before each trial: it then trains as here.
    """
    settings = {name: value for name, value in read_globals(SETTINGS).items() if value is not None}
    return lambda: write_globals(settings)


def default_device() -> Any:
    """The device that the caller's thread computes on; None where the choice is JAX's."""
    if keras.backend.backend() != "jax":
        return None
    import jax

    return jax.config.jax_default_device


def on_device(device: Any) -> contextlib.AbstractContextManager[Any]:
    """JAX computes on this device inside; None leaves the choice to JAX."""
    if device is None:
        return contextlib.nullcontext()
    import jax

    return jax.default_device(device)  # type: ignore[no-any-return]


@contextlib.contextmanager
def streams_and_session_kept() -> Iterator[None]:
    """The process' random streams and the caller's Keras session are after the block as they were
    before: a worker that has just released the turn has left its own streams behind, and code
    of the user's may have cleared the sessions of all threads."""
    session = read_session()
    try:
        with training.seeded(0):
            yield
    finally:
        write_session(session)
