"""Writes a search space for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from afina import html_tables
from afina.space.parameters import Float, HyperParameter, Int


def range_text(entry: HyperParameter, write: Callable[[Any], str] = str) -> str:
    """The range of a hyperparameter, in few words.

    Args:
        entry: The hyperparameter.
        write: Writes one value.

    Example:
        >>> range_text(Int("units", 16, 64, step=16))
        '16 to 64, step 16'
    """
    if not isinstance(entry, Int | Float):
        return ", ".join(map(write, entry.values))
    text = f"{write(entry.min_value)} to {write(entry.max_value)}"
    if entry.step not in (None, 1):
        text += f", step {write(entry.step)}"
    return text + (f", {entry.sampling} scale" if entry.sampling not in (None, "linear") else "")


def when_text(entry: HyperParameter, write: Callable[[Any], str] = str) -> str:
    """When a hyperparameter is active: "always", or its conditions."""
    conditions = (
        f"{parent.name} is {' or '.join(map(write, parent.values))}" for parent in entry.conditions
    )
    return " and ".join(conditions) or "always"


def space_html(entries: Iterable[HyperParameter]) -> str:
    """A table of the entries, for notebooks."""
    rows = [
        (entry.name, type(entry).__name__, range_text(entry), entry.default, when_text(entry))
        for entry in entries
    ]
    if not rows:
        return "<p>The search space has no hyperparameters yet.</p>"
    return html_tables.table(("hyperparameter", "kind", "range", "default", "active"), rows)
