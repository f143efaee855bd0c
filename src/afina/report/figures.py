"""Figures of a search, by Plotly. Each function takes facts; None means nothing to draw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from afina.advice import Importances, Share
from afina.page.thinning import evenly
from afina.report.canvas import empty, whole_axis, whole_step, zoomed
from afina.report.facts import Facts
from afina.report.style import (
    BLUE,
    DIM,
    GREY,
    INK,
    MOST_CURVES,
    MOST_POINTS,
    PAPER,
    RED,
    label,
    named,
    spread,
)
from afina.trials import Trial

Figure = Any

MOST_PAIRS = 6
"""At most this many pairs of objectives are drawn."""

BETTER = {"min": "smaller is better", "max": "larger is better"}

_STEP = {"min": "hv", "max": "vh"}
"""Plotly's line shape: between two of its points, a front reaches only the worse of both."""


def course(facts: Facts) -> Figure | None:
    """The best score so far and each trial's score, over trials, epochs or time.

    With several objectives: the hypervolume of the front so far.
    """
    points = facts.course
    axes: dict[str, list[float]] = {
        "trials": [place + 1 for place in range(len(points))],
        "epochs": [point.epochs for point in points],
        "seconds": [point.seconds for point in points],
    }
    if facts.several:
        return _volumes(facts, axes)
    scored = [point for point in points if point.score is not None]
    if not scored:
        return None
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
    _let_choose(drawn, axes, [kept, steps])
    zoomed(drawn, [point.score for point in scored], facts.objective)
    return drawn


def _volumes(facts: Facts, axes: dict[str, list[float]]) -> Figure | None:
    if not facts.volumes:
        return None
    drawn = empty("hypervolume of the front")
    drawn.add_scatter(
        x=axes["trials"],
        y=list(facts.volumes),
        mode="lines",
        line={"shape": "hv", "color": BLUE, "width": 3},
        showlegend=False,
    )
    drawn.update_yaxes(tickformat=".0%", range=[0, 1.04])
    _let_choose(drawn, axes, [range(len(facts.volumes))])
    return drawn


def _let_choose(
    drawn: Figure, axes: dict[str, list[float]], parts: Sequence[Sequence[int]]
) -> None:
    """Adds buttons that choose what the horizontal axis counts, if there is a choice."""
    counted = [name for name, axis in axes.items() if name == "trials" or (axis and axis[-1] > 0)]
    if axes["epochs"] == axes["trials"] and "epochs" in counted:
        counted.remove("epochs")
    whole_axis(drawn, "trials", len(axes["trials"]))
    if len(counted) < 2:
        return
    buttons = [
        {
            "label": name,
            "method": "update",
            "args": [
                {"x": [[axes[name][place] for place in part] for part in parts]},
                {
                    "xaxis.title.text": name,
                    "xaxis.dtick": None if name == "seconds" else whole_step(axes[name][-1]),
                    "xaxis.autorange": True,
                },
            ],
        }
        for name in counted
    ]
    look = {"bgcolor": PAPER, "bordercolor": GREY, "font": {"color": INK, "size": 11}}
    drawn.update_layout(
        updatemenus=[
            {
                **look,
                "buttons": buttons,
                "type": "buttons",
                "showactive": False,
                "direction": "right",
                "x": 0,
                "xanchor": "left",
                "y": 1.02,
                "yanchor": "bottom",
            }
        ],
    )


def fronts(facts: Facts, pair: tuple[int, int] | None = None) -> list[Figure]:
    """The trials in each pair of objectives, with the Pareto front marked.

    Args:
        facts: The search.
        pair: The places of two objectives, to draw only these.
    """
    if not facts.several:
        return []
    measured = [(t, v) for t in facts.completed if None not in (v := facts.values_of(t))]
    if not measured:
        return []
    front = {trial.number for trial in facts.front}
    pairs = list(combinations(range(len(facts.objectives)), 2))[:MOST_PAIRS]
    pairs = pairs if pair is None else [pair]
    return [_front(facts, measured, front, *pair) for pair in pairs]


