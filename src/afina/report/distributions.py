"""How results and time are distributed over the trials of a search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from afina.page.thinning import evenly
from afina.report.canvas import empty
from afina.report.facts import Facts
from afina.report.style import (
    BLUE,
    DIM,
    GREEN,
    GREY,
    MOST_POINTS,
    ORANGE,
    PINK,
    RED,
    SKY,
    short_label,
)
from afina.trials import Status

PALETTE = (BLUE, ORANGE, GREEN, RED, PINK, SKY)


def edf(searches: Sequence[Facts], place: int = 0) -> Any:
    """The share of configurations with a score up to each value: a curve for each search.

    In a multi-fidelity search, only configurations that were trained as long as the longest count.
    A curve further towards the better scores is a better search, or a better space. None if no
    search has a score.

    Args:
        searches: One search, or several with the same objective.
        place: The objective's place among several.
    """
    objective = searches[0].objectives[place]
    drawn = empty("share of the configurations")
    for at, facts in enumerate(searches):
        values = [facts.values_of(facts.shown(each))[place] for each in facts.comparable]
        known = sorted(v for v in values if v is not None and math.isfinite(v))
        if not known:
            continue
        kept = evenly(len(known), MOST_POINTS)
        drawn.add_scatter(
            x=[known[kept[0]], *(known[each] for each in kept)],
            y=[0.0, *((each + 1) / len(known) for each in kept)],
            mode="lines",
            line={"shape": "hv", "color": PALETTE[at % len(PALETTE)], "width": 2},
            name=short_label(facts.name, 40),
        )
    if not drawn.data:
        return None
    drawn.update_layout(xaxis_title=short_label(objective.name, 60), showlegend=len(searches) > 1)
    drawn.update_yaxes(tickformat=".0%", range=[0, 1.04])
    return drawn


def timeline(facts: Facts) -> Any:
    """How long each trial took: a bar from its start to its end. None before a trial has ended.

    A project keeps how long a trial took, and not when it began. So the bars follow one another
    in the order in which the trials ended, as if one worker had run them all.
    """
    finished = facts.finished
    if not finished:
        return None
    ends: list[float] = []
    for trial in finished:
        ends.append((ends[-1] if ends else 0.0) + trial.seconds)
    drawn = empty("trial")
    starred = {trial.number for trial in facts.starred}
    rows = list(zip(finished, ends, strict=True))
    best = "the Pareto front" if facts.several else "the best"
    names = [best if trial.number in starred else trial.status.value for trial in finished]
    for name, colour in ((Status.COMPLETED.value, BLUE), (Status.FAILED.value, GREY), (best, RED)):
        mine = [row for row, its in zip(rows, names, strict=True) if its == name]
        if mine:
            drawn.add_bar(
                x=[trial.seconds for trial, _ in mine],
                base=[end - trial.seconds for trial, end in mine],
                y=[trial.number for trial, _ in mine],
                orientation="h",
                marker={"color": colour, "line": {"width": 0.5, "color": DIM}},
                name=name,
                text=[f"trial {trial.number}" for trial, _ in mine],
                textposition="none",
                hovertemplate="%{text}: %{x:.2f} s<extra></extra>",
            )
    drawn.update_layout(xaxis_title="seconds, one trial after another", barmode="overlay")
    drawn.update_yaxes(autorange="reversed", tickformat="d")
    return drawn
