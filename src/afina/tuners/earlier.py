"""`learn_from=`: the trials of an earlier search, read for a new one."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from afina.advice.carry import carry_over
from afina.errors import ArgumentError, ObjectiveError, wrong
from afina.report.facts import Facts, read_facts
from afina.space import Space
from afina.trials import Objective, Trial
from afina.tuners.results import fully_trained


def known_trials(learn_from: Any, objective: Objective, space: Space) -> tuple[Trial, ...]:
    """The trials of earlier searches that are trials of the new space too.

    Args:
        learn_from: A project's folder, or a list of folders.
        objective: The new search's.
        space: The new search's, as far as it is known before the first trial.

    Raises:
        ArgumentError: It is no folder and no list of folders.
        ObjectiveError: An earlier search had another objective.
        StoreError: There is no search in a folder, or it cannot be read.

    Warns:
        UserWarning: No trial of an earlier search fits the new space.
    """
    found: list[Trial] = []
    for folder in _folders(learn_from):
        facts = read_facts(folder)
        if facts.objective.describe() != objective.describe():
            rule = f"must hold a search for {objective}"
            raise ObjectiveError(wrong("learn_from", rule, f"one for {facts.objective}"))
        fitting = fully_trained(carry_over(facts.finished, facts.space, space))
        if not fitting:
            warnings.warn(_none_fits(folder, facts), stacklevel=5)
        found += fitting
    return tuple(replace(trial, number=place) for place, trial in enumerate(found))


def _folders(learn_from: Any) -> list[str | Path]:
    given = [learn_from] if isinstance(learn_from, str | Path) else learn_from
    if not isinstance(given, list | tuple) or not all(isinstance(x, str | Path) for x in given):
        rule = "must be the folder of a project, or a list of such folders"
        raise ArgumentError(wrong("learn_from", rule, learn_from))
    return list(given)


def _none_fits(folder: str | Path, facts: Facts) -> str:
    return (
        f"learn_from: none of the {len(facts.finished)} trials in {str(folder)!r} fits the new "
        "search space, so the search learns nothing from them. Names and ranges must match."
    )
