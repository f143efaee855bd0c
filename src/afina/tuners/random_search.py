"""`RandomSearch`: independent random configurations, none twice."""

from __future__ import annotations

from typing import Any, Unpack

from afina.search import Algorithm, Random
from afina.space import HyperParameters
from afina.tuners.base_tuner import BaseTuner
from afina.tuners.documented import documented
from afina.tuners.model_objective import objective_of_model
from afina.tuners.options import TunerOptions
from afina.tuners.oracle import Oracle
from afina.tuners.tuner import Tuner


@documented(None, Oracle)
class RandomSearchOracle(Oracle):
    """Proposes random configurations."""

    def __init__(
        self,
        objective: Any = None,
        max_trials: int | None = 10,
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
        """Random search."""
        return Random(seed=seed)


@documented(TunerOptions, Tuner, BaseTuner)
class RandomSearch(Tuner):
    """Searches with random configurations.

    Args:
        hypermodel: A `HyperModel`, or a function `build(hp)` that returns a compiled model.
        objective: What to search for: a metric's name such as "val_accuracy", an `Objective`, or a
            list of either, for several at a time. None is the single number that your own
            `run_trial` or `HyperModel.fit` returns, to be minimized.
        max_trials: How many trials; fewer if the space has fewer configurations.
        seed: Fixes the configurations and the trainings.
        hyperparameters: Entries that override those of the same name in the model's build.
        tune_new_entries: False leaves hyperparameters that are not in `hyperparameters` at their
            defaults.
        allow_new_entries: False refuses hyperparameters that are not in `hyperparameters`.
        max_retries_per_trial: How often a failed trial is run again.
        max_consecutive_failed_trials: The search stops when so many in a row have failed. Models
            above `max_model_size` and trials that raise `FailedTrialError` do not count.
        kwargs: Options of every tuner (`TunerOptions`, explained at `Tuner`): directory,
            project_name, overwrite, executions_per_trial, max_model_size, optimizer, loss, metrics,
            distribution_strategy, keep_checkpoints, training, train_on, workers, group_trials,
            narrow, sparse_inputs, materialize, store, storage, executor, learn_from, trial_timeout,
            checkpoint_every, halve_batch_on_oom, cv, listeners, tuner_id, logger.
    """

    def __init__(
        self,
        hypermodel: Any = None,
        objective: Any = None,
        max_trials: int = 10,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        **kwargs: Unpack[TunerOptions],
    ) -> None:
        oracle = RandomSearchOracle(
            objective=objective_of_model(
                objective, hypermodel, hyperparameters, kwargs.get("metrics")
            ),
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
