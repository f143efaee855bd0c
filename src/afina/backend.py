"""Keras' backend where nobody has chosen one: an installed one, before Keras is imported.

Keras takes TensorFlow unless it is told otherwise, and fails where that is not installed. What
counts as told, and is left alone:

    Keras or TensorFlow is imported, KERAS_BACKEND is set, keras.json names a backend

A `keras.json` that names TensorFlow where it is not installed does not count: Keras writes such a
file by itself at its first import. Nothing heavy is imported here.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

BACKENDS = ("jax", "tensorflow", "torch")
"""In the order in which an installed one is taken."""

NAMES = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}

VARIABLE = "KERAS_BACKEND"

DEFAULT = "tensorflow"
"""What Keras takes and writes into `keras.json` where nothing else is said."""

NONE = (
    "Keras needs a backend, and none is installed: pip install 'afina[jax]', 'afina[tensorflow]' "
    "or 'afina[torch]'."
)


def choose_backend() -> str | None:
    """Makes Keras take an installed backend if nobody has chosen one.

    Returns:
        What to tell the user, in one line; None if somebody has chosen.
    """
    if {"keras", "tensorflow"} & sys.modules.keys() or os.environ.get(VARIABLE):
        return None
    written = _written()
    found = [name for name in BACKENDS if is_installed(name)]
    if written is not None and (written not in BACKENDS or written in found):
        return None
    if not found:
        return f"Afina: {NONE}"
    if written not in (None, DEFAULT):  # a choice, of what is not installed
        return None
    os.environ[VARIABLE] = found[0]
    if DEFAULT in found[1:]:
        _write_nothing()
    why = "as neither KERAS_BACKEND nor keras.json names an installed backend"
    return f"Afina: Keras runs on {NAMES[found[0]]}, {why}. Set KERAS_BACKEND to choose another."


def is_installed(backend: str) -> bool:
    """Whether a package of this name can be found; it is not imported."""
    try:
        return importlib.util.find_spec(backend) is not None
    except (ImportError, ValueError):  # half installed, or taken apart
        return False


def is_command(arguments: list[str]) -> bool:
    """Whether this process is the command `afina`, most of which never touches Keras.

    Args:
        arguments: The command line, the interpreter first.
    """
    names = [Path(argument).stem for argument in arguments[1:3]]
    return names[:1] == ["afina"] or (arguments[1:2] == ["-m"] and names[1:] == ["afina"])


def _settings() -> Path:
    """Where Keras looks for its settings."""
    folder = os.environ.get("KERAS_HOME")
    if folder:
        return Path(folder) / "keras.json"
    home = os.path.expanduser("~")
    return Path(home if os.access(home, os.W_OK) else "/tmp") / ".keras" / "keras.json"


def _written() -> str | None:
    """The backend that `keras.json` names; None if it names none."""
    try:
        settings = json.loads(_settings().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    backend = settings.get("backend") if isinstance(settings, dict) else None
    return backend if isinstance(backend, str) and backend else None


def _write_nothing() -> None:
    """Leaves a `keras.json` that sets nothing, if there is none.

    Keras would write one that names TensorFlow, whatever it runs on. Where TensorFlow is installed
    too, the next process would take that for a choice, and the search would change its backend.
    """
    path = _settings()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write("{}\n")
    except OSError:  # it is there, or must not be
        return
