"""Two hyperparameters at a time: where good results lie."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from afina.errors import ArgumentError, wrong
from afina.report.canvas import empty, entries_of
from afina.report.facts import Facts
from afina.report.style import INK, MOST_POINTS, RED, log_scaled, short, short_label, spread
from afina.space import Boolean, Choice, HyperParameter, Value

STEPS = 40
"""The surface is computed at so many places along each axis."""

LEAST = 6
"""No surface is drawn through fewer configurations."""


def contour(facts: Facts, across: str, up: str, place: int = 0) -> Any:
    """The results over two hyperparameters: a point for each configuration.

    In a multi-fidelity search, only configurations that were trained as long as the longest count.
    Between the points of two numbers, a surface is interpolated linearly; it does not reach beyond
    them. Choices have no values between them, so they have no surface. None if fewer than two
    configurations have both hyperparameters.

    Args:
        facts: The search.
        across: Name of the hyperparameter on the horizontal axis.
        up: Name of that on the vertical axis.
        place: The objective's place among several.

    Raises:
        ArgumentError: A name is unknown, or both are the same.
    """
    entries = {entry.name: entry for entry in entries_of(facts)}
    for name in (across, up):
        if name not in entries:
            rule = f"must be hyperparameters that vary: {', '.join(map(repr, entries))}"
            raise ArgumentError(wrong("params", rule, name))
    if across == up:
        raise ArgumentError(wrong("params", "must be two different hyperparameters", across))
    objective = facts.objectives[place]
    known = [facts.shown(each) for each in facts.comparable]
    known = [trial for trial in known if across in trial.values and up in trial.values]
    scored = [
        (trial, score)
        for trial in (known[at] for at in spread(len(known), MOST_POINTS))
        if (score := facts.values_of(trial)[place]) is not None and math.isfinite(score)
    ]
    if len(scored) < 2:
        return None
    axes = [_Side(entries[name], [t.values[name] for t, _ in scored]) for name in (across, up)]
    xs, ys = ([axis.place(trial.values[axis.name]) for trial, _ in scored] for axis in axes)
    scores = [score for _, score in scored]
    drawn = empty(short_label(up, 60))
    scale = {"colorscale": "Viridis", "reversescale": objective.direction != "max"}
    if all(axis.is_number for axis in axes):
        _draw_surface(drawn, axes, xs, ys, scores, scale)
    drawn.add_scatter(
        x=xs,
        y=ys,
        mode="markers",
        marker={
            **scale,
            "size": 8,
            "color": scores,
            "showscale": True,
            "colorbar": {"title": {"text": short_label(objective.name)}},
            "line": {"width": 1, "color": INK},
        },
        text=[f"trial {trial.number}: {short(score)}" for trial, score in scored],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
        name="configurations",
    )
    starred = {trial.number for trial in facts.starred}
    best = [at for at, (trial, _) in enumerate(scored) if trial.number in starred]
    if best:
        drawn.add_scatter(
            x=[xs[at] for at in best],
            y=[ys[at] for at in best],
            mode="markers",
            marker={"size": 14, "symbol": "star", "color": RED, "line": {"width": 1, "color": INK}},
            name="the Pareto front" if facts.several else "the best",
            hoverinfo="skip",
        )
    drawn.update_layout(xaxis_title=short_label(across, 60))
    drawn.update_xaxes(axes[0].look)
    drawn.update_yaxes(axes[1].look)
    return drawn


class _Side:
    """The axis of one hyperparameter."""

    def __init__(self, entry: HyperParameter, seen: list[Value]) -> None:
        self.name = entry.name
        self.is_number = not isinstance(entry, Choice | Boolean)
        self.is_log = self.is_number and log_scaled(getattr(entry, "sampling", None))
        values = [] if self.is_number else [*entry.values, *seen]
        self.texts = list(dict.fromkeys(short(value) for value in values))

    def place(self, value: Value) -> float:
        """The position of a value on the axis."""
        return float(value) if self.is_number else self.texts.index(short(value))  # type: ignore[arg-type]

    @property
    def look(self) -> dict[str, Any]:
        """Scale and ticks, as Plotly takes them."""
        if self.is_number:
            return {"type": "log"} if self.is_log else {}
        return {
            "tickvals": list(range(len(self.texts))),
            "ticktext": [short_label(text) for text in self.texts],
            "range": [-0.6, len(self.texts) - 0.4],
        }


def _draw_surface(
    drawn: Any,
    axes: list[_Side],
    xs: list[float],
    ys: list[float],
    scores: list[float],
    scale: dict[str, Any],
) -> None:
    """Interpolates between the points, in the axes' own scales."""
    from scipy.interpolate import LinearNDInterpolator
    from scipy.spatial import QhullError

    flat = [
        np.log10(v) if axis.is_log else np.asarray(v)
        for axis, v in zip(axes, (xs, ys), strict=True)
    ]
    ends = [(part.min(), part.max()) for part in flat]
    if len(scores) < LEAST or any(low == high for low, high in ends):
        return
    unit = [(part - low) / (high - low) for part, (low, high) in zip(flat, ends, strict=True)]
    try:
        surface = LinearNDInterpolator(np.stack(unit, axis=1), np.asarray(scores))
    except QhullError:  # all points lie on one line
        return
    grid = np.linspace(0.0, 1.0, STEPS)
    z = surface(*np.meshgrid(grid, grid))
    lines = [low + grid * (high - low) for low, high in ends]
    x, y = (10**line if axis.is_log else line for axis, line in zip(axes, lines, strict=True))
    drawn.add_contour(
        x=x.tolist(),
        y=y.tolist(),
        z=[[None if math.isnan(value) else float(value) for value in row] for row in z],
        zmin=min(scores),
        zmax=max(scores),
        showscale=False,
        contours={"showlines": False},
        hoverinfo="skip",
        opacity=0.75,
        name="surface",
        **scale,
    )
