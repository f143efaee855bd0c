"""The search space as frozen data, and how its entries become JSON values and back."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from afina.errors import SpaceError, SpaceTypeError, wrong
from afina.space.categorical import Boolean, Choice, Fixed
from afina.space.conditions import Parent, Value, plain
from afina.space.constraints import Constraint
from afina.space.parameters import Float, HyperParameter, Int
from afina.space.repair import nearest_allowed
from afina.space.shown import space_html
from afina.space.size import count_configurations

REJECTED = 100
"""Draws that a random configuration may take, before one that breaks a constraint is repaired."""


@dataclass(frozen=True)
class Space:
    """The search space as search algorithms see it.

    A *configuration* is a dict with a value for each active entry, and no other.

    Args:
        entries: The entries in the order of definition; a parent comes before its children.
        constraints: Rules that every proposed configuration satisfies. They are not stored: see
            `afina.space.constraints`.

    Example:
        >>> from afina.space import Boolean, Float, Parent
        >>> rate = Float("rate", 0.1, 0.5, conditions=[Parent("dropout", True)])
        >>> space = Space((Boolean("dropout"), rate))
        >>> space.defaults()
        {'dropout': False}
        >>> space.complete({"dropout": True}, lambda entry: entry.default)
        {'dropout': True, 'rate': 0.1}
    """

    entries: tuple[HyperParameter, ...] = ()
    constraints: tuple[Constraint, ...] = ()

    def __iter__(self) -> Iterator[HyperParameter]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def is_active(self, entry: HyperParameter, values: Mapping[str, Any]) -> bool:
        """Whether all conditions of the entry hold for these values."""
        return all_hold(entry.conditions, values)

    def active(self, values: Mapping[str, Any]) -> list[HyperParameter]:
        """The active entries for these values, in order.

        The value of an inactive entry never activates its children.
        """
        chosen: dict[str, Any] = {}
        active = []
        for entry in self.entries:
            if entry.name in chosen:
                continue
            if entry.conditions and not all_hold(entry.conditions, chosen):
                continue
            active.append(entry)
            if entry.name in values:
                chosen[entry.name] = values[entry.name]
        return active

    def complete(
        self, values: Mapping[str, Any], choose: Callable[[HyperParameter], Any]
    ) -> dict[str, Value]:
        """A configuration with these values; `choose` supplies the others.

        Args:
            values: The values to keep, if their entries are active and allow them.
            choose: Returns the value of any other active entry.
        """
        chosen: dict[str, Value] = {}
        for entry in self.entries:
            name = entry.name
            if name in chosen or (entry.conditions and not all_hold(entry.conditions, chosen)):
                continue
            own = plain(values[name]) if name in values else None
            chosen[name] = own if name in values and entry.contains(own) else choose(entry)
        return chosen

    def walk(self, choose: Callable[[int, HyperParameter], Value]) -> dict[str, Value]:
        """The configuration from choosing a value for each active entry in turn.

        Args:
            choose: Gets the entry's place in the space and the entry; returns its value.
        """
        chosen: dict[str, Value] = {}
        for index, entry in enumerate(self.entries):
            if entry.name in chosen:
                continue
            if not entry.conditions or all_hold(entry.conditions, chosen):
                chosen[entry.name] = choose(index, entry)
        return chosen

    def defaults(self) -> dict[str, Value]:
        """The default configuration."""
        return self.walk(lambda index, entry: entry.default)

    def allows(self, values: Mapping[str, Value]) -> bool:
        """Whether a configuration satisfies all constraints."""
        return all(constraint.holds(values) for constraint in self.constraints)

    def repaired(self, values: Mapping[str, Value]) -> dict[str, Value] | None:
        """The configuration, or one nearby that satisfies all constraints; None if none is found.

        Example:
            >>> from afina.space.constraints import Constraint
            >>> entries = (Int("a", 1, 9), Int("b", 1, 9))
            >>> space = Space(entries, (Constraint(lambda v: v["a"] < v["b"]),))
            >>> space.repaired({"a": 5, "b": 4})
            {'a': 3, 'b': 4}
        """
        return nearest_allowed(self, values) if self.constraints else dict(values)

    def sample(self, rng: np.random.Generator) -> dict[str, Value]:
        """A random configuration that satisfies the constraints, if one is found."""
        drawn = self.draw(rng)
        for _ in range(REJECTED if self.constraints else 0):
            if self.allows(drawn):
                return drawn
            drawn = self.draw(rng)
        return self.repaired(drawn) or drawn

    def draw(self, rng: np.random.Generator) -> dict[str, Value]:
        """A random configuration that may break constraints; each entry draws once."""
        draws = rng.random(len(self.entries)).tolist()
        return self.walk(lambda index, entry: entry.prob_to_value(draws[index]))

    def key(self, values: Mapping[str, Any]) -> Hashable:
        """A key that is equal for equal configurations only.

        1, 1.0 and True differ; values of inactive entries do not matter.
        """
        return tuple(
            (entry.name, values[entry.name].__class__, values[entry.name])
            for entry in self.active(values)
            if entry.name in values
        )

    def _repr_html_(self) -> str:
        """For notebooks: a table of the entries."""
        return space_html(self.entries)

    def size(self, limit: int = 1_000_000) -> int | None:
        """The number of configurations, whatever the constraints; None if it is infinite or above
        `limit`."""
        return count_configurations(self.entries, limit)

    def get_config(self) -> list[dict[str, Any]]:
        """The entries as JSON values."""
        return [serialize(entry) for entry in self.entries]

    @classmethod
    def from_config(cls, config: Sequence[Mapping[str, Any]]) -> Space:
        """The inverse of `get_config`."""
        return cls(tuple(deserialize(entry) for entry in config))


def all_hold(conditions: Sequence[Parent], values: Mapping[str, Any]) -> bool:
    """Whether all conditions hold for these values."""
    return all(condition.is_active(values) for condition in conditions)


KINDS: dict[str, type[HyperParameter]] = {
    kind.__name__: kind for kind in (Int, Float, Choice, Boolean, Fixed)
}


def serialize(entry: HyperParameter) -> dict[str, Any]:
    """The entry as JSON values: class name and config."""
    return {"class_name": type(entry).__name__, "config": entry.get_config()}


def deserialize(config: Mapping[str, Any] | HyperParameter) -> HyperParameter:
    """The inverse of `serialize`.

    Raises:
        SpaceError: The class name is unknown, or the config is wrong.
    """
    if isinstance(config, HyperParameter):
        return config
    if not isinstance(config, Mapping) or not isinstance(config.get("config", {}), Mapping):
        rule = 'must be a mapping with "class_name" and "config", as serialize() returns it'
        raise SpaceTypeError(wrong("hyperparameter", rule, config))
    kind = KINDS.get(config.get("class_name", ""))
    if kind is None:
        rule = f"class_name must be one of {sorted(KINDS)}"
        raise SpaceError(wrong("hyperparameter", rule, config.get("class_name")))
    try:
        return kind.from_config(config.get("config", {}))
    except TypeError as error:
        if isinstance(error, SpaceError):
            raise
        rule = f"config must hold the arguments of {kind.__name__}"
        got = dict(config.get("config", {}))
        raise SpaceError(wrong("hyperparameter", rule, got, f"{error}.")) from error
