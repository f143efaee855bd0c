"""Whose memory ran out: the machine's or the device's, and what to do about it.

The backends report it by errors of different classes, which are known here by name and by text:
none of the backends needs to be installed.

    MemoryError, DefaultCPUAllocator, ... device:CPU:0         the machine's memory
    torch.OutOfMemoryError, ... device:GPU:0, CUDA, HBM        the device's
    RESOURCE_EXHAUSTED, which XLA says of both                 the device's if JAX computes on one
"""

from __future__ import annotations

import sys
from typing import Literal

Place = Literal["host", "device"]

CLASSES = frozenset({"OutOfMemoryError", "ResourceExhaustedError"})
"""Classes of PyTorch and TensorFlow, by name."""

WORDS = (
    "RESOURCE_EXHAUSTED",
    "out of memory",
    "can't allocate memory",
    "not enough memory",
)
"""Texts of XLA, CUDA and PyTorch's allocators in a RuntimeError."""

_OF_THE_HOST = ("cpuallocator", "device:cpu", "allocator cpu", "host memory", "bad_alloc")
_OF_A_DEVICE = ("cuda", "gpu", "tpu", "hbm", "hip", "mps", "xpu", "device memory")

ADVICE: dict[Place, str] = {
    "host": (
        "The machine ran out of memory. Train fewer trials side by side (workers=), with a smaller "
        "batch_size or smaller models, or on a machine with more memory."
    ),
    "device": (
        "The device (GPU or TPU) ran out of memory. Use a smaller batch_size or smaller models; "
        "halve_batch_on_oom=True tries such a trial once more with half the batch."
    ),
}
"""The sentence that a failure's message ends with."""


def place_out_of_memory(error: BaseException, text: str) -> Place | None:
    """Whose memory an error says to have run out; None if it says something else.

    Args:
        error: Any exception.
        text: Its text.

    Example:
        >>> place_out_of_memory(MemoryError(), "")
        'host'
        >>> place_out_of_memory(RuntimeError(), "CUDA out of memory")
        'device'
    """
    kind = type(error)
    if issubclass(kind, MemoryError):
        return "host"
    is_known = bool(CLASSES & {each.__name__ for each in kind.__mro__})
    # Only runtime errors: a ValueError may mention memory for any reason.
    if not is_known and not (issubclass(kind, RuntimeError) and any(w in text for w in WORDS)):
        return None
    lower = text.lower()
    if any(words in lower for words in _OF_THE_HOST):
        return "host"
    if any(words in lower for words in _OF_A_DEVICE):
        return "device"
    return "device" if _computes_on_a_device() else "host"


def _computes_on_a_device() -> bool:
    jax, torch = sys.modules.get("jax"), sys.modules.get("torch")
    if jax is not None and jax.default_backend() != "cpu":
        return True
    return torch is not None and bool(torch.cuda.is_available())
