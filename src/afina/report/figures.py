"""The drawings of a report, by Plotly: each takes facts and returns a figure, or None."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from afina.advice import Importances
from afina.report.canvas import empty, entries_of, zoomed
from afina.report.facts import Facts
from afina.report.style import (
    BLUE,
    DIM,
    GREEN,
    GREY,
    HEIGHT,
    MOST_CURVES,
    MOST_LINES,
    MOST_POINTS,
    ORANGE,
    RED,
    evenly,
    log_scaled,
    named,
    short,
    spread,
)
from afina.space import Float, HyperParameter, Int
from afina.trials import Trial

Figure = Any

MOST_TICKS = 8
"""Values of a hyperparameter that are all written at its axis."""


def course(facts: Facts) -> Figure | None:
    """Best score so far and every trial's score, against trials, epochs or time."""
    points = facts.course
    scored = [point for point in points if point.score is not None]
    if not scored:
        return None
    axes: dict[str, list[float]] = {
        "trials": [place + 1 for place in range(len(points))],
        "epochs": [point.epochs for point in points],
        "seconds": [point.seconds for point in points],
    }
    drawn = empty(facts.objective.name)
    places = [place for place, point in enumerate(points) if point.score is not None]
    kept = [places[place] for place in evenly(len(places), MOST_POINTS)]
    best = [place for place, point in enumerate(points) if point.best is not None]
    steps = [p for p in best if p == best[0] or points[p].best != points[p - 1].best]
    steps += [best[-1]] if steps[-1] != best[-1] else []
    drawn.add_scatter(
        x=[axes["trials"][place] for place in kept],
        y=[points[place].score for place in kept],
        mode="markers",
        marker={"size": 6, "color": DIM},
        name=named("each trial", len(kept), len(places)),
        text=[f"trial {points[place].trial}" for place in kept],
    )
    drawn.add_scatter(
        x=[axes["trials"][place] for place in steps],
        y=[points[place].best for place in steps],
        mode="lines",
        line={"shape": "hv", "color": BLUE, "width": 3},
        name="best so far",
    )
    buttons = [
        {
            "label": name,
            "method": "update",
            "args": [
                {"x": [[axis[place] for place in kept], [axis[place] for place in steps]]},
                {"xaxis.title.text": name},
            ],
        }
        for name, axis in axes.items()
    ]
    drawn.update_layout(
        xaxis_title="trials",
        updatemenus=[
            {
                "buttons": buttons,
                "type": "buttons",
                "direction": "right",
                "x": 0,
                "xanchor": "left",
                "y": 1.02,
                "yanchor": "bottom",
            }
        ],
    )
    zoomed(drawn, [point.score for point in scored], facts)
    return drawn


def curves(facts: Facts) -> Figure | None:
    """The objective epoch by epoch: all trials dim, the best one bold."""
    trials = [trial for trial in facts.trials if len(trial.curve)]
    if not trials:
        return None
    objective = facts.objective
    trials.sort(key=lambda trial: (math.inf if trial.loss is None else trial.loss, trial.number))
    kept = [trials[place] for place in spread(len(trials), MOST_CURVES)]
    drawn = empty(objective.name)
    xs: list[float | None] = []
    ys: list[float | None] = []
    for trial in kept:
        xs += [*range(trial.start_epoch + 1, trial.start_epoch + len(trial.curve) + 1), None]
        ys += [*(_score(facts, loss) for loss in trial.curve), None]
    name = named("all trials", len(kept), len(trials))
    single = all(len(trial.curve) == 1 for trial in kept)
    drawn.add_scatter(
        x=xs,
        y=ys,
        mode="markers" if single else "lines",
        line={"color": DIM, "width": 1},
        marker={"color": DIM},
        name=name,
        hoverinfo="skip",
    )
    line = facts.history.get(objective.name)
    if line:
        drawn.add_scatter(
            x=list(range(1, len(line) + 1)),
            y=list(line),
            mode="lines+markers",
            line={"color": BLUE, "width": 3},
            name="the best",
        )
    drawn.update_layout(xaxis_title="epoch")
    zoomed(drawn, [_score(facts, loss) for trial in kept for loss in trial.curve], facts)
    return drawn


def learning(facts: Facts) -> list[Figure]:
    """Loss and validation loss, and each metric with its own, of the best trial."""
    figures = []
    for name in [name for name in facts.history if not name.startswith("val_")]:
        beside = facts.history.get(f"val_{name}")
        if len(facts.history[name]) < 2 or (beside is None and name != "loss"):
            continue
        drawn = empty(name)
        for label, values, colour in (
            ("training", facts.history[name], ORANGE),
            ("validation", beside, BLUE),
        ):
            if values is not None:
                drawn.add_scatter(
                    x=list(range(1, len(values) + 1)),
                    y=list(values),
                    mode="lines+markers",
                    line={"color": colour, "width": 2},
                    name=f"{name}, {label}",
                )
        drawn.update_layout(xaxis_title="epoch")
        figures.append(drawn)
    return figures


