"""Parallel coordinates: one line for each configuration, through its values to its scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from afina.page.thinning import evenly
from afina.report.canvas import empty, entries_of
from afina.report.facts import Facts
from afina.report.style import (
    DIM,
    HEIGHT,
    INK,
    MOST_LINES,
    RED,
    label,
    log_scaled,
    short_label,
    spread,
)
from afina.report.ticks import log_ticks, round_ticks
from afina.space import Float, HyperParameter, Int
from afina.trials import Trial

MOST_AXES = 12
"""At most this many hyperparameters have an axis; more would be too narrow to read."""

MOST_TICKS = 8
"""At most this many values of a hyperparameter are all written at its axis."""

NOTHING = "(none)"
"""The label for trials without a value of the hyperparameter."""


def chosen(
    facts: Facts, first: Iterable[str] = (), only: Sequence[str] | None = None
) -> list[HyperParameter]:
    """The hyperparameters that get an axis, in the order of their definition.

    Args:
        facts: The search.
        first: Names that are chosen before others if there are too many, such as the important
            ones.
        only: The names of all that get an axis, in their order; None leaves the choice to `first`.
    """
    if only is not None:
        known = {entry.name: entry for entry in entries_of(facts)}
        return [known[name] for name in only if name in known]
    entries = {entry.name: entry for entry in entries_of(facts)}
    names = dict.fromkeys([*(name for name in first if name in entries), *entries])
    kept = set(list(names)[:MOST_AXES])
    return [entry for name, entry in entries.items() if name in kept]


def parallel(facts: Facts, first: Iterable[str] = (), *, only: Sequence[str] | None = None) -> Any:
    """Parallel coordinates; None if there are fewer than two configurations.

    Args:
        facts: The search.
        first: See `chosen`.
        only: See `chosen`.
    """
    entries = chosen(facts, first, only)
    trials = [facts.shown(each) for each in facts.configurations]
    if len(trials) < 2 or not entries:
        return None
    trials = [trials[place] for place in spread(len(trials), MOST_LINES)]
    dimensions = [_axis(entry, trials) for entry in entries]
    for place, objective in enumerate(facts.objectives):
        values = [facts.values_of(trial)[place] for trial in trials]
        dimensions.append({"label": short_label(objective.name), "values": values})
    drawn = empty("")
    line: dict[str, Any] = {
        "color": [trial.score for trial in trials],
        "colorscale": "Viridis",
        "reversescale": facts.objective.direction != "max",
        "showscale": True,
    }
    if facts.several:
        front = {trial.number for trial in facts.front}
        marks = [float(trial.number in front) for trial in trials]
        line = {"color": marks, "colorscale": [[0, DIM], [1, RED]], "cmin": 0, "cmax": 1}
    drawn.add_parcoords(
        dimensions=dimensions,
        line=line,
        labelfont={"size": 12, "color": INK},
        tickfont={"color": INK},
        rangefont={"color": "rgba(0,0,0,0)"},
    )
    drawn.update_layout(margin={"l": 70, "r": 60, "t": 60, "b": 30}, height=HEIGHT + 40)
    return drawn


def _axis(entry: HyperParameter, trials: Sequence[Trial]) -> dict[str, Any]:
    """The axis of a hyperparameter; trials without a value of it are drawn below."""
    values = [trial.values.get(entry.name) for trial in trials]
    known = [value for value in values if value is not None]
    if known and isinstance(entry, Int | Float):
        return _of_numbers(entry, [None if value is None else float(value) for value in values])
    texts = list(dict.fromkeys(label(value) for value in [*entry.values, *known]))
    shown = {label(value): short_label(value) for value in [*entry.values, *known]}
    if any(value is None for value in values):
        texts.insert(0, NOTHING)
    return {
        "label": short_label(entry.name),
        "values": [texts.index(NOTHING if v is None else label(v)) for v in values],
        "tickvals": list(range(len(texts))),
        "ticktext": [shown.get(text, text) for text in texts],
    }


def _of_numbers(entry: Int | Float, values: Sequence[float | None]) -> dict[str, Any]:
    known = sorted({value for value in values if value is not None})
    log = log_scaled(entry.sampling) and known[0] > 0

    def place(value: float) -> float:
        return math.log10(value) if log else value

    low, high = place(known[0]), place(known[-1])
    below = low - 0.08 * ((high - low) or 1.0)
    ticks = known
    if entry.count is None:
        ticks = (log_ticks if log else round_ticks)(known[0], known[-1])
    elif len(known) > MOST_TICKS:  # only existing values are written: those of the trials
        ticks = [known[at] for at in evenly(len(known), MOST_TICKS - 2)]
    texts = [label(round(tick) if isinstance(entry, Int) else tick) for tick in ticks]
    missing = None in values
    return {
        "label": short_label(entry.name),
        "values": [below if value is None else place(value) for value in values],
        "tickvals": [below, *map(place, ticks)] if missing else [place(tick) for tick in ticks],
        "ticktext": [NOTHING, *texts] if missing else texts,
    }
