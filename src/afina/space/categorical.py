"""Hyperparameters that choose among values: `Choice`, `Boolean`, `Fixed`."""

from __future__ import annotations

import math
import os
import re
import zlib
from collections.abc import Sequence
from typing import Any

from afina.errors import SpaceError, SpaceTypeError, wrong
from afina.space.conditions import plain, same_value, tag
from afina.space.parameters import HyperParameter
from afina.space.priors import choice_prior


class Choice(HyperParameter):
    """One of several values: all numbers, all texts or all booleans; None may be among them.

    Args:
        name: Its name in trials.
        values: The values, of one kind; integers and floats are both numbers.
        ordered: Whether neighbouring values are similar. None means yes for numbers, no otherwise.
        default: None for the first value.
        **kwargs: `conditions`, `prior` and `role`, see `HyperParameter`.

    Example:
        >>> Choice("norm", [None, "batch", "layer"]).default is None
        True
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
            advice = f"For a single value write [{values!r}]."
            raise SpaceTypeError(wrong(name, "values must be a list", values, advice))
        given = [plain(value) for value in values]
        kinds = {_kind(name, value, given) for value in given} - {None}
        if not given:
            raise SpaceError(wrong(name, "values must contain at least one", given))
        if len(kinds) > 1:
            rule = "values must be of one kind: all numbers, all texts or all booleans"
            advice = f"Write them all as text: {[str(value) for value in given]!r}."
            raise SpaceTypeError(wrong(name, rule, given, advice))
        self._index: dict[tuple[bool, Any], int] = {}
        for value in given:
            self._index.setdefault(tag(value), len(self._index))
        self._values = [value for _, value in self._index]
        self.prior = choice_prior(name, self.prior, self._values)
        numeric = kinds == {"number"} and None not in self._values
        if ordered and not numeric:
            raise SpaceError(wrong(name, "ordered=True needs values that are numbers", given))
        self.ordered = numeric if ordered is None else bool(ordered)
        default = plain(default)
        if default is not None and not self.contains(default):
            raise SpaceError(wrong(name, f"default must be one of {self._values}", default))
        self._default = self._values[0] if default is None else self.clip(default)

    @property
    def values(self) -> list[Any]:
        """The distinct values in the order given."""
        return list(self._values)

    @property
    def count(self) -> int:
        """How many values there are."""
        return len(self._values)

    def index_of(self, value: Any) -> int:
        """The place of a value; the default's place if the value is not a choice."""
        place = self._find(value)
        return self._index[tag(self._default)] if place is None else place

    def _find(self, value: Any) -> int | None:
        try:
            return self._index.get(tag(plain(value)))
        except TypeError:  # A list, say, has no hash, and cannot be a choice.
            return None

    def prob_to_value(self, prob: float) -> Any:
        """The value at a point of [0, 1]."""
        return self._values[min(int(prob * self.count), self.count - 1)]

    def value_to_prob(self, value: Any) -> float:
        """The middle of the value's cell."""
        return (self.index_of(value) + 0.5) / self.count

    def contains(self, value: Any) -> bool:
        """Whether the value is one of the choices."""
        return self._find(value) is not None

    def clip(self, value: Any) -> Any:
        """The value itself if it is a choice, otherwise the default."""
        place = self._find(value)
        return self._default if place is None else self._values[place]

    def fold(self, value: Any) -> Any:
        """The value itself if it is a choice, otherwise one picked by a hash of it."""
        place = self._find(value)
        return self._values[_hash(value) % self.count if place is None else place]


