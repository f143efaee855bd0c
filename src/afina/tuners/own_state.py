"""What a subclass of `Oracle` keeps beside the trials: its part of `get_state`, and its seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from afina.store import TrialStore

if TYPE_CHECKING:
    from afina.tuners.oracle import Oracle

STATE, SEEDS = "oracle_state", "oracle_seeds"  # notes of the project


class Picture(dict[str, Any]):
    """What `Oracle.get_state` gives while the search saves: its own parts are made when read.

    The search keeps its trials itself, so only what a subclass puts in is there to be written: to
    write all trials again at each of them would take time that grows with their square.

    Args:
        oracle: Whose state it is.
    """

    def __init__(self, oracle: Oracle) -> None:
        super().__init__()
        self._oracle = oracle

    def __missing__(self, key: str) -> Any:
        return self._oracle.whole_state()[key]


def seeds_of(oracle: Oracle) -> dict[str, Any]:
    """The numbers that a subclass may draw with and count up."""
    return {"seed": oracle.seed, "seed_state": oracle._seed_state}


def keep(oracle: Oracle, kept_seeds: Mapping[str, Any]) -> dict[str, Any]:
    """Writes what a subclass has added to the state, and its seeds where they have changed.

    Args:
        oracle: Whose state it is.
        kept_seeds: As the project has them.

    Returns:
        The seeds as the project has them now.
    """
    store, seeds = oracle.study.store, seeds_of(oracle)
    if seeds != kept_seeds:
        oracle.study.begin()
        store.set_note(SEEDS, seeds)
    if oracle.overrides_state():
        oracle.study.begin()
        store.set_note(STATE, dict(oracle.get_state()))
    return seeds


def restore(oracle: Oracle, store: TrialStore) -> None:
    """Gives a subclass back what `keep` has written, as parts of the whole state."""
    if (seeds := store.note(SEEDS)) is not None:
        oracle.seed, oracle._seed_state = seeds["seed"], seeds["seed_state"]
    state = store.note(STATE)
    if state is not None:
        oracle.set_state({**oracle.whole_state(), **state})
