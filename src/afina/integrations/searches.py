"""A search, wherever it is: a project's folder, a URL, a tuner or a study."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afina.errors import ArgumentError, StoreError, wrong
from afina.space import HyperParameters, Space
from afina.store import Header, open_store
from afina.store.places import name_of_search
from afina.store.project import no_search
from afina.trials import Report, Status, Trial

STATES = {
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.RUNNING: "running",
    Status.WAITING: "waiting",
}
"""How a trial's status is called in other tools."""


@dataclass(frozen=True, kw_only=True)
class Searched:
    """What other tools need of a search."""

    name: str
    """The project's name."""

    header: Header
    space: Space
    """All hyperparameters, those that were discovered late included."""

    trials: tuple[Trial, ...]
    """By number, finished or not."""

    reports: Mapping[int, Sequence[Report]]
    """The reports of each trial's last attempt, by its number."""

    @property
    def goals(self) -> dict[str, str]:
        """Name to direction of each objective."""
        told: Any = self.header.objective
        parts = [told] if isinstance(told, Mapping) else list(told)
        return {part["name"]: part["direction"] for part in parts}

    def curves(self, trial: Trial) -> dict[int, dict[str, float]]:
        """Step to metrics, averaged over the executions that have reported them."""
        found: dict[int, dict[str, list[float]]] = {}
        for report in self.reports.get(trial.number, ()):
            row = found.setdefault(report.step, {})
            for name, value in report.metrics.items():
                row.setdefault(name, []).append(value)
        return {
            step: {name: sum(each) / len(each) for name, each in row.items()}
            for step, row in sorted(found.items())
        }


def read_search(search: Any, name: str | None = None) -> Searched:
    """Reads a search; it changes nothing.

    Args:
        search: A tuner, a `Study`, a project's folder, or the URL of a database.
        name: What to call it; None takes the project's name.

    Raises:
        ArgumentError: It is nothing of these.
        StoreError: There is no search.
    """
    if isinstance(search, str | Path):
        store = open_store(search)
        try:
            header = store.header()
            if header is None:
                raise StoreError(no_search(search))
            known = store.space() or header.space
            space = HyperParameters.from_config(known).to_space()
            given = name or name_of_search(search)
            return _searched(given, header, space, store.trials(), store.history())
        finally:
            store.close()
    state = getattr(getattr(search, "oracle", None), "search_state", search)
    if not hasattr(state, "store") or not hasattr(state, "trials"):
        rule = "must be a tuner, a Study, a folder or a URL"
        raise ArgumentError(wrong("search", rule, type(search).__name__))
    header = state.store.header()
    if header is None:
        raise StoreError(wrong("search", "must have begun", "no trial"))
    given = name or getattr(search, "project_name", None) or "study"
    trials = list(state.trials.values())
    return _searched(given, header, state.space, trials, state.store.history())


def _searched(
    name: str, header: Header, space: Space, trials: Sequence[Trial], history: Sequence[Report]
) -> Searched:
    last = {trial.number: trial.attempt for trial in trials}
    reports: dict[int, list[Report]] = {}
    for report in history:
        if last.get(report.trial) == report.attempt:
            reports.setdefault(report.trial, []).append(report)
    return Searched(name=name, header=header, space=space, trials=tuple(trials), reports=reports)


def needed(module: str, install: str) -> Any:
    """Imports a package that an integration needs.

    Args:
        module: Its name.
        install: What pip must install.

    Raises:
        ArgumentError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ArgumentError(
            f"This needs the package {module.partition('.')[0]}, which cannot be imported "
            f"({error}). Run: pip install '{install}'"
        ) from error
