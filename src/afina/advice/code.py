"""Writes a search space as Python code, to paste into `build(hp)`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from afina.space import Boolean, Choice, Fixed, HyperParameter, Parent
from afina.space.parameters import Numerical

INDENT = "    "


def as_code(entries: Iterable[HyperParameter], hp: str = "hp") -> str:
    """The calls that define these entries, in order, within their conditional scopes.

    Args:
        entries: The entries; a parent comes before its children.
        hp: The name of the `HyperParameters` in the code.

    Example:
        >>> from afina.space import Int
        >>> print(as_code([Int("units", 8, 64, sampling="log", default=16)]), end="")
        hp.Int("units", min_value=8, max_value=64, sampling="log", default=16)
    """
    lines: list[str] = []
    scope: tuple[Parent, ...] = ()
    for entry in entries:
        shared = 0
        while (
            shared < min(len(scope), len(entry.conditions))
            and scope[shared] == entry.conditions[shared]
        ):
            shared += 1
        for depth in range(shared, len(entry.conditions)):
            parent = entry.conditions[depth]
            values = ", ".join(map(literal, parent.values))
            name = literal(parent.name)
            lines.append(f"{INDENT * depth}with {hp}.conditional_scope({name}, [{values}]):")
        scope = entry.conditions
        lines.append(INDENT * len(scope) + _call(entry, hp))
    return "".join(f"{line}\n" for line in lines)


def _call(entry: HyperParameter, hp: str) -> str:
    """The call that defines one entry, without arguments that equal the defaults."""
    arguments: dict[str, Any] = {}
    if isinstance(entry, Numerical):
        arguments.update(min_value=entry.min_value, max_value=entry.max_value)
        assumed = type(entry)(entry.name, entry.min_value, entry.max_value)
        stepped = entry.step is not None and entry.sampling != "linear"
        if stepped or (entry.sampling == "linear" and entry.step != assumed.step):
            arguments["step"] = entry.step
        if entry.sampling != "linear":
            arguments["sampling"] = entry.sampling
        plain = type(entry)(entry.name, **arguments)
        if entry.default != plain.default:
            arguments["default"] = entry.default
    elif isinstance(entry, Choice):
        arguments["values"] = entry.values
        plain_choice = Choice(entry.name, entry.values)
        if entry.ordered != plain_choice.ordered:
            arguments["ordered"] = entry.ordered
        if _differ(entry.default, plain_choice.default):
            arguments["default"] = entry.default
    elif isinstance(entry, Boolean):
        if entry.default:
            arguments["default"] = True
    elif isinstance(entry, Fixed):
        arguments["value"] = entry.value
    said = [literal(entry.name), *(f"{key}={literal(v)}" for key, v in arguments.items())]
    return f"{hp}.{type(entry).__name__}({', '.join(said)})"


def literal(value: Any) -> str:
    """A value as Python code, with texts in double quotes where possible.

    Args:
        value: A number, text, boolean, None, or a list of these.

    Example:
        >>> print(literal(["a", "b's", None, 0.1, float("inf")]))
        ["a", "b's", None, 0.1, float("inf")]
    """
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'  # its repr (nan, inf) is not Python code
    text = repr(value)
    if isinstance(value, str) and text.startswith("'") and '"' not in text and "\\" not in text:
        return f'"{text[1:-1]}"'
    return text


def _differ(a: Any, b: Any) -> bool:
    return type(a) is not type(b) or a != b
