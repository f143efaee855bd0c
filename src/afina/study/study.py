"""The study: a search for people who run their own loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from afina.errors import (
    ArgumentError,
    FatalError,
    NoTrialError,
    ObjectiveError,
    TrialPruned,
    check_count,
    wrong,
)
from afina.run import (
    ExecutorLike,
    Handout,
    Serial,
    Signal,
    call_within,
    check_executor_like,
    check_trial_timeout,
    create_executor,
)
from afina.search import Algorithm, Auto, ParetoSearch, StartFrom
from afina.search.base import check_algorithm
from afina.search.wrappers import check_points, reseeded
from afina.space import HyperParameters, Value
from afina.store import MemoryStore, TrialStore, open_store
from afina.store.places import chosen_place, name_of_search
from afina.study.chunks import TrialChunk
from afina.study.discovery import discover
from afina.study.given import check_caught, read_metrics, read_number
from afina.study.interrupted import given_back_if_over
from afina.study.listeners import SearchInfo, SearchListener, Telling, describe_search
from afina.study.open_trial import OpenTrial, attribute_text
from afina.study.resume import choose_seed
from afina.study.rules import RulesKept
from afina.study.shown import study_html
from afina.study.state import SearchState
from afina.study.stop_signals import stop_signals
from afina.study.stopping import Budget, Part
from afina.surrogates.prior import PriorName
from afina.trials import (
    Decision,
    MultiObjective,
    Objective,
    Status,
    Trial,
    create_objective,
    ends_the_search,
    failure_of,
    is_retried,
    why_no_best,
)
from afina.trials.disk import raise_disk_trouble
from afina.trials.records import as_frame

Builder = Callable[[HyperParameters], Any]

USER_ATTRS = "user_attrs"
"""The store's note with the attributes of the study."""


