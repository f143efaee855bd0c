"""`Hyperband`: many short trainings, of which the best continue."""

from __future__ import annotations

from typing import Any, Unpack

from afina.errors import check_whole
from afina.search import Algorithm
from afina.search import Hyperband as HyperbandAlgorithm
from afina.search.fidelity.brackets import Bracket, plan
from afina.search.wrappers import innermost_state
from afina.space import HyperParameters
from afina.tuners.base_tuner import BaseTuner
from afina.tuners.documented import documented
from afina.tuners.model_objective import objective_of_model
from afina.tuners.options import TunerOptions
from afina.tuners.oracle import Oracle
from afina.tuners.tuner import Tuner


@documented(None, Oracle)
class HyperbandOracle(Oracle):
    """Proposes random configurations for few epochs, and promotes the best to more.

    Args:
        max_epochs: The most epochs that one model is trained.
        factor: Each round keeps one trial in so many, and trains it for so many times the epochs.
        hyperband_iterations: How often the whole set of brackets is run; 0 or None: without end.
        seed: Fixes every draw.

    Source:
        Li et al., "Hyperband", JMLR 18 (2018), arXiv:1603.06560.
    """

    def __init__(
        self,
        objective: Any = None,
        max_epochs: int = 100,
        factor: int = 3,
        hyperband_iterations: int = 1,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
    ) -> None:
        super().__init__(
            objective=objective,
            hyperparameters=hyperparameters,
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            seed=seed,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        if hyperband_iterations is not None:
            rule = "must be a whole number from 0 up, or None"
            check_whole("hyperband_iterations", hyperband_iterations, least=0, rule=rule)
        self.max_epochs = max_epochs
        self.factor = factor
        self.hyperband_iterations = hyperband_iterations
        self.make_algorithm(seed=0)  # refuses wrong numbers now, not at the first trial

    def make_algorithm(self, seed: int) -> Algorithm[Any]:
        """Hyperband."""
        return HyperbandAlgorithm(
            max_epochs=self.max_epochs,
            factor=self.factor,
            iterations=self.hyperband_iterations,
            seed=seed,
        )

    def needed_trials(self) -> set[int]:
        """Numbers of the trials in open brackets: each of them may still be promoted."""
        state = self.search_state
        own = innermost_state(state.algorithm, state.algorithm_state)
        return {trial.number for rungs in own.brackets for rung in rungs for trial in rung}

    # -- names that copied code calls: the plan of a sweep ----------------------------------------

    def _get_num_brackets(self) -> int:
        return len(plan(self.max_epochs, self.factor))

    def _get_num_rounds(self, bracket_num: int) -> int:
        return len(self._planned(bracket_num).rungs)

    def _get_size(self, bracket_num: int, round_num: int) -> int:
        return self._planned(bracket_num).rungs[round_num].size

    def _get_epochs(self, bracket_num: int, round_num: int) -> int:
        return self._planned(bracket_num).rungs[round_num].end_epoch

    def _planned(self, bracket_num: int) -> Bracket:
        return next(
            each for each in plan(self.max_epochs, self.factor) if each.number == bracket_num
        )


@documented(TunerOptions, Tuner, BaseTuner)
class Hyperband(Tuner):
    """Searches with many short trainings, of which the best continue with weights and optimizer.

    Args:
        hypermodel: A `HyperModel`, or a function `build(hp)` that returns a compiled model.
        objective: What to search for: a metric's name such as "val_accuracy", an `Objective`, or a
            list of either, for several at a time. None is the single number that your own
            `run_trial` or `HyperModel.fit` returns, to be minimized.
        max_epochs: The most epochs that one model is trained. Choose a little more than your model
            needs, and pass an EarlyStopping callback to `search`.
        factor: Each round keeps one trial in so many, and trains it for so many times the epochs.
        hyperband_iterations: How often the whole set of brackets is run; 0 or None: without end.
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
        max_epochs: int = 100,
        factor: int = 3,
        hyperband_iterations: int = 1,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        **kwargs: Unpack[TunerOptions],
    ) -> None:
        oracle = HyperbandOracle(
            objective=objective_of_model(
                objective, hypermodel, hyperparameters, kwargs.get("metrics")
            ),
            max_epochs=max_epochs,
            factor=factor,
            hyperband_iterations=hyperband_iterations,
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        self.seed = seed
        super().__init__(oracle, hypermodel, **kwargs)
