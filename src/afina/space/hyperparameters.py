"""The `hp` that users' `build(hp)` gets: it returns values and records the search space."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

from afina.errors import ConstraintError, SpaceError, SpaceTypeError, wrong
from afina.space.categorical import Boolean, Choice, Fixed
from afina.space.conditions import Parent, plain, same_value
from afina.space.constraints import Constraint
from afina.space.definitions import Definitions, Place, place_of
from afina.space.parameters import Float, HyperParameter, Int, warn
from afina.space.priors import Role
from afina.space.shown import space_html
from afina.space.slips import METHODS, checks_names, question
from afina.space.space import Space, all_hold, deserialize, serialize


class HyperParameters:
    """A search space and the values of its active entries.

    Each call such as `hp.Int("units", 8, 64)` returns a value: the one that the search chose, or
    the default. If the entry is new, the call adds it. Name and conditions identify an entry. Each
    build (`start_build`) may define an entry with other arguments, so that bounds may depend on
    other values. Within one build, the arguments must not change.

    Attributes:
        values: The values of the active entries, by name.

    Example:
        >>> hp = HyperParameters()
        >>> hp.Int("layers", 1, 3)
        1
        >>> hp.values
        {'layers': 1}
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._definitions = Definitions()
        self._name_scopes: list[str] = []
        self._conditions: list[Parent] = []
        self._entered: dict[tuple[Parent, ...], bool] = {}
        self._proposed = False
        self._constraints: dict[Constraint, None] = {}
        self._enforces = False

    # -- looking ------------------------------------------------------------------------------

    @property
    def space(self) -> list[HyperParameter]:
        """The entries in the order of their definition."""
        return list(self._definitions)

    @property
    def _hps(self) -> dict[str, list[HyperParameter]]:
        """The entries by name: a private attribute of Keras Tuner that users' code reads."""
        return {entry.name: self._definitions.named(entry.name) for entry in self._definitions}

    def get(self, name: str) -> Any:
        """The current value of an active entry.

        Raises:
            KeyError: There is no such entry.
            SpaceError: The entry is inactive.
        """
        name = self._full_name(name)
        known = self._definitions.named(name)
        if name in self.values and (not known or self._any_active(known)):
            return self.values[name]
        if known:
            raise SpaceError(f"{name} is currently inactive.")
        near = question(name, (entry.name for entry in self._definitions))
        raise KeyError(f"{name} does not exist.{near}")

    def __getattr__(self, name: str) -> Any:
        told = f"{type(self).__name__!r} object has no attribute {name!r}."
        if not name.startswith("_"):
            known = [each for each in dir(type(self)) if not each.startswith("_")]
            told += question(name, [*known, "values"], METHODS)
        raise AttributeError(told)

    def __getitem__(self, name: str) -> Any:
        return self.get(name)

    def __contains__(self, name: object) -> bool:
        try:
            self.get(str(name))
        except (KeyError, ValueError):
            return False
        return True

    def is_active(self, hyperparameter: str | HyperParameter) -> bool:
        """Whether an entry, or any entry with a name, is active for the current values."""
        if isinstance(hyperparameter, HyperParameter):
            return all_hold(hyperparameter.conditions, self.values)
        return self._any_active(self._definitions.named(self._full_name(hyperparameter)))

    def _any_active(self, entries: Sequence[HyperParameter]) -> bool:
        return any(all_hold(entry.conditions, self.values) for entry in entries)

    # -- defining -------------------------------------------------------------------------------

    @checks_names
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
        *,
        prior: Any = None,
        role: Role | None = None,
    ) -> Any:
        """A whole number between two bounds, both included; see `afina.space.Int`.

        Args:
            name: The name; it must be unique under its conditions.
            min_value: Smallest value.
            max_value: Largest value.
            step: Difference between values, or their ratio with a log sampling.
            sampling: "linear", "log" or "reverse_log".
            default: None for `min_value`.
            parent_name: The entry is active only while this hyperparameter ...
            parent_values: ... has one of these values.
            prior: A good value, or a pair of a good value and a spread; see `HyperParameter`.
            role: What it does in the model, such as "learning_rate"; see `HyperParameter`.

        Returns:
            The value; None if the entry is inactive.
        """
        full, conditions = self._place(name, parent_name, parent_values)
        return self.ask(
            Int(
                full,
                min_value,
                max_value,
                step,
                sampling,
                default,
                conditions=conditions,
                prior=prior,
                role=role,
            )
        )

    @checks_names
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
        *,
        prior: Any = None,
        role: Role | None = None,
    ) -> Any:
        """A real number between two bounds, both included; the arguments are those of `Int`."""
        full, conditions = self._place(name, parent_name, parent_values)
        return self.ask(
            Float(
                full,
                min_value,
                max_value,
                step,
                sampling,
                default,
                conditions=conditions,
                prior=prior,
                role=role,
            )
        )

    @checks_names
    def Choice(
        self,
        name: str,
        values: Any,
        ordered: bool | None = None,
        default: Any = None,
        parent_name: str | None = None,
        parent_values: Any = None,
        *,
        prior: Any = None,
        role: Role | None = None,
    ) -> Any:
        """One of several values of one kind, or one of several objects by name.

        Args:
            name: The name; it must be unique under its conditions.
            values: A list of values (see `afina.space.Choice`), or a mapping of names to objects of
                any kind. Of a mapping, the trial keeps the name, and the call returns the object.
            ordered: Whether neighbouring values are similar; None means yes for numbers.
            default: None for the first; of a mapping, a name.
            parent_name: See `Int`.
            parent_values: See `Int`.
            prior: Weights by value, or by name: `prior={"adam": 3, "sgd": 1}`.
            role: See `Int`.

        Example:
            >>> hp = HyperParameters()
            >>> hp.Choice("shape", {"round": (1, 1), "wide": (4, 1)}, default="wide"), hp["shape"]
            ((4, 1), 'wide')
        """
        full, conditions = self._place(name, parent_name, parent_values)
        asked = Choice(
            full, values, ordered, default, conditions=conditions, prior=prior, role=role
        )
        value = self.ask(asked)
        if not isinstance(values, Mapping) or (value is None and not asked.contains(None)):
            return value
        if not asked.contains(value):  # of a definition that overrides this one
            raise SpaceError(wrong(full, f"must be one of the names {asked.values}", value))
        return list(values.values())[asked.index_of(value)]

    @checks_names
    def Boolean(
        self,
        name: str,
        default: bool = False,
        parent_name: str | None = None,
        parent_values: Any = None,
        *,
        prior: Any = None,
        role: Role | None = None,
    ) -> Any:
        """True or False."""
        full, conditions = self._place(name, parent_name, parent_values)
        return self.ask(Boolean(full, default, conditions=conditions, prior=prior, role=role))

    @checks_names
    def Fixed(
        self, name: str, value: Any, parent_name: str | None = None, parent_values: Any = None
    ) -> Any:
        """A value that is not tuned."""
        full, conditions = self._place(name, parent_name, parent_values)
        return self.ask(Fixed(full, value, conditions=conditions))

    def constraint(
        self, check: Callable[[Mapping[str, Any]], Any], name: str | None = None
    ) -> None:
        """Adds a rule between hyperparameters: the search proposes no configuration that breaks it.

        Call it after the hyperparameters that it names. In a conditional scope it applies while the
        scope is active, and in a name scope it may use the short names. A function cannot be
        stored: the build registers it again whenever it runs.

        Args:
            check: Gets a mapping of the active hyperparameters' names to their values; returns
                whether they go together. A rule that asks for an inactive one does not apply.
            name: How messages call the rule; None for the place where `check` is written.

        Raises:
            SpaceError: `check` fails, or returns neither True nor False.
            ConstraintError: A trial runs with values that break the rule.

        Example:
            >>> hp = HyperParameters()
            >>> _ = hp.Int("first", 8, 64), hp.Int("second", 8, 64)
            >>> hp.constraint(lambda v: v["second"] <= v["first"])
        """
        prefix = "".join(f"{scope}/" for scope in self._name_scopes)
        rule = Constraint(check, name, tuple(self._conditions), prefix)
        self._constraints.pop(rule, None)  # a newer function counts
        self._constraints[rule] = None
        rule.missing = None
        holds = rule.holds(self.values)
        if rule.missing is not None and not self._is_defined(rule.missing):
            self._warn_of_unknown(rule)
        if not holds and self._enforces:
            advice = "The trial is skipped: its values were not proposed by a search that knew it."
            raise ConstraintError(wrong(rule.name, "must hold", dict(self.values), advice))

    def _is_defined(self, name: str) -> bool:
        return bool(self._definitions.named(name) or self._definitions.named(self._full_name(name)))

    def _warn_of_unknown(self, rule: Constraint) -> None:
        if not self._proposed:
            warn(
                f"{rule.name}: names a hyperparameter {rule.missing!r} that is not defined before. "
                "The rule does not apply until it is. Check the spelling, or define it first."
            )

    def _full_name(self, name: str) -> str:
        return "/".join([*self._name_scopes, name]) if self._name_scopes else name

    def _place(self, name: str, parent_name: str | None, parent_values: Any) -> Place:
        """The full name and the conditions of a call; `parent_name` adds one condition."""
        if not isinstance(name, str) or not name:
            raise SpaceTypeError(wrong("hyperparameter", "name must be a text", name))
        full = self._full_name(name)
        conditions = tuple(self._conditions)
        if parent_name is not None:
            conditions = (*conditions, self._condition(parent_name, parent_values))
            self._enter(conditions)
        if any(condition.name == full for condition in conditions):
            raise SpaceError(wrong(full, "must not be its own parent", full))
        return full, conditions

    def ask(self, asked: HyperParameter) -> Any:
        """Defines an entry; the value that it has, or None if it is inactive."""
        before = self._definitions.at(place_of(asked))
        entry = self._definitions.settle(asked, self.values)
        if entry is None:
            return None
        value = self.values[entry.name] = self._value_of(entry, before)
        return value

    def _value_of(self, entry: HyperParameter, before: HyperParameter | None) -> Any:
        """The value of an active entry, which an earlier build may have defined differently."""
        if entry.name not in self.values:
            return entry.default
        value = plain(self.values[entry.name])
        if entry.contains(value):
            return entry.clip(value)
        if self._proposed:
            self._set(entry.name, entry.fold(value))
            return self.values[entry.name]
        if before is not None and same_value(value, before.default):
            return entry.default  # Nobody chose that value, so no warning is needed.
        moved = entry.clip(value)
        warn(wrong(entry.name, "its value must fit its definition", value, f"{moved!r} is used."))
        return moved

    def _set(self, name: str, value: Any) -> None:
        """Changes a value, and drops the values of entries that become inactive."""
        self.values[name] = value
        space = self.to_space()
        known = {entry.name for entry in space}
        active = {entry.name for entry in space.active(self.values)}
        for stale in [n for n in self.values if n in known and n not in active]:
            del self.values[stale]

    # -- scopes -----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def name_scope(self, name: str) -> Iterator[None]:
        """Prefixes every name in the `with` block by `name` and a slash."""
        self._name_scopes.append(name)
        try:
            yield
        finally:
            self._name_scopes.pop()

    @contextlib.contextmanager
    def conditional_scope(self, parent_name: str, parent_values: Any) -> Iterator[None]:
        """Entries in the `with` block are active only while the parent has one of the values.

        The block always runs. If the scope is inactive, the calls in it return None.

        Args:
            parent_name: An entry that was defined before.
            parent_values: One value or several.

        Raises:
            SpaceError: There is no such entry, or no value is given.
        """
        self._conditions.append(self._condition(parent_name, parent_values))
        try:
            self._enter(tuple(self._conditions))
            yield
        finally:
            self._conditions.pop()

    def _condition(self, parent_name: str, parent_values: Any) -> Parent:
        full = self._full_name(parent_name)
        parents = self._definitions.named(full)
        if not parents:
            raise SpaceError(
                f"`HyperParameter` named {full!r} is not defined. Define it before you use it as "
                "the parent of a condition."
            )
        condition = Parent(full, parent_values)
        if not condition.values:
            rule = f"a scope below {full!r} needs at least one of its values"
            raise SpaceError(wrong("conditional_scope", rule, parent_values))
        if isinstance(parents[0], Boolean):
            # Keras Tuner's users may write 1 for True; elsewhere these are different values.
            return Parent(full, [bool(v) if v in (0, 1) else v for v in condition.values])
        return condition

    def _enter(self, scope: tuple[Parent, ...]) -> None:
        if not self._entered.get(scope):
            self._entered[scope] = all_hold(scope, self.values)

    # -- copying and joining ----------------------------------------------------------------------

    def copy(self) -> Self:
        """An independent copy, before its first build."""
        other = type(self)()
        other.values = dict(self.values)
        other._definitions = self._definitions.copy()
        other._entered = dict(self._entered)
        other._proposed = self._proposed
        other._constraints = dict(self._constraints)
        return other

    def merge(
        self, hps: HyperParameters | Sequence[HyperParameter], overwrite: bool = True
    ) -> None:
        """Adds the entries of another `HyperParameters`, or of a list of definitions.

        Args:
            hps: What to add.
            overwrite: True replaces entries with the same name and conditions, and resets their
                values to the default; False keeps the existing ones.
        """
        if isinstance(hps, HyperParameters):
            self.learn_constraints(hps)
        for entry in hps.space if isinstance(hps, HyperParameters) else hps:
            if self._definitions.at(place_of(entry)) is not None and not overwrite:
                continue
            self._definitions.put(entry)
            if self.is_active(entry) and (overwrite or entry.name not in self.values):
                self.values[entry.name] = entry.default

    def get_config(self) -> dict[str, Any]:
        """Entries and values as JSON values."""
        config: dict[str, Any] = {
            "space": [serialize(entry) for entry in self._definitions],
            "values": dict(self.values),
        }
        if binding := self._definitions.binding:
            config["binding"] = binding
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The inverse of `get_config`; it also reads what Keras Tuner's `get_config` returns.

        Args:
            config: A mapping with "space" and "values". Without "space" there are no entries;
                without "values" the active entries have their defaults.

        Raises:
            SpaceError: It is not such a mapping, or an entry in it is wrong.
        """
        if not isinstance(config, Mapping):
            rule = 'must be a mapping with "space" and "values", as get_config() returns it'
            raise SpaceTypeError(wrong("from_config", rule, config))
        space, values = config.get("space") or (), config.get("values")
        if isinstance(space, str) or not isinstance(space, Sequence):
            raise SpaceTypeError(wrong("from_config", '"space" must be a list', space))
        if values is not None and not isinstance(values, Mapping):
            raise SpaceTypeError(wrong("from_config", '"values" must be a mapping', values))
        hp = cls()
        entries = [deserialize(entry) for entry in space]
        hp._definitions = Definitions(entries)
        hp._definitions.bind(entries[number] for number in config.get("binding", ()))
        hp.values = hp.to_space().defaults() if values is None else dict(values)
        return hp

    def __eq__(self, other: object) -> bool:
        """Whether both have the same entries, in any order, and the same values."""
        if not isinstance(other, HyperParameters):
            return NotImplemented
        mine, theirs = ({place_of(e): e for e in hp._definitions} for hp in (self, other))
        if mine != theirs or self.values.keys() != other.values.keys():
            return False
        return all(same_value(value, other.values[name]) for name, value in self.values.items())

    def __hash__(self) -> int:
        # The same for all: their content changes, but equal ones must have equal hashes.
        return hash(HyperParameters)

    def ensure_active_values(self) -> None:
        """Drops values of inactive entries, and draws random values for active ones without."""
        rng = random.Random()
        known = {entry.name for entry in self._definitions}
        others = {name: value for name, value in self.values.items() if name not in known}
        chosen = self.to_space().complete(self.values, lambda e: e.prob_to_value(rng.random()))
        self.values = {**chosen, **others}

    def _repr_html_(self) -> str:
        """For notebooks: a table of the entries."""
        return space_html(self.space)

    def __repr__(self) -> str:
        return f"HyperParameters({len(self._definitions)} entries, values={self.values})"

    # -- for the rooms above ----------------------------------------------------------------

    def to_space(self) -> Space:
        """The entries as frozen data."""
        return Space(tuple(self._definitions), self.constraints)

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """The rules that builds have registered in this process."""
        return tuple(self._constraints)

    def learn_constraints(self, other: HyperParameters | Space) -> bool:
        """Adds the rules of another build or space; returns whether any is new."""
        new = [rule for rule in other.constraints if rule not in self._constraints]
        self._constraints.update(dict.fromkeys(new))
        return bool(new)

    def enforce_constraints(self) -> None:
        """Makes a rule that does not hold raise, as it must in a trial."""
        self._enforces = True

    def bind(self) -> None:
        """Makes all current entries override later definitions of the same name."""
        self._definitions.bind(self._definitions)

    def start_build(self) -> None:
        """Starts a new build, which may define entries with other arguments than the last one."""
        self._definitions.start_build()

    @classmethod
    def for_trial(
        cls,
        master: HyperParameters,
        values: Mapping[str, Any],
        ranges: Sequence[Mapping[str, Any]] = (),
    ) -> HyperParameters:
        """The `hp` for a trial's build.

        Args:
            master: The search space.
            values: The values that the search chose. If one is outside of the range in the build,
                it is folded back into it.
            ranges: The trial's own definitions, if it has been built before.
        """
        hp = master.copy()
        hp.values = dict(values)
        hp._proposed = True
        for entry in map(deserialize, ranges):
            hp._definitions.put(entry)
        return hp

    def absorb(self, other: HyperParameters) -> bool:
        """Adds what another build has discovered, and returns whether any definition changed.

        Unknown entries are added. If an entry of the other has wider bounds, the entry here becomes
        the hull of both, unless it is binding.
        """
        unknown = [e for e in other._definitions if self._definitions.at(place_of(e)) is None]
        changed = self._definitions.absorb(other._definitions)
        changed = self.learn_constraints(other) or changed
        for entry in unknown:
            if self.is_active(entry):
                self.values.setdefault(entry.name, entry.default)
        for scope, active in other._entered.items():
            self._entered[scope] = self._entered.get(scope, False) or active
        return changed

    @property
    def active_scopes(self) -> list[tuple[Parent, ...]]:
        """The conditional scopes that builds have entered and that were active at least once."""
        return [scope for scope, was_active in self._entered.items() if was_active]

    @property
    def inactive_scopes(self) -> list[tuple[Parent, ...]]:
        """The conditional scopes that builds have entered and that were never active."""
        return [scope for scope, was_active in self._entered.items() if not was_active]

    def activate(self, scope: Sequence[Parent]) -> None:
        """Sets values so that all conditions of a scope hold, including those of its parents."""
        for condition in scope:
            parents = self._definitions.named(condition.name)
            if parents:
                self.activate(parents[0].conditions)
            if condition.is_active(self.values):
                continue
            fit = [v for v in condition.values if any(parent.contains(v) for parent in parents)]
            self._set(condition.name, fit[0] if fit else condition.values[0])
