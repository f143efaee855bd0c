"""What an oracle refuses when it is made."""

from __future__ import annotations

from typing import Any

from afina.errors import ArgumentError, wrong
from afina.space import HyperParameters


def check_arguments(
    hyperparameters: Any, allow_new_entries: bool, tune_new_entries: bool, seed: Any
) -> None:
    """Raises ArgumentError for arguments that cannot go together or are of the wrong kind."""
    if hyperparameters is None and not (allow_new_entries and tune_new_entries):
        raise ArgumentError(
            "allow_new_entries=False and tune_new_entries=False need hyperparameters=...: "
            "without it there would be nothing to tune."
        )
    if hyperparameters is not None and not isinstance(hyperparameters, HyperParameters):
        raise ArgumentError(wrong("hyperparameters", "must be a HyperParameters", hyperparameters))
    if seed is not None and (isinstance(seed, bool) or not hasattr(seed, "__index__")):
        raise ArgumentError(wrong("seed", "must be a whole number or None", seed))
    if seed is not None and seed < 0:
        raise ArgumentError(wrong("seed", "must be a whole number from 0 up", seed))
