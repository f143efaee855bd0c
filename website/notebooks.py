"""Writes the page of exercises as a notebook, in each language.

    python website/notebooks.py

A paragraph becomes a cell of text, a block of Python a cell of code. The notebooks hold no
outputs: they are there to be run.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = {
    ROOT / "docs" / "exercises.md": ROOT / "examples" / "exercises.ipynb",
    ROOT / "docs" / "es" / "exercises.md": ROOT / "examples" / "ejercicios.ipynb",
}
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#]+)")


def main() -> None:
    """Writes all notebooks."""
    for page, notebook in NOTEBOOKS.items():
        notebook.write_text(text_of(page, notebook), encoding="utf-8")


def text_of(page: Path, notebook: Path) -> str:
    """The notebook of a page, whose links lead from where the notebook lies."""

    def moved(match: re.Match[str]) -> str:
        target = os.path.relpath(page.parent / match[1], notebook.parent)
        return f"]({target.replace(os.sep, '/')}"

    parts = re.split(
        r"^```python\n(.*?)^```\n", page.read_text(encoding="utf-8"), flags=re.M | re.S
    )
    cells = []
    for place, part in enumerate(parts):
        source = part.strip() if place % 2 else LINK.sub(moved, part.strip())
        if source:
            cells.append(cell(place, source, code=bool(place % 2)))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    written = {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(written, indent=1, ensure_ascii=False) + "\n"


def cell(place: int, source: str, *, code: bool) -> dict[str, Any]:
    """A cell of code or of text; its place makes its id."""
    made: dict[str, Any] = {
        "cell_type": "code" if code else "markdown",
        "id": f"cell-{place}",
        "metadata": {},
        "source": source.splitlines(keepends=True),
    }
    return {**made, "execution_count": None, "outputs": []} if code else made


if __name__ == "__main__":
    main()
