"""Puts several figures side by side into one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from afina.report.style import INK, PAPER

WIDEST = 4
"""Figures in a row, at most."""

HEIGHT = 260
"""Height of a row, in pixels."""


def columns_of(count: int) -> int:
    """How many of so many figures stand in a row.

    Example:
        >>> [columns_of(count) for count in (1, 3, 5, 9)]
        [1, 3, 3, 4]
    """
    return min(count, WIDEST if count > 6 else 3)


def together(figures: Sequence[Any]) -> Any:
    """One Plotly figure with all of these as subplots; a single one stays as it is."""
    if len(figures) == 1:
        return on_paper(figures[0])
    from plotly.subplots import make_subplots

    columns = columns_of(len(figures))
    rows = math.ceil(len(figures) / columns)
    whole = make_subplots(
        rows=rows,
        cols=columns,
        horizontal_spacing=0.24 / columns,
        vertical_spacing=min(0.3 / rows, 0.2),
    )
    seen: set[str] = set()
    for at, figure in enumerate(figures):
        spot = {"row": at // columns + 1, "col": at % columns + 1}
        for trace in figure.data:
            trace.legendgroup = trace.name
            trace.showlegend = trace.name not in seen and trace.showlegend is not False
            seen.add(trace.name)
            whole.add_trace(trace, **spot)
        for shape in figure.layout.shapes:
            whole.add_vrect(
                x0=shape.x0,
                x1=shape.x1,
                fillcolor=shape.fillcolor,
                line_width=0,
                layer="below",
                **spot,
            )
        for note in figure.layout.annotations:
            ends = {"x": note.x, "y": note.y, "xanchor": note.xanchor, "yanchor": note.yanchor}
            domain = {"xref": "x domain", "yref": "y domain"}
            whole.add_annotation(
                text=note.text, showarrow=False, font=note.font, **ends, **domain, **spot
            )
        for name, update in (("xaxis", whole.update_xaxes), ("yaxis", whole.update_yaxes)):
            look = figure.layout[name].to_plotly_json()
            update(
                **{key: value for key, value in look.items() if key not in ("anchor", "domain")},
                **spot,
            )
    whole.update_layout(height=rows * HEIGHT + 60, legend=figures[0].layout.legend)
    whole.update_layout(legend_y=-0.6 / rows / 2.4, showlegend=True, hovermode="closest")
    return on_paper(whole)


def on_paper(figure: Any) -> Any:
    """The figure on a white ground: outside of the report's page nothing chooses the colours."""
    figure.update_layout(
        template="none",
        paper_bgcolor=PAPER,
        plot_bgcolor=PAPER,
        font={"color": INK, "family": "system-ui,sans-serif"},
    )
    return figure
