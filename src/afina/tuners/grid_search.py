"""`GridSearch`: every configuration of the space, in order."""

from __future__ import annotations

from typing import Any

from afina.search import Algorithm, Grid
from afina.space import HyperParameters
from afina.tuners.oracle import Oracle
from afina.tuners.tuner import Tuner


class GridSearchOracle(Oracle):
    """Proposes every configuration, the last hyperparameter moving fastest; see `Oracle`."""

    def __init__(
        self,
        objective: Any = None,
        max_trials: int | None = None,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
    ) -> None:
        super().__init__(
            objective=objective,
            max_trials=max_trials,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            seed=seed,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )

    def make_algorithm(self, seed: int) -> Algorithm[Any]:
        """Grid search."""
        del seed  # nothing is drawn
        return Grid()


class GridSearch(Tuner):
    """Searches every configuration of the space.

    A number without a step is tried at 10 values and its default.

    Args:
        hypermodel: A `HyperModel`, or a function `build(hp)` that returns a compiled model.
        objective: See `Oracle`.
        max_trials: How many configurations; None for all.
        seed: Fixes the configurations and the trainings.
        hyperparameters: See `Oracle`.
        tune_new_entries: See `Oracle`.
        allow_new_entries: See `Oracle`.
        max_retries_per_trial: See `Oracle`.
        max_consecutive_failed_trials: See `Oracle`.
        kwargs: See `Tuner`.
    """

    def __init__(
        self,
        hypermodel: Any = None,
        objective: Any = None,
        max_trials: int | None = None,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        **kwargs: Any,
    ) -> None:
        oracle = GridSearchOracle(
            objective=objective,
            max_trials=max_trials,
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        self.seed = seed
        super().__init__(oracle, hypermodel, **kwargs)
