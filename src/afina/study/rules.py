"""Constraints as texts with the project, so that who opens only the folder knows of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from afina.space.constraints import Constraint
from afina.store import TrialStore, open_store

RULES = "constraints"
"""The store's note with one text for each constraint."""


class RulesKept:
    """Writes the constraints of a search into its store whenever there are others."""

    def __init__(self) -> None:
        self._known: tuple[Constraint, ...] = ()

    def keep(self, store: TrialStore, constraints: Sequence[Constraint]) -> None:
        """Writes them, unless they are known.

        Args:
            store: Of the search, which has begun.
            constraints: As the builds have registered them.
        """
        if self._known == (now := tuple(constraints)):
            return
        self._known, texts = now, [each.text for each in now]
        if store.note(RULES) != texts:
            store.set_note(RULES, texts)


def rules_in(where: Path | str) -> list[str]:
    """The constraints of a search, as texts; they cannot be applied without their functions.

    Args:
        where: A project's folder, or the URL of a database.
    """
    store = open_store(where)
    try:
        found = store.note(RULES)
    finally:
        store.close()
    return [str(each) for each in found] if isinstance(found, list) else []
