"""Configurations that a tuner's user asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from afina.space import Value
from afina.tuners import face_trials
from afina.tuners.trial import Trial


def enqueue(self: Any, values: Mapping[str, Value], *, skip_if_exists: bool = False) -> Trial:
    """Asks for a configuration: the next training from scratch takes its values.

    It is kept with the project at once, and all workers of the search take from the same queue, as
    does the dashboard's page. The trial counts towards `max_trials`, and the search learns from it.
    Hyperband gives it a place on the first rung, after promotions that are due. A grid search and a
    complete population train it in full beside their plans.

    Args:
        values: By name. Hyperparameters that are not named stand at their defaults.
        skip_if_exists: True returns the trial that has these values already, if there is one. So a
            script may be started again.

    Returns:
        The trial, which waits.

    Raises:
        ArgumentError: A name or a value is not in the space, or they break a constraint.

    Example:
        tuner.enqueue({"units": 64, "lr": 1e-3}, skip_if_exists=True)
        tuner.search(x, y, epochs=10, validation_data=(x_val, y_val))
    """
    oracle = self.oracle
    stored = oracle.search_state.enqueue(values, skip_if_exists=skip_if_exists)
    oracle.ids.keep_width(oracle.search_state.store)
    oracle.ids.learn(stored)
    face_trials.adopt(oracle)
    trial: Trial = oracle.trials[oracle.id_of(stored.number)]
    return trial
