"""The kinds of hyperparameters: what each may be, and how it maps to the unit interval."""

from __future__ import annotations

import json
import math
import random
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from afina.errors import SpaceError, wrong
from afina.space.conditions import Parent, Value, conditions_from, plain
from afina.space.sampling import (
    check_sampling,
    count_steps,
    scale,
    step_value,
    unscale,
)


class SpaceWarning(UserWarning):
    """Something about a search space is likely not what its author meant."""


class HyperParameter(ABC):
    """One entry of a search space. Treat it as immutable.

    Args:
        name: How trials call it; unique under its conditions.
        default: The value before any search.
        conditions: All must hold for the entry to be active.
    """

    fields: ClassVar[tuple[str, ...]] = ()

    def __init__(self, name: str, default: Any = None, conditions: Sequence[Any] = ()) -> None:
        if not isinstance(name, str) or not name:
            raise SpaceError(wrong("hyperparameter", "name must be a text", name))
        self.name = name
        self.conditions: tuple[Parent, ...] = conditions_from(conditions)
        self._default = default
        self._key: str | None = None

    @property
    def default(self) -> Value:
        """The value before any search."""
        return self._default  # type: ignore[no-any-return]

    @property
    @abstractmethod
    def values(self) -> Sequence[Any]:
        """The distinct values; for a number without a step, 10 of them evenly spread."""

    @property
    @abstractmethod
    def count(self) -> int | None:
        """How many distinct values there are; None for a continuous range."""

    @abstractmethod
    def prob_to_value(self, prob: float) -> Any:
        """The value at a point of [0, 1]."""

    @abstractmethod
    def value_to_prob(self, value: Any) -> float:
        """The point of [0, 1] that stands for a value; the middle of its cell."""

    @abstractmethod
    def contains(self, value: Any) -> bool:
        """Whether the value is one of this entry's."""

    @abstractmethod
    def fold(self, value: Any) -> Any:
        """A value of this entry for any value: its own stay, others wrap around into the range, so
        that what was evenly spread stays so."""

    @abstractmethod
    def clip(self, value: Any) -> Any:
        """The nearest value of this entry."""

    def random_sample(self, seed: int | None = None) -> Any:
        """A random value; the same seed gives the same."""
        return self.prob_to_value(random.Random(seed).random())

    def get_config(self) -> dict[str, Any]:
        """What makes it again, as JSON values."""
        config: dict[str, Any] = {"name": self.name}
        config.update({field: getattr(self, field) for field in self.fields})
        config["conditions"] = [condition.get_config() for condition in self.conditions]
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> HyperParameter:
        """The inverse of `get_config`."""
        return cls(**config)

    def with_conditions(self, conditions: Sequence[Parent]) -> HyperParameter:
        """The same entry under other conditions."""
        config = {**self.get_config(), "conditions": list(conditions)}
        return type(self).from_config(config)

    def key(self) -> str:
        """A text that two definitions share exactly when they are equal."""
        if self._key is None:
            self._key = type(self).__name__ + json.dumps(self.get_config(), sort_keys=True)
        return self._key

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HyperParameter):
            return NotImplemented
        return self.key() == other.key()

    def __hash__(self) -> int:
        return hash(self.key())

    def __repr__(self) -> str:
        parts = [repr(self.name)]
        parts += [f"{field}={getattr(self, field)!r}" for field in self.fields]
        if self.conditions:
            parts.append(f"conditions={list(self.conditions)!r}")
        return f"{type(self).__name__}({', '.join(parts)})"

    def _checked_default(self, default: Any) -> Any:
        """The default, moved into the range with a warning where it lies outside."""
        if self.contains(default):
            return default
        moved = self.clip(default)
        warnings.warn(
            wrong(self.name, "default must be one of its values", default, f"{moved!r} is used."),
            SpaceWarning,
            stacklevel=5,
        )
        return moved


