"""What a subclass of `Oracle` keeps beside the trials: its part of `get_state`, and its seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from afina.store import TrialStore, trial_to_row
from afina.store.codec import to_json

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
        return whole(self._oracle)[key]


def whole(oracle: Oracle) -> dict[str, Any]:
    """The state without what a subclass adds, as JSON values."""
    return {
        "hyperparameters": oracle.hyperparameters.get_config(),
        "start_order": oracle.start_order,
        "end_order": oracle.end_order,
        "ongoing_trials": {who: trial.trial_id for who, trial in oracle.ongoing_trials.items()},
        "seed": oracle.seed,
        "seed_state": oracle._seed_state,
        "tried_so_far": sorted(oracle._tried_so_far),
        "trials": [trial_to_row(trial) for trial in oracle.study.trials.values()],
    }


def kept_at_first(oracle: Oracle) -> dict[str, str]:
    """What need not be written: the seeds as they follow from the project's own."""
    return {SEEDS: to_json(seeds_of(oracle), SEEDS)}


def seeds_of(oracle: Oracle) -> dict[str, Any]:
    """The numbers that a subclass may draw with and count up."""
    return {"seed": oracle.seed, "seed_state": oracle._seed_state}


def keep(oracle: Oracle, kept: Mapping[str, str]) -> dict[str, str]:
    """Writes a subclass's seeds and what it has added to the state, where they have changed.

    Args:
        oracle: Whose state it is.
        kept: What the project has of both, as this returned it.

    Returns:
        What the project has now.
    """
    now = {SEEDS: seeds_of(oracle)}
    if oracle.overrides_state():
        now[STATE] = dict(oracle.get_state())
    texts = {key: to_json(value, key) for key, value in now.items()}
    for key, value in now.items():
        if texts[key] != kept.get(key):
            oracle.study.begin()
            oracle.study.store.set_note(key, value)
    return texts


def restore(oracle: Oracle, store: TrialStore) -> None:
    """Gives a subclass back what `keep` has written, as parts of the whole state."""
    if (seeds := store.note(SEEDS)) is not None:
        oracle.seed, oracle._seed_state = seeds["seed"], seeds["seed_state"]
    state = store.note(STATE)
    if state is not None:
        oracle.set_state({**whole(oracle), **state})
