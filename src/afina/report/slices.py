"""Each hyperparameter by itself: its values against the scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from afina.report.canvas import empty, entries_of, zoomed
from afina.report.facts import Facts
from afina.report.style import DIM, GREEN, INK, MOST_POINTS, RED, log_scaled, named, short, spread
from afina.space import Boolean, Choice, HyperParameter, Value
from afina.trials import Trial

Figure = Any

FEW = 12
"""Values that so few are no continuum: points on them are drawn side by side ..."""

CROWDED = 30
"""... from so many trials on."""

ASIDE = 0.3
"""How far, as part of the way to the next value."""

GOLDEN = 0.6180339887


def slices(facts: Facts, advised: Any = None) -> list[tuple[str, Figure]]:
    """For each hyperparameter its values against the scores, with the advised range drawn in.

    Args:
        facts: Of the search.
        advised: Name to (low, high) of a number, or to the choices that are kept.
    """
    every = facts.completed
    trials = [every[place] for place in spread(len(every), MOST_POINTS)]
    found = []
    for entry in entries_of(facts):
        mine = [trial for trial in trials if entry.name in trial.values]
        if not mine:
            continue
        drawn = empty(facts.objective.name)
        axis = _Axis(entry, mine)
        xs = axis.beside(mine)
        shorter = [place for place, trial in enumerate(mine) if _is_short(trial, facts)]
        whole = [place for place in range(len(mine)) if place not in set(shorter)]
        later = named("trials (later ones darker)", len(trials), len(every))
        for name, places, look in (
            ("fewer epochs", shorter, {"size": 5, "color": DIM}),
            (later, whole, _aged([mine[p].number for p in whole], facts)),
        ):
            if places:
                drawn.add_scatter(
                    x=[xs[place] for place in places],
                    y=[mine[place].score for place in places],
                    mode="markers",
                    marker=look,
                    text=[axis.told(mine[place]) for place in places],
                    hovertemplate="%{text}<br>%{y}<extra></extra>",
                    name=name,
                )
        drawn.add_scatter(
            x=[axis.place(mine[0].values[entry.name])],
            y=[mine[0].score],
            mode="markers",
            name="the best",
            marker={"size": 13, "symbol": "star", "color": RED},
        )
        axis.draw(drawn)
        _draw_advice(drawn, (advised or {}).get(entry.name), axis)
        zoomed(drawn, [trial.score for trial in mine], facts)
        found.append((entry.name, drawn))
    return found


class _Axis:
    """Where the values of one hyperparameter stand: numbers at themselves, names side by side."""

    def __init__(self, entry: HyperParameter, trials: Sequence[Trial]) -> None:
        self.name = entry.name
        self.is_number = not isinstance(entry, Choice | Boolean)
        self.is_log = self.is_number and log_scaled(getattr(entry, "sampling", None))
        seen = dict.fromkeys(trial.values[entry.name] for trial in trials)
        self.labels = [] if self.is_number else _labels([*entry.values, *seen])
        places = sorted({self._line(value) for value in seen})
        gaps = [high - low for low, high in pairwise(places)]
        few = len(trials) >= CROWDED and len(places) <= FEW
        self._aside = ASIDE * min(gaps, default=0.0) if few else 0.0

    def place(self, value: Value) -> float:
        """Of a value; of a name that is none of the labels, the next place after them."""
        if self.is_number:
            return float(value)  # type: ignore[arg-type]
        label = short(value)
        return self.labels.index(label) if label in self.labels else len(self.labels)

    def _line(self, value: Value) -> float:
        place = self.place(value)
        return math.log10(place) if self.is_log else place

    def beside(self, trials: Sequence[Trial]) -> list[float]:
        """A place for each trial; where many have one of few values, next to each other."""
        found = []
        for trial in trials:
            line = self._line(trial.values[self.name])
            line += self._aside * (2 * (GOLDEN * trial.number % 1) - 1)
            found.append(10**line if self.is_log else line)
        return found

    def told(self, trial: Trial) -> str:
        """What is read at a trial's point."""
        return f"trial {trial.number}: {short(trial.values[self.name])}"

    def draw(self, drawn: Figure) -> None:
        """Title, scale and labels."""
        drawn.update_xaxes(title={"text": self.name})
        if self.is_log:
            drawn.update_xaxes(type="log", exponentformat="e")
        elif not self.is_number:
            drawn.update_xaxes(tickvals=list(range(len(self.labels))), ticktext=self.labels)


def _labels(values: Sequence[Value]) -> list[str]:
    return list(dict.fromkeys(short(value) for value in values))


def _draw_advice(drawn: Figure, range_: Any, axis: _Axis) -> None:
    if range_ is None:
        return
    drawn.add_scatter(  # for the legend alone
        x=[None],
        y=[None],
        mode="markers",
        name="advised",
        marker={"color": GREEN, "symbol": "square"},
    )
    if axis.is_number and range_[0] < range_[1]:
        drawn.add_vrect(x0=range_[0], x1=range_[1], fillcolor=GREEN, opacity=0.12, line_width=0)
        return
    for place in dict.fromkeys(axis.place(value) for value in range_):
        if not axis.is_number:
            half = 0.4
            shade = {"fillcolor": GREEN, "opacity": 0.12, "line_width": 0}
            drawn.add_vrect(x0=place - half, x1=place + half, **shade)
            continue
        drawn.add_vline(x=place, line={"color": GREEN, "dash": "dot", "width": 2}, opacity=0.7)


def _is_short(trial: Trial, facts: Facts) -> bool:
    """Whether others were trained for more epochs, as those of a multi-fidelity search are."""
    return trial.end_epoch is not None and trial.end_epoch < facts.longest


def _aged(numbers: Sequence[int], facts: Facts) -> dict[str, Any]:
    """Markers that grow darker with the trials' numbers."""
    return {
        "size": 7,
        "color": list(numbers),
        "colorscale": "Blues",
        "cmin": -0.4 * len(facts.trials),
        "cmax": len(facts.trials),
        "line": {"width": 0.5, "color": INK},
    }
