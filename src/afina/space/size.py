"""Counts the configurations of a search space without listing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from afina.space.conditions import Parent, tag
from afina.space.parameters import HyperParameter

ChosenParents = frozenset[tuple[str, tuple[bool, Any]]]
"""Names and tagged values of the parents chosen so far."""

_OTHER = object()
"""Represents all values of a parent that no condition names."""

_NONE = object()
"""Represents the missing value of an inactive entry."""


def count_configurations(entries: Sequence[HyperParameter], limit: int) -> int | None:
    """The number of distinct configurations; None if it is infinite or above the limit.

    Entries that share conditions form a group. Groups are counted separately and multiplied.

    Args:
        entries: The entries; a parent comes before its children.
        limit: The highest count; it also limits the time.
    """
    total = 1
    for group in _groups(entries):
        count = _count(group, limit)
        if count is None or total * count > limit:
            return None
        total *= count
    return total


def _groups(entries: Sequence[HyperParameter]) -> list[list[HyperParameter]]:
    """The entries in groups, in order; no condition refers to another group."""
    home: dict[str, set[str]] = {}
    for entry in entries:
        together: set[str] = set()
        for name in (entry.name, *(condition.name for condition in entry.conditions)):
            together |= home.get(name, {name})
        home.update(dict.fromkeys(together, together))
    groups: dict[int, list[HyperParameter]] = {}
    for entry in entries:
        groups.setdefault(id(home[entry.name]), []).append(entry)
    return list(groups.values())


def _count(entries: Sequence[HyperParameter], limit: int) -> int | None:
    """Counts by dynamic programming over the entries.

    For each combination of parents' values, it keeps the number of ways to reach it. It drops
    values that no later condition needs, so that equal combinations merge.
    """
    asked: dict[str, list[Parent]] = {}
    last_use: dict[str, int] = {}
    for index, entry in enumerate(entries):
        for condition in entry.conditions:
            asked.setdefault(condition.name, []).append(condition)
        last_use.update(dict.fromkeys([entry.name, *(c.name for c in entry.conditions)], index))
    ways: dict[ChosenParents, int] = {frozenset(): 1}
    for index, entry in enumerate(entries):
        after: dict[ChosenParents, int] = {}
        for parents, times in ways.items():
            chosen = {name: value for name, (_, value) in parents}
            branches: list[tuple[Any, int]] = [(chosen.get(entry.name), 1)]
            if entry.name not in chosen:
                if not all(condition.is_active(chosen) for condition in entry.conditions):
                    branches = [(_NONE, 1)]
                elif entry.count is None:
                    return None
                else:
                    branches = _kinds_of_value(entry, entry.count, asked.get(entry.name, []))
            for value, count in branches:
                later = {**chosen, entry.name: value}
                kept = frozenset(
                    (name, tag(v))
                    for name, v in later.items()
                    if v is not _NONE and last_use[name] > index
                )
                after[kept] = after.get(kept, 0) + times * count
        ways = after
        if sum(ways.values()) > limit:
            return None
    return sum(ways.values())


def _kinds_of_value(
    entry: HyperParameter, count: int, asked: Sequence[Parent]
) -> list[tuple[Any, int]]:
    """The values that conditions name, once each, and all others together with their number."""
    named = {
        tag(value): value
        for condition in asked
        for value in condition.values
        if entry.contains(value)
    }
    kinds: list[tuple[Any, int]] = [(value, 1) for value in named.values()]
    others = count - len(named)
    return [*kinds, (_OTHER, others)] if others > 0 else kinds
