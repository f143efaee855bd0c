"""`BayesianOptimization`: a Gaussian process learns from the trials where to look next."""

from __future__ import annotations

from typing import Any, Unpack

from afina.search import Algorithm
from afina.search import BayesianOptimization as BayesianAlgorithm
from afina.space import HyperParameters
from afina.tuners.base_tuner import BaseTuner
from afina.tuners.documented import documented
from afina.tuners.model_objective import objective_of_model
from afina.tuners.options import TunerOptions
from afina.tuners.oracle import Oracle
from afina.tuners.tuner import Tuner


@documented(None, Oracle)
class BayesianOptimizationOracle(Oracle):
    """Proposes where a Gaussian process expects improvement.

    Args:
        max_trials: How many configurations.
        num_initial_points: Trials before the process takes over; None for a number that grows
            slowly with the hyperparameters.
        alpha: Least variance of the noise in the scores, in units of their variance.
        beta: Ignored; kept for Keras Tuner's users. Exploration follows the logarithm of the
            expected improvement, which needs no such number.
        seed: Fixes every draw.
    """

    def __init__(
        self,
        objective: Any = None,
        max_trials: int | None = 10,
        num_initial_points: int | None = None,
        alpha: float = 1e-4,
        beta: float = 2.6,
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
        self.num_initial_points = num_initial_points
        self.alpha = alpha
        self.beta = beta
        self.make_algorithm(seed=0)  # refuses wrong numbers now, not at the first trial

    def make_algorithm(self, seed: int) -> Algorithm[Any]:
        """The Gaussian process."""
        return BayesianAlgorithm(
            seed=seed,
            num_initial_points=self.num_initial_points,
            alpha=self.alpha,
            beta=self.beta,
        )


@documented(TunerOptions, Tuner, BaseTuner)
class BayesianOptimization(Tuner):
    """Searches where a Gaussian process, fitted to the trials so far, expects improvement.

    Args:
        hypermodel: A `HyperModel`, or a function `build(hp)` that returns a compiled model.
        objective: What to search for: a metric's name such as "val_accuracy", an `Objective`, or a
            list of either, for several at a time. None is the single number that your own
            `run_trial` or `HyperModel.fit` returns, to be minimized.
        max_trials: How many trials; fewer if the space has fewer configurations.
        num_initial_points: Trials before the process takes over; None for a number that grows
            slowly with the hyperparameters.
        alpha: Least variance of the noise in the scores, in units of their variance.
        beta: Ignored; kept for Keras Tuner's users. Exploration follows the logarithm of the
            expected improvement, which needs no such number.
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
        num_initial_points: int | None = None,
        alpha: float = 1e-4,
        beta: float = 2.6,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        **kwargs: Unpack[TunerOptions],
    ) -> None:
        oracle = BayesianOptimizationOracle(
            objective=objective_of_model(
                objective, hypermodel, hyperparameters, kwargs.get("metrics")
            ),
            max_trials=max_trials,
            num_initial_points=num_initial_points,
            alpha=alpha,
            beta=beta,
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        self.seed = seed
        super().__init__(oracle, hypermodel, **kwargs)
