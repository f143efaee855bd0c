"""Keras Tuner's module `utils` of 1.0 to 1.3, for copied code: `from afina import utils`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any


def create_directory(path: str | Path, remove_existing: bool = False) -> None:
    """Makes a folder; with `remove_existing` an empty one in place of the one that is there."""
    if remove_existing:
        shutil.rmtree(path, ignore_errors=True)
    Path(path).mkdir(parents=True, exist_ok=True)


def save_json(path: str | Path, obj: Any) -> str:
    """Writes an object as JSON and returns the text."""
    text = json.dumps(obj)
    Path(path).write_text(text, encoding="utf-8")
    return text


def load_json(path: str | Path) -> Any:
    """Reads what `save_json` wrote."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def to_list(values: Any) -> list[Any]:
    """A list or tuple as a list; anything else as a list of it alone."""
    return list(values) if isinstance(values, list | tuple) else [values]


def try_clear() -> None:
    """Prints an empty line between trials; the displays of Afina clear notebooks themselves."""
    print()
