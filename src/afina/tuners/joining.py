"""Several processes on one search: how a tuner joins, and learns of the others' trials.

    n processes ── the same script ──▶ one project ◀── storage= names it, if it is not the folder

Keras Tuner had a server for this, set up by environment variables. Here the store is enough.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any, Protocol

from afina.errors import ArgumentError, check_flag, wrong
from afina.progress import OthersEnded
from afina.search import Done, Wait
from afina.store import TrialStore, open_store
from afina.store.places import chosen_place
from afina.store.project import delete_search
from afina.study import BegunElsewhereError, SearchState
from afina.trials import Trial as StoredTrial
from afina.tuners.face_trials import TrialIds

KERAS_TUNER = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")
"""The environment variables of Keras Tuner's distributed mode."""


class Joining(Protocol):
    """What joining a search needs of an oracle."""

    @property
    def search_state(self) -> SearchState:
        """The search."""

    def join(self) -> None:
        """Opens the search that another worker has begun."""


def ended_elsewhere(state: SearchState, ids: TrialIds, counted: int) -> OthersEnded | None:
    """What to show of the trials of other workers; None if there is nothing new.

    Args:
        state: The search.
        ids: Of its trials.
        counted: How many finished trials are shown already.
    """
    done = len(state.ended)
    if done == counted:
        return None
    best = state.best_trials(1)
    front = tuple(state.get_pareto_front()) if state.objective.names[1:] else ()
    return OthersEnded(
        done, best[0] if best else None, ids.label_of(best[0].number) if best else None, front
    )


def next_of(oracle: Joining) -> StoredTrial | Wait | Done:
    """The next trial of the search, whoever has begun it."""
    try:
        return oracle.search_state.next()
    except BegunElsewhereError:  # at the same moment, with a seed that was drawn there
        oracle.join()
        return oracle.search_state.next()


def joined_store(store: Any, storage: Any, *, overwrite: bool, project: str) -> TrialStore | None:
    """The store that a user has named; None for the project's folder.

    Args:
        store: As given to a tuner.
        storage: Another name of `store`.
        overwrite: Whether the search is to begin anew: the one that is there is deleted.
        project: The project's name, which tells the searches in one database apart.

    Raises:
        ArgumentError: Both are given, or `overwrite` would have to empty a store that cannot be.
        ProjectLockedError: The search is to be deleted, but another process works on it.
    """
    place = chosen_place(store, storage)
    if place is None:
        return None
    found = open_store(place, project=project)
    anew = overwrite is not None and check_flag("overwrite", overwrite)
    if anew and found.header() is not None and not delete_search(found):
        rule = "must be False where a store of this kind holds a search: it cannot be emptied"
        advice = "Pass an empty store, or leave overwrite=True out to join the search."
        raise ArgumentError(wrong("overwrite", rule, overwrite, advice))
    return found


def warn_of_keras_tuners_mode(environment: Mapping[str, str] = os.environ) -> None:
    """Says how several workers search here, if Keras Tuner's way was prepared."""
    there = [name for name in KERAS_TUNER if name in environment]
    if there:
        warnings.warn(
            f"{', '.join(there)}: Afina needs no server for several workers and ignores this. "
            "Start the same script in each process: those of one machine share the project's "
            'folder; for several machines pass storage="postgresql://..." and a directory= that '
            "all of them see.",
            stacklevel=4,
        )
