"""The loop around one oracle and one hypermodel: what every tuner shares."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Unpack

from afina import report as reports
from afina.advice import Advice
from afina.advice.judgement import Judgement
from afina.advice.resize import Limits
from afina.errors import ArgumentError, FatalTypeError, check_flag, check_whole, wrong
from afina.progress import (
    Display,
    EpochEnded,
    SearchEnded,
    create_display,
)
from afina.run import Handout, Signal, TimeLimit, check_trial_timeout, current_limit, stopping
from afina.run.processes import WorkerPool
from afina.space import HyperParameters
from afina.store import MemoryStore, delete_project, make_project_folder
from afina.study import discover
from afina.study.listeners import SearchInfo, Telling, describe_search
from afina.study.rules import RulesKept
from afina.study.stop_signals import stop_signals
from afina.training.compile_cache import compile_cache
from afina.training.keras_warnings import KerasWarnings
from afina.training.memory import cheap_collections
from afina.trials import Decision, Status, ends_the_search, failure_of, is_retried, why_no_best
from afina.trials.disk import raise_disk_trouble
from afina.trials.records import as_frame
from afina.tuners import trial_files
from afina.tuners.again import prepared_again
from afina.tuners.best_first import best_first
from afina.tuners.documented import documented
from afina.tuners.earlier import known_trials
from afina.tuners.execution import TrialExecutor, check_executor_option, choose_executor, prepared
from afina.tuners.hypermodel import HyperModel, as_hypermodel
from afina.tuners.joining import ended_elsewhere, joined_store, warn_of_keras_tuners_mode
from afina.tuners.listening import HeardDisplay
from afina.tuners.live_page import dashboard_of
from afina.tuners.options import IdentityOptions, unrecognized
from afina.tuners.oracle import Oracle
from afina.tuners.overrides import is_overridden
from afina.tuners.queueing import enqueue
from afina.tuners.remote import RemoteTrials
from afina.tuners.results import read_result
from afina.tuners.shown import epochs_of, search_started, trial_ended, trial_started
from afina.tuners.summaries import print_results, print_space, tuner_html
from afina.tuners.trial import Trial, TrialStatus


def check_oracle(oracle: Any) -> None:
    """Raises ArgumentError unless it gets an `Oracle`."""
    if isinstance(oracle, Oracle):
        return
    advice = "Give one of afina.oracles, such as RandomSearchOracle(objective=...)."
    if isinstance(oracle, type) and issubclass(oracle, Oracle):
        advice = f"Give an instance: {oracle.__name__}(...)."
    raise ArgumentError(wrong("oracle", "must be an Oracle", oracle, advice))


@documented(IdentityOptions)
class BaseTuner:
    """Searches with any oracle and any way to train: subclass it and override `run_trial`.

    Args:
        oracle: Chooses the trials and keeps them.
        hypermodel: A `HyperModel` or a function `build(hp)`; may be None if `run_trial` is
            overridden.
        directory: The folder in which projects lie; None is the working directory.
        project_name: The project's own folder in it; None is "untitled_project".
        overwrite: True deletes the existing project and starts anew; False continues it.
        store: Where the trials are kept: a folder, a URL ("postgresql://user@host/database",
            "sqlite:///folder", "memory:"), or any `afina.store.TrialStore`. None keeps them in the
            project's folder. Models are always kept there, so workers on several machines need a
            `directory` that all of them see.
        storage: Another name of `store`.
        executor: Who runs the trials: "serial", "threads", "processes", "ray" or any
            `afina.run.Executor`. None is "serial".
        trial_timeout: Seconds that one trial may run; None is no limit. A trial that runs for
            longer is ended after its epoch or interrupted, or its process is ended where it has
            one. It has failed, with the kind `FailureKind.TIMEOUT`, and the search continues.
        learn_from: The folder of an earlier project, or a list of folders. The search begins with
            what their trials taught, as far as they fit this search space and this objective.
        listeners: Objects that follow each trial while it runs, such as
            `afina.integrations.MLflowListener()`; see `afina.study.SearchListener`.
        tuner_id: Kept for Keras Tuner's users: the name under which this tuner asks the oracle.
        logger: Kept for Keras Tuner's users; ignored with a DeprecationWarning.

    Raises:
        ArgumentError: An argument is not known, or there is nothing to build or run.
        ProjectMismatchError: The project there was made by another search.
    """

    _backend: str | None = None
    """Of worker processes; None is that of this one."""

    def __init__(
        self,
        oracle: Oracle,
        hypermodel: Any = None,
        directory: str | Path | None = None,
        project_name: str | None = None,
        overwrite: bool = False,
        **kwargs: Unpack[IdentityOptions],
    ) -> None:
        check_oracle(oracle)
        store, storage = kwargs.pop("store", None), kwargs.pop("storage", None)
        self.executor = kwargs.pop("executor", None)
        learn_from = kwargs.pop("learn_from", None)
        check_executor_option(self.executor)
        self.trial_timeout = check_trial_timeout(kwargs.pop("trial_timeout", None))
        self._telling = Telling(kwargs.pop("listeners", None) or (), self._described)
        if project_name is not None and not isinstance(project_name, str):
            raise ArgumentError(wrong("project_name", "must be a text or None", project_name))
        self.logger: Any = kwargs.pop("logger", None)
        if self.logger is not None:
            warnings.warn("logger= is ignored.", DeprecationWarning, stacklevel=3)
        self.tuner_id = kwargs.pop("tuner_id", None) or "tuner0"
        if kwargs:
            raise ArgumentError(unrecognized(kwargs, type(self)))
        self.oracle = oracle
        self.hypermodel: Any = as_hypermodel(hypermodel)
        self.directory = directory or "."
        self.project_name = project_name or "untitled_project"
        self._begin_anew()
        warn_of_keras_tuners_mode()
        found = joined_store(store, storage, overwrite=overwrite, project=self.project_name)
        oracle.given_store = oracle.given_store if found is None else found
        folder = Path(self.project_dir)
        if overwrite is not None and check_flag("overwrite", overwrite):
            delete_project(folder)
            trial_files.delete_all(self)
        make_project_folder(folder)  # others keep files of their own in it
        self._populate_initial_space()
        if learn_from is not None:
            space = oracle.hyperparameters.to_space()
            oracle.known = known_trials(learn_from, oracle.objective, space)
        self._open_project()
        if self.oracle.trials:
            print(f"Reloading Tuner from {folder}")
            self._restore_state()

    def _begin_anew(self) -> None:
        """Makes this a tuner that has not searched yet; subclasses add to it."""
        self._display: Display | None = None
        self._keras_warnings = KerasWarnings()  # of this search
        self._rules = RulesKept()
        self._epochs: int | None = None
        self._counted = 0  # finished trials that are shown
        self._searched: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})  # by the last `search`
        self._judgement: Judgement | None = None  # of the last `evaluate_best`

    def _open_project(self) -> None:
        """Begins the search in the project's folder, or continues the one that is there."""
        self.oracle._set_project_dir(self.directory, self.project_name)
        self.oracle.open()

    # -- the space --------------------------------------------------------------------------------

    def _populate_initial_space(self) -> None:
        """Builds the hypermodel until every conditional scope has been active once."""
        if self.hypermodel is None:
            return
        hp = self.oracle.get_space()
        self.hypermodel.declare_hyperparameters(hp)
        self.oracle.update_space(hp)
        self.oracle.hyperparameters.bind()  # what is declared overrides what `build` says
        with compile_cache(), self._keras_warnings.once():
            self._activate_all_conditions()

    def _activate_all_conditions(self) -> None:
        discover(self.oracle.get_space(), self._build_for_space, self.oracle.update_space)

    def _build_for_space(self, hp: HyperParameters) -> None:
        """One build whose model is thrown away."""
        self.hypermodel.build(hp)

    # -- the search -------------------------------------------------------------------------------

    def search(self, *fit_args: Any, **fit_kwargs: Any) -> None:
        """Runs trials until the oracle has no more; it continues where an earlier call stopped.

        Args:
            fit_args: Passed to `run_trial`, and from there to `HyperModel.fit`, as they are.
            fit_kwargs: Passed on as well; nothing is added to them. `verbose=0` silences the
                display too. Without `verbose` the display shows the epochs, and the models train
                silently.

        Raises:
            SearchFailedError: Too many trials in a row have failed.
            FatalError: A trial raised it.
            KeyboardInterrupt: Ctrl-C was pressed: once, and the running epoch ends first.
            SystemExit: SIGTERM came, as clusters send it before they kill; with code 143.
        """
        if "verbose" in fit_kwargs:
            self.oracle.verbose = fit_kwargs["verbose"]
        self._search(fit_args, fit_kwargs, fit_kwargs.get("verbose", "auto"))

    def _search(self, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any], verbose: Any) -> None:
        """Does what `search` says; `verbose` is the display's alone."""
        self._searched = (fit_args, dict(fit_kwargs))
        self._check_search(fit_args, fit_kwargs)
        self._begin_display(verbose if self.oracle.verbose else 0, fit_kwargs)
        before = len(self.oracle.search_state.ended)
        try:
            self.on_search_begin()
            keeps = not isinstance(self.oracle.search_state.store, MemoryStore)
            with (
                stop_signals(self._finishes_epochs, resumes=keeps),
                cheap_collections(),
                compile_cache(),
                self._keras_warnings.once(),
            ):
                self._run_all(fit_args, fit_kwargs)
            self.on_search_end()
            self._show(SearchEnded(self.oracle.stop_reason, self._best_score()))
            state = self.oracle.search_state
            if (state.ended or not state.trials) and self._best_score() is None:
                ran = len(state.ended) > before
                left = "" if ran else f"nothing was left to run ({self.oracle.stop_reason}). "
                why = left + why_no_best(state.trials.values())
                none = f"no trial was run: {self.oracle.stop_reason}."
                warnings.warn(f"search: {why if state.trials else none}", stacklevel=2)
        finally:
            if self._display is not None:
                self._display.close()
                self._display = None
            self.oracle.search_state.stop_rules.end()  # the next search gets the whole time again
            self.oracle.search_state.close()

    enqueue = enqueue

    def _finishes_epochs(self) -> bool:
        """Whether running trials end after their epoch at Ctrl-C; subclasses that train say so."""
        return False

    def _check_search(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Refuses what cannot be searched before the first trial begins; subclasses add to it."""
        if not is_overridden(self, "run_trial"):
            raise ArgumentError(
                f"{type(self).__name__}.search: needs a run_trial that trains and scores a trial, "
                "but got none. Override run_trial, or use a Tuner to train Keras models."
            )

    def _run_all(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Runs the trials."""
        self._run_by(choose_executor(self.executor), args, kwargs)

    def _run_by(
        self, executor: TrialExecutor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Has an executor run the trials."""

        def send(count: int, pool: WorkerPool | None) -> RemoteTrials:
            return RemoteTrials(self, count, args, kwargs, pool=pool, backend=self._backend)

        with prepared(executor, send) as way:

            def work(trial: Trial) -> None:
                self.on_trial_begin(trial)
                if way.attempt is None:
                    self._attempt(trial, *args, **kwargs)
                else:
                    way.attempt(trial)
                self.on_trial_end(trial)

            Handout(self._next_trial, work).run(way.executor)

    def _next_trial(self, place: int) -> Trial | Signal:
        """The next trial, for a place among those that run side by side, from 0."""
        if stopping():
            raise KeyboardInterrupt
        self.pre_create_trial()
        trial = self.oracle.create_trial(f"{self.tuner_id}-{place}" if place else self.tuner_id)
        state = self.oracle.search_state
        self._rules.keep(state.store, self.oracle.hyperparameters.constraints)
        if (event := ended_elsewhere(state, self.oracle.ids, self._counted)) is not None:
            self._counted = event.done
            self._show(event)
        if trial.status == TrialStatus.STOPPED:
            return Signal.STOP
        return Signal.WAIT if trial.status == TrialStatus.IDLE else trial

    def _attempt(self, trial: Trial, *args: Any, **kwargs: Any) -> None:
        """Runs the trial in this process, by methods that may be the user's."""
        self._try_run_and_update_trial(trial, *args, **kwargs)

    def _try_run_and_update_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> None:
        """Runs the trial; what it raises becomes its failure, unless it is fatal."""
        try:
            with TimeLimit(self.trial_timeout, f"Trial {trial.trial_id}").running():
                self._run_and_update_trial(trial, *args, **kwargs)
            trial.status = TrialStatus.COMPLETED
        except Exception as error:
            if ends_the_search(error):
                raise
            number = self.oracle.number_of(trial.trial_id)
            raise_disk_trouble(error, trial=number, folder=self.project_dir)
            trial.failure = failure_of(error)
            trial.message = trial.failure.message
            trial.status = TrialStatus.INVALID if is_retried(error) else TrialStatus.FAILED

    def _run_and_update_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> None:
        trial.hyperparameters.enforce_constraints()
        with trial_files.around_run(self, trial.trial_id):
            result = self.run_trial(trial, *args, **kwargs)
        if trial.metrics.exists(self.oracle.objective.name):
            warnings.warn(
                "Calling oracle.update_trial() in run_trial() is deprecated: return the metrics "
                "instead.",
                DeprecationWarning,
                stacklevel=2,
            )
            return
        outcome = read_result(result, self.oracle.objective, f"{type(self).__name__}.run_trial()")
        with current_limit().shielded():
            self.oracle.update_trial(trial.trial_id, outcome.metrics, step=outcome.step)

    def run_trial(self, trial: Trial, *fit_args: Any, **fit_kwargs: Any) -> Any:
        """Trains and scores one trial: override it.

        Args:
            trial: Its `hyperparameters` are what `build` gets.
            fit_args: As given to `search`.
            fit_kwargs: As given to `search`.

        Returns:
            The objective as a number, a dict of metrics with the objective among them, a Keras
            History, or a list of these, one for each execution.
        """
        raise NotImplementedError("Override run_trial.")

    # -- hooks ------------------------------------------------------------------------------------

    def pre_create_trial(self) -> None:
        """Called before a trial is asked for."""

    def on_search_begin(self) -> None:
        """Called before the first trial of a search."""

    def on_search_end(self) -> None:
        """Called after the last trial of a search."""

    def on_trial_begin(self, trial: Trial) -> None:
        """Called before a trial runs."""
        if self._display is None:
            return
        self._show(trial_started(self.oracle, trial, self._epochs))

    def on_trial_end(self, trial: Trial) -> None:
        """Called after a trial has run: ends it. An override must call this one."""
        self.oracle.end_trial(trial)
        self._keep_state()
        event = trial_ended(self.oracle, trial)
        self._counted += event.trial.status is not Status.WAITING
        self._show(event)

    # -- display ----------------------------------------------------------------------------------

    def _begin_display(self, verbose: Any, fit_kwargs: dict[str, Any]) -> None:
        self._epochs = fit_kwargs.get("epochs")
        display = create_display(verbose, self.oracle.objective, clock=time.monotonic)
        self._display = HeardDisplay(display, self._telling) if self._telling.listeners else display
        self._counted = len(self.oracle.end_order)
        self._show(search_started(self.oracle, self.project_dir))

    def _described(self) -> SearchInfo:
        return describe_search(self.project_name, self.oracle.search_state.store.header())

    def _best_score(self) -> float | None:
        best = self.oracle.search_state.best_trials(1)
        return best[0].score if best else None

    def _show(self, event: Any) -> None:
        if self._display is not None:
            self._display.handle(event)

    def _epoch_ended(
        self, trial: Trial, execution: int, epoch: int, metrics: dict[str, float]
    ) -> Decision:
        """Keeps and shows one epoch's metrics; says whether the training continues."""
        if stopping():
            raise KeyboardInterrupt
        with current_limit().shielded():
            decision = self.oracle.report_epoch(trial.trial_id, execution, epoch, metrics)
            self._show(
                EpochEnded(
                    number=self.oracle.number_of(trial.trial_id),
                    execution=execution,
                    epoch=epoch,
                    epochs=epochs_of(trial, self._epochs),
                    metrics=metrics,
                )
            )
        current_limit().check()
        return decision

    # -- results ----------------------------------------------------------------------------------

    def advice(self, *, limits: Mapping[str, Limits] | None = None) -> Advice:
        """Says which hyperparameters matter, and what to search next.

        Args:
            limits: The least and largest value that a hyperparameter may ever have, by name.

        Returns:
            Facts; printed, sentences. `search_again` takes them.
        """
        return self.oracle.search_state.advice(limits=limits)

    def search_again(
        self,
        advice: Advice | None = None,
        *fit_args: Any,
        max_trials: int | None = None,
        project_name: str | None = None,
        **fit_kwargs: Any,
    ) -> Any:
        """Searches on with a model that knows all trials of this search.

        The ranges that the advice widens are wider. Nothing is cut: the model avoids what the
        trials show to be bad, and no value is ruled out. A random search goes on with Bayesian
        optimization.

        Args:
            advice: None takes `advice()`.
            fit_args: As for `search`; without any, those of the last `search`.
            max_trials: How many trials the new search has; None takes as many as this one had.
            project_name: Name of the new search; None adds "-again" to this one's.
            fit_kwargs: As for `search`, instead of or beside those of the last one.

        Returns:
            A tuner of the same kind with the new search done; this one stays as it is.

        Raises:
            ArgumentError: There is nothing to train with.
            NoTrialError: There is no completed trial to learn from.
        """
        again, args, kwargs = prepared_again(
            self, advice, fit_args, fit_kwargs, max_trials, project_name
        )
        again.search(*args, **kwargs)
        return again

    def results_dataframe(self) -> Any:
        """All trials as a pandas DataFrame: values, metrics, score, epochs, seconds and failure.

        Raises:
            ArgumentError: pandas is not installed.
        """
        return as_frame(self.oracle.search_state.trials.values())

    def report(self, file: str | Path = "report.html") -> Path:
        """Writes the report of the search: one HTML file that needs nothing else.

        Args:
            file: Where to; its folder is made if need be.

        Returns:
            The file. The final model is in it where `evaluate_best` has judged it.

        Raises:
            ArgumentError: Jinja2 is not installed.
        """
        state = self.oracle.search_state
        state.begin()
        return reports.write_report(
            state.store, file, seed=state.seed, name=self.project_name, judgement=self._judgement
        )

    dashboard = dashboard_of

    def get_pareto_front(self) -> list[Any]:
        """The completed trials that no other one beats in every objective, by number.

        Returns:
            Trials as `oracle.get_best_trials` gives them; their `metrics` hold the objectives. The
            front is of the search's single objectives, whatever its score is.
        """
        oracle = self.oracle
        front = [
            oracle.trials[oracle.id_of(t.number)] for t in oracle.search_state.get_pareto_front()
        ]
        return self._best_first(front, len(front) + 1, "get_pareto_front")

    def get_best_hyperparameters(self, num_trials: int = 1) -> list[HyperParameters]:
        """The hyperparameters of the best trials, best first; build with them at will.

        Fewer where fewer trials have completed; asked for one that is not there, the list raises
        `NoTrialError`, an IndexError that says why.
        """
        count = check_whole("num_trials", num_trials, least=0)
        found = [t.hyperparameters.copy() for t in self.oracle.get_completed_trials(count)]
        return self._best_first(found, count, "get_best_hyperparameters")

    def get_best_models(self, num_models: int = 1) -> list[Any]:
        """The models of the best trials as they were at their best epoch, best first.

        For the final model, build anew with `get_best_hyperparameters` and train on all data.

        Args:
            num_models: How many; fewer where fewer trials have completed, as with
                `get_best_hyperparameters`.

        Raises:
            CheckpointError: A trial has left no model; `keep_checkpoints` says how many are kept.
        """
        count = check_whole("num_models", num_models, least=0)
        found = [self.load_model(trial) for trial in self.oracle.get_completed_trials(count)]
        return self._best_first(found, count, "get_best_models")

    def _best_first(self, found: list[Any], asked: int, what: str) -> list[Any]:
        return best_first(found, asked, what, self.oracle.search_state.trials.values())

    def load_model(self, trial: Trial) -> Any:
        """Loads a trial's model: override it together with `save_model`."""
        raise NotImplementedError

    def save_model(self, trial_id: str, model: Any, step: int = 0) -> None:
        """Saves a trial's model: override it together with `load_model`."""
        raise NotImplementedError

    def search_space_summary(self, extended: bool = False) -> None:
        """Prints each hyperparameter with its arguments."""
        del extended
        print_space(self.oracle.hyperparameters)

    def _repr_html_(self) -> str:
        """For notebooks: where the search stands, and its best configurations."""
        return tuner_html(self)

    def results_summary(self, num_trials: int = 10) -> None:
        """Prints the best trials with their hyperparameters and scores."""
        count = check_whole("num_trials", num_trials, least=0)
        oracle = self.oracle
        best, trials = oracle.get_best_trials(count), oracle.search_state.trials.values()
        print_results(self.project_dir, oracle.objective, count, best, trials)

    @property
    def remaining_trials(self) -> int | None:
        """How many trials are left to begin; None if the oracle has no `max_trials`."""
        return self.oracle.remaining_trials()

    @property
    def project_dir(self) -> str:
        """The project's folder."""
        return str(Path(self.directory) / self.project_name)

    def get_trial_dir(self, trial_id: str) -> str:
        """The folder of one trial's files; made if it is not there."""
        return trial_files.get_trial_dir(self, trial_id)

    def get_state(self) -> dict[str, Any]:
        """For subclasses: what to keep with the project, as JSON values."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """For subclasses: takes back what `get_state` returned, when the project is reopened."""

    def _keep_state(self) -> None:
        if is_overridden(self, "get_state"):
            self.oracle.search_state.store.set_note("tuner_state", self.get_state())

    def save(self) -> None:
        """Keeps the tuner's own state; trials are on disk already."""
        self._keep_state()
        self.oracle.save()

    def reload(self) -> None:
        """Reads the project again."""
        self.oracle.reload()
        self._restore_state()

    def _restore_state(self) -> None:
        state = self.oracle.search_state.store.note("tuner_state")
        if state is not None:
            self.set_state(state)

    @contextlib.contextmanager
    def _building(self, hp: HyperParameters) -> Iterator[HyperModel]:
        """The hypermodel, with `hp` set for a new build."""
        if self.hypermodel is None:
            raise FatalTypeError("There is no hypermodel to build: give one, or override run_trial")
        hp.start_build()
        yield self.hypermodel
