"""Writes the Python code that builds the best model of a search again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from afina.advice.code import literal
from afina.trials import Trial

INDENT = "    "


def reproduction(trials: Sequence[Trial]) -> str:
    """Code that builds the model of a trial; it needs only the user's `build`.

    Args:
        trials: One trial, or those of a front to choose from. Without any, the code builds the
            default configuration.

    Example:
        >>> print(reproduction([Trial(number=3, values={"units": 64, "bias": False})]), end="")
        import afina as kt
        <BLANKLINE>
        hp = kt.HyperParameters()
        hp.values = {  # trial 3
            "units": 64,
            "bias": False,
        }
        model = build(hp)  # your function
    """
    lines = ["import afina as kt", ""]
    if len(trials) > 1:
        lines.append("front = {")
        for trial in trials:
            inside = _dict(trial.values, INDENT)
            lines.append(f"{INDENT}{trial.number}: {inside},")
        lines += ["}", "", "hp = kt.HyperParameters()"]
        lines.append(f"hp.values = front[{trials[0].number}]  # or another trial of the front")
    else:
        lines.append("hp = kt.HyperParameters()")
        for trial in trials:
            text = _dict(trial.values, "")
            head, _, rest = text.partition("\n")
            tail = f"\n{rest}" if rest else ""
            lines.append(f"hp.values = {head}  # trial {trial.number}{tail}")
    lines.append("model = build(hp)  # your function")
    return "".join(f"{line}\n" for line in lines)


def _dict(values: Mapping[str, Any], indent: str) -> str:
    """A dict over several lines; the first line is not indented."""
    if not values:
        return "{}"
    inside = [f"{indent}{INDENT}{literal(name)}: {literal(v)},\n" for name, v in values.items()]
    return "{\n" + "".join(inside) + indent + "}"
