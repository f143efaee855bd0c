"""Figures of single hyperparameters: their values against the scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from afina.report.canvas import empty, entries_of, zoomed
from afina.report.facts import Facts
from afina.report.style import (
    BAND,
    BLUE,
    DIM,
    INK,
    MOST_POINTS,
    RED,
    label,
    log_scaled,
    named,
    short,
    short_label,
    spread,
)
from afina.space import Boolean, Choice, HyperParameter, Value
from afina.trials import Configuration, Trial

Figure = Any

MOST_TICKS = 8
"""At most this many values are written at an axis."""

MOST_GRID = 1000
"""If a range has at most this many values, ticks are chosen among all of them."""

ROOM = 0.04
"""Space beside the outermost points, as a share of the axis."""

EDGE = 0.015
"""How far the band of a continuous range extends beyond its ends, as a share of the axis. So a
point at the end lies inside the band, not across its edge."""

LONGEST_TITLE = 34
"""Most characters of a hyperparameter's name below its axis."""

FAINTEST = 0.35
"""Opacity of the first trial; the last trial has 1."""


def slices(
    facts: Facts, advised: Mapping[str, Any] | None = None, *, place: int = 0
) -> list[tuple[str, Figure]]:
    """One figure for each hyperparameter: its values against the scores, and the advised range.

    A point is a configuration with its best result, drawn exactly at its value.

    Args:
        facts: The search.
        advised: Name to (low, high) for a number, or to the choices to keep.
        place: The objective's place among several.
    """
    objective = facts.objectives[place]
    every = facts.configurations
    kept = [every[each] for each in spread(len(every), MOST_POINTS)]
    starred = {trial.number for trial in facts.starred}
    found = []
    for entry in entries_of(facts):
        points = [
            _Dot(trial, score, _is_short(each, facts))
            for each in kept
            if entry.name in (trial := facts.shown(each)).values
            and (score := facts.values_of(trial)[place]) is not None
        ]
        if not points:
            continue
        drawn = empty(objective.name, small=True)
        band = (advised or {}).get(entry.name)
        axis = _ValueAxis(entry, [point.trial for point in points], band)
        shade = axis.band(band)
        for low, high in shade:
            drawn.add_vrect(x0=low, x1=high, fillcolor=BAND, line_width=0, layer="below")
        _draw_points(drawn, points, axis, facts, named("trials", len(kept), len(every)))
        best = [point for point in points if point.trial.number in starred]
        _draw_best(drawn, best, axis, facts)
        axis.draw(drawn)
        zoomed(drawn, [point.score for point in points], objective)
        found.append((entry.name, drawn))
    return found


class _Dot:
    """A configuration in one objective."""

    def __init__(self, trial: Trial, score: float, short: bool) -> None:
        self.trial, self.score, self.short = trial, score, short


def _draw_points(
    drawn: Figure, points: Sequence[_Dot], axis: _ValueAxis, facts: Facts, every: str
) -> None:
    count = max(len(facts.trials) - 1, 1)
    for name, few in (("fewer epochs", True), (every, False)):
        mine = [point for point in points if point.short is few]
        if not mine:
            continue
        ages = [point.trial.number / count for point in mine]
        whole = {
            "size": 8,
            "color": BLUE,
            "opacity": [FAINTEST + (1 - FAINTEST) * age for age in ages],
        }
        drawn.add_scatter(
            x=[axis.place(point.trial.values[axis.name]) for point in mine],
            y=[point.score for point in mine],
            mode="markers",
            marker={"size": 6, "color": DIM} if few else whole,
            text=[axis.text(point.trial) for point in mine],
            hovertemplate="%{text}<br>%{y}<extra></extra>",
            name=name,
            cliponaxis=False,
        )


def _draw_best(drawn: Figure, best: Sequence[_Dot], axis: _ValueAxis, facts: Facts) -> None:
    """Draws the best trial, or those of the front, if they have this hyperparameter."""
    if not best:
        return
    look = {"size": 14, "symbol": "star", "color": RED, "line": {"width": 1, "color": INK}}
    drawn.add_scatter(
        x=[axis.place(point.trial.values[axis.name]) for point in best],
        y=[point.score for point in best],
        mode="markers",
        name="the front" if facts.several else "the best",
        marker={**look, "size": 10} if facts.several else look,
        text=[axis.text(point.trial) for point in best],
        hovertemplate="%{text}<br>%{y}<extra></extra>",
        cliponaxis=False,
    )


