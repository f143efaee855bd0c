"""From what a user has at hand to the facts of its search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from afina.errors import ArgumentError, wrong
from afina.report import Facts, facts_of, read_facts
from afina.study import SearchState

RULE = "must be a tuner, a study, a project folder or the URL of a database"


def facts_from(source: Any) -> Facts:
    """The facts of a search; it may still be running.

    Args:
        source: A tuner, a `Study`, a tuner's `directory/project_name`, a study's `storage`, also a
            URL, or `Facts`.

    Raises:
        ArgumentError: It is something else.
        StoreError: There is no search in the folder.
    """
    if isinstance(source, Facts):
        return source
    if isinstance(source, str | Path):
        return read_facts(source)
    state = source if isinstance(source, SearchState) else _state_of(source)
    if not isinstance(state, SearchState):
        raise ArgumentError(wrong("source", RULE, source))
    state.begin()  # before its first trial, a search has no space to draw
    return facts_of(state.store, getattr(source, "project_name", None) or "the search")


def _state_of(tuner: Any) -> Any:
    """The search of a tuner: tuners are on a higher floor, so they are known by what they have."""
    return getattr(getattr(tuner, "oracle", None), "search_state", None)
