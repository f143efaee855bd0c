"""What the drawings of a report have in common: an empty figure, its first view, what varies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from afina.report.facts import Facts
from afina.report.style import HEIGHT, INK
from afina.space import HyperParameter


def empty(y: str) -> Any:
    """A figure of Plotly's without drawings.

    Args:
        y: Title of the vertical axis.
    """
    import plotly.graph_objects as go

    return go.Figure(
        layout={
            "template": "plotly_white",
            "height": HEIGHT,
            "margin": {"l": 60, "r": 20, "t": 40, "b": 50},
            "yaxis": {"title": {"text": y}},
            "legend": {"orientation": "h", "y": -0.25},
            "font": {"color": INK},
        }
    )


def zoomed(drawn: Any, scores: Sequence[float | None], facts: Facts) -> None:
    """Leaves the worst out of the first view where they would press the rest together."""
    found = sorted(s for s in scores if s is not None and math.isfinite(s))
    if len(found) < 8:
        return
    low, high = found[0], found[-1]
    middle = found[len(found) // 2]
    if facts.objective.direction == "min" and high - middle > 4 * (middle - low):
        drawn.update_yaxes(range=[low - 0.1 * (middle - low), middle + 3 * (middle - low)])
    if facts.objective.direction == "max" and middle - low > 4 * (high - middle):
        drawn.update_yaxes(range=[middle - 3 * (high - middle), high + 0.1 * (high - middle)])


def entries_of(facts: Facts) -> list[HyperParameter]:
    """The hyperparameters that vary, one entry a name: the first of several."""
    entries: dict[str, HyperParameter] = {}
    for entry in facts.space:
        if entry.count != 1:
            entries.setdefault(entry.name, entry)
    return list(entries.values())
