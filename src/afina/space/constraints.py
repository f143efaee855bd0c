"""Rules between hyperparameters, which every proposed configuration satisfies.

    hp.constraint(lambda v: v["a"] < v["b"])  ──>  Space.constraints  ──>  Space.allows(values)
                                                                       ──>  repair.nearest_allowed

A function cannot be stored, so a constraint lives as long as its process. The build registers it
again wherever it runs: in a resumed search, and in a worker process.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from afina.errors import SpaceError, SpaceTypeError, wrong
from afina.space.conditions import Parent, Value

Check = Callable[[Mapping[str, Any]], Any]
"""Gets the values of the active hyperparameters by name; says whether they go together."""

_PLAIN = (bool, int, float, str, bytes, type(None))


class Constraint:
    """A rule between hyperparameters; equal rules have the same code and the same constants.

    Args:
        check: Gets the values of the active hyperparameters; returns True or False. If it asks for
            one that is inactive or not known, the rule does not apply. None, in a process that got
            the rule without its function, never applies either.
        name: How messages call it; None for the place where the function is written.
        conditions: The rule applies while all of them hold.
        prefix: The scope of the names that `check` may use besides full names.

    Raises:
        SpaceTypeError: `check` is not a function.

    Example:
        >>> rule = Constraint(lambda v: v["a"] < v["b"])
        >>> rule.holds({"a": 1, "b": 2}), rule.holds({"a": 2, "b": 1}), rule.holds({"a": 2})
        (True, False, True)
    """

    def __init__(
        self,
        check: Check | None,
        name: str | None = None,
        conditions: tuple[Parent, ...] = (),
        prefix: str = "",
    ) -> None:
        if check is not None and not callable(check):
            advice = 'Write hp.constraint(lambda v: v["a"] < v["b"]).'
            raise SpaceTypeError(wrong("constraint", "must be a function", check, advice))
        self.check = check
        self.name = name or _place_of(check)
        self.conditions = conditions
        self.prefix = prefix
        self.key: Hashable = (self.name, conditions, prefix, _code_of(check))
        self.missing: str | None = None
        """The last name that `check` asked for without finding it."""

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Whether the values satisfy the rule, or it does not apply to them.

        Raises:
            SpaceError: The function raised something else than KeyError.
            SpaceTypeError: It returned neither True nor False.
        """
        if self.check is None or not all(each.is_active(values) for each in self.conditions):
            return True
        seen, begin = _Seen(values), self.prefix
        if begin:
            seen |= {n[len(begin) :]: v for n, v in values.items() if n.startswith(begin)}
        try:
            answer = self.check(seen)
        except _MissingError as error:
            self.missing = error.args[0]
            return True
        except Exception as error:
            rule = "must return True or False for every configuration"
            got = f"{type(error).__name__}: {error}"
            raise SpaceError(wrong(self.name, rule, got, f"Values: {dict(values)}.")) from error
        if isinstance(answer, bool | np.bool_):
            return bool(answer)
        advice = "Did you forget `return`?" if answer is None else ""
        raise SpaceTypeError(wrong(self.name, "must return True or False", answer, advice))

    @property
    def text(self) -> str:
        """Its name and the first line of its source, for people."""
        line = _first_line(self.check)
        return f"{self.name}: {line}" if line else self.name

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Constraint):
            return NotImplemented
        return self is other or self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"Constraint({self.name})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Constraint:
        return self  # it is never changed

    def __reduce__(self) -> Any:
        # Functions cannot travel: the build of the other process registers its own.
        return Constraint, (None, self.name, self.conditions, self.prefix)


class _MissingError(KeyError):
    """A constraint asked for a hyperparameter that is inactive or unknown."""


class _Seen(dict[str, Any]):
    """What a constraint sees of a configuration."""

    def __missing__(self, name: str) -> Any:
        raise _MissingError(name)


def _place_of(check: Any) -> str:
    """The file and line of a function, or the name of what else may be called."""
    inner = check.func if isinstance(check, functools.partial) else check
    code = getattr(inner, "__code__", None)
    if code is None:
        return f"constraint {type(inner).__name__}"
    return f"constraint at {Path(code.co_filename).name}:{code.co_firstlineno}"


def _first_line(check: Any) -> str:
    """The first line of a function's source that says something; empty if it is not known."""
    inner = check.func if isinstance(check, functools.partial) else check
    try:
        lines = inspect.getsource(inner).splitlines()
    except (OSError, TypeError):  # typed into a console, or an object that may be called
        return ""
    return next((line.strip() for line in lines if line.strip()), "")[:200]


def _code_of(check: Any) -> Hashable:
    """A key of a function's code and constants; a build makes a new but equal function each time.

    Objects among the constants count by their type: whether two of them are equal is not known.
    """
    if isinstance(check, functools.partial):
        return (_code_of(check.func), _constant(check.args), _constant(check.keywords))
    code = getattr(check, "__code__", None)
    if code is None:
        return None if check is None else (type(check).__qualname__, _constant(check))
    cells = getattr(check, "__closure__", None) or ()
    return (
        code,
        _constant(getattr(check, "__defaults__", None)),
        _constant(getattr(check, "__kwdefaults__", None)),
        tuple(_cell(each) for each in cells),
    )


def _cell(cell: Any) -> Hashable:
    try:
        return _constant(cell.cell_contents)
    except ValueError:  # not filled yet
        return None


def _constant(value: Any) -> Hashable:
    if isinstance(value, _PLAIN):
        return (type(value).__name__, value)
    if isinstance(value, list | tuple):
        return tuple(map(_constant, value))
    if isinstance(value, Mapping):
        return tuple((str(name), _constant(each)) for name, each in value.items())
    return type(value).__qualname__
