"""Keras Tuner's module path `src.backend.io`: files, and TensorFlow under the name `tf`."""

from __future__ import annotations

import importlib
import os
import shutil
from glob import glob
from os.path import exists
from typing import Any

from afina.backend import is_installed

File = open


def makedirs(path: str) -> None:
    """Makes a folder, unless it is there."""
    os.makedirs(path, exist_ok=True)


def rmtree(path: str) -> None:
    """Deletes a folder with all that lies in it."""
    shutil.rmtree(path)


def __getattr__(name: str) -> Any:
    if name == "tf":  # some programs take TensorFlow from here; None where it is not installed
        return importlib.import_module("tensorflow") if is_installed("tensorflow") else None
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["File", "exists", "glob", "makedirs", "rmtree"]
