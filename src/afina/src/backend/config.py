"""Keras Tuner's module path `src.backend.config`: which backend Keras runs on."""

from __future__ import annotations

import keras


def backend() -> str:
    """The backend's name: "jax", "tensorflow" or "torch"."""
    return str(keras.backend.backend())


def multi_backend() -> bool:
    """True: Keras 3 has several backends."""
    return True


__all__ = ["backend", "multi_backend"]
