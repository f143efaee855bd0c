"""Hyperparameters that choose among values: `Choice`, `Boolean`, `Fixed`."""

from __future__ import annotations

from typing import Any

from afina.errors import SpaceError, wrong
from afina.space.conditions import plain, same_value
from afina.space.parameters import HyperParameter


class Choice(HyperParameter):
    """One of some values: numbers, texts or booleans, and None among any of these.

    Args:
        name: How trials call it.
        values: The values, of one kind.
        ordered: Whether neighbours are alike; None for numbers, which are, and others, which are
            not.
        default: None for the first value.
        conditions: See `HyperParameter`.
    """

    fields = ("default", "values", "ordered")

    def __init__(
        self,
        name: str,
        values: Any,
        ordered: bool | None = None,
        default: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, None, **kwargs)
        if isinstance(values, str) or not hasattr(values, "__iter__"):
            raise SpaceError(wrong(name, "values must be a list", values))
        self._values = _distinct([plain(value) for value in values])
        if not self._values:
            raise SpaceError(wrong(name, "values must hold at least one", values))
        kinds = {_kind(name, value) for value in self._values} - {None}
        if len(kinds) > 1:
            raise SpaceError(wrong(name, "values must be of one kind", list(values)))
        numeric = kinds == {"number"} and None not in self._values
        if ordered and not numeric:
            raise SpaceError(wrong(name, "ordered=True needs values that are numbers", values))
        self.ordered = numeric if ordered is None else bool(ordered)
        default = plain(default)
        self._default = self._values[0] if default is None else default
        if default is not None and not self.contains(default):
            raise SpaceError(wrong(name, f"default must be one of {self._values}", default))

    @property
    def values(self) -> list[Any]:
        """The distinct values in the order given."""
        return list(self._values)

    @property
    def count(self) -> int:
        """How many values there are."""
        return len(self._values)

    def index_of(self, value: Any) -> int:
        """The place of a value; 0 for one that is not there."""
        for index, known in enumerate(self._values):
            if same_value(known, value):
                return index
        return 0

    def prob_to_value(self, prob: float) -> Any:
        """The value at a point of [0, 1]."""
        return self._values[min(int(prob * self.count), self.count - 1)]

    def value_to_prob(self, value: Any) -> float:
        """The middle of the value's cell."""
        return (self.index_of(value) + 0.5) / self.count

    def contains(self, value: Any) -> bool:
        """Whether the value is one of the choices."""
        return any(same_value(known, value) for known in self._values)

    def clip(self, value: Any) -> Any:
        """The value itself, or the default."""
        return self._values[self.index_of(value)] if self.contains(value) else self.default

    def fold(self, value: Any) -> Any:
        """The value itself, or one picked by the text of the value."""
        if self.contains(value):
            return self.clip(value)
        return self._values[sum(map(ord, repr(value))) % self.count]


class Boolean(HyperParameter):
    """True or False.

    Args:
        name: How trials call it.
        default: False if not given.
        conditions: See `HyperParameter`.
    """

    fields = ("default",)

    def __init__(self, name: str, default: Any = False, **kwargs: Any) -> None:
        super().__init__(name, None, **kwargs)
        default = plain(default)
        if default not in (0, 1):
            raise SpaceError(wrong(name, "default must be True or False", default))
        self._default = bool(default)

    @property
    def values(self) -> tuple[bool, bool]:
        """True and False."""
        return (True, False)

    @property
    def count(self) -> int:
        """Two."""
        return 2

    def prob_to_value(self, prob: float) -> bool:
        """True from 0.5 up."""
        return bool(prob >= 0.5)

    def value_to_prob(self, value: Any) -> float:
        """0.75 for True, 0.25 for False."""
        return 0.75 if value else 0.25

    def contains(self, value: Any) -> bool:
        """Whether the value is a boolean."""
        return isinstance(value, bool)

    def clip(self, value: Any) -> bool:
        """The value as a boolean."""
        return bool(value)

    def fold(self, value: Any) -> bool:
        """The value as a boolean."""
        return bool(value)


class Fixed(HyperParameter):
    """One value that is not tuned.

    Args:
        name: How trials call it.
        value: A number, text or boolean.
        conditions: See `HyperParameter`.
    """

    fields = ("value",)

    def __init__(self, name: str, value: Any, **kwargs: Any) -> None:
        super().__init__(name, None, kwargs.get("conditions", ()))
        self.value = plain(value)
        if self.value is None or _kind(name, self.value) is None:
            raise SpaceError(wrong(name, "value must be a number, a text or a boolean", value))
        self._default = self.value

    @property
    def values(self) -> tuple[Any]:
        """The value alone."""
        return (self.value,)

    @property
    def count(self) -> int:
        """One."""
        return 1

    def prob_to_value(self, prob: float) -> Any:
        """The value."""
        del prob
        return self.value

    def value_to_prob(self, value: Any) -> float:
        """The middle."""
        del value
        return 0.5

    def contains(self, value: Any) -> bool:
        """Whether it is the value."""
        return same_value(self.value, value)

    def clip(self, value: Any) -> Any:
        """The value."""
        del value
        return self.value

    def fold(self, value: Any) -> Any:
        """The value."""
        del value
        return self.value


def _kind(name: str, value: Any) -> str | None:
    if value is None:
        return None
    for kind, types in (("boolean", bool), ("number", int | float), ("text", str)):
        if isinstance(value, types):
            return kind
    raise SpaceError(wrong(name, "values must be numbers, texts, booleans or None", value))


def _distinct(values: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for value in values:
        if not any(type(value) is type(k) and value == k for k in kept):
            kept.append(value)
    return kept
