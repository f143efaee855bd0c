"""Rungs of a multi-fidelity search: which trainings went on, and which stopped where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from afina.report.canvas import empty, zoomed
from afina.report.facts import Facts
from afina.report.style import BLUE, DIM, INK, MOST_CURVES, RED, label, spread


@dataclass(frozen=True)
class Stop:
    """A configuration at the end of a part of its training."""

    trial: int
    """Number of the trial that trained the part."""

    bracket: int
    epochs: int
    """Epochs that the model had been trained."""

    score: float
    went_on: bool
    """Whether a later part continued the training."""


def ladders(facts: Facts, place: int = 0) -> list[list[Stop]]:
    """For each configuration, its stops in order; empty unless trainings were planned in parts.

    Args:
        facts: The search.
        place: The objective's place among several.
    """
    parents = {trial.parent for trial in facts.trials if trial.parent is not None}
    found = []
    for each in facts.configurations:
        stops = [
            Stop(part.number, plan.bracket, plan.end_epoch, score, part.number in parents)
            for part in each.parts
            if (plan := part.schedule) is not None
            and (score := facts.values_of(part)[place]) is not None
        ]
        if stops:
            found.append(stops)
    return found


def rungs(facts: Facts, place: int = 0) -> Any:
    """A line for each configuration from rung to rung; None if nothing was trained in parts.

    Args:
        facts: The search.
        place: The objective's place among several.
    """
    known = ladders(facts, place)
    if not known:
        return None
    objective = facts.objectives[place]
    kept = [known[at] for at in spread(len(known), MOST_CURVES)]
    drawn = empty(objective.name)
    drawn.add_scatter(
        x=[x for stops in kept for x in (*(stop.epochs for stop in stops), None)],
        y=[y for stops in kept for y in (*(stop.score for stop in stops), None)],
        mode="lines",
        line={"color": DIM, "width": 1},
        showlegend=False,
        hoverinfo="skip",
    )
    ends = sorted({stop.epochs for stops in known for stop in stops})
    last = ends[-1]
    starred = {trial.number for trial in facts.starred}
    star = {"size": 14, "symbol": "star", "color": RED, "line": {"width": 1, "color": INK}}
    kinds: list[tuple[str, dict[str, Any], Callable[[Stop], bool]]] = [
        ("stopped", {"size": 7, "color": DIM}, lambda s: not s.went_on and s.epochs < last),
        ("went on", {"size": 7, "color": BLUE}, lambda s: s.went_on),
        (
            "trained in full",
            {"size": 9, "color": BLUE, "symbol": "square"},
            lambda s: _full(s, last),
        ),
        ("the Pareto front" if facts.several else "the best", star, lambda s: s.trial in starred),
    ]
    for name, look, wanted in kinds:
        stops = [stop for each in kept for stop in each if wanted(stop)]
        if stops:
            drawn.add_scatter(
                x=[stop.epochs for stop in stops],
                y=[stop.score for stop in stops],
                mode="markers",
                marker=look,
                name=name,
                text=[f"trial {stop.trial}, bracket {stop.bracket}" for stop in stops],
                hovertemplate="%{text}<br>%{x} epochs: %{y}<extra></extra>",
                cliponaxis=False,
            )
    drawn.update_xaxes(type="log", tickvals=ends, ticktext=[label(end) for end in ends])
    drawn.update_layout(xaxis_title="epochs trained, on a log scale")
    zoomed(drawn, [stop.score for stops in known for stop in stops], objective)
    return drawn


def _full(stop: Stop, last: int) -> bool:
    return stop.epochs == last and not stop.went_on
