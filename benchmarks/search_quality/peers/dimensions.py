"""Spaces as other packages write them: a flat list of axes, numbers or categories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from afina.space import Boolean, Choice, Float, HyperParameter, Int, Parent, Space


@dataclass(frozen=True)
class Dimension:
    """One axis."""

    name: str

    kind: str
    """"real", "int" (both with `low`, `high`, `log`), "ordinal" or "category" (with `values`)."""

    low: Any = None
    high: Any = None
    log: bool = False
    values: tuple[Any, ...] = ()
    conditions: tuple[Parent, ...] = ()


def dimension_of(entry: HyperParameter) -> Dimension:
    """The axis of an entry; steps become ordinals."""
    conditions = entry.conditions
    if isinstance(entry, Boolean):
        return Dimension(entry.name, "category", values=(False, True), conditions=conditions)
    if isinstance(entry, Choice):
        kind = "ordinal" if entry.ordered else "category"
        return Dimension(entry.name, kind, values=tuple(entry.values), conditions=conditions)
    assert isinstance(entry, Int | Float), f"{type(entry).__name__} has no axis"
    assert entry.sampling in ("linear", "log"), f"{entry.name}: {entry.sampling}"
    log = entry.sampling == "log"
    plain = entry.step is None or (isinstance(entry, Int) and not log and entry.step == 1)
    if not plain:
        return Dimension(entry.name, "ordinal", values=tuple(entry.values), conditions=conditions)
    kind = "int" if isinstance(entry, Int) else "real"
    return Dimension(entry.name, kind, entry.min_value, entry.max_value, log, conditions=conditions)


def dimensions_of(space: Space) -> list[Dimension]:
    """All axes, the conditional ones too."""
    return [dimension_of(entry) for entry in space]


def active(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration among values for all axes: those that apply, clipped to their ranges."""
    return space.walk(lambda _, entry: entry.clip(values[entry.name]))
