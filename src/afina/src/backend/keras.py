"""Keras Tuner's module path `src.backend.keras`: Keras itself."""

from __future__ import annotations

from typing import Any

import keras


def __getattr__(name: str) -> Any:
    return getattr(keras, name)
