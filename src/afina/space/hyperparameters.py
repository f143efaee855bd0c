"""The `hp` that users' builds draw from: it hands out values and writes down what was asked."""

from __future__ import annotations

import contextlib
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from afina.errors import SpaceError, wrong
from afina.space.categorical import Boolean, Choice, Fixed
from afina.space.conditions import Parent, plain
from afina.space.kinds import deserialize, serialize
from afina.space.parameters import Float, HyperParameter, Int, Numerical, SpaceWarning
from afina.space.space import Space

Place = tuple[str, tuple[Parent, ...]]


class HyperParameters:
    """A search space and the values of its active entries.

    Each call such as `hp.Int("units", 8, 64)` adds an entry where it is new and returns its value:
    the one that a search chose, else the default. An entry is known by its name and conditions. In
    each build (`start_build`) an entry's arguments may differ from those of the last build, so that
    bounds may depend on other values; a second call in the same build may not.

    Attributes:
        values: Values of the active entries by name.

    Example:
        >>> hp = HyperParameters()
        >>> hp.Int("layers", 1, 3)
        1
        >>> hp.values
        {'layers': 1}
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._entries: dict[Place, HyperParameter] = {}
        self._name_scopes: list[str] = []
        self._conditions: list[Parent] = []
        self._asked: dict[Place, HyperParameter] = {}
        self._warned: set[Place] = set()
        self._binding: set[str] = set()
        self._proposed = False
        self._scopes: dict[tuple[Parent, ...], bool] = {}

    # -- looking ------------------------------------------------------------------------------

    @property
    def space(self) -> list[HyperParameter]:
        """The entries in the order of their definition."""
        return list(self._entries.values())

    @property
    def _hps(self) -> dict[str, list[HyperParameter]]:
        """Keras Tuner's private view by name, which public code reads."""
        named: dict[str, list[HyperParameter]] = {}
        for entry in self._entries.values():
            named.setdefault(entry.name, []).append(entry)
        return named

    def get(self, name: str) -> Any:
        """The current value of an active entry.

        Raises:
            KeyError: There is no such entry.
            SpaceError: It is inactive.
        """
        name = self._full_name(name)
        if name in self.values:
            return self.values[name]
        if any(entry.name == name for entry in self._entries.values()):
            raise SpaceError(f"{name} is currently inactive.")
        raise KeyError(f"{name} does not exist.")

    def __getitem__(self, name: str) -> Any:
        return self.get(name)

    def __contains__(self, name: object) -> bool:
        try:
            self.get(str(name))
        except (KeyError, ValueError):
            return False
        return True

    def is_active(self, hyperparameter: str | HyperParameter) -> bool:
        """Whether an entry, or any entry of a name, is active among the current values."""
        if isinstance(hyperparameter, HyperParameter):
            return self._holds(hyperparameter.conditions)
        name = self._full_name(hyperparameter)
        return any(
            self._holds(entry.conditions) for entry in self._entries.values() if entry.name == name
        )

    def _holds(self, conditions: Sequence[Parent]) -> bool:
        return all(condition.is_active(self.values) for condition in conditions)

    # -- defining -------------------------------------------------------------------------------

    def Int(
        self,
        name: str,
        min_value: int,
        max_value: int,
        step: int | None = None,
        sampling: str | None = "linear",
        default: int | None = None,
        parent_name: str | None = None,
        parent_values: Any = None,
    ) -> Any:
        """A whole number between two bounds, both included; see `afina.space.Int`.

        Args:
            name: Unique under its conditions.
            min_value: Smallest value.
            max_value: Largest value.
            step: Distance of values, or their ratio with a log sampling.
            sampling: "linear", "log" or "reverse_log".
            default: None for `min_value`.
            parent_name: Active only while this hyperparameter ...
            parent_values: ... has one of these values.

        Returns:
            The value; None while inactive.
        """
        with self._parent(name, parent_name, parent_values):
            full, conditions = self._place(name)
            return self._ask(
                Int(full, min_value, max_value, step, sampling, default, conditions=conditions)
            )

    def Float(
        self,
        name: str,
        min_value: float,
        max_value: float,
        step: float | None = None,
        sampling: str | None = "linear",
        default: float | None = None,
        parent_name: str | None = None,
        parent_values: Any = None,
    ) -> Any:
        """A real number between two bounds; arguments as for `Int`."""
        with self._parent(name, parent_name, parent_values):
            full, conditions = self._place(name)
            return self._ask(
                Float(full, min_value, max_value, step, sampling, default, conditions=conditions)
            )

    def Choice(
        self,
        name: str,
        values: Any,
        ordered: bool | None = None,
        default: Any = None,
        parent_name: str | None = None,
        parent_values: Any = None,
    ) -> Any:
        """One of some values of one kind; see `afina.space.Choice`."""
        with self._parent(name, parent_name, parent_values):
            full, conditions = self._place(name)
            return self._ask(Choice(full, values, ordered, default, conditions=conditions))

    def Boolean(
        self,
        name: str,
        default: bool = False,
        parent_name: str | None = None,
        parent_values: Any = None,
    ) -> Any:
        """True or False."""
        with self._parent(name, parent_name, parent_values):
            full, conditions = self._place(name)
            return self._ask(Boolean(full, default, conditions=conditions))

    def Fixed(
        self, name: str, value: Any, parent_name: str | None = None, parent_values: Any = None
    ) -> Any:
        """A value that is not tuned."""
        with self._parent(name, parent_name, parent_values):
            full, conditions = self._place(name)
            return self._ask(Fixed(full, value, conditions=conditions))

    def _place(self, name: str) -> Place:
        if not isinstance(name, str) or not name:
            raise SpaceError(wrong("hyperparameter", "name must be a text", name))
        return self._full_name(name), tuple(self._conditions)

    def _full_name(self, name: str) -> str:
        return "/".join([*self._name_scopes, name])

    def _ask(self, entry: HyperParameter) -> Any:
        place = (entry.name, entry.conditions)
        known = self._entries.get(place)
        asked = self._asked.get(place)
        if entry.name in self._binding:
            known = known or self._bound(entry.name)
            entry = known if known is not None else entry
        elif asked is not None:
            self._warn_if_other(place, asked, entry)
            entry = asked
        self._asked[place] = entry
        if (known is None and entry.name not in self._binding) or (
            known is not entry and place in self._entries
        ):
            self._entries[place] = entry
        return self._value_of(entry)

    def _bound(self, name: str) -> HyperParameter | None:
        named = self._hps.get(name, [])
        for entry in named:
            if self._holds(entry.conditions):
                return entry
        return named[0] if named else None

    def _warn_if_other(self, place: Place, first: HyperParameter, second: HyperParameter) -> None:
        if first == second or place in self._warned:
            return
        self._warned.add(place)
        warnings.warn(
            f"{first.name}: a name must be defined once in a build, but got {first!r} and then "
            f"{second!r}. The first one is used; rename one, or put them under conditions.",
            SpaceWarning,
            stacklevel=4,
        )

    def _value_of(self, entry: HyperParameter) -> Any:
        if not self._holds(entry.conditions):
            return None
        if entry.name not in self.values:
            self.values[entry.name] = entry.default
            return entry.default
        value = plain(self.values[entry.name])
        if not entry.contains(value):
            value = self._inside(entry, value)
        elif isinstance(entry, Float):
            value = float(value)
        elif isinstance(entry, Int):
            value = int(value)
        self.values[entry.name] = value
        return value

    def _inside(self, entry: HyperParameter, value: Any) -> Any:
        if self._proposed:
            return entry.fold(value)
        moved = entry.clip(value)
        warnings.warn(
            wrong(entry.name, "its value must fit its definition", value, f"{moved!r} is used."),
            SpaceWarning,
            stacklevel=5,
        )
        return moved

    # -- scopes -----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def name_scope(self, name: str) -> Iterator[None]:
        """Within, every name is prefixed by `name` and a slash."""
        self._name_scopes.append(name)
        try:
            yield
        finally:
            self._name_scopes.pop()

    @contextlib.contextmanager
    def conditional_scope(self, parent_name: str, parent_values: Any) -> Iterator[None]:
        """Within, entries are active only while the parent has one of the values.

        The body always runs; where the scope is inactive, the calls in it return None.

        Args:
            parent_name: An entry defined before.
            parent_values: One value or several.

        Raises:
            SpaceError: There is no such entry.
        """
        full = self._full_name(parent_name)
        if not any(entry.name == full for entry in self._entries.values()):
            raise SpaceError(
                f"`HyperParameter` named {full!r} is not defined: define it before it is the "
                "parent of a condition."
            )
        self._conditions.append(Parent(full, parent_values))
        try:
            scope = tuple(self._conditions)
            self._scopes[scope] = self._scopes.get(scope, False) or self._holds(scope)
            yield
        finally:
            self._conditions.pop()

    @contextlib.contextmanager
    def _parent(self, name: str, parent_name: str | None, parent_values: Any) -> Iterator[None]:
        if parent_name is None:
            if any(self._full_name(name) == condition.name for condition in self._conditions):
                raise SpaceError(wrong(name, "must not be its own parent", name))
            yield
            return
        if name == parent_name:
            raise SpaceError(wrong(name, "must not be its own parent", parent_name))
        with self.conditional_scope(parent_name, parent_values):
            yield

    # -- copying and joining ----------------------------------------------------------------------

    def copy(self) -> HyperParameters:
        """A copy that shares nothing, with no build begun."""
        other = HyperParameters()
        other._entries = dict(self._entries)
        other.values = dict(self.values)
        other._binding = set(self._binding)
        other._scopes = dict(self._scopes)
        other._warned = set(self._warned)
        return other

    def merge(self, hps: Any, overwrite: bool = True) -> None:
        """Adds the entries of another `HyperParameters`, or of a list of definitions.

        Args:
            hps: What to add.
            overwrite: True replaces entries of the same place, and resets their values to the
                default; False keeps those that are here.
        """
        entries = hps.space if isinstance(hps, HyperParameters) else list(hps)
        for entry in entries:
            place = (entry.name, entry.conditions)
            if place in self._entries and not overwrite:
                continue
            self._entries[place] = entry
            if self._holds(entry.conditions) and (overwrite or entry.name not in self.values):
                self.values[entry.name] = entry.default

    def get_config(self) -> dict[str, Any]:
        """Entries and values as JSON values."""
        config: dict[str, Any] = {
            "space": [serialize(entry) for entry in self._entries.values()],
            "values": dict(self.values),
        }
        if self._binding:
            config["binding"] = sorted(self._binding)
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> HyperParameters:
        """The inverse of `get_config`."""
        hp = cls()
        for entry in map(deserialize, config["space"]):
            hp._entries[(entry.name, entry.conditions)] = entry
        hp.values = dict(config["values"])
        hp._binding = set(config.get("binding", ()))
        return hp

    def ensure_active_values(self) -> None:
        """Drops values of inactive entries, and draws random ones where active ones lack."""
        rng = random.Random()
        self.values = self.to_space().complete(
            self.values, lambda entry: entry.prob_to_value(rng.random())
        )

    def __repr__(self) -> str:
        return f"HyperParameters({len(self._entries)} entries, values={self.values})"

    # -- for the rooms above ----------------------------------------------------------------

    def to_space(self) -> Space:
        """The entries as frozen data."""
        return Space(tuple(self._entries.values()))

    def bind(self) -> None:
        """Makes the entries here override later definitions of the same name."""
        self._binding |= {entry.name for entry in self._entries.values()}

    def start_build(self) -> None:
        """A new build begins: what the last one asked for may be asked for otherwise."""
        self._asked = {}

    @classmethod
    def for_trial(
        cls,
        master: HyperParameters,
        values: Mapping[str, Any],
        ranges: Sequence[Mapping[str, Any]] = (),
    ) -> HyperParameters:
        """What a trial's build gets.

        Args:
            master: The search space.
            values: As the search chose them; those outside of a range that the build gives are
                folded back into it.
            ranges: Definitions of the trial's own, where it has been built before.
        """
        hp = master.copy()
        hp.values = dict(values)
        hp._proposed = True
        for entry in map(deserialize, ranges):
            hp._entries[(entry.name, entry.conditions)] = entry
        return hp

    def absorb(self, other: HyperParameters) -> bool:
        """Takes in what another build has discovered; whether anything was new.

        Entries that are not known yet are added. Where the other has wider bounds than the entry
        here, the entry here becomes the hull of both.
        """
        changed = False
        for place, entry in other._entries.items():
            mine = self._entries.get(place)
            joined = entry if mine is None else hull(mine, entry)
            if joined is not mine:
                self._entries[place] = joined
                changed = True
            if mine is None and self._holds(entry.conditions):
                self.values.setdefault(entry.name, entry.default)
        for scope, active in other._scopes.items():
            self._scopes[scope] = self._scopes.get(scope, False) or active
        return changed

    def resolved_ranges(self, master: HyperParameters) -> tuple[dict[str, Any], ...]:
        """The entries here that the master does not hold or holds otherwise, as JSON values."""
        known = set(master._entries.values())
        return tuple(serialize(entry) for entry in self._entries.values() if entry not in known)

    def inactive_scopes(self) -> list[tuple[Parent, ...]]:
        """The conditional scopes that builds have entered and that were never active."""
        return [scope for scope, was_active in self._scopes.items() if not was_active]

    def activate(self, scope: Sequence[Parent]) -> None:
        """Sets values so that all conditions of a scope hold, parents of parents included."""
        for condition in scope:
            entry = next((e for e in self._entries.values() if e.name == condition.name), None)
            if entry is not None:
                self.activate(entry.conditions)
            self.values[condition.name] = condition.values[0]


def hull(a: HyperParameter, b: HyperParameter) -> HyperParameter:
    """The entry that holds the values of both; `a` itself where it already does."""
    if a == b:
        return a
    if isinstance(a, Numerical) and type(a) is type(b) and isinstance(b, Numerical):
        if a.min_value <= b.min_value and a.max_value >= b.max_value:
            return a
        config = a.get_config()
        config["min_value"] = min(a.min_value, b.min_value)
        config["max_value"] = max(a.max_value, b.max_value)
        return type(a).from_config(config)
    if isinstance(a, Choice) and isinstance(b, Choice):
        if all(a.contains(value) for value in b.values):
            return a
        config = a.get_config()
        config["values"] = [*a.values, *(v for v in b.values if not a.contains(v))]
        return Choice.from_config(config)
    return a
