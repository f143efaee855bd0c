"""Values of hyperparameters, and the conditions under which one is active."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Value = float | int | str | bool | None
"""The types that a hyperparameter's value may have."""

_PLAIN = frozenset({float, int, str, bool, type(None)})


def plain(value: Any) -> Any:
    """Turns NumPy scalars and 0-d arrays into Python values; returns anything else unchanged."""
    if type(value) in _PLAIN:
        return value
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return value.item()
    return value


def tag(value: Any) -> tuple[bool, Any]:
    """A key that is equal for equal values, but distinguishes True from 1, unlike Python.

    Example:
        >>> tag(1) == tag(1.0), tag(1) == tag(True)
        (True, False)
    """
    return (value.__class__ is bool, value)


def same_value(a: Any, b: Any) -> bool:
    """Whether two values are equal. True differs from 1, and 1 equals 1.0."""
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def tagged(values: Iterable[Any]) -> frozenset[tuple[bool, Any]]:
    """The values as a set that distinguishes True from 1."""
    return frozenset(map(tag, values))


@dataclass(frozen=True, eq=False)
class Parent:
    """A condition: it holds while another hyperparameter has one of some values.

    Two conditions are equal if they hold for the same values, in any order.

    Args:
        name: The other hyperparameter's full name.
        values: One value or several.

    Example:
        >>> Parent("optimizer", "sgd").is_active({"optimizer": "sgd"})
        True
    """

    name: str
    values: Any

    def __post_init__(self) -> None:
        given = self.values
        several = isinstance(given, Iterable) and not isinstance(given, str | bytes)
        several = several and getattr(given, "shape", None) != ()
        values = tuple(plain(value) for value in (given if several else [given]))
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "_allowed", tagged(values))

    _allowed = frozenset[tuple[bool, Any]]()

    def is_active(self, values: Mapping[str, Any]) -> bool:
        """Whether the condition holds for these values of all hyperparameters."""
        return self.name in values and self.allows(values[self.name])

    def allows(self, value: Any) -> bool:
        """Whether the condition holds for this value of the other hyperparameter."""
        return tag(plain(value)) in self._allowed

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Parent):
            return NotImplemented
        return self.name == other.name and self._allowed == other._allowed

    def __hash__(self) -> int:
        return hash((self.name, self._allowed))

    def get_config(self) -> dict[str, Any]:
        """The arguments of the condition, as JSON values."""
        return {
            "class_name": "Parent",
            "config": {"name": self.name, "values": list(self.values)},
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Parent:
        """The inverse of `get_config`, or of the "config" in it."""
        config = config.get("config", config)
        return cls(config["name"], config["values"])


def conditions_from(conditions: Sequence[Any] | None) -> tuple[Parent, ...]:
    """Turns conditions, or their configs, into a tuple of conditions."""
    return tuple(c if isinstance(c, Parent) else Parent.from_config(c) for c in conditions or ())
