"""The definitions that builds have made, and which one counts if several disagree."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from afina.errors import SpaceError
from afina.space.categorical import Choice
from afina.space.conditions import Parent
from afina.space.parameters import HyperParameter, Numerical, warn
from afina.space.space import all_hold

Place = tuple[str, tuple[Parent, ...]]
"""What identifies a definition: its full name and its conditions."""


def place_of(entry: HyperParameter) -> Place:
    """The full name and the conditions of a definition, which identify it."""
    return (entry.name, entry.conditions)


class Definitions:
    """The entries of a search space, while builds add to them.

    Within one build, the first definition of a place counts, and the first active one of a name
    owns the name's value. The next build may define a place differently: a bound may depend on
    another value. A *binding* definition overrides all later ones.
    """

    def __init__(self, entries: Iterable[HyperParameter] = ()) -> None:
        self._entries: dict[Place, HyperParameter] = {}
        self._places: dict[str, list[Place]] = {}
        self._binding: dict[str, list[Place]] = {}
        self._asked: dict[Place, HyperParameter] = {}
        self._owners: dict[str, HyperParameter] = {}
        self._warned: set[Place] = set()
        self._built = False
        for entry in entries:
            self.put(entry)

    def __iter__(self) -> Iterator[HyperParameter]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def at(self, place: Place) -> HyperParameter | None:
        """The definition of a place; None if there is none."""
        return self._entries.get(place)

    def named(self, name: str) -> list[HyperParameter]:
        """The definitions that share a name, oldest first."""
        return [self._entries[place] for place in self._places.get(name, ())]

    def put(self, entry: HyperParameter) -> None:
        """Adds a definition, or replaces the one at its place."""
        place = place_of(entry)
        if place not in self._entries:
            self._places.setdefault(entry.name, []).append(place)
        self._entries[place] = entry

    def copy(self) -> Definitions:
        """An independent copy, before its first build."""
        other = Definitions()
        other._entries = dict(self._entries)
        other._places = {name: list(places) for name, places in self._places.items()}
        other._binding = dict(self._binding)
        other._warned = set(self._warned)
        return other

    def start_build(self) -> None:
        """Starts a new build, which may redefine every place.

        Definitions that the user made before the first build are presets: they become binding.
        """
        if self._asked and not self._built:
            self.bind([e for e in self if self.is_binding(e) or place_of(e) in self._asked])
        self._built = True
        self._asked.clear()
        self._owners.clear()

    # -- binding ------------------------------------------------------------------------------

    def bind(self, entries: Iterable[HyperParameter]) -> None:
        """Makes these definitions override later ones."""
        self._binding = {}
        for entry in entries:
            self._binding.setdefault(entry.name, []).append(place_of(entry))

    @property
    def binding(self) -> list[int]:
        """The places of the binding definitions in the order of all definitions."""
        return [n for n, entry in enumerate(self) if self.is_binding(entry)]

    def is_binding(self, entry: HyperParameter) -> bool:
        """Whether the definition overrides later ones."""
        return place_of(entry) in self._binding.get(entry.name, ())

    def _bound(self, asked: HyperParameter, values: Mapping[str, Any]) -> HyperParameter | None:
        """The binding definition that applies to a call, if any.

        It must be active whenever the call is: its conditions are among those of the call, or both
        are active now.
        """
        for place in self._binding[asked.name]:
            conditions = place[1]
            if set(conditions) <= set(asked.conditions):
                return self._entries[place]
            if all_hold(conditions, values) and all_hold(asked.conditions, values):
                return self._entries[place]
        return None

    # -- what builds ask for ------------------------------------------------------------------

    def settle(self, asked: HyperParameter, values: Mapping[str, Any]) -> HyperParameter | None:
        """The definition that counts for a call in a build; a new one is added.

        Args:
            asked: The definition in the call.
            values: The current values, which decide what is active.

        Returns:
            None if the call is inactive.
        """
        active = all_hold(asked.conditions, values)
        if asked.name in self._binding:
            bound = self._bound(asked, values)
            if bound is not None:
                return bound if active else None
        place = place_of(asked)
        known = self._asked.get(place)
        if known is None:
            known = self._entries.get(place)
            if known is None or known != asked:
                self.put(asked)
                known = asked
            self._asked[place] = known
        elif known != asked:
            self._warn_of_two(place, known, asked)
        return self._owner(known, values) if active else None

    def _owner(self, entry: HyperParameter, values: Mapping[str, Any]) -> HyperParameter:
        """The definition that owns a name's value: the first active one in this build."""
        owner = self._owners.get(entry.name)
        if owner is None or not all_hold(owner.conditions, values):
            owner = self._owners[entry.name] = entry
        if not entry.contains(values.get(entry.name, entry.default)) and owner is not entry:
            self._warn_of_two(place_of(entry), owner, entry)
        return owner

    def _warn_of_two(self, place: Place, first: HyperParameter, second: HyperParameter) -> None:
        if place in self._warned:
            return
        self._warned.add(place)
        warn(
            f"{first.name}: a name must be defined once in a build, but got {first!r} and then "
            f"{second!r}. The first one is used. Rename one of them, or define them under "
            "conditions that exclude each other."
        )

    def absorb(self, other: Definitions) -> bool:
        """Adds unknown definitions, and widens known ones to include the values of the others.

        Returns:
            Whether anything changed.
        """
        changed = False
        for place, entry in other._entries.items():
            mine = self._entries.get(place)
            if mine is None:
                self.put(entry)
                changed = True
            elif mine is not entry and not self.is_binding(mine):
                joined = hull(mine, entry)
                self._entries[place] = joined
                changed = changed or joined is not mine
        self._warned |= other._warned
        return changed


def hull(a: HyperParameter, b: HyperParameter) -> HyperParameter:
    """A definition like `a` that includes the values of both.

    Returns `a` itself if it includes them already, or if no single definition can: the kinds
    differ, or a logarithmic sampling does not allow the bound.

    Example:
        >>> from afina.space import Int
        >>> hull(Int("n", 1, 4), Int("n", 2, 9))
        Int(name: 'n', default: 1, min_value: 1, max_value: 9, step: 1, sampling: 'linear')
    """
    if isinstance(a, Numerical) and isinstance(b, Numerical) and type(a) is type(b):
        low, high = min(a.min_value, b.min_value), max(a.max_value, b.max_value)
        if low <= 0 and a.sampling != "linear":
            low = a.min_value
        if (low, high) != (a.min_value, a.max_value):
            return _changed(a, min_value=low, max_value=high)
    if isinstance(a, Choice) and isinstance(b, Choice):
        new = [value for value in b.values if not a.contains(value)]
        if new:
            with contextlib.suppress(SpaceError):  # of another kind
                return _changed(a, values=a.values + new)
    return a


def _changed(entry: HyperParameter, **fields: Any) -> HyperParameter:
    config = {**entry.get_config(), **fields}
    if isinstance(entry, Numerical) and entry.step is not None:
        # Steps now start at another bound, and the default may no longer lie on a step.
        moved = entry.from_config({**config, "default": None})
        config["default"] = moved.clip(entry.default)
    return entry.from_config(config)