class Numerical(HyperParameter):
    """A number between two bounds, both included: the base of `Int` and `Float`."""

    fields = ("default", "min_value", "max_value", "step", "sampling")

    def __init__(
        self,
        name: str,
        min_value: Any,
        max_value: Any,
        step: Any = None,
        sampling: str | None = "linear",
        default: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, None, **kwargs)
        self.min_value = self._number(min_value, "min_value")
        self.max_value = self._number(max_value, "max_value")
        self.step = None if step is None else self._number(step, "step")
        if self.min_value > self.max_value:
            raise SpaceError(
                wrong(name, "min_value must not exceed max_value", (min_value, max_value))
            )
        self.sampling = check_sampling(name, sampling, self.min_value)
        if self.step is not None:
            least = 0 if self.sampling == "linear" else 1
            if self.step <= least:
                rule = f'step must be above {least} with sampling="{self.sampling}"'
                raise SpaceError(wrong(name, rule, step))
        self._count = self._count_values()
        given = default is not None
        self._default = (
            self._checked_default(self._number(default, "default")) if given else self._first()
        )

    @abstractmethod
    def _number(self, value: Any, what: str) -> Any:
        """The value as this entry's kind of number."""

    def _first(self) -> Any:
        return self.value_at(0) if self._count else self.min_value

    def _count_values(self) -> int | None:
        if self.step is None:
            return None
        return count_steps(self.min_value, self.max_value, self.step, self.sampling)

    def value_at(self, index: int) -> Any:
        """The value of a cell, from 0; ascending for linear and log."""
        assert self.step is not None
        return step_value(index, self.min_value, self.max_value, self.step, self.sampling)

    def index_of(self, value: Any) -> int:
        """The cell nearest to a value."""
        assert self._count is not None
        assert self.step is not None
        low, high, step = float(self.min_value), float(self.max_value), float(self.step)
        if self.sampling == "linear":
            raw = (value - low) / step
        elif self.sampling == "log":
            raw = math.log(max(value, low) / low) / math.log(step)
        else:
            raw = math.log(max(high + low - value, low) / low) / math.log(step)
        return min(max(round(raw), 0), int(self._count) - 1)

    @property
    def count(self) -> int | None:
        """How many distinct values there are; None for a continuous range."""
        return 1 if self.min_value == self.max_value else self._count

    @property
    def values(self) -> Sequence[Any]:
        """All values of a stepped range, else 10 evenly spread over the sampling's scale."""
        if self._count is not None and self.step is not None:
            return sorted(self.value_at(index) for index in range(self._count))
        points = [self.prob_to_value((index + 0.5) / 10) for index in range(10)]
        return sorted(set(points))

    def prob_to_value(self, prob: float) -> Any:
        """The value at a point of [0, 1]."""
        if self._count is not None:
            return self.value_at(min(int(prob * self._count), self._count - 1))
        raw = scale(prob, self.min_value, self.max_value, self.sampling)
        return min(max(raw, self.min_value), self.max_value)

    def value_to_prob(self, value: Any) -> float:
        """The point of [0, 1] that stands for a value."""
        if self._count is not None:
            return (self.index_of(value) + 0.5) / self._count
        inside = min(max(value, self.min_value), self.max_value)
        return unscale(inside, self.min_value, self.max_value, self.sampling)

    def contains(self, value: Any) -> bool:
        """Whether the value lies in the range, and on a step where there are steps."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if not self.min_value <= value <= self.max_value:
            return False
        if self._count is None:
            return True
        near = self.value_at(self.index_of(value))
        return math.isclose(near, value, rel_tol=1e-9, abs_tol=1e-12)

    def clip(self, value: Any) -> Any:
        """The nearest value of the range."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self.default if self._default is not None else self._first()
        inside = min(max(value, self.min_value), self.max_value)
        return inside if self._count is None else self.value_at(self.index_of(inside))

    def fold(self, value: Any) -> Any:
        """Wraps a value from outside around into the range."""
        if self.contains(value) or isinstance(value, str | bool) or value is None:
            return self.clip(value)
        width = self.max_value - self.min_value
        if width == 0:
            return self.min_value
        if self._count is not None and self.sampling == "linear":
            index = round((value - self.min_value) / self.step)
            return self.value_at(index % self._count)
        return self.clip(self.min_value + math.fmod(abs(value - self.min_value), width))


class Int(Numerical):
    """A whole number between two bounds, both included.

    Args:
        name: How trials call it.
        min_value: Smallest value.
        max_value: Largest value.
        step: Distance of values (linear), or their ratio (log, reverse_log); None for any.
        sampling: "linear", "log" (small numbers finer) or "reverse_log" (large ones finer).
        default: None for `min_value`.
        conditions: See `HyperParameter`.
    """

    def _number(self, value: Any, what: str) -> int:
        value = plain(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            raise SpaceError(wrong(self.name, f"{what} must be a whole number", value))
        return int(value)

    def _count_values(self) -> int | None:
        if self.step is None and self.sampling == "linear":
            self.step = 1
        return super()._count_values()

    def value_at(self, index: int) -> int:
        """The value of a cell, from 0."""
        return round(super().value_at(index))

    @property
    def count(self) -> int:
        """How many distinct values there are."""
        if self._count is not None:
            return int(self._count)
        return int(self.max_value - self.min_value + 1)

    def prob_to_value(self, prob: float) -> int:
        """The value at a point of [0, 1]."""
        if self._count is not None:
            return int(super().prob_to_value(prob))
        # Each number owns a cell of the scale up to the next one, the last one too.
        raw = scale(prob, self.min_value, self.max_value + 1, self.sampling)
        return int(min(max(math.floor(raw + 1e-9), self.min_value), self.max_value))

    def value_to_prob(self, value: Any) -> float:
        """The middle of the value's cell."""
        if self._count is not None:
            return super().value_to_prob(value)
        inside = min(max(value, self.min_value), self.max_value)
        return unscale(inside + 0.5, self.min_value, self.max_value + 1, self.sampling)

    def contains(self, value: Any) -> bool:
        """Whether the value is a whole number of the range, and on a step."""
        return super().contains(value) and value == int(value)

    def clip(self, value: Any) -> int:
        """The nearest value of the range."""
        return round(super().clip(value))


class Float(Numerical):
    """A real number between two bounds, both included.

    Args:
        name: How trials call it.
        min_value: Smallest value.
        max_value: Largest value.
        step: Distance of values (linear), or their ratio (log, reverse_log); None for any.
        sampling: "linear", "log" (small numbers finer) or "reverse_log" (large ones finer).
        default: None for `min_value`.
        conditions: See `HyperParameter`.

    Example:
        >>> Float("rate", 0, 1, step=0.25).values
        [0.0, 0.25, 0.5, 0.75, 1.0]
    """

    def _number(self, value: Any, what: str) -> float:
        value = plain(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SpaceError(wrong(self.name, f"{what} must be a number", value))
        if not math.isfinite(value):
            raise SpaceError(wrong(self.name, f"{what} must be finite", value))
        return float(value)
