"""The search space as data: entries in order, of which the values decide which are active."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from afina.space.conditions import Value
from afina.space.kinds import deserialize, serialize
from afina.space.parameters import HyperParameter


@dataclass(frozen=True)
class Space:
    """What a search algorithm sees of the hyperparameters.

    Args:
        entries: In the order of definition; a parent comes before its children.
    """

    entries: tuple[HyperParameter, ...] = ()

    def __iter__(self) -> Iterator[HyperParameter]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def is_active(self, entry: HyperParameter, values: Mapping[str, Any]) -> bool:
        """Whether all conditions of the entry hold among the values."""
        return all(condition.is_active(values) for condition in entry.conditions)

    def active(self, values: Mapping[str, Any]) -> list[HyperParameter]:
        """The entries that are active among the values, in order."""
        return [entry for entry in self.entries if self.is_active(entry, values)]

    def complete(
        self, values: Mapping[str, Any], choose: Callable[[HyperParameter], Any]
    ) -> dict[str, Value]:
        """A value for each active entry, and no other.

        Args:
            values: Kept where they belong to an active entry and are one of its values.
            choose: Gives the others.
        """
        chosen: dict[str, Value] = {}
        for entry in self.entries:
            if entry.name in chosen or not self.is_active(entry, chosen):
                continue
            if entry.name in values and entry.contains(values[entry.name]):
                chosen[entry.name] = values[entry.name]
            else:
                chosen[entry.name] = choose(entry)
        return chosen

    def defaults(self) -> dict[str, Value]:
        """The default configuration."""
        return self.complete({}, lambda entry: entry.default)

    def sample(self, rng: np.random.Generator) -> dict[str, Value]:
        """A random configuration; each entry draws once, active or not."""
        draws = dict(zip(self.entries, rng.random(len(self.entries)), strict=True))
        return self.complete({}, lambda entry: entry.prob_to_value(float(draws[entry])))

    def key(self, values: Mapping[str, Any]) -> Hashable:
        """What two configurations share exactly when they are equal; True is not 1."""
        return tuple(
            (name, type(value).__name__, value)
            for name, value in sorted(values.items())
            if name in self._names
        )

    @functools.cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(entry.name for entry in self.entries)

    def size(self, limit: int = 1_000_000) -> int | None:
        """How many configurations there are; None if endless, or more than `limit`."""

        def count(index: int, chosen: dict[str, Any]) -> int | None:
            while index < len(self.entries):
                entry = self.entries[index]
                if entry.name not in chosen and self.is_active(entry, chosen):
                    break
                index += 1
            else:
                return 1
            if entry.count is None or entry.count > limit:
                return None
            index += 1
            if entry.name not in self._parents:
                rest = count(index, {**chosen, entry.name: entry.default})
                total = None if rest is None else rest * entry.count
                return None if total is None or total > limit else total
            total = 0
            for cell in range(entry.count):
                value = entry.prob_to_value((cell + 0.5) / entry.count)
                rest = count(index, {**chosen, entry.name: value})
                if rest is None or total + rest > limit:
                    return None
                total += rest
            return total

        return count(0, {})

    @functools.cached_property
    def _parents(self) -> frozenset[str]:
        return frozenset(c.name for entry in self.entries for c in entry.conditions)

    def get_config(self) -> list[dict[str, Any]]:
        """What makes it again, as JSON values."""
        return [serialize(entry) for entry in self.entries]

    @classmethod
    def from_config(cls, config: list[dict[str, Any]]) -> Space:
        """The inverse of `get_config`."""
        return cls(tuple(deserialize(entry) for entry in config))
