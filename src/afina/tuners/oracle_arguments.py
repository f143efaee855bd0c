"""What an oracle refuses: arguments, and hyperparameters that it did not allow."""

from __future__ import annotations

import random
from typing import Any

from afina.errors import (
    ArgumentError,
    FatalRuntimeError,
    check_count,
    check_flag,
    check_whole,
    wrong,
)
from afina.space import HyperParameters


def check_arguments(
    *,
    hyperparameters: Any,
    allow_new_entries: Any,
    tune_new_entries: Any,
    seed: Any,
    max_trials: Any,
    max_retries_per_trial: Any,
    max_consecutive_failed_trials: Any,
) -> None:
    """Raises ArgumentError for arguments that cannot go together or are of the wrong kind."""
    allow = check_flag("allow_new_entries", allow_new_entries)
    tune = check_flag("tune_new_entries", tune_new_entries)
    if hyperparameters is None and not (allow and tune):
        raise ArgumentError(
            "allow_new_entries=False and tune_new_entries=False need hyperparameters=...: "
            "without it there would be nothing to tune."
        )
    if hyperparameters is not None:
        check_space(hyperparameters)
    if seed is not None and (isinstance(seed, bool) or not hasattr(seed, "__index__")):
        raise ArgumentError(wrong("seed", "must be a whole number or None", seed))
    if seed is not None and seed < 0:
        raise ArgumentError(wrong("seed", "must be a whole number from 0 up", seed))
    check_count("max_trials", max_trials)
    check_whole("max_retries_per_trial", max_retries_per_trial, least=0)
    check_whole("max_consecutive_failed_trials", max_consecutive_failed_trials)


def check_space(hyperparameters: Any) -> None:
    """Raises ArgumentError unless it gets a `HyperParameters`."""
    if not isinstance(hyperparameters, HyperParameters):
        raise ArgumentError(wrong("hyperparameters", "must be a HyperParameters", hyperparameters))


def draw_seed() -> int:
    """A seed from Python's own stream, as a search draws it for which none was given."""
    return random.randrange(2**31)


def check_no_new_entries(hp: HyperParameters, known: HyperParameters) -> None:
    """Raises FatalRuntimeError where `hp` holds hyperparameters that `known` does not."""
    places = {(entry.name, entry.conditions) for entry in known.space}
    new = [e for e in hp.space if (e.name, e.conditions) not in places]
    if new:
        raise FatalRuntimeError(
            "`allow_new_entries` is `False`, but found new entries in the search space: "
            f"{[entry.name for entry in new]}. Add them to hyperparameters=..., or allow them."
        )