class Boolean(HyperParameter):
    """True or False.

    Args:
        name: Its name in trials.
        default: False by default.
        **kwargs: `conditions`, `prior` and `role`, see `HyperParameter`.

    Example:
        >>> Boolean("bias").prob_to_value(0.9)
        True
    """

    fields = ("default",)

    def __init__(self, name: str, default: Any = False, **kwargs: Any) -> None:
        super().__init__(name, None, **kwargs)
        default = plain(default)
        if default not in (0, 1):
            raise SpaceError(wrong(name, "default must be True or False", default))
        self._default = bool(default)
        self.prior = choice_prior(name, self.prior, self.values)

    @property
    def values(self) -> tuple[bool, bool]:
        """True and False."""
        return (True, False)

    @property
    def count(self) -> int:
        """The number of values: 2."""
        return 2

    def prob_to_value(self, prob: float) -> bool:
        """True from 0.5 up."""
        return bool(prob >= 0.5)

    def value_to_prob(self, value: Any) -> float:
        """0.75 for True, 0.25 for False."""
        return 0.75 if self.clip(value) else 0.25

    def contains(self, value: Any) -> bool:
        """Whether the value is a boolean."""
        return isinstance(plain(value), bool)

    def clip(self, value: Any) -> bool:
        """The value as a boolean; the default if it is neither a boolean nor 0 or 1."""
        value = plain(value)
        if isinstance(value, int | float) and value in (0, 1):
            return bool(value)
        return bool(self._default)

    def fold(self, value: Any) -> bool:
        """The value as a boolean; if it is not one, a boolean picked by a hash of it."""
        value = plain(value)
        if isinstance(value, int | float) and value in (0, 1):
            return bool(value)
        return _hash(value) % 2 == 1


class Fixed(HyperParameter):
    """One value that is not tuned.

    Args:
        name: Its name in trials.
        value: A number, text or boolean.
        **kwargs: `conditions`, see `HyperParameter`.
    """

    fields = ("value",)

    def __init__(self, name: str, value: Any, **kwargs: Any) -> None:
        kwargs.pop("default", None)  # Keras Tuner's users may pass it: the value is the default.
        super().__init__(name, None, **kwargs)
        self.value = plain(value)
        if _kind(name, self.value) is None:
            rule = "value must be a number, a text or a boolean"
            raise SpaceTypeError(wrong(name, rule, value))
        self._default = self.value

    @property
    def values(self) -> tuple[Any]:
        """The one value."""
        return (self.value,)

    @property
    def count(self) -> int:
        """The number of values: 1."""
        return 1

    def prob_to_value(self, prob: float) -> Any:
        """The fixed value."""
        del prob
        return self.value

    def value_to_prob(self, value: Any) -> float:
        """0.5, the middle of the range."""
        del value
        return 0.5

    def contains(self, value: Any) -> bool:
        """Whether it equals the fixed value."""
        return same_value(self.value, plain(value))

    def clip(self, value: Any) -> Any:
        """The fixed value."""
        del value
        return self.value

    def fold(self, value: Any) -> Any:
        """The fixed value."""
        del value
        return self.value


def _hash(value: Any) -> int:
    """A hash that is the same in every run, unlike Python's own hash of a text."""
    return zlib.crc32(repr(plain(value)).encode())


def _kind(name: str, value: Any, among: Sequence[Any] | None = None) -> str | None:
    """The kind of a value: "boolean", "number" or "text"; None for None.

    Args:
        name: The entry's name, for messages.
        value: One value.
        among: All values of a choice; None for the value of a `Fixed`.

    Raises:
        SpaceTypeError: The value is of another kind.
        SpaceError: The value is NaN.
    """
    if value is None:
        return None
    for kind, types in (("boolean", bool), ("number", int | float), ("text", str)):
        if isinstance(value, types):
            if isinstance(value, float) and math.isnan(value):
                raise SpaceError(wrong(name, "values must not be NaN", value))
            return kind
    advice = "Pass it as text, or use the object itself in build(hp) without a hyperparameter."
    if among is not None:
        advice = _how_to_choose(name, among)
    raise SpaceTypeError(
        wrong(name, "values must be numbers, texts, booleans or None", value, advice)
    )


def _how_to_choose(name: str, values: Sequence[Any]) -> str:
    """Advice on how to choose among objects of other kinds."""
    options = re.sub(r"\W|^(?=\d)", "_", name.rpartition("/")[2]) or "options"
    choice = f'hp.Choice("{name}", {{}})'
    if all(isinstance(value, os.PathLike) for value in values):
        texts = [os.fspath(value) for value in values]
        return f"Choose by text: Path({choice.format(_shortened(texts))})."
    by_index = choice.format(f"list(range({len(values)}))")
    return f"Choose by index: {options} = {_shortened(list(values))}; {options}[{by_index}]."


def _shortened(values: Any, most: int = 120) -> str:
    """The repr of values, shortened if it is long."""
    text = repr(values)
    return text if len(text) <= most else text[: most - 4] + "...]"
