"""Numbers that can be tuned, and the base class of all hyperparameters."""

from __future__ import annotations

import math
import random
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

from afina.errors import SpaceError, SpaceTypeError, wrong
from afina.space.conditions import Parent, Value, conditions_from, plain, same_value
from afina.space.priors import Role, check_role, number_prior
from afina.space.sampling import (
    check_sampling,
    check_width,
    count_steps,
    scale,
    step_value,
    steps_between,
    unscale,
)


class SpaceWarning(UserWarning):
    """A search space is probably not what its author meant."""


def warn(message: str) -> None:
    """Issues a `SpaceWarning` that points at the nearest caller outside of `afina.space`."""
    frame, level = sys._getframe(1), 2
    while frame.f_globals.get("__name__", "").startswith("afina.space") and frame.f_back:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, SpaceWarning, stacklevel=level)


class HyperParameter(ABC):  # noqa: B024 - `Numerical` below it has abstract methods
    """One entry of a search space. Treat it as immutable; entries with equal configs are equal.

    Searches know the kinds `Int`, `Float`, `Choice`, `Boolean` and `Fixed`. Your own subclass must
    define `values`; everything else follows from that.

    Args:
        name: Its name in trials, unique under its conditions.
        default: The value before any search.
        conditions: The entry is active while all of them hold.
        prior: What you believe before any trial. For a number: a good value, or a pair of a value
            and a spread; with a logarithmic sampling the spread is a factor, otherwise a distance.
            For choices: weights of values. In `Auto`, `BayesianOptimization` and
            `ModelBasedHalving` it shapes the first trials and fades with results. Random draws, as
            in `Random` and `Hyperband`, follow it. Other algorithms do not use it.
        role: What it does in the model: "learning_rate", "batch_size", "width", "depth", "dropout",
            "weight_decay" or "momentum". None reads it from the name where that is clear.

    Example:
        >>> HyperParameter("base", default=0).get_config()
        {'name': 'base', 'default': 0, 'conditions': []}
    """

    fields: ClassVar[tuple[str, ...]] = ("default",)
    """The arguments in the config, besides name and conditions."""

    def __init__(
        self,
        name: str,
        default: Any = None,
        conditions: Sequence[Any] | None = None,
        prior: Any = None,
        role: Role | None = None,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise SpaceTypeError(wrong("hyperparameter", "name must be a text", name))
        self.name = name
        self.conditions: tuple[Parent, ...] = conditions_from(conditions)
        self._default = default
        self._key: Hashable = None
        self.prior: Any = prior
        self.role: Role | None = check_role(name, role)

    @property
    def default(self) -> Value:
        """The value before any search."""
        return self._default  # type: ignore[no-any-return]

    @property
    def values(self) -> Sequence[Any]:
        """The distinct values; for a number without a step, 10 evenly spread ones.

        Raises:
            NotImplementedError: The class does not define them.
        """
        raise NotImplementedError(
            f"{type(self).__name__} {self.name!r}: the values are not known. Override `values` in "
            "a subclass, or use Int, Float, Choice, Boolean or Fixed."
        )

    @property
    def count(self) -> int | None:
        """How many distinct values there are; None for a continuous range."""
        return len(self.values)

    def prob_to_value(self, prob: float) -> Any:
        """The value at a point of [0, 1]."""
        values = list(self.values)
        return values[min(int(prob * len(values)), len(values) - 1)]

    def value_to_prob(self, value: Any) -> float:
        """The point of [0, 1] for a value: the middle of its cell."""
        values = list(self.values)
        return (values.index(self.clip(value)) + 0.5) / len(values)

    def contains(self, value: Any) -> bool:
        """Whether the value is one of this entry's."""
        return any(same_value(value, each) for each in self.values)

    def clip(self, value: Any) -> Any:
        """The nearest value of this entry, with this entry's type."""
        return value if self.contains(value) else self.default

    def fold(self, value: Any) -> Any:
        """Maps any value to a value of this entry, always to the same one.

        Its own values stay. Others wrap around, so that an even spread stays even. A search
        proposes values from the widest known range; a build with a narrower range folds them.
        """
        return self.clip(value)

    def random_sample(self, seed: int | None = None) -> Any:
        """A random value; the same seed gives the same value."""
        return self.prob_to_value(random.Random(seed).random())

    def get_config(self) -> dict[str, Any]:
        """The arguments of the entry, as JSON values."""
        config: dict[str, Any] = {"name": self.name}
        config.update({field: getattr(self, field) for field in self.fields})
        config["conditions"] = [condition.get_config() for condition in self.conditions]
        # Only what is given: a config without them is one that Keras Tuner reads.
        config.update(self._beliefs())
        return config

    def _beliefs(self) -> dict[str, Any]:
        """The prior and the role, as JSON values, if they are given."""
        given: dict[str, Any] = {}
        if self.prior:
            given["prior"] = _as_json(self.prior)
        if self.role is not None:
            given["role"] = self.role
        return given

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The inverse of `get_config`."""
        return cls(**config)

    def key(self) -> Hashable:
        """A key that is equal for equal definitions only."""
        if self._key is None:
            fields = (_typed(getattr(self, field)) for field in self.fields)
            beliefs = tuple((field, _typed(value)) for field, value in self._beliefs().items())
            self._key = (type(self).__name__, self.name, self.conditions, beliefs, *fields)
        return self._key

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HyperParameter):
            return NotImplemented
        return self is other or self.key() == other.key()

    def __hash__(self) -> int:
        return hash(self.key())

    def __repr__(self) -> str:
        parts = [f"{field}: {getattr(self, field)!r}" for field in ("name", *self.fields)]
        parts += [f"{field}: {value!r}" for field, value in self._beliefs().items()]
        if self.conditions:
            parts.append(f"conditions: {list(self.conditions)!r}")
        return f"{type(self).__name__}({', '.join(parts)})"


def _typed(value: Any) -> Hashable:
    """A key that is equal for equal values of one type only: 1, 1.0 and True differ."""
    if isinstance(value, list):
        return tuple(map(_typed, value))
    return (type(value).__name__, value)


def _as_json(prior: Any) -> Any:
    return [_as_json(each) for each in prior] if isinstance(prior, tuple | list) else prior


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
        self.min_value: Any = self._number(min_value, "min_value")
        self.max_value: Any = self._number(max_value, "max_value")
        self.step: Any = None if step is None else self._number(step, "step")
        if self.min_value > self.max_value:
            rule = "min_value must not exceed max_value"
            raise SpaceError(wrong(name, rule, (self.min_value, self.max_value)))
        self.sampling = check_sampling(name, sampling, self.min_value)
        check_width(name, self.sampling, self.min_value, self.max_value)
        if self.step is not None:
            least = 0 if self.sampling == "linear" else 1
            if self.step <= least:
                rule = f'step must be above {least} with sampling="{self.sampling}"'
                raise SpaceError(wrong(name, rule, self.step))
        self.prior = number_prior(name, self.prior, ratio=self.sampling != "linear")
        self._count = self._count_values()
        self._default = self.clip(self.min_value)
        if default is not None:
            given = self._number(default, "default")
            self._default = self.clip(given)
            if not self.contains(given):
                advice = f"{self._default!r} is used."
                warn(wrong(name, "default must be one of its values", given, advice))

    @abstractmethod
    def _number(self, value: Any, what: str) -> Any:
        """Checks a value and converts it to this entry's kind of number."""

    def _count_values(self) -> int | None:
        """The number of stepped values; None without a step."""
        if self.step is None:
            return None
        return count_steps(self.min_value, self.max_value, self.step, self.sampling)

    def value_at(self, index: int) -> Any:
        """The value at a step: ascending from 0; descending for "reverse_log"."""
        return step_value(index, self.min_value, self.max_value, self.step, self.sampling)

    def index_of(self, value: Any) -> int:
        """The step nearest to a value."""
        assert self._count is not None
        return min(max(self._step_of(value), 0), self._count - 1)

    def _step_of(self, value: Any) -> int:
        """The step nearest to a value, as if steps continued beyond the bounds."""
        low, high = self.min_value, self.max_value
        return round(steps_between(value, low, high, self.step, self.sampling))

    @property
    def count(self) -> int | None:
        """How many distinct values there are; None for a continuous range."""
        return 1 if self.min_value == self.max_value else self._count

    @property
    def values(self) -> list[Any]:
        """All values of a stepped range, otherwise 10 evenly spread on the sampling's scale."""
        if self._count is not None:
            return sorted(self.value_at(index) for index in range(self._count))
        return sorted({self.prob_to_value((index + 0.5) / 10) for index in range(10)})

    def prob_to_value(self, prob: float) -> Any:
        """The value at a point of [0, 1]."""
        if self._count is not None:
            return self.value_at(min(int(prob * self._count), self._count - 1))
        raw = scale(prob, self.min_value, self.max_value, self.sampling)
        return min(max(raw, self.min_value), self.max_value)

    def value_to_prob(self, value: Any) -> float:
        """The point of [0, 1] for a value."""
        if self._count is not None:
            return (self.index_of(value) + 0.5) / self._count
        return self._unit_of(min(max(value, self.min_value), self.max_value))

    def _unit_of(self, value: Any) -> float:
        """The position of a value on the scale, as if it continued beyond the bounds."""
        return unscale(value, self.min_value, self.max_value, self.sampling)

    def contains(self, value: Any) -> bool:
        """Whether the value lies in the range and, if there are steps, on a step."""
        value = plain(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if not self.min_value <= value <= self.max_value:
            return False
        if self._count is None:
            return True
        near = self.value_at(self.index_of(value))
        return near == value or math.isclose(near, value, rel_tol=1e-9, abs_tol=1e-9 * self.step)

    def clip(self, value: Any) -> Any:
        """The nearest value of the range; the default if the value is not a number."""
        value = plain(value)
        if not _is_number(value):
            return self._default
        inside = min(max(value, self.min_value), self.max_value)
        return inside if self._count is None else self.value_at(self.index_of(inside))

    def fold(self, value: Any) -> Any:
        """Keeps values of the range; others wrap around, on the sampling's scale."""
        value = plain(value)
        if not _is_number(value) or self.contains(value):
            return self.clip(value)
        if self._count is not None:
            return self.value_at(self._step_of(value) % self._count)
        return self.prob_to_value(self._unit_of(value) % 1.0)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


class Int(Numerical):
    """A whole number between two bounds, both included.

    Args:
        name: Its name in trials.
        min_value: Smallest value.
        max_value: Largest value.
        step: Difference between values (linear), or their ratio (log, reverse_log); None for any.
        sampling: "linear", "log" (finer for small numbers) or "reverse_log" (finer for large ones).
        default: None for `min_value`.
        **kwargs: `conditions`, `prior` and `role`, see `HyperParameter`.

    Example:
        >>> Int("units", 8, 64, step=2, sampling="log").values
        [8, 16, 32, 64]
    """

    def _number(self, value: Any, what: str) -> int:
        value = plain(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SpaceTypeError(wrong(self.name, f"{what} must be a whole number", value))
        if isinstance(value, float) and not value.is_integer():
            raise SpaceError(wrong(self.name, f"{what} must be a whole number", value))
        return int(value)

    def _count_values(self) -> int | None:
        if self.sampling == "linear":
            self.step = 1 if self.step is None else self.step
            return int((self.max_value - self.min_value) // self.step + 1)
        return super()._count_values()

    # Whole numbers are counted exactly: floats cannot represent all of those beyond 2**53.

    def value_at(self, index: int) -> int:
        """The value at a step: ascending from 0; descending for "reverse_log"."""
        low, high = self.min_value, self.max_value
        if self.sampling == "linear":
            return int(low + index * self.step)
        power = low * self.step**index
        return int(power if self.sampling == "log" else high + low - power)

    def _step_of(self, value: Any) -> int:
        if self.sampling == "linear":
            return int((2 * (round(value) - self.min_value) + self.step) // (2 * self.step))
        return super()._step_of(value)

    @property
    def count(self) -> int:
        """How many distinct values there are."""
        return int(self.max_value - self.min_value + 1) if self._count is None else self._count

    def prob_to_value(self, prob: float) -> int:
        """The value at a point of [0, 1]."""
        if self._count is not None:
            return int(super().prob_to_value(prob))
        # Each number has the part of the scale up to the next number, the last one too.
        raw = int(scale(prob, self.min_value, self.max_value + 1, self.sampling))
        return int(min(max(raw, self.min_value), self.max_value))

    def _unit_of(self, value: Any) -> float:
        return unscale(value + 0.5, self.min_value, self.max_value + 1, self.sampling)

    def contains(self, value: Any) -> bool:
        """Whether the value is a whole number of the range, and on a step."""
        value = plain(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or value % 1:
            return False
        if not self.min_value <= value <= self.max_value:
            return False
        if self._count is None:
            return True
        if self.sampling == "linear":
            return (int(value) - self.min_value) % self.step == 0  # type: ignore[no-any-return]
        return self.value_at(self.index_of(value)) == value

    def clip(self, value: Any) -> int:
        """The nearest value of the range; the default if the value is not a number."""
        nearest: int = round(super().clip(value))
        return nearest


class Float(Numerical):
    """A real number between two bounds, both included.

    Args:
        name: Its name in trials.
        min_value: Smallest value.
        max_value: Largest value.
        step: Difference between values (linear), or their ratio (log, reverse_log); None for any.
        sampling: "linear", "log" (finer for small numbers) or "reverse_log" (finer for large ones).
        default: None for `min_value`.
        **kwargs: `conditions`, `prior` and `role`, see `HyperParameter`.

    Example:
        >>> Float("rate", 0, 1, step=0.25).values
        [0.0, 0.25, 0.5, 0.75, 1.0]
    """

    def _number(self, value: Any, what: str) -> float:
        value = plain(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SpaceTypeError(wrong(self.name, f"{what} must be a number", value))
        if not math.isfinite(value):
            raise SpaceError(wrong(self.name, f"{what} must be finite", value))
        return float(value)

    def clip(self, value: Any) -> float:
        """The nearest value of the range; the default if the value is not a number."""
        return float(super().clip(value))


def all_values(entry: HyperParameter) -> tuple[Value, ...]:
    """Every value of a discrete entry, the default first.

    `entry.values` is not enough: for an Int on a log scale it has only ten values.
    """
    values: Iterable[Value] = entry.values
    if isinstance(entry, Int) and entry.count != len(entry.values):
        values = range(entry.min_value, entry.max_value + 1)
    return default_first(entry.default, values)


def default_first(default: Value, values: Iterable[Value]) -> tuple[Value, ...]:
    """The values in their order, but with the default first."""
    return (default, *(value for value in values if not same_value(value, default)))
