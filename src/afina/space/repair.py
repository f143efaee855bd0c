"""From a configuration that breaks a constraint to one nearby that breaks none."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from afina.space.categorical import Boolean, Choice
from afina.space.conditions import Value, same_value
from afina.space.parameters import HyperParameter, all_values

FEW = 64
"""Values of one entry that are tried: all of them, or as many evenly spread ones."""

HALVINGS = 12
"""Steps of the bisection towards the original value of a number with more values."""

DRAWS = 500
"""Random configurations that are looked at if no change of one entry is enough."""

SEED = 0x2E9A12  # separates these draws from those of searches


class Restricted(Protocol):
    """What a repair needs of a `Space`."""

    def allows(self, values: Mapping[str, Value]) -> bool:
        """Whether a configuration satisfies all constraints."""
        ...

    def active(self, values: Mapping[str, Any]) -> list[HyperParameter]:
        """The active entries."""
        ...

    def complete(
        self, values: Mapping[str, Any], choose: Callable[[HyperParameter], Any]
    ) -> dict[str, Value]:
        """A configuration with these values."""
        ...

    def draw(self, rng: np.random.Generator) -> dict[str, Value]:
        """A random configuration."""
        ...


def nearest_allowed(space: Restricted, values: Mapping[str, Value]) -> dict[str, Value] | None:
    """A configuration near the given one that satisfies all constraints of the space.

    The smallest change of one entry comes first. If none is enough, an allowed random configuration
    is moved towards the given one, entry by entry.

    Args:
        space: With constraints.
        values: A configuration.

    Returns:
        The configuration itself if it is allowed; None if nothing allowed was found.
    """
    if space.allows(values):
        return dict(values)
    found = _changed_in_one(space, values)
    return _drawn_near(space, values) if found is None else found


def _changed_in_one(space: Restricted, values: Mapping[str, Value]) -> dict[str, Value] | None:
    best: tuple[float, dict[str, Value]] | None = None
    for entry in space.active(values):
        here = values[entry.name]
        for value in _around(entry, here):
            cost = distance(entry, here, value)
            if best is not None and cost >= best[0]:
                break  # the following ones are farther still
            changed = _with(space, values, entry, value)
            if space.allows(changed):
                changed = _moved_back(space, values, changed, entry)
                best = (distance(entry, here, changed[entry.name]), changed)
                break
    return None if best is None else best[1]


def _drawn_near(space: Restricted, values: Mapping[str, Value]) -> dict[str, Value] | None:
    rng = np.random.default_rng(SEED)
    draws = (space.draw(rng) for _ in range(DRAWS))
    allowed = [drawn for drawn in draws if space.allows(drawn)]
    if not allowed:
        return None
    near = min(allowed, key=lambda drawn: _distance(space, values, drawn))
    for entry in space.active(values):
        if entry.name not in near or same_value(near[entry.name], values[entry.name]):
            continue
        back = _with(space, near, entry, values[entry.name])
        near = back if space.allows(back) else _moved_back(space, values, near, entry)
    return near


def _moved_back(
    space: Restricted, values: Mapping[str, Value], allowed: dict[str, Value], entry: HyperParameter
) -> dict[str, Value]:
    """The allowed configuration with one number as near to its value in `values` as bisection
    finds."""
    if entry.count is not None and entry.count <= FEW:
        return allowed
    start, end = entry.value_to_prob(values[entry.name]), entry.value_to_prob(allowed[entry.name])
    for _ in range(HALVINGS):
        middle = (start + end) / 2
        nearer = _with(space, allowed, entry, entry.prob_to_value(middle))
        if space.allows(nearer):
            allowed, end = nearer, middle
        else:
            start = middle
    return allowed


def _with(
    space: Restricted, values: Mapping[str, Value], entry: HyperParameter, value: Value
) -> dict[str, Value]:
    return space.complete({**values, entry.name: value}, lambda each: each.default)


def _around(entry: HyperParameter, here: Any) -> Iterator[Value]:
    """Other values of an entry, the nearest first."""
    values = sorted(_spread(entry), key=lambda value: distance(entry, here, value))
    return (value for value in values if not same_value(value, here))


@functools.lru_cache(maxsize=64)
def _spread(entry: HyperParameter) -> tuple[Value, ...]:
    if entry.count is not None and entry.count <= FEW:
        return tuple(all_values(entry))
    return tuple(entry.prob_to_value(place / FEW) for place in range(FEW + 1))


def distance(entry: HyperParameter, a: Any, b: Any) -> float:
    """How far two values of an entry are apart: 0 to 1; unordered choices that differ are at 1."""
    if isinstance(entry, Boolean) or (isinstance(entry, Choice) and not entry.ordered):
        return 0.0 if same_value(a, b) else 1.0
    return abs(entry.value_to_prob(a) - entry.value_to_prob(b))


def _distance(space: Restricted, values: Mapping[str, Value], other: Mapping[str, Value]) -> float:
    return sum(
        distance(entry, values[entry.name], other[entry.name]) if entry.name in other else 1.0
        for entry in space.active(values)
    )
