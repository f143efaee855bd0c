"""A search space as the Python that defines it, to paste into a build."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from afina.space import Boolean, Choice, Fixed, HyperParameter, Parent
from afina.space.parameters import Numerical

INDENT = "    "


def as_code(entries: Iterable[HyperParameter], hp: str = "hp") -> str:
    """Calls that define these entries, in their order, under their conditions.

    Args:
        entries: A parent before its children.
        hp: What the `HyperParameters` is called.

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
            values = ", ".join(map(_literal, parent.values))
            name = _literal(parent.name)
            lines.append(f"{INDENT * depth}with {hp}.conditional_scope({name}, [{values}]):")
        scope = entry.conditions
        lines.append(INDENT * len(scope) + _call(entry, hp))
    return "".join(f"{line}\n" for line in lines)


def _call(entry: HyperParameter, hp: str) -> str:
    """The call of one entry; what the call would assume anyway is left out."""
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
    said = [_literal(entry.name), *(f"{key}={_literal(v)}" for key, v in arguments.items())]
    return f"{hp}.{type(entry).__name__}({', '.join(said)})"


def _literal(value: Any) -> str:
    """As Python writes it, but texts in double quotes where that is as plain."""
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    text = repr(value)
    if isinstance(value, str) and text.startswith("'") and '"' not in text and "\\" not in text:
        return f'"{text[1:-1]}"'
    return text


def _differ(a: Any, b: Any) -> bool:
    return type(a) is not type(b) or a != b