class Study(SearchState):
    """A search that its user drives: `ask` for a trial, `report` its epochs, `tell` its end.

    `optimize` does all of this for a function. Several trials may be open at once, in as many
    threads as you like. With a folder as `store`, everything is on disk when `tell` returns, and a
    study opened on the same folder continues where the last one stopped: it hands out again the
    trials that were open then.

    Args:
        hp: The search space: a `HyperParameters`, or a builder `build(hp)` that draws from one.
            A builder is called once for each conditional scope when the study is made, and then
            for every trial, so that the space may grow with what it draws. None for a function of
            `optimize` that defines the space by `trial.suggest_float` and the like.
        objective: A metric's name, an `Objective`, or a list of these. A list searches for the
            Pareto front, see `get_pareto_front`.
        algorithm: Chooses the trials; None takes `afina.search.Auto`, or `ParetoSearch` where
            there are several objectives.
        seed: Fixes every draw, in place of the algorithm's own seed; None keeps that.
        store: Where the trials are kept: a folder, a URL ("postgresql://user@host/database",
            "sqlite:///folder", "memory:"), or any `afina.store.TrialStore`. None keeps them in
            memory only. Processes that run the same script on the same store share the search.
        storage: Another name of `store`, which Optuna's users know.
        executor: Who runs the trials of `optimize`: "serial" (one at a time, the default),
            "threads" or "processes" (one for each processor), "ray" or the address of a Ray cluster
            (one for each of its processors), or any `afina.run.Executor`, such as
            `afina.run.Threads(4)`.
        max_trials: How many trials in all; None for as many as the algorithm has.
        max_total_epochs: How many epochs in all; see `Budget`.
        time_budget: Wall time in seconds; see `Budget`.
        start_from: Configurations to try before all others, as mappings of names to values.
        max_retries: How often a failed trial is handed out again before it counts as failed.
        listeners: Objects that follow each trial while it runs, such as
            `afina.integrations.MLflowListener()`; see `SearchListener`.

    Raises:
        ArgumentError: An argument is out of its range, or of the wrong kind.
        ObjectiveError: The objective is not known.
        ProjectMismatchError: The folder holds another search.

    Example:
        >>> import afina
        >>> hp = afina.HyperParameters()
        >>> _ = hp.Float("x", -1.0, 1.0)
        >>> study = afina.Study(hp, objective=afina.Objective("loss", "min"), max_trials=8, seed=0)
        >>> while (trial := study.ask()) is not None:
        ...     _ = study.tell(trial, {"loss": trial.values["x"] ** 2})
        >>> len(study.trials), study.stop_reason
        (8, 'max_trials=8 trials have been run')
    """

    def __init__(
        self,
        hp: HyperParameters | Builder | None = None,
        *,
        objective: Any,
        algorithm: Algorithm[Any] | None = None,
        seed: int | None = None,
        store: TrialStore | str | Path | None = None,
        storage: TrialStore | str | Path | None = None,
        executor: ExecutorLike = "serial",
        max_trials: int | None = None,
        max_total_epochs: float | None = None,
        time_budget: float | None = None,
        start_from: Sequence[Mapping[str, Value]] = (),
        max_retries: int = 0,
        listeners: Sequence[SearchListener] = (),
    ) -> None:
        goal = create_objective(objective)
        self._build, space = _space_of(HyperParameters() if hp is None else hp)
        self.defined_by_run = hp is None  # by `trial.suggest_float` and the like
        if algorithm is not None:
            check_algorithm(algorithm)
        check_points(start_from, space.to_space())
        check_executor_like(executor)
        self._executor = executor
        place = open_store(chosen_place(store, storage))
        chosen, kept_seed = _seeded(algorithm or default_algorithm(goal), seed, place)
        self._built: dict[int, HyperParameters] = {}  # of the open trials
        self._stop_asked = False
        self._telling = Telling(listeners, self._described)
        self._rules = RulesKept()
        super().__init__(
            algorithm=StartFrom(chosen, tuple(start_from)) if start_from else chosen,
            objective=goal,
            hp=space,
            store=place,
            seed=kept_seed,
            max_trials=max_trials,
            max_retries=max_retries,
            budget=Budget(epochs=max_total_epochs, seconds=time_budget),
        )

    def _repr_html_(self) -> str:
        """For notebooks: where the search stands, and its best trials."""
        return study_html(self)

    # -- one trial ----------------------------------------------------------------------------

    def ask(self) -> OpenTrial | None:
        """Hands out the next trial: one that waits in the queue, else a new one.

        Returns:
            What to try: `values`, and where the algorithm plans epochs, `start_epoch` and
            `end_epoch` with the `parent` whose model to continue. None where there is
            nothing to hand out: for good once `stop_reason` is set, else until an open trial ends.
            A trial whose values the builder refuses, by raising, has failed, and the next comes.

        Raises:
            SearchFailedError: Three trials in a row have failed.
        """
        with self._lock:
            while isinstance(answer := self.next(), Trial):
                self._rules.keep(self.store, self.hp.constraints)
                if self._build is None:
                    return self._opened(answer)
                hp = HyperParameters.for_trial(self.hp, answer.values, answer.ranges)
                hp.enforce_constraints()
                try:
                    self._build(hp)
                except Exception as error:
                    raise_disk_trouble(error, trial=answer.number)
                    self._fail_build(answer, hp, error)
                    continue
                self._built[answer.number] = hp
                resolved = dataclasses.replace(answer, values=dict(hp.values))
                self._keep(resolved)
                return self._opened(resolved)
            return None

    def _opened(self, trial: Trial) -> OpenTrial:
        self._telling.begun(trial)
        return OpenTrial.of(trial, self)

    def _described(self) -> SearchInfo:
        folder = getattr(self.store, "folder", None)
        return describe_search("study" if folder is None else name_of_search(folder), self._header)

    def report(
        self, trial: Trial, metrics: Mapping[str, float], step: int, execution: int = 0
    ) -> Decision:
        """Keeps the metrics of one epoch; see `SearchState.report`."""
        decision = super().report(trial, metrics, step, execution)
        self._telling.reported(trial.number, read_metrics("report", metrics), step, execution)
        return decision

    def _fail_build(self, trial: Trial, hp: HyperParameters, error: Exception) -> None:
        """Ends a trial whose values the builder has refused.

        Raises:
            FatalError: That is what the builder has raised.
            SearchFailedError: As `check_failures`.
        """
        self.fail(trial, failure_of(error), retry=False, hp=hp)
        if isinstance(error, FatalError):
            raise error
        self.check_failures()

    def tell(
        self,
        trial: Trial,
        metrics: Mapping[str, float] | float | None = None,
        *,
        failed: str | BaseException | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> Trial:
        """Ends a trial.

        Args:
            trial: As `ask` handed it out.
            metrics: The objective and whatever else you like to keep, or the objective alone as a
                number. None takes the best of the epochs that were reported.
            failed: Why there is no score, in place of `metrics`: a text, or the exception, of which
                the kind and a short traceback are kept.
            notes: Facts to keep for people.

        Returns:
            The trial as it stands now.

        Raises:
            ArgumentError: The trial is not open, or has neither metrics nor reports.
            ObjectiveError: The objective is not among the metrics.
        """
        with self._lock:
            now = self.open_trial("tell", trial)
            hp = self._built.get(trial.number)
            if failed is not None:
                retry = not isinstance(failed, BaseException) or is_retried(failed)
                ended = self.fail(now, failure_of(failed), retry=retry, hp=hp, notes=notes)
            else:
                step, numbers = self._result(now, metrics)
                ended = self.complete(now, numbers, best_step=step, hp=hp, notes=notes)
            self._built.pop(trial.number, None)
            self._telling.ended(ended)
            return ended

    def close(self) -> None:
        """Leaves the project, all written; trials that run still are given back."""
        super().close()
        self._telling.close()

    def _result(
        self, trial: Trial, metrics: Mapping[str, float] | float | None
    ) -> tuple[int | None, Mapping[str, float]]:
        names = " and ".join(self.objective.names)
        if metrics is None:
            best = self._curves.best(trial)
            if best is not None:
                return best
            rule = f"needs metrics, or epochs reported before with {names}, or failed=..."
            got = f"nothing for trial {trial.number}"
            if trial.start_epoch:
                got += f" from its first epoch on, which is {trial.start_epoch}"
            raise ArgumentError(wrong("tell", rule, got))
        if isinstance(metrics, Mapping):
            numbers = read_metrics("tell", metrics)
            if not self.objective.has_value(numbers):
                rule = f"must hold the objective {names}"
                raise ObjectiveError(wrong("tell", rule, sorted(numbers)))
            return None, numbers
        if isinstance(self.objective, MultiObjective):
            rule = f"must get a mapping that holds the objectives {names}"
            raise ObjectiveError(wrong("tell", rule, metrics))
        return None, {self.objective.name: read_number("tell", self.objective.name, metrics)}

    def note(self, trial: Trial, notes: Mapping[str, str]) -> None:
        """Keeps facts about an open trial with the project, at once.

        Args:
            trial: As `ask` handed it out.
            notes: Facts by name, in addition to those that it has.

        Raises:
            ArgumentError: The trial is not open.
        """
        with self._lock:
            now = self.open_trial("note", trial)
            self._keep(dataclasses.replace(now, notes={**now.notes, **notes}))

    def hp_of(self, trial: Trial) -> HyperParameters:
        """The hyperparameters of an open trial; what it adds to them joins the space at its end.

        Args:
            trial: As `ask` handed it out.

        Raises:
            ArgumentError: The trial is not open.
        """
        with self._lock:
            now = self.open_trial("suggest", trial)
            if now.number not in self._built:
                hp = HyperParameters.for_trial(self.hp, now.values, now.ranges)
                self._built[now.number] = hp
            return self._built[now.number]

    @property
    def user_attrs(self) -> dict[str, Any]:
        """The attributes of the study, by key."""
        return dict(self.store.note(USER_ATTRS) or {})

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keeps a fact about the study with the project.

        Args:
            key: Its name.
            value: Anything that JSON can hold.

        Raises:
            ArgumentError: JSON cannot hold it.
        """
        attribute_text(key, value)
        with self._lock:
            self.begin()
            self._in_turn(
                lambda: self.store.set_note(USER_ATTRS, {**self.user_attrs, str(key): value})
            )

    enqueue_trial = SearchState.enqueue

    # -- all trials ---------------------------------------------------------------------------

    def optimize(
        self,
        function: Callable[[OpenTrial], Any],
        n_trials: int | None = None,
        timeout: float | None = None,
        *,
        executor: ExecutorLike | None = None,
        trial_timeout: float | None = None,
        callbacks: Sequence[Callable[[Any, Trial], Any]] = (),
        catch: type[Exception] | Sequence[type[Exception]] = (Exception,),
    ) -> None:
        """Calls a function with one trial after the other until the search is over.

        Where many processes share the search and trials take milliseconds, several trials begin at
        once and their results are written together, if the algorithm is `order_independent`.

        Args:
            function: `function(trial)` returns what `tell` takes: the objective as a number, a
                mapping of metrics, or None after it has reported epochs; `raise TrialPruned` means
                None. What else it raises fails the trial; a `FatalError` or a `StoreError` ends the
                search. With "processes" it runs in other processes: it must be able to travel
                there, and cannot report epochs.
            n_trials: How many trials this call runs at most, in addition to those that there are;
                None for as many as the study has.
            timeout: Seconds after which this call begins no more trials; those that are running
                come to their ends.
            executor: Who runs the trials this time; None takes the study's own.
            trial_timeout: Seconds that one trial may run; None is no limit. A trial that runs for
                longer is interrupted, or its process is ended where it has one. It has failed, with
                the kind `FailureKind.TIMEOUT`, and the search continues.
            callbacks: Functions `callback(study, trial)`, called when a trial has ended; they may
                call `stop`.
            catch: The exceptions that fail a trial only; any other fails it, then ends the search.
                Optuna's default is `()`.

        Raises:
            SearchFailedError: Three trials in a row have failed.
            ArgumentError: A number is out of range, or what a `suggest_...` was given.

        Example:
            >>> import afina
            >>> hp = afina.HyperParameters()
            >>> _ = hp.Float("x", -1.0, 1.0)
            >>> study = afina.Study(hp, objective=afina.Objective("loss", "min"), max_trials=8)
            >>> study.optimize(lambda trial: trial.values["x"] ** 2, executor="threads")
            >>> len(study.trials)
            8
        """

        seconds, caught = check_trial_timeout(trial_timeout), check_caught(catch)
        part = Part(check_count("n_trials", n_trials), timeout)
        self._stop_asked = False
        runner = create_executor(self._executor if executor is None else executor)
        # Nothing of the user's comes between the end of a trial and the start of the next one.
        follows = isinstance(runner, Serial) and not (
            callbacks or self._telling.listeners or self._build
        )

        chunk = TrialChunk(self, part, lambda: self._stop_asked, follows=follows)

        def next_trial(place: int) -> OpenTrial | Signal:
            del place
            begun = None if part.ahead else chunk.next()
            if begun is not None:
                return OpenTrial.of(begun, self)
            return part.ahead.pop() if part.ahead else self._ask_for(part)

        def work(trial: OpenTrial) -> None:
            try:
                with given_back_if_over(self, trial):
                    result = call_within(seconds, f"Trial {trial.number}", function, trial)
            except Exception as error:
                if ends_the_search(error):
                    raise
                with given_back_if_over(self, trial):
                    raise_disk_trouble(error, trial=trial.number)
                chunk.write()
                told: Trial | None = self._tell_raised(trial, error)
                if told and told.status is not Status.COMPLETED and not isinstance(error, caught):
                    raise
            else:
                told = self._end(chunk, part, trial, result)
            finally:
                part.at_work.discard(trial.number)
            if told and told.status.finished:
                for callback in callbacks:
                    callback(self, told)
            if told and told.status is Status.FAILED:
                self.check_failures()

        resumes = not isinstance(self.store, MemoryStore)
        try:
            with stop_signals(lambda: False, resumes=resumes), chunk:
                Handout(next_trial, work).run(runner)
        finally:
            self._telling.close()

    def _ask_for(self, part: Part) -> OpenTrial | Signal:
        """The next trial of a call of `optimize`."""
        with self._lock:
            over = "stop() was called" if self._stop_asked else part.why_over()
            if over is not None:
                self.stop_rules.reason = over
                return Signal.STOP
            if part.at_work and not self.hp.space:  # the first trial is to define the space
                return Signal.WAIT
            trial = self.ask()
            if trial is not None:
                part.at_work.add(trial.number)
                part.begun += 1
                return trial
        return Signal.WAIT if self.stop_reason is None else Signal.STOP

    def _end(self, chunk: TrialChunk, part: Part, trial: OpenTrial, result: Any) -> Trial | None:
        """Ends a trial that has run without an error; None where its chunk does so later."""
        with given_back_if_over(self, trial, whatever=True):
            read = self._result(self.open_trial("tell", trial), result)
        if chunk.takes(trial) and trial.number not in self._built:
            return chunk.add(trial, *read)
        chunk.write()
        if chunk.follows and self._share.crowded and not chunk.ahead:
            return self._tell_and_ask(part, trial, result)
        return self.tell(trial, result)

    def _tell_and_ask(self, part: Part, trial: OpenTrial, result: Any) -> Trial:
        """Ends a trial and asks for the next one, with one wait for the other workers."""
        with self._lock, self._share.together():
            told = self.tell(trial, result)
            part.at_work.discard(trial.number)
            if told.status is Status.COMPLETED:
                part.ahead.append(self._ask_for(part))
        return told

    def _tell_raised(self, trial: Trial, error: Exception) -> Trial:
        """Ends a trial whose function has raised."""
        if type(error).__name__ == TrialPruned.__name__:  # Optuna's own, too
            with self._lock:
                if self._curves.best(self.open_trial("tell", trial)) is not None:
                    return self.tell(trial)
        return self.tell(trial, failed=error)

    def stop(self) -> None:
        """Ends `optimize`: it begins no more trials, and those that are running come to their ends.

        Call it from the function, from a callback or from another thread. The next `optimize`
        continues the search.
        """
        self._stop_asked = True

    # -- results ------------------------------------------------------------------------------

    def trials_dataframe(self) -> Any:
        """All trials as a pandas DataFrame, one row each; see `afina.trials.records.as_frame`.

        Raises:
            ArgumentError: pandas is not installed.
        """
        return as_frame(self.trials.values())

    @property
    def best_trial(self) -> Trial:
        """The completed trial with the best score.

        Raises:
            NoTrialError: No trial has been completed; the message says why the trials failed.
        """
        best = self.best_trials(1)
        if not best:
            raise NoTrialError(f"best_trial: {why_no_best(self.trials.values())}")
        return best[0]

    @property
    def best_params(self) -> dict[str, Value]:
        """The values of `best_trial`.

        Raises:
            NoTrialError: No trial has been completed.
            ArgumentError: There are several objectives.
        """
        self._check_one_objective("best_params")
        return dict(self.best_trial.values)

    @property
    def best_value(self) -> float:
        """The score of `best_trial`.

        Raises:
            NoTrialError: No trial has been completed.
            ArgumentError: There are several objectives.
        """
        self._check_one_objective("best_value")
        return float(self.best_trial.score or 0.0)

    def _check_one_objective(self, what: str) -> None:
        if isinstance(self.objective, MultiObjective):
            advice = "Use get_pareto_front()."
            rule = "needs one objective"
            raise ArgumentError(wrong(what, rule, list(self.objective.names), advice))


def _space_of(hp: Any) -> tuple[Builder | None, HyperParameters]:
    """The builder, if there is one, and the space as far as it is known."""
    if isinstance(hp, HyperParameters):
        return None, hp.copy()
    if not callable(hp):
        rule = "must be a HyperParameters or a function build(hp) that draws from one"
        raise ArgumentError(wrong("hp", rule, hp))
    space = HyperParameters()
    discover(space.copy(), hp, space.absorb)
    return hp, space


def default_algorithm(
    objective: Objective,
    *,
    max_epochs: int | None = None,
    stop_when_unlikely: bool = False,
    prior: PriorName | None = "roles",
    per_second: bool = False,
) -> Algorithm[Any]:
    """The algorithm that searches if you choose none.

    Args:
        objective: With several parts the search is for the Pareto front.
        max_epochs: Epochs of a full training; None if the user plans the epochs.
        stop_when_unlikely: Whether the search may end itself.
        prior: What is believed before any trial, see `afina.search.Auto`.
        per_second: Whether to prefer what trains faster among equals.
    """
    if isinstance(objective, MultiObjective):
        return ParetoSearch(seed=0)
    return Auto(
        max_epochs=max_epochs,
        stop_when_unlikely=stop_when_unlikely,
        prior=prior,
        per_second=per_second,
    )


def _seeded(algorithm: Any, seed: int | None, store: TrialStore) -> tuple[Algorithm[Any], int]:
    """The algorithm with the seed that the study runs on, and the seed that its store keeps."""
    own = algorithm.settings().get("seed")
    begun = store.header()
    chosen = own if seed is None and begun is None else choose_seed(store, seed)
    if own is None or chosen == own:
        return algorithm, int(own or 0) if begun is None else begun.seed
    return reseeded(algorithm, chosen), chosen