def importances(found: Importances) -> Figure | None:
    """Bars with intervals, the most important at the top."""
    if not found.single:
        return None
    shares = [*reversed(found.single[:15])]
    drawn = empty("")
    drawn.add_bar(
        x=[share.share for share in shares],
        y=[share.names[0] for share in shares],
        orientation="h",
        marker={"color": [BLUE if share.clear else GREY for share in shares]},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [max(0.0, share.high - share.share) for share in shares],
            "arrayminus": [max(0.0, share.share - share.low) for share in shares],
        },
    )
    drawn.update_layout(
        xaxis_title="share of the variance of the results",
        xaxis_rangemode="tozero",
        height=max(220, 60 + 30 * len(shares)),
        yaxis={"automargin": True},
    )
    return drawn


def parallel(facts: Facts) -> Figure | None:
    """Parallel coordinates: a line each trial through its values to its score."""
    trials = facts.completed
    entries = entries_of(facts)
    if len(trials) < 2 or not entries:
        return None
    trials = [trials[place] for place in spread(len(trials), MOST_LINES)]
    dimensions = [_axis(entry, trials) for entry in entries]
    scores = [trial.score for trial in trials]
    dimensions.append({"label": facts.objective.name, "values": scores})
    drawn = empty("")
    better = facts.objective.direction == "max"
    drawn.add_parcoords(
        dimensions=dimensions,
        line={
            "color": scores,
            "colorscale": "Viridis",
            "reversescale": not better,
            "showscale": True,
        },
        labelfont={"size": 12},
    )
    drawn.update_layout(margin={"l": 70, "r": 40, "t": 60, "b": 30}, height=HEIGHT + 40)
    return drawn


def seconds(facts: Facts) -> Figure | None:
    """Where the time went, one bar."""
    parts = {name: value for name, value in facts.seconds.items() if value > 0}
    if not parts or set(parts) == {"rest"}:
        return None
    drawn = empty("")
    palette = [BLUE, ORANGE, GREEN, RED, "#CC79A7", "#56B4E9", "#F0E442", GREY]
    for place, (name, value) in enumerate(sorted(parts.items(), key=lambda item: -item[1])):
        drawn.add_bar(
            x=[value],
            y=["time"],
            orientation="h",
            name=f"{name}: {value:.1f} s",
            marker={"color": palette[min(place, len(palette) - 1)]},
        )
    drawn.update_layout(barmode="stack", height=200, xaxis_title="seconds", showlegend=True)
    drawn.update_yaxes(showticklabels=False)
    return drawn


def confusion(facts: Facts) -> Figure | None:
    """What the final model takes for what."""
    verdict = facts.judgement
    if verdict is None or verdict.confusion is None:
        return None
    rows = verdict.confusion / verdict.confusion.sum(axis=1, keepdims=True).clip(1)
    names = [each.name for each in verdict.classes]
    drawn = empty("true")
    drawn.add_heatmap(z=rows, x=names, y=names, colorscale="Blues", zmin=0, zmax=1)
    drawn.update_layout(xaxis_title="taken for", height=HEIGHT + 120)
    drawn.update_xaxes(type="category")
    drawn.update_yaxes(type="category", autorange="reversed")
    return drawn


def _score(facts: Facts, loss: float) -> float:
    return facts.objective.loss(loss)  # the sign twice is none


def _axis(entry: HyperParameter, trials: Sequence[Trial]) -> dict[str, Any]:
    """One axis of the parallel coordinates; trials without the entry stand below it."""
    values = [trial.values.get(entry.name) for trial in trials]
    known = [value for value in values if value is not None]
    if known and isinstance(entry, Int | Float):
        log = log_scaled(entry.sampling) and min(map(float, known)) > 0
        placed = [None if v is None else math.log10(float(v)) if log else float(v) for v in values]
        low, high = min(p for p in placed if p is not None), max(p for p in placed if p is not None)
        below = low - 0.08 * ((high - low) or 1.0)
        missing = any(p is None for p in placed)
        ticks = sorted({p for p in placed if p is not None})
        if len(ticks) > MOST_TICKS:
            ticks = [low + share * (high - low) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
        values_at = [float(10**tick if log else tick) for tick in ticks]
        texts = [short(round(v) if isinstance(entry, Int) else v) for v in values_at]
        return {
            "label": entry.name,
            "values": [below if p is None else p for p in placed],
            "tickvals": [below, *ticks] if missing else ticks,
            "ticktext": ["none", *texts] if missing else texts,
        }
    labels = list(dict.fromkeys(short(value) for value in [*entry.values, *known]))
    if any(value is None for value in values):
        labels.insert(0, "none")
    return {
        "label": entry.name,
        "values": [labels.index("none" if v is None else short(v)) for v in values],
        "tickvals": list(range(len(labels))),
        "ticktext": labels,
    }
