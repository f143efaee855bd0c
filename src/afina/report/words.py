"""The sentences of a report."""

from __future__ import annotations

from typing import Any

from afina.advice import Advice, Verdict
from afina.report.facts import Facts
from afina.report.style import short
from afina.space import Float, HyperParameter, Int
from afina.trials import MultiObjective


def summary(facts: Facts) -> list[str]:
    """What somebody needs to know who reads nothing else."""
    running = len(facts.trials) - len(facts.finished)
    course = facts.course
    counted = f"{len(facts.completed)} trials were completed"
    if facts.failed:
        counted += f", {len(facts.failed)} failed"
    if running:
        counted += f", {running} are still open"
    if course:
        counted += f"; {course[-1].epochs} epochs in {_time(course[-1].seconds)} of training"
    best = facts.best
    if best is None:
        return [f"{counted}.", "No trial has a score yet, so there is no best configuration."]
    found = [
        f"{counted}.",
        f"The best {facts.objective.name} is {short(best.score)} (trial {best.number}).",
    ]
    first = next((point for point in course if point.score is not None), None)
    if first is not None and first.score is not None and best.score is not None:
        found.append(_beside_first(facts, first.score, best.score))
    late = [place for place, point in enumerate(course) if point.trial == best.number]
    if late and len(course) >= 10 and late[0] >= 0.9 * len(course):
        found.append("It came near the end of the search: a longer one may find a better one.")
    return found


def _beside_first(facts: Facts, first: float, best: float) -> str:
    gain = abs(best - first)
    if gain == 0:
        return "No trial was better than the first."
    return (
        f"The first trial, most often the default configuration, had {short(first)}: the search "
        f"gained {short(gain)}."
    )


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def objective_of(facts: Facts) -> str:
    """What was made large or small."""
    objective = facts.objective
    if isinstance(objective, MultiObjective):
        return "; ".join(f"{each.name}, {_WISHED[each.direction]}" for each in objective.objectives)
    return f"{objective.name}, {_WISHED[objective.direction]}"


_WISHED = {"min": "the smaller the better", "max": "the larger the better"}


def range_of(entry: HyperParameter) -> str:
    """What a hyperparameter may be, in few words."""
    if isinstance(entry, Int | Float):
        text = f"{short(entry.min_value)} to {short(entry.max_value)}"
        step = entry.step if entry.step not in (None, 1) else None
        text += f", step {short(step)}" if step is not None else ""
        return text + (
            f", {entry.sampling} scale" if entry.sampling not in (None, "linear") else ""
        )
    return ", ".join(short(value) for value in entry.values)


def advised_ranges(found: Advice) -> dict[str, Any]:
    """Of each hyperparameter whose range should change: (low, high), or the choices to keep."""
    ranges: dict[str, Any] = {}
    for each in found.ranges:
        if each.verdict is Verdict.KEEP:
            continue
        after = each.after
        if isinstance(after, Int | Float):
            ranges[each.name] = (after.min_value, after.max_value)
        elif isinstance(each.before, Int | Float):
            ranges[each.name] = (after.default, after.default)
        else:
            ranges[each.name] = tuple(after.values)
    return ranges
