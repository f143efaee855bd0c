"""The data that a page in one file has inside: what the live page would ask a server for.

Not all fits into a file that opens at once. Values, scores and states are kept of all trials.
Curves, notes and tracebacks are kept until they fill `MOST_BYTES`: of trials that run, of those on
the front and the best, of some that failed, and then of an even sample. A curve has at most
`MOST_POINTS` points, with six digits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from afina.page.curves import line_of
from afina.page.detail import without_files
from afina.page.lessons import NO_LESSONS, lessons_of
from afina.page.thinning import evenly
from afina.page.watch import Watch, to_json
from afina.report.about import about, rules_of
from afina.report.facts import Facts
from afina.store.reported import histories
from afina.trials import Status
from afina.trials.text import visible_json

MOST_BYTES = 2_500_000
"""Of the curves, notes and tracebacks together."""

AT_ONCE = 200
"""Trials whose reports are read together: each read opens a project's file again."""

MOST_POINTS = 100
"""Points of a curve."""

BEST = 100
"""Trials that come first: the best ones, by each objective."""


def snapshot(watch: Watch, facts: Facts | None, *, seed: int | None = None) -> dict[str, Any]:
    """The data, as JSON values.

    Args:
        watch: Of the search; it has looked at the store.
        facts: Of the search, from `facts_of_watch`; None if it has not begun.
        seed: Of the advice's random draws; None for the search's own.
    """
    state = json.loads(watch.whole())
    live = state["live"]
    # Who works where is nobody's business who is shown the file, and nothing can be asked for.
    for each in live.get("running", ()):
        each["owner"] = None
    if live:
        live["cannot"] = {}
        live["asked"] = {name: live["asked"][name] for name in ("pause", "queue")}
    found = {"state": {**state, "generation": "report", "version": 0}, "trials": {}, "blank": {}}
    if facts is None:
        return {**found, "about": None, "advice": NO_LESSONS}
    trials = _details(watch, facts)
    return {
        **found,
        "about": about(facts, rules_of(watch)),
        "advice": {**lessons_of(watch, seed=seed), "pending": False},
        "trials": trials,
        "blank": _blank(next(iter(trials.values()), {})),
    }


def _details(watch: Watch, facts: Facts) -> dict[str, Any]:
    """The details of trials by number, the most interesting ones first, until the room is full."""
    found: dict[str, Any] = {}
    left = MOST_BYTES
    numbers = [each for each in dict.fromkeys(_order(facts)) if each in watch.trials]
    for first in range(0, len(numbers), AT_ONCE):
        block = numbers[first : first + AT_ONCE]
        line = (each for number in block for each in line_of(watch.trials[number], watch.trials))
        reports = histories(watch.store, (each.number for each in line))
        for number in block:
            detail = {**without_files(watch, number, reports), "files": None}  # they are elsewhere
            if detail["ran"]:
                detail["ran"]["where"] = ""
            detail["curves"] = {name: _thinned(curve) for name, curve in detail["curves"].items()}
            size = len(to_json(detail))
            if size > left and found:
                return found
            left -= size
            found[str(number)] = detail
    return found


def _order(facts: Facts) -> Iterator[int]:
    """All trials: those to look at first, then a sample that grows denser."""
    yield from (trial.number for trial in facts.trials if trial.status is Status.RUNNING)
    yield from (trial.number for trial in facts.front[:BEST])
    ranked = list(facts.completed)
    places = range(len(facts.objectives))
    for place in places:
        if facts.several:
            ranked.sort(key=lambda trial: _loss(facts, trial, place))
        yield from (trial.number for trial in ranked[:BEST])
    yield from (trial.number for trial in facts.failed[:BEST])
    rest = [*ranked, *(trial for trial in facts.trials if trial.status is not Status.COMPLETED)]
    step = 256
    while step:
        yield from (trial.number for trial in rest[::step])
        step //= 2


def _loss(facts: Facts, trial: Any, place: int) -> float:
    value = facts.values_of(trial)[place]
    return float("inf") if value is None else facts.objectives[place].loss(value)


def _thinned(curve: list[list[Any]]) -> list[list[Any]]:
    epochs, values = curve
    kept = evenly(len(epochs), MOST_POINTS)
    return [
        [epochs[place] for place in kept],
        [
            None if (value := values[place]) is None else float(f"{value:.6g}")
            for place in kept
        ],
    ]  # fmt: skip


def _blank(detail: dict[str, Any]) -> dict[str, Any]:
    """A trial of which nothing is known: what the page expects, and empty."""
    return {
        name: type(value)() if isinstance(value, list | dict) else None
        for name, value in detail.items()
    }


def for_html(value: Any) -> str:
    r"""JSON that may stand within a script element, whatever the search's names are.

    Example:
        >>> for_html({"</script>": "<!--"})
        '{"\\u003c/script>":"\\u003c!--"}'
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return visible_json(text).replace("<", "\\u003c")
