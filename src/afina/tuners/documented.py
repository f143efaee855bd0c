"""Gives `help`, completion and hover every argument of a tuner, where its user looks for it.

The keyword options of all tuners are described once, at `Tuner` and `BaseTuner`, and their types
are in `options`. `documented` copies the descriptions into a class's docstring, and the options
into the signature that `inspect` shows.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T", bound=type)

DEFAULTS: Mapping[str, Any] = {
    "overwrite": False,
    "keep_checkpoints": 10,
    "training": "auto",
    "workers": "auto",
    "group_trials": "auto",
    "sparse_inputs": True,
    "checkpoint_every": 300,
    "halve_batch_on_oom": False,
    "materialize": "auto",
    "executions_per_trial": 1,
}
"""Defaults of the keyword options; None for all others."""

FIRST = ("directory", "project_name", "overwrite", "executions_per_trial", "max_model_size")
"""The options that come first, as in Keras Tuner; the others follow in the order of their types."""

_ENTRY = re.compile(r"    (\w+): ")


def documented(options: type | None, *sources: type) -> Any:
    """A class decorator that completes the signature and the docstring.

    Args:
        options: The TypedDict of the class's keyword options; None if it has none.
        sources: Classes whose docstrings describe arguments that the class's own does not; the
            first one that has the argument counts.

    Example:
        >>> class Base:
        ...     '''Base.
        ...
        ...     Args:
        ...         depth: How deep.
        ...     '''
        >>> @documented(None, Base)
        ... class Child(Base):
        ...     '''Child.'''
        ...
        ...     def __init__(self, depth: int) -> None: ...
        >>> print(Child.__doc__)
        Child.
        <BLANKLINE>
        Args:
            depth: How deep.
    """

    def complete(cls: T) -> T:
        init: Any = vars(cls)["__init__"]
        signature = _signature(init, options)
        setattr(cls, "__signature__", _Shown(init, signature))  # noqa: B010 - mypy
        if cls.__doc__ is not None:  # python -OO has no docstrings
            names = [name for name in signature.parameters if name != "self"]
            cls.__doc__ = _docstring(cls, sources, names)
        return cls

    return complete


class _Shown:
    """What `inspect.signature` finds at a class; not at subclasses that have another `__init__`."""

    def __init__(self, init: Any, signature: inspect.Signature) -> None:
        self.init = init
        own = [p for name, p in signature.parameters.items() if name != "self"]
        self.signature = signature.replace(parameters=own, return_annotation=signature.empty)

    def __get__(self, instance: Any, owner: Any) -> inspect.Signature:
        if owner.__init__ is not self.init:
            raise AttributeError("__signature__")
        return self.signature


def _signature(init: Any, options: type | None) -> inspect.Signature:
    """The signature with each option in place of `**kwargs`."""
    signature = inspect.signature(init)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    known = {parameter.name for parameter in own}
    more = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=DEFAULTS.get(name),
            annotation=getattr(kind, "__forward_arg__", kind),
        )
        for name, kind in _annotations(options).items()
        if name not in known
    ]
    last = len(FIRST)
    more.sort(key=lambda each: FIRST.index(each.name) if each.name in FIRST else last)
    return signature.replace(parameters=[*own, *more])


def _annotations(options: type | None) -> dict[str, Any]:
    return {} if options is None else dict(options.__annotations__)


def _docstring(cls: type, sources: Iterable[type], names: Iterable[str]) -> str:
    before, own, after = _parts(cls.__doc__)
    known = [own, *(_parts(source.__doc__)[1] for source in sources)]
    entries = [
        next((each[name] for each in known if name in each), [f"    {name}: Not described."])
        for name in names
    ]
    lines = [*before, "", "Args:", *(line for entry in entries for line in entry)]
    return "\n".join([*lines, "", *after] if after else lines)


def _parts(docstring: str | None) -> tuple[list[str], dict[str, list[str]], list[str]]:
    """The lines before the arguments, those of each argument by name, and those after them."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    if "Args:" not in lines:
        at = next((n for n, line in enumerate(lines) if line in _SECTIONS), len(lines))
        return _trimmed(lines[:at]), {}, _trimmed(lines[at:])
    start = lines.index("Args:")
    end = start + 1
    while end < len(lines) and (not lines[end] or lines[end].startswith(" ")):
        end += 1
    entries: dict[str, list[str]] = {}
    for line in _trimmed(lines[start + 1 : end]):
        found = _ENTRY.match(line)
        if found is not None:
            entries[found[1]] = []
        entries[next(reversed(entries))].append(line)
    return _trimmed(lines[:start]), entries, _trimmed(lines[end:])


_SECTIONS = {"Raises:", "Example:", "Source:", "Attributes:", "Returns:"}


def _trimmed(lines: list[str]) -> list[str]:
    while lines and not lines[-1]:
        lines = lines[:-1]
    return lines
