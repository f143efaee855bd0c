"""What the figures of a report share: an empty figure, its initial view, and what varies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from afina.report.facts import Facts
from afina.report.style import GRID, HEIGHT, INK, PAPER, SMALL, label
from afina.space import HyperParameter
from afina.trials import Objective

MOST_WHOLE = 8
"""At most about this many ticks on an axis of whole numbers."""


def empty(y: str, *, small: bool = False) -> Any:
    """An empty Plotly figure.

    Args:
        y: Title of the vertical axis.
        small: Whether it is one of many side by side: smaller, and without a legend.
    """
    import plotly.graph_objects as go

    axis = {"gridcolor": GRID, "linecolor": GRID, "zerolinecolor": GRID, "automargin": True}
    return go.Figure(
        layout={
            "template": "none",
            "height": SMALL if small else HEIGHT,
            "margin": {"l": 50, "r": 16, "t": 16 if small else 40, "b": 40},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "xaxis": dict(axis),
            "yaxis": {**axis, "title": {"text": label(y)}},
            "legend": {"orientation": "h", "y": -0.28, "yanchor": "top"},
            "showlegend": not small,
            "font": {"color": INK, "family": "system-ui,sans-serif", "size": 11 if small else 12},
            "hoverlabel": {"bgcolor": PAPER, "bordercolor": GRID, "font": {"color": INK}},
            "hovermode": "closest",
        }
    )


def whole_step(highest: float) -> int:
    """The distance of ticks on an axis of whole numbers from 0 or 1 up.

    Example:
        >>> whole_step(3), whole_step(12), whole_step(1000)
        (1, 2, 200)
    """
    step = 1
    while highest / step > MOST_WHOLE:
        step *= 2 if str(step)[0] in "15" else 5
        if str(step)[0] == "2" and highest / step > MOST_WHOLE:
            step = step // 2 * 5
    return step


def whole_axis(drawn: Any, title: str, highest: float) -> None:
    """Makes the horizontal axis one of whole numbers, such as epochs: no ticks between them."""
    drawn.update_layout(xaxis_title=title)
    drawn.update_xaxes(tick0=0, dtick=whole_step(highest), tickformat="d")


def zoomed(drawn: Any, scores: Sequence[float | None], objective: Objective) -> None:
    """Leaves the worst scores out of the initial view if they would squeeze the rest."""
    found = sorted(s for s in scores if s is not None and math.isfinite(s))
    if len(found) < 8:
        return
    low, high = found[0], found[-1]
    middle = found[len(found) // 2]
    view = None
    if objective.direction == "min" and high - middle > 4 * (middle - low) > 0:
        view = [low - 0.15 * (middle - low), middle + 3 * (middle - low)]
    if objective.direction == "max" and middle - low > 4 * (high - middle) > 0:
        view = [middle - 3 * (high - middle), high + 0.15 * (high - middle)]
    if view is None:
        return
    hidden = sum(not view[0] <= score <= view[1] for score in found)
    if not hidden:
        return
    drawn.update_yaxes(range=view)
    drawn.add_annotation(
        text=f"{hidden} worse outside this view",
        xref="paper",
        yref="paper",
        x=1,
        y=1 if objective.direction == "min" else 0,
        xanchor="right",
        yanchor="top" if objective.direction == "min" else "bottom",
        showarrow=False,
        bgcolor=PAPER,
        font={"size": 10, "color": INK},
    )


def entries_of(facts: Facts) -> list[HyperParameter]:
    """The hyperparameters that vary: the first entry of each name."""
    entries: dict[str, HyperParameter] = {}
    for entry in facts.space:
        if entry.count != 1:
            entries.setdefault(entry.name, entry)
    return list(entries.values())
