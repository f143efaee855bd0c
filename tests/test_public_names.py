"""The public names: what users may import, and the arguments that they may pass.

`public_names.txt` lists them. After a change on purpose, write it anew:

    python tests/test_public_names.py
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

LISTED = Path(__file__).with_name("public_names.txt")

MODULES = (
    "afina",
    "afina.advice",
    "afina.applications",
    "afina.errors",
    "afina.oracles",
    "afina.run",
    "afina.search",
    "afina.space",
    "afina.spaces",
    "afina.store",
    "afina.study",
    "afina.testing",
    "afina.trials",
    "afina.tuners",
)


def arguments(of: Any) -> str:
    """The names of the arguments, with * for those that must be named and = for defaults."""
    try:
        parameters = inspect.signature(of).parameters.values()
    except (TypeError, ValueError):
        return ""
    shown, keyword_only = [], False
    for each in parameters:
        if each.kind is each.KEYWORD_ONLY and not keyword_only:
            shown.append("*")
        keyword_only |= each.kind in (each.KEYWORD_ONLY, each.VAR_POSITIONAL)
        mark = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        shown.append(f"{mark}{each.name}{'' if each.default is each.empty else '='}")
    return f"({', '.join(shown)})"


def public_names() -> list[str]:
    """A line for each name: its module, and how it is called."""
    lines = []
    for module in MODULES:
        room = importlib.import_module(module)
        names = getattr(room, "__all__", None) or [n for n in vars(room) if not n.startswith("_")]
        for name in sorted(names):
            value = getattr(room, name)
            if inspect.ismodule(value):
                lines.append(f"{module}.{name}")
                continue
            if getattr(value, "__module__", "afina").split(".")[0] != "afina":
                continue  # what the module itself imports
            lines.append(f"{module}.{name}{arguments(value) if callable(value) else ''}")
            if inspect.isclass(value) and module == "afina":
                for method, body in inspect.getmembers(value, callable):
                    if not method.startswith("_") and body.__module__.startswith("afina"):
                        lines.append(f"{module}.{name}.{method}{arguments(body)}")
    return lines


def test_public_names_and_their_arguments_change_on_purpose_only() -> None:
    listed = LISTED.read_text(encoding="utf-8").splitlines()
    gone = sorted(set(listed) - set(public_names()))
    new = sorted(set(public_names()) - set(listed))
    assert not gone, f"gone or changed: {gone}. On purpose? Run python {__file__}"
    assert not new, f"new: {new}. On purpose? Run python {__file__}"


if __name__ == "__main__":
    LISTED.write_text("\n".join(public_names()) + "\n", encoding="utf-8")
