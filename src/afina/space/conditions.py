"""Values, and the conditions under which a hyperparameter is active."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Value = float | int | str | bool | None
"""What a hyperparameter may be."""


def plain(value: Any) -> Any:
    """NumPy scalars and 0-d arrays as Python values; anything else as it is."""
    if hasattr(value, "item") and getattr(value, "shape", ()) == ():
        return value.item()
    return value


def same_value(a: Any, b: Any) -> bool:
    """Equality that tells True from 1; 1 equals 1.0."""
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


@dataclass(frozen=True)
class Parent:
    """Holds while another hyperparameter has one of some values.

    Args:
        name: The other hyperparameter's full name.
        values: One value or several.
    """

    name: str
    values: Any

    def __post_init__(self) -> None:
        values = self.values
        several = isinstance(values, Sequence) and not isinstance(values, str)
        object.__setattr__(
            self, "values", tuple(plain(v) for v in (values if several else [values]))
        )

    def is_active(self, values: Mapping[str, Any]) -> bool:
        """Whether it holds among these values."""
        if self.name not in values:
            return False
        return any(same_value(values[self.name], allowed) for allowed in self.values)

    def get_config(self) -> dict[str, Any]:
        """What makes it again, as JSON values."""
        return {
            "class_name": "Parent",
            "config": {"name": self.name, "values": list(self.values)},
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Parent:
        """The inverse of the "config" in `get_config`."""
        return cls(config["name"], config["values"])


def conditions_from(conditions: Sequence[Any] | None) -> tuple[Parent, ...]:
    """Conditions, or configs of conditions, as a tuple of conditions."""
    return tuple(
        c if isinstance(c, Parent) else Parent.from_config(c.get("config", c))
        for c in conditions or ()
    )
