"""What Afina uses of Keras' private parts on PyTorch, as `keras_parts` does for all backends.

private part                                  used for
the iterator of batches of a `DataLoader`     the order of `fit`'s batches
the function that seeds PyTorch's generators  draws within a traced step
the loops over sequences                      recurrent layers without Python
"""

from __future__ import annotations

import functools
import importlib
import types
from typing import Any

PARTS = {
    "iterator": ("keras.src.backend.torch.trainer", "TorchEpochIterator"),
    "seeding": ("keras.src.backend.torch.random", "torch_seed_generator"),
    "draw_seed": ("keras.src.backend.torch.random", "draw_seed"),
    "Adam": ("keras.src.backend.torch.optimizers.torch_adam", "Adam"),
    "Nadam": ("keras.src.backend.torch.optimizers.torch_nadam", "Nadam"),
    "gru": ("keras.src.backend.torch.rnn", "_fallback_gru"),
    "lstm": ("keras.src.backend.torch.rnn", "_fallback_lstm"),
}
"""Modules and the names in them, by what they are here."""

OPTIONAL = ("gru", "lstm", "Adam", "Nadam")
"""Parts without which steps are traced too, but run slower."""

UPDATE = "_parallel_update_step"
"""The method by which an optimizer updates all variables at once, for `replaced`."""


@functools.cache
def part(name: str) -> Any:
    """One of `PARTS`; None if this Keras has none."""
    module, attribute = PARTS[name]
    try:
        return getattr(importlib.import_module(module), attribute, None)
    except ImportError:
        return None


def module_of(name: str) -> Any:
    """The module that holds one of `PARTS`, which this Keras has."""
    return importlib.import_module(PARTS[name][0])


def product_of(optimizer: Any) -> Any:
    """The variable in which Nadam keeps the product of its momentums so far."""
    return optimizer._u_product


def what_is_missing() -> str | None:
    """Why steps cannot be traced, in one sentence; None if this Keras has all they need."""
    lacking = [name for name in PARTS if name not in OPTIONAL and part(name) is None]
    if not lacking:
        return None
    return f"this Keras lacks {PARTS[lacking[0]][1]}, which fused epochs on PyTorch need"


def is_written_by_keras(function: types.FunctionType) -> bool:
    """Whether the code of a function is Keras', whatever a decorator says of it."""
    return str(function.__globals__.get("__name__", "")).startswith("keras.src.")