def _front(
    facts: Facts, measured: Sequence[tuple[Trial, Sequence[Any]]], front: set[int], a: int, b: int
) -> Figure:
    across, up = facts.objectives[a], facts.objectives[b]
    drawn = empty(f"{up.name} ({BETTER[up.direction]})")
    others = [each for each in measured if each[0].number not in front]
    kept = [others[place] for place in evenly(len(others), MOST_POINTS)]
    best = sorted((each for each in measured if each[0].number in front), key=lambda e: e[1][a])
    for name, rows, mode, look in (
        (named("other trials", len(kept), len(others)), kept, "markers", {"size": 7, "color": DIM}),
        # With two objectives, the front is a staircase; with more, its points form no line.
        (
            "Pareto front",
            best,
            "lines+markers" if len(facts.objectives) == 2 else "markers",
            {"size": 10, "color": RED, "line": {"width": 1, "color": INK}},
        ),
    ):
        if rows:
            drawn.add_scatter(
                x=[values[a] for _, values in rows],
                y=[values[b] for _, values in rows],
                mode=mode,
                line={"color": RED, "width": 1.5, "shape": _STEP[across.direction]},
                marker=look,
                name=name,
                text=[f"trial {trial.number}" for trial, _ in rows],
                hovertemplate="%{text}<br>%{x}, %{y}<extra></extra>",
                cliponaxis=False,
            )
    drawn.update_layout(xaxis_title=label(f"{across.name} ({BETTER[across.direction]})"))
    return drawn


def curves(facts: Facts, place: int = 0) -> Figure | None:
    """The learning curves in one objective: all trials dimmed, the best one bold.

    Args:
        facts: The search.
        place: The objective's place among several.
    """
    objective = facts.objectives[place]
    known = facts.parts.get(objective.name, {})
    trials = [trial for trial in facts.trials if known.get(trial.number)]
    if not trials:
        return None
    trials.sort(key=lambda trial: (math.inf if trial.loss is None else trial.loss, trial.number))
    kept = [trials[place] for place in spread(len(trials), MOST_CURVES)]
    drawn = empty(objective.name)
    every = {trial.number: trial for trial in facts.trials}
    parents = {t.number: every.get(-1 if t.parent is None else t.parent) for t in kept}
    xs: list[float | None] = []
    ys: list[float | None] = []
    for trial in kept:
        curve = known[trial.number]
        before = _last_before(trial, parents.get(trial.number), known)
        joined = (*before, *curve)
        first = trial.start_epoch + 1 - len(before)
        xs += [*range(first, first + len(joined)), None]
        ys += [*(objective.loss(loss) for loss in joined), None]
    name = named("all trials", len(kept), len(trials))
    single = all(len(known[trial.number]) == 1 for trial in kept)
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
            connectgaps=True,
        )
    whole_axis(drawn, "epoch", facts.longest)
    ends = [objective.loss(loss) for trial in kept for loss in known[trial.number]]
    zoomed(drawn, ends, objective)
    return drawn


def _last_before(
    trial: Trial, parent: Trial | None, known: Mapping[int, tuple[float, ...]]
) -> tuple[float, ...]:
    """The last result of the trial that this one continues, so that the line has no gap."""
    if parent is None:
        return ()
    at = trial.start_epoch - parent.start_epoch - 1
    curve = known.get(parent.number, ())
    return (curve[at],) if 0 <= at < len(curve) else ()


def importances(found: Importances) -> Figure | None:
    """Bars with intervals, the most important one at the top."""
    if not found.single:
        return None
    shares = [*reversed(found.single[:15])]
    drawn = empty("")
    drawn.update_layout(showlegend=False)
    drawn.add_bar(
        x=[share.share for share in shares],
        y=[label(_named(share)) for share in shares],
        orientation="h",
        marker={"color": [BLUE if share.clear else GREY for share in shares]},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [max(0.0, share.high - share.share) for share in shares],
            "arrayminus": [max(0.0, share.share - share.low) for share in shares],
            "color": INK,
            "thickness": 1.2,
        },
        hovertemplate="%{y}: %{x:.0%}<extra></extra>",
    )
    what = "share of the variance of the results"
    if found.method != "fanova":
        what = "how far the best tenth differs from all, as a share"
    drawn.update_layout(
        xaxis_title=what,
        xaxis_rangemode="tozero",
        xaxis_tickformat=".0%",
        margin_t=10,
        height=max(180, 70 + 30 * len(shares)),
    )
    return drawn


def _named(share: Share) -> str:
    """The hyperparameter's name, with its conditions if it has any."""
    return share.names[0] + (f" ({' and '.join(share.conditions)})" if share.conditions else "")
