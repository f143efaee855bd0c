"""All that is known of one trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from afina.page.curves import line_of, series_of, thinned
from afina.page.ran import files_of, model_of, own_notes, ran_of
from afina.page.rows import objective_of, plain
from afina.page.watch import Watch
from afina.trials import Objective, Report

MOST_METRICS = 60
"""Metrics of which the curves are sent."""


def detail_of(watch: Watch, number: int) -> dict[str, Any] | None:
    """One trial: its values, curves, notes, failure and files; None if there is no such trial.

    Args:
        watch: Of the search.
        number: The trial's.
    """
    with watch.lock:
        trial = watch.trials.get(number)
        if trial is None or watch.header is None:
            return None
        line = line_of(trial, watch.trials)
        reports = {each.number: watch.store.history(each.number) for each in line}
        found = without_files(watch, number, reports)
        return {**found, "files": files_of(watch.store, trial)}


def without_files(
    watch: Watch, number: int, reports: Mapping[int, Sequence[Report]]
) -> dict[str, Any]:
    """What `detail_of` says of a trial, but for its files.

    Args:
        watch: Of a search that has begun.
        number: Of one of its trials.
        reports: The histories of this trial and of those that it continues, by number.
    """
    with watch.lock:
        trial = watch.trials[number]
        line = line_of(trial, watch.trials)
        assert watch.header is not None
        whole = objective_of(watch.header)
        names = list(dict.fromkeys(n for each in reports[number] for n in each.metrics))
        curves = {}
        for name in names[:MOST_METRICS]:
            drawn = whole if name == whole.name else Objective(name, "min")
            points: dict[int, float] = {}
            for each in line:
                points.update(series_of(reports[each.number], each.attempt, drawn))
            curves[name] = thinned(sorted(points.items()))
        return {
            "number": number,
            "status": trial.status.value,
            "values": [[name, _text(value)] for name, value in trial.values.items()],
            "metrics": [[name, plain(value)] for name, value in trial.metrics.items()],
            "curves": curves,
            "line": [each.number for each in line],
            "children": watch.children.get(number, []),
            "executions": 1 + max((each.execution for each in reports[number]), default=0),
            "epochs": len({each.step for each in reports[number]}) or None,
            "notes": own_notes(trial.notes),
            "ran": ran_of(trial),
            "model": model_of(trial),
            "seconds": _seconds(trial.notes.get("seconds", ""), trial.seconds),
            "failure": None
            if trial.failure is None
            else {"kind": trial.failure.kind.value, "message": trial.failure.message},
        }


def _text(value: Any) -> Any:
    """A value in full: nothing is cut on a trial's own page."""
    return value if isinstance(value, str) else plain(value)


def _seconds(noted: str, whole: float) -> list[list[Any]]:
    """Where the time went: the parts that the trial noted, and the rest."""
    parts: list[list[Any]] = []
    for part in filter(None, noted.split(", ")):
        name, _, value = part.rpartition(" ")
        try:
            parts.append([name, float(value)])
        except ValueError:  # a note of the user's own under the same name
            return [["all", whole]]
    rest = whole - math.fsum(value for _, value in parts)
    return [*parts, ["rest", round(max(rest, 0.0), 3)]] if parts else [["all", whole]]
