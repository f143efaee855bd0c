"""How many samples go onto the device at once."""

from __future__ import annotations

from typing import Any

from afina.training.epochs import Samples
from afina.training.memory import SHARE, free_host_bytes


def device() -> Any:
    """The device that the calling thread trains on."""
    import jax

    return jax.config.jax_default_device or jax.local_devices()[0]


def free_bytes(place: Any) -> int | None:
    """Free bytes of a device, or of the system for a CPU; None if unknown."""
    stats = place.memory_stats() if place.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0))
    return free_host_bytes()


def rows_at_once(
    train: Samples, validation: Samples | None, batch_size: int, place: Any, limit: int | None
) -> int:
    """How many training samples one call of the program takes: all, or as many as fit.

    Args:
        train: The training samples.
        validation: The validation samples, which are placed as a whole.
        batch_size: The result is a multiple of it, unless it is all samples.
        place: The device.
        limit: Bytes that data may take; None takes `SHARE` of what is free.
    """
    if place in train.arrays.placed or train.arrays.is_sparse:
        return train.size
    if limit is None:
        free = free_bytes(place)
        if free is None:
            return train.size
        limit = int(SHARE * free)
    left = limit - (0 if validation is None else validation.arrays.nbytes)
    if train.arrays.nbytes <= left:
        return train.size
    fitting = int(train.size * max(left, 0) / max(train.arrays.nbytes, 1))
    return min(train.size, max(batch_size, fitting // batch_size * batch_size))
