"""Keras Tuner's module path `src.backend`: Keras 3 by the names that programs import from there.

`from keras_tuner.src.backend import keras` is a line that editors write by themselves, and it
works there. Keras is loaded when a name is asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = {"keras": "keras", "ops": "keras.ops", "random": "keras.random"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
