"""Which seed a search runs on."""

from __future__ import annotations

import random
import warnings

from afina.store import TrialStore


def choose_seed(store: TrialStore, seed: int | None) -> int:
    """The project's own seed where it has begun, else the one given, else a drawn one.

    Args:
        store: Where the search is kept.
        seed: As the user gave it; 0 is a seed.

    Returns:
        The seed to use. A drawn one comes from Python's own stream, so that a script that seeds
        that stream gets the same search again.
    """
    header = store.header()
    if header is None:
        return random.randrange(2**31) if seed is None else seed
    if seed is not None and seed != header.seed:
        warnings.warn(
            f"The project was begun with seed {header.seed} and goes on with it; seed={seed} is "
            "ignored. Pass overwrite=True to start anew.",
            stacklevel=4,
        )
    return header.seed