class _ValueAxis:
    """The axis of one hyperparameter: numbers at their value, other choices side by side."""

    def __init__(self, entry: HyperParameter, trials: Sequence[Trial], band: Any) -> None:
        self.name = entry.name
        self.is_number = not isinstance(entry, Choice | Boolean)
        self.is_log = self.is_number and log_scaled(getattr(entry, "sampling", None))
        seen = list(dict.fromkeys(trial.values[entry.name] for trial in trials))
        self._entry = entry
        self._texts = [] if self.is_number else _texts([*entry.values, *seen])
        self.labels = [label(text) for text in self._texts]
        ends = [self._line(value) for value in (*seen, *_numbers(band, self.is_number))]
        self.low, self.high = min(ends, default=0.0), max(ends, default=1.0)
        self.ticks = self._ticks(seen)

    def place(self, value: Value) -> float:
        """The position of a value; an unknown name comes after all labels."""
        if self.is_number:
            return float(value)  # type: ignore[arg-type]
        text = label(value)
        return self.labels.index(text) if text in self.labels else len(self.labels)

    def _line(self, value: Value) -> float:
        place = self.place(value)
        return math.log10(place) if self.is_log else place

    def text(self, trial: Trial) -> str:
        """The text shown when the pointer is over a trial's point."""
        return f"trial {trial.number}: {label(trial.values[self.name])}"

    def _ticks(self, seen: Sequence[Value]) -> list[float]:
        """Ticks at existing values, for whole numbers and steps; empty for a continuous range."""
        if not self.is_number or self._entry.count is None:
            return []
        values = sorted({float(value) for value in seen})  # type: ignore[arg-type]
        if self._entry.count <= MOST_GRID:
            inside = {
                float(v) for v in self._entry.values if self.low <= self._line(v) <= self.high
            }
            values = sorted({*values, *inside})
        if len(values) <= MOST_TICKS:
            return values
        if self.is_log:
            return _thinned(values, self._line)
        every = math.ceil(len(values) / MOST_TICKS)
        return values[::every]

    def band(self, advised: Any) -> list[tuple[float, float]]:
        """The intervals to shade for the advised values, in values of the axis."""
        if advised is None:
            return []
        if not self.is_number:
            places = dict.fromkeys(self.place(value) for value in advised)
            return [(place - 0.4, place + 0.4) for place in places]
        aside = EDGE * ((self.high - self.low) or 1.0)
        if self._entry.count is not None and len(self.ticks) > 1:
            gaps = [self._line(high) - self._line(low) for low, high in pairwise(self.ticks)]
            aside = max(aside, 0.5 * min(gaps) if len(self.ticks) == self._steps() else aside)
        low, high = self._line(advised[0]) - aside, self._line(advised[1]) + aside
        return [(10**low, 10**high) if self.is_log else (low, high)]

    def _steps(self) -> int:
        """The number of values on the axis; -1 if there are too many."""
        count = self._entry.count
        if count is None or count > MOST_GRID:
            return -1
        return sum(self.low <= self._line(value) <= self.high for value in self._entry.values)

    def draw(self, drawn: Figure) -> None:
        """Sets title, scale, labels, and space beside the outermost points."""
        drawn.update_xaxes(title={"text": short_label(self.name, LONGEST_TITLE)})
        if not self.is_number:
            texts = [short_label(text) for text in self._texts]
            drawn.update_xaxes(
                tickvals=list(range(len(texts))), ticktext=texts, range=[-0.6, len(texts) - 0.4]
            )
            return
        span = (self.high - self.low) or (1.0 if not self.is_log else 0.5)
        steps = self._steps()
        room = max(ROOM * span, 0.6 * span / (steps - 1) if 1 < steps <= MOST_TICKS else 0.0)
        drawn.update_xaxes(range=[self.low - room, self.high + room])
        if self.is_log:
            drawn.update_xaxes(type="log")
            decades = range(math.ceil(self.low - room), math.floor(self.high + room) + 1)
            if not self.ticks and len(decades) > 1:
                every = decades[:: math.ceil(len(decades) / MOST_TICKS)]
                texts = [label(10.0**each) for each in every]
                drawn.update_xaxes(tickvals=[10.0**each for each in every], ticktext=texts)
        if self.ticks:
            texts = [label(_whole(value)) for value in self.ticks]
            drawn.update_xaxes(tickvals=self.ticks, ticktext=texts)


def _thinned(values: Sequence[float], line: Any) -> list[float]:
    """About as many values as fit, spread evenly over a log axis."""
    low, high = line(values[0]), line(values[-1])
    kept = [values[0]]
    for value in values[1:]:
        if line(value) - line(kept[-1]) >= (high - low) / MOST_TICKS:
            kept.append(value)
    return kept


def _whole(value: float) -> float | int:
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def _numbers(band: Any, is_number: bool) -> tuple[Any, ...]:
    return tuple(band) if band is not None and is_number else ()


def _texts(values: Sequence[Value]) -> list[str]:
    return list(dict.fromkeys(short(value) for value in values))


def _is_short(configuration: Configuration, facts: Facts) -> bool:
    """Whether other configurations of a multi-fidelity search were trained for more epochs."""
    epochs = configuration.epochs
    return any(part.end_epoch is not None for part in configuration.parts) and (
        epochs is not None and epochs < facts.longest
    )
