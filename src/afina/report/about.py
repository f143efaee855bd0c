"""What the page says of a search in sentences and tables: its summary, its setup, its failures."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from typing import Any

from afina.advice.judgement import Judgement
from afina.page.rows import plain
from afina.page.thinning import evenly
from afina.page.watch import Watch
from afina.report.facts import LONGEST, Facts
from afina.report.reproduce import reproduction
from afina.report.style import short
from afina.report.words import objective_of, of_priors, range_of, summary
from afina.space import HyperParameters
from afina.space.shown import when_text
from afina.study.rules import RULES
from afina.trials import Configuration, Trial, epochs_of
from afina.trials.text import printable

MOST_ROWS = 20
"""Most rows in the table of the best configurations, and trials of a front in the code."""

MOST_NAMED = 12
"""Most trials that are named for one reason of failure."""

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]
"""The names of the columns, and the rows."""


def facts_of_watch(watch: Watch, *, judgement: Judgement | None = None) -> Facts | None:
    """The facts that need no reports of epochs: those of 10,000 trials would take half a minute.

    The curves of the trials have their lengths and no values.

    Args:
        watch: Of the search.
        judgement: The judgement of the final model.

    Returns:
        The facts; None if the search has not begun.
    """
    with watch.lock:
        header, objective, config = watch.header, watch.objective, watch.config
        trials, epochs = dict(watch.trials), dict(watch.epochs)
    if header is None or objective is None:
        return None
    hp = HyperParameters.from_config(dict(config))
    blank: dict[int, tuple[float, ...]] = {}
    known = []
    for number in sorted(trials):
        trial = trials[number]
        count = epochs.get(number, trial.start_epoch) - trial.start_epoch
        if 0 < count <= LONGEST:
            trial = replace(trial, curve=blank.setdefault(count, (math.nan,) * count))
        known.append(trial)
    return Facts(
        name=watch.name,
        header=header,
        objective=objective,
        space=hp.to_space(),
        hp=hp,
        trials=tuple(known),
        history={},
        judgement=judgement,
    )


def about(facts: Facts, rules: Sequence[str] = ()) -> dict[str, Any]:
    """All of it as JSON values.

    Args:
        facts: Of the search; the values of curves are not looked at.
        rules: Its constraints, as texts.
    """
    best = facts.best
    rows = [
        [entry.name, type(entry).__name__, range_of(entry), when_text(entry, short)]
        for entry in facts.space
    ]
    settings = ", ".join(f"{key} {short(value)}" for key, value in facts.header.settings.items())
    return {
        "summary": summary(facts),
        "best": None if best is None else {"number": best.number, "values": _values(best)},
        "searched": [
            f"Algorithm: {facts.header.algorithm} ({settings}).",
            f"Objective: {objective_of(facts)}.",
            *of_priors(facts),
        ],
        "space": [[_text(cell) for cell in row] for row in rows],
        "rules": [_text(rule) for rule in rules],
        "failures": [
            {"kind": kind, "reason": _text(line), "count": len(numbers),
             "trials": numbers[:MOST_NAMED]}
            for kind, line, numbers in facts.reasons
        ],
        "seconds": [[name, round(value, 3)] for name, value in facts.seconds.items()],
        "training": [
            f"{count} {'trial' if count == 1 else 'trials'}: {trainer}."
            for trainer, count in facts.training.items()
        ],
        "volumes": [round(share, 5) for share in facts.volumes],
        "reproduce": _reproduce(facts),
        "code": printable(reproduction(_chosen(facts)), lines=True),
        "final": None if facts.judgement is None else _final(facts.judgement),
    }  # fmt: skip


def rules_of(watch: Watch) -> list[str]:
    """The constraints of a search as texts, from its store.

    Args:
        watch: Of the search.
    """
    found = watch.store.note(RULES)
    return [str(each) for each in found] if isinstance(found, list) else []


def best_rows(facts: Facts) -> Table:
    """The best configurations as a table, with several objectives front by front."""
    names = [each.name for each in facts.objectives]
    spent = "seconds" if "seconds" not in names else "wall seconds"
    rows = []
    for each in facts.configurations[:MOST_ROWS]:
        shown = facts.shown(each)
        scores = ["" if value is None else short(value) for value in facts.values_of(shown)]
        if facts.several and shown in facts.front:
            scores[0] = f"{scores[0]} *"
        values = ", ".join(f"{name} {short(value)}" for name, value in shown.values.items())
        row = (str(shown.number), *scores, _epochs(facts, each), f"{each.seconds:.1f}", values)
        rows.append(tuple(map(_text, row)))
    return ("trial", *names, "epochs", spent, "values"), rows


def _epochs(facts: Facts, configuration: Configuration) -> str:
    """How long a configuration was trained, and what came of each part of the training."""
    whole = "" if configuration.epochs is None else str(configuration.epochs)
    if len(configuration.parts) < 2:
        return whole
    parts = []
    for part in configuration.parts:
        values = [short(value) for value in facts.values_of(part) if value is not None]
        end = epochs_of(part)
        epochs = "not counted" if end is None else f"{part.start_epoch + 1} to {end}"
        parts.append(f"trial {part.number}: epochs {epochs}, {', '.join(values)}")
    return f"{whole} in {len(parts)} parts ({'; '.join(parts)})"


def _text(value: Any) -> str:
    return printable(str(value), lines=True)


def _values(trial: Trial) -> list[list[Any]]:
    return [
        [name, value if isinstance(value, str) else plain(value)]
        for name, value in trial.values.items()
    ]


def _chosen(facts: Facts) -> list[Trial]:
    trials = facts.front if facts.several else [facts.best] if facts.best else []
    return [trials[place] for place in evenly(len(trials), MOST_ROWS)]


def _reproduce(facts: Facts) -> list[str]:
    versions = [f"Python {platform.python_version()}"]
    for package in ("afina", "keras", "jax", "tensorflow", "torch", "numpy"):
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return [
        f"Seed {facts.header.seed}: the same code, data and versions give the same trials.",
        "This page was written with " + ", ".join(versions) + ".",
    ]


def _final(verdict: Judgement) -> dict[str, Any]:
    return {
        "sentences": verdict.sentences(),
        "classes": [
            [c.name, round(c.precision, 3), round(c.recall, 3), round(c.f1, 3), c.count]
            for c in verdict.classes
        ],
        "confusion": [] if verdict.confusion is None else verdict.confusion.tolist(),
    }
