"""`AutoTuner`: use it unless you have a reason not to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from afina import training
from afina.errors import check_flag, check_whole
from afina.search import Algorithm, StartFrom
from afina.search.base import check_algorithm
from afina.search.wrappers import check_mappings, check_points, reseeded
from afina.space import HyperParameters, Value
from afina.study import Budget, default_algorithm
from afina.surrogates.prior import PriorName, check_prior
from afina.trials import Status
from afina.tuners.base_tuner import BaseTuner
from afina.tuners.documented import documented
from afina.tuners.model_objective import objective_of_model
from afina.tuners.options import TunerOptions
from afina.tuners.oracle import Oracle
from afina.tuners.overrides import AROUND, TRAINING, first_overridden
from afina.tuners.trial import Trial
from afina.tuners.tuner import Tuner
from afina.tuners.workers import count_workers

TRAININGS = 30
"""Full trainings' worth of epochs that a search may take if you set no limit."""


@documented(None, Oracle)
class AutoOracle(Oracle):
    """Chooses and switches its way of searching by space, budget and what it has seen.

    Args:
        objective: What to search for: a metric's name such as "val_accuracy", an `Objective`, or a
            list of either, for several at a time. None is the single number that your own
            `run_trial` or `HyperModel.fit` returns, to be minimized.
            A list searches for the Pareto front.
        max_epochs: The most epochs that one model is trained.
        max_trials: How many trials; a promotion counts as one.
        max_total_epochs: How many epochs in all.
        time_budget: Wall time of each search in seconds.
        start_from: Configurations to try before all others.
        stop_when_unlikely: Ends the search when a better result has become unlikely.
        prior: What is believed of good values before any trial: "roles" (what was good for a
            learning rate and so on in recorded trainings, and each hyperparameter's `prior=`),
            "given" (the latter alone) or None. It fades as results come in.
        algorithm: Another algorithm of `afina.search` in place of the automatic choice.
        seed: Fixes every draw.
    """

    ahead: int = 1
    """How many trials may be open at once; their order of ending then changes nothing, see
    `afina.search.InOrder`."""

    def __init__(
        self,
        objective: Any = None,
        max_epochs: int = 100,
        max_trials: int | None = None,
        max_total_epochs: float | None = None,
        time_budget: float | None = None,
        start_from: Sequence[Mapping[str, Value]] = (),
        stop_when_unlikely: bool = True,
        algorithm: Algorithm[Any] | None = None,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        prior: PriorName | None = "roles",
    ) -> None:
        super().__init__(
            objective=objective,
            max_trials=max_trials,
            hyperparameters=hyperparameters,
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            seed=seed,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        self.max_epochs = check_whole("max_epochs", max_epochs)
        check_mappings(start_from)
        self.start_from = tuple(start_from)
        self.stop_when_unlikely = check_flag("stop_when_unlikely", stop_when_unlikely)
        check_prior(prior)
        self.prior = prior
        self.algorithm = algorithm
        if max_trials is None and max_total_epochs is None and time_budget is None:
            max_total_epochs = TRAININGS * max_epochs
        self.budget = Budget(epochs=max_total_epochs, seconds=time_budget)
        self.make_algorithm(seed=0)  # refuses what cannot be now, not at the first trial

    def make_algorithm(self, seed: int) -> Algorithm[Any]:
        """The automatic choice, or the algorithm that was given, on this seed."""
        given: Any = self.algorithm
        if given is None:
            timed = self.budget is not None and self.budget.seconds is not None
            given = default_algorithm(
                self.objective,
                max_epochs=self.max_epochs,
                stop_when_unlikely=self.stop_when_unlikely,
                prior=self.prior,
                per_second=timed,
            )
        check_algorithm(given)
        given = reseeded(given, seed)
        return StartFrom(given, self.start_from) if self.start_from else given

    def create_trial(self, tuner_id: str) -> Trial:
        """See `Oracle.create_trial`; refuses `start_from` that is not of the space."""
        if not self.trials:
            check_points(self.start_from, self.search_state.space)
        return super().create_trial(tuner_id)

    def needed_trials(self) -> set[int]:
        """Numbers of the trials whose models may still be promoted.

        A trial is promoted once within its own bracket. Members of a population may copy its model
        before that; each of them has a bracket number of its own.
        """
        trials = self.search_state.trials.values()
        brackets = {trial.number: trial.schedule and trial.schedule.bracket for trial in trials}
        continued = {
            trial.parent
            for trial in trials
            if trial.status.finished
            and trial.parent is not None
            and brackets[trial.number] == brackets[trial.parent]
        }
        return {
            trial.number
            for trial in trials
            if trial.status is Status.COMPLETED
            and trial.end_epoch is not None
            and trial.end_epoch < self.max_epochs
            and trial.number not in continued
        }


@documented(TunerOptions, Tuner, BaseTuner)
class AutoTuner(Tuner):
    """The recommended tuner: many short trainings, a model of what they show, few long ones.

    It stops when one of its limits is reached, or when a better result has become unlikely, and
    says which. Without any limit it trains at most 30 times `max_epochs` epochs.

    `workers="auto"`, the default, tries the same trials for the same seed and number of processors,
    whichever trial ends first. A number of workers is faster where trainings differ in length, but
    its trials depend on the order in which they end.

    Args:
        hypermodel: A `HyperModel`, or a function `build(hp)` that returns a compiled model.
        objective: What to search for: a metric's name such as "val_accuracy", an `Objective`, or a
            list of either, for several at a time. None is the single number that your own
            `run_trial` or `HyperModel.fit` returns, to be minimized.
            A list searches for the Pareto front.
        max_epochs: The most epochs that one model is trained; `epochs=` of `search` is ignored.
        max_trials: How many trials at most; a promotion counts as one. None is no limit.
        max_total_epochs: How many epochs all trials may train together. None is no limit, or 30
            times `max_epochs` if no limit is given at all.
        time_budget: Wall time of each call of `search`, in seconds. None is no limit. Among
            trainings that promise as much, the search then prefers those that take less time.
        start_from: Configurations (dicts of hyperparameter name to value) to try before all others.
        stop_when_unlikely: Whether to end the search when a better result has become unlikely.
        prior: What is believed of good values before any trial: "roles" (what was good for a
            learning rate and so on in recorded trainings, and each hyperparameter's `prior=`),
            "given" (the latter alone) or None. It fades as results come in.
        algorithm: An algorithm of `afina.search` in place of the automatic choice.
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

    Raises:
        ArgumentError: An argument is out of its range.
        ObjectiveError: The objective is not known.
    """

    def __init__(
        self,
        hypermodel: Any = None,
        objective: Any = None,
        max_epochs: int = 100,
        max_trials: int | None = None,
        time_budget: float | None = None,
        max_total_epochs: float | None = None,
        start_from: Sequence[Mapping[str, Value]] = (),
        stop_when_unlikely: bool = True,
        algorithm: Algorithm[Any] | None = None,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        prior: PriorName | None = "roles",
        **kwargs: Unpack[TunerOptions],
    ) -> None:
        oracle = AutoOracle(
            objective=objective_of_model(
                objective, hypermodel, hyperparameters, kwargs.get("metrics")
            ),
            max_epochs=max_epochs,
            max_trials=max_trials,
            max_total_epochs=max_total_epochs,
            time_budget=time_budget,
            start_from=start_from,
            stop_when_unlikely=stop_when_unlikely,
            algorithm=algorithm,
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
            prior=prior,
        )
        self.max_epochs = max_epochs
        self.seed = seed
        oracle.ahead = _trials_ahead(self, hypermodel, kwargs)
        super().__init__(oracle, hypermodel, **kwargs)

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> Any:
        """Trains for the epochs that the search plans, `max_epochs` where it plans none."""
        return super().run_trial(trial, *args, **{**kwargs, "epochs": self.max_epochs})


def _trials_ahead(tuner: Tuner, hypermodel: Any, options: TunerOptions) -> int:
    """How many trials may be open at once without changing which are tried.

    As many as "auto" has workers. More would spare a worker some waiting for a long training, but
    each trial would be chosen from fewer results, which costs more. 1, which plans nothing, where
    the user says how trials are run: several workers then never wait for each other.
    """
    planned = ("workers", "group_trials")
    if any(options.get(name, "auto") != "auto" for name in planned) or options.get("executor"):
        return 1

    def why_one() -> str | None:
        if options.get("cv"):
            return "folds are compared with those of earlier trials"
        reason = training.why_not_fused(options.get("training", "auto"))
        own = first_overridden(tuner, (*TRAINING, *AROUND))
        return reason or own or first_overridden(hypermodel, ("fit",))

    return count_workers("auto", why_one=why_one)
