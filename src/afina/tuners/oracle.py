"""Keras Tuner's `Oracle`: the search as its users drive it by hand, over a `Ledger`."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from afina.errors import ArgumentError, FatalRuntimeError, ObjectiveError, wrong
from afina.search import Algorithm, Done, Suggestion, Wait
from afina.space import HyperParameters
from afina.store import (
    TrialStore,
    delete_project,
    open_store,
    row_to_trial,
)
from afina.study import Budget, Ledger, choose_seed
from afina.trials import (
    Decision,
    MultiObjective,
    Report,
    create_objective,
)
from afina.trials import Trial as StoredTrial
from afina.tuners import oracle_names, own_state
from afina.tuners.adoption import TrialIds, adopt
from afina.tuners.best_first import best_first
from afina.tuners.ending import end
from afina.tuners.face_trials import add_step, refresh, track
from afina.tuners.locking import synchronized
from afina.tuners.oracle_arguments import check_arguments, check_space, draw_seed
from afina.tuners.populated import Draws, PopulatedByOracle
from afina.tuners.reserved_keys import with_schedule
from afina.tuners.surroundings import surrounded
from afina.tuners.trial import Trial, TrialStatus


class Oracle:
    """Chooses what to try and keeps what came of it.

    Subclass it and override `populate_space` to search in your own way; `score_trial` to score
    in your own way.

    Args:
        objective: A metric's name, an `Objective`, a list of either, or None for the number that
            a trial returns, to be minimized.
        max_trials: How many trials in all; None for as many as the algorithm has.
        hyperparameters: Entries that override those of the same name in the model's build.
        allow_new_entries: False refuses hyperparameters that are not in `hyperparameters`.
        tune_new_entries: False leaves those at their defaults.
        seed: Fixes every draw; 0 is a seed. None draws one and keeps it with the project.
        max_retries_per_trial: How often a failed trial is run again.
        max_consecutive_failed_trials: The search stops when so many in a row have failed. Models
            above `max_model_size` and trials that raise `FailedTrialError` do not count.

    Raises:
        ArgumentError: One of these is out of range.
        ObjectiveError: The objective is not known.
    """

    stop_reason: ClassVar[str] = "the oracle has nothing more to propose"
    budget: Budget | None = None
    """What limits the search beside `max_trials`; set it before the project is opened."""
    known: tuple[StoredTrial, ...] = ()
    """Trials of an earlier search that teach this one."""
    given_store: TrialStore | None = None
    """Keeps the trials, in place of the project's folder; set it before the project is opened."""
    narrow_every: int | None = None
    """Trials after which the space is narrowed to the advised one; None never."""
    directory: Any = None
    """The folder in which the project's folder lies; None before a tuner has set it."""
    project_name: str | None = None
    """The name of the project's folder; None before a tuner has set it."""

    def __init__(
        self,
        objective: Any = None,
        max_trials: int | None = None,
        hyperparameters: HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        seed: int | None = None,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
    ) -> None:
        check_arguments(
            hyperparameters=hyperparameters,
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            seed=seed,
            max_trials=max_trials,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        self.objective = create_objective(objective)
        self.max_trials = max_trials
        self.allow_new_entries = allow_new_entries
        self.tune_new_entries = tune_new_entries
        self._asked_seed = self._seed = None if seed is None else int(seed)
        self._own_seed_state: int | None = None
        self.max_retries_per_trial = max_retries_per_trial
        self.max_consecutive_failed_trials = max_consecutive_failed_trials
        self._hyperparameters = HyperParameters()
        if hyperparameters is not None:
            self._hyperparameters = hyperparameters.copy()
            self._hyperparameters.bind()
        self.trials: dict[str, Trial] = {}
        self.ongoing_trials: dict[str, Trial] = {}
        self.tuner_ids: set[str] = set()
        self.verbose = "auto"
        self._folder: Path | None = None
        self._study: Ledger | None = None
        self._ids = TrialIds()
        self._with_curves: set[str] = set()
        self._tried: oracle_names.Tried | None = None
        self._draws: Draws | None = None
        self._max_collisions = 20
        self._moving_state = False  # while the search itself calls `get_state` or `set_state`
        self._kept_state: Mapping[str, str] = {}

    @property
    def verbose(self) -> Any:
        """0 is silent, 1 is not; "auto" is 1."""
        return self._verbose

    @verbose.setter
    def verbose(self, value: Any) -> None:
        """Keras' "auto" becomes 1."""
        self._verbose = 1 if value == "auto" else value

    @property
    def seed(self) -> int:
        """What fixes every draw; drawn where none was given, as soon as somebody asks."""
        if self._seed is None:
            self._seed = draw_seed()
        return self._seed

    @seed.setter
    def seed(self, value: int | None) -> None:
        """After the search has begun it changes no draw but those of a subclass's own."""
        self._seed = value
        if self._study is None:
            self._asked_seed = value

    @property
    def hyperparameters(self) -> HyperParameters:
        """The search space as known now."""
        return self._hyperparameters

    @hyperparameters.setter
    def hyperparameters(self, hp: HyperParameters) -> None:
        """Searches in this space from now on; what is defined in it later counts too."""
        check_space(hp)
        hp.bind()
        self._hyperparameters = hp
        if self._study is not None:
            self._study.replace_space(hp)

    # -- the algorithm ------------------------------------------------------------------------

    def make_algorithm(self, seed: int) -> Algorithm[Any] | None:
        """The algorithm behind `populate_space`; None where the subclass chooses by itself."""
        del seed
        return None

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Chooses the values of the next trial: override it to search in your own way.

        Args:
            trial_id: The id that the trial will have.

        Returns:
            `{"status": "RUNNING", "values": {name: value}}`, or `{"status": "IDLE"}` when it must
            wait for running trials, or `{"status": "STOPPED"}` when the search is over.
        """
        adopt(self)
        study = self.study
        door = study.algorithm
        assert isinstance(door, PopulatedByOracle)
        answer = door.inner.ask(study.state, study.situation())
        if isinstance(answer, Suggestion):
            values = with_schedule(answer.values, answer.schedule, self.id_of)
            return {"status": TrialStatus.RUNNING, "values": values}
        if isinstance(answer, Wait):
            return {"status": TrialStatus.IDLE, "values": None}
        self.stop_reason = answer.reason  # type: ignore[misc]
        return {"status": TrialStatus.STOPPED, "values": None}

    def needed_trials(self) -> set[int]:
        """Numbers of finished trials whose models a later trial may go on training."""
        return set()

    def score_trial(self, trial: Trial) -> None:
        """Sets `trial.score` and `trial.best_step` from its metrics: override it at will."""
        trial.score = trial.metrics.get_best_value(self.objective.name)
        trial.best_step = trial.metrics.get_best_step(self.objective.name)

    def _random_values(self) -> dict[str, Any] | None:
        """Random values that were not tried before, for custom oracles; None if there are none."""
        return self.draws.draw()

    @property
    def draws(self) -> Draws:
        """Where `_random_values` come from."""
        if self._draws is None or self._draws.study is not self.study:
            self._draws = Draws(self.study)
        return self._draws

    # -- names of Keras Tuner's own oracles -----------------------------------------------------

    multi_worker: ClassVar[bool] = False
    should_report: ClassVar[bool] = True
    _compute_values_hash = oracle_names.compute_values_hash
    _duplicate = oracle_names.duplicate
    _record_values = oracle_names.record_values
    _populate_space = oracle_names.populate_space
    _score_trial = oracle_names.score_trial
    _project_dir = property(oracle_names.get_project_dir)
    _get_trial_dir = oracle_names.get_trial_dir
    _save_trial = oracle_names.save_trial
    _run_times = property(oracle_names.get_run_times)

    @property
    def tried(self) -> oracle_names.Tried:
        """The hashes of all values tried, for `_tried_so_far`; made when first asked for."""
        if self._tried is None:
            self._tried = oracle_names.Tried()
            for trial in self.trials.values():
                self._tried.record(trial)
        return self._tried

    @property
    def _tried_so_far(self) -> set[str]:
        return self.tried.hashes

    @property
    def _seed_state(self) -> int:
        """A number that a subclass may draw with and count up; it is kept with the project."""
        return self.seed if self._own_seed_state is None else self._own_seed_state

    @_seed_state.setter
    def _seed_state(self, value: int) -> None:
        self._own_seed_state = value

    # -- the study behind -----------------------------------------------------------------------

    @property
    def study(self) -> Ledger:
        """The search itself; begun in memory where no project folder was set."""
        if self._study is None:
            self._begin()
        assert self._study is not None
        return self._study

    @synchronized
    def _begin(self) -> None:
        if self._study is None:  # no other thread has begun it meanwhile
            self.open(self.make_store())

    def make_store(self) -> TrialStore:
        """The store of the search: the one given, else that of the project's folder."""
        return open_store(self._folder) if self.given_store is None else self.given_store

    @synchronized
    def open(self, store: TrialStore) -> None:
        """Begins a search in `store`, or goes on with the one that it holds."""
        # A seed that was drawn before is no wish: a project goes on with its own.
        seed = choose_seed(store, self._asked_seed if store.header() else self._seed)
        algorithm = PopulatedByOracle(self, surrounded(self, self.make_algorithm(seed), seed))
        self._study = Ledger(
            algorithm=algorithm,
            objective=self.objective,
            hp=self.hyperparameters,
            store=store,
            seed=seed,
            max_trials=self.max_trials,
            max_retries=self.max_retries_per_trial,
            max_consecutive_failed=self.max_consecutive_failed_trials,
            may_grow=self.tune_new_entries,
            budget=self.budget,
        )
        self._asked_seed = self._seed = seed
        entered = {each: self.trials[each] for each in self._ids.strangers(self.trials)}
        self._ids, self._tried = TrialIds(), None
        self._ids.width = store.note("trial_id_width")
        for stored in self._study.trials.values():
            self._ids.learn(stored)
        self.ongoing_trials.clear()
        self.trials.clear()
        self.trials.update({self.id_of(n): self.face_of(t) for n, t in self._study.trials.items()})
        self.trials.update(entered)  # somebody put them in; `adopt` gives them numbers
        self._kept_state = own_state.kept_at_first(self)
        self._moving_state = True
        try:
            own_state.restore(self, store)
        finally:
            self._moving_state = False

    def _set_project_dir(
        self, directory: Any, project_name: str | None, overwrite: bool = False
    ) -> None:
        self.directory, self.project_name = directory, project_name
        self._folder, self._study = Path(directory or ".", project_name or "untitled_project"), None
        if overwrite:
            delete_project(self._folder)

    def anew(
        self, hp: HyperParameters, known: tuple[StoredTrial, ...], max_trials: int | None
    ) -> Oracle:
        """An oracle like this one that has not searched.

        Args:
            hp: Where it is to search.
            known: Trials that teach it.
            max_trials: How many trials; None for as many as this one.
        """
        other = copy.copy(self)
        other._study, other._folder, other.given_store = None, None, None
        other.trials, other.ongoing_trials, other.tuner_ids = {}, {}, set()
        other._with_curves, other._tried, other._own_seed_state = set(), None, None
        other._seed, other.known = other._asked_seed, known
        other.max_trials = self.max_trials if max_trials is None else max_trials
        other.hyperparameters = hp
        return other

    @property
    def ids(self) -> TrialIds:
        """The ids of all trials that the search knows."""
        if self._ids.width is None:
            self._ids.width = len(str(self.max_trials)) if self.max_trials else 4
        return self._ids

    def id_of(self, number: int) -> str:
        """The id of the trial with this number: zero-padded digits, unless somebody chose it."""
        return self.ids.id_of(number)

    def number_of(self, trial_id: str) -> int:
        """The number of the trial with this id.

        Raises:
            ArgumentError: There is none.
        """
        if trial_id not in self.ids:
            adopt(self)
        return self.ids.number_of(trial_id)

    def label_of(self, number: int) -> str:
        """What people call a trial: its number, without leading zeros, or the id somebody chose."""
        return self.ids.label_of(number)

    def face_of(self, trial: StoredTrial) -> Trial:
        """The trial as users see it."""
        hp = HyperParameters.for_trial(self.hyperparameters, trial.values, trial.ranges)
        hp.values = with_schedule(hp.values, trial.schedule, self.id_of)
        face = Trial(hp, trial_id=self.id_of(trial.number))
        if trial.notes.get("curves") == "tracked":
            track(face, self.study_history(trial.number))
        refresh(face, trial, self.objective)
        return face

    def study_history(self, number: int) -> list[Report]:
        """Every epoch of every execution of a trial's last attempt."""
        attempt = self.study.trials[number].attempt
        return [each for each in self.study.store.history(number) if each.attempt == attempt]

    # -- trials ---------------------------------------------------------------------------------

    @synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        """Hands out a trial to run.

        Args:
            tuner_id: Who runs it; one who has a trial already gets the same one again.

        Returns:
            A trial whose status is RUNNING, or IDLE (ask again later), or STOPPED (no more).
        """
        if tuner_id in self.ongoing_trials:
            return self.ongoing_trials[tuner_id]
        adopt(self)
        self.tuner_ids.add(tuner_id)
        self.study.max_trials = self.max_trials  # users raise it between searches
        answer = self.study.next()
        if not isinstance(answer, StoredTrial):
            waiting = isinstance(answer, Wait)
            if isinstance(answer, Done):
                self.stop_reason = answer.reason  # type: ignore[misc]
                self.tuner_ids.discard(tuner_id)
            status = TrialStatus.IDLE if waiting else TrialStatus.STOPPED
            return Trial(HyperParameters(), self.id_of(len(self.trials)), status)
        if self.study.store.note("trial_id_width") is None:
            self.study.store.set_note("trial_id_width", self.ids.width)
        self.ids.learn(answer)
        trial = self.face_of(answer)
        if trial.trial_id in self.trials:  # it is run again: who has the object sees it change
            vars(self.trials[trial.trial_id]).update(vars(trial))
            trial = self.trials[trial.trial_id]
        self.trials[trial.trial_id] = self.ongoing_trials[tuner_id] = trial
        self._record(trial)
        self._save_custom_state()
        return trial

    def _record(self, trial: Trial) -> None:
        if self._tried is not None:
            self._tried.record(trial)

    @synchronized
    def update_trial(self, trial_id: str, metrics: Mapping[str, Any], step: int = 0) -> Trial:
        """Reports metrics of a running trial; a second report of one step is another execution's.

        Args:
            trial_id: Of the trial.
            metrics: The objective must be among them.
            step: The epoch.

        Returns:
            The trial.

        Raises:
            ObjectiveError: The objective is not among the metrics.
        """
        adopt(self)
        trial = self.trials[trial_id]
        numbers = {name: float(value) for name, value in metrics.items()}
        if not self.objective.has_value(numbers):
            expected, found = list(self.objective.names), sorted(numbers)
            raise ObjectiveError(
                "Objective value missing in metrics reported to the Oracle, "
                f"expected: {expected}, found: {found}."
            )
        if isinstance(self.objective, MultiObjective):
            numbers.setdefault(self.objective.name, self.objective.get_value(numbers))
        add_step(trial, numbers, step, self.objective)
        if trial_id not in self._with_curves:
            trial.notes["curves"] = "tracked"
            first = next(iter(numbers))
            seen = {o.step: len(o.value) for o in trial.metrics.get_history(first)}
            stored = self.study.trials[self.ids.number_of(trial_id)]
            if not stored.status.finished:
                self.study.report(stored, numbers, step=step, execution=seen[step] - 1)
        return trial

    @synchronized
    def report_epoch(
        self, trial_id: str, execution: int, epoch: int, metrics: Mapping[str, float]
    ) -> Decision:
        """Keeps the metrics of one epoch of one execution, beside the tracked best ones.

        Returns:
            Whether the training is to go on.
        """
        self._with_curves.add(trial_id)
        stored = self.study.trials[self.number_of(trial_id)]
        return self.study.report(stored, metrics, epoch, execution)

    @synchronized
    def end_trial(
        self,
        trial: Trial | str | None = None,
        status: str | None = None,
        *,
        trial_id: str | None = None,
    ) -> None:
        """Ends a trial: scores it, or queues it to be run again, or records its failure.

        Args:
            trial: The trial, its status set to COMPLETED, INVALID (failed, to be retried) or
                FAILED; or its id. With another status it ends without a score, and keeps it.
            status: With an id: the status.
            trial_id: The id, as Keras Tuner's old form names it.

        Raises:
            SearchFailedError: Too many trials in a row have failed.
        """
        if trial is None or isinstance(trial, str):
            trial = self.trials[str(trial_id if trial is None else trial)]
            trial.status = status or TrialStatus.COMPLETED
        adopt(self)
        mine = self.trials.get(trial.trial_id)
        if mine is None:
            raise ArgumentError(wrong("end_trial", "must get a trial of this oracle", trial))
        if mine is not trial:  # a copy that travelled
            vars(mine).update({**vars(trial), "metrics": mine.metrics})
            trial = mine
        end(self, trial)
        self._with_curves.discard(trial.trial_id)
        self._record(trial)
        for tuner_id, ongoing in list(self.ongoing_trials.items()):
            if ongoing.trial_id == trial.trial_id:
                del self.ongoing_trials[tuner_id]
        self._save_custom_state()
        if trial.status == TrialStatus.FAILED:
            self.study.check_failures()

    @synchronized
    def get_space(self) -> HyperParameters:
        """A copy of the search space as known now."""
        return self.hyperparameters.copy()

    @synchronized
    def update_space(self, hyperparameters: HyperParameters) -> None:
        """Takes new hyperparameters into the space, as far as the oracle's arguments allow.

        Raises:
            FatalRuntimeError: There are new ones and `allow_new_entries` is False.
        """
        self.check_entries(hyperparameters)
        if not self.tune_new_entries:
            return
        if self._study is not None:
            self._study.add_space(hyperparameters)
        else:
            self.hyperparameters.absorb(hyperparameters)

    def check_entries(self, hp: HyperParameters) -> None:
        """Raises FatalRuntimeError for new hyperparameters where none are allowed."""
        if self.allow_new_entries:
            return
        known = {(entry.name, entry.conditions) for entry in self.hyperparameters.space}
        new = [e for e in hp.space if (e.name, e.conditions) not in known]
        if new:
            raise FatalRuntimeError(
                "`allow_new_entries` is `False`, but found new entries in the search space: "
                f"{[entry.name for entry in new]}. Add them to hyperparameters=..., or allow them."
            )

    @property
    def start_order(self) -> list[str]:
        """Ids of all trials in the order in which they were begun."""
        return [self.id_of(number) for number in sorted(self.study.trials)]

    @property
    def end_order(self) -> list[str]:
        """Ids of the finished trials in the order in which they ended."""
        return [self.id_of(number) for number in self.study.ended]

    def get_trial(self, trial_id: str) -> Trial:
        """The trial with this id; KeyError where there is none."""
        return self.trials[trial_id]

    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """The completed trials, best first, and behind them the others in their own order."""
        adopt(self)
        scored: list[Trial] = []
        others: list[Trial] = []
        for trial in self.trials.values():
            completed = trial.status == TrialStatus.COMPLETED and trial.score is not None
            (scored if completed else others).append(trial)
        # By the score of the object that people see: it may be theirs.
        scored.sort(key=lambda trial: self.objective.loss(float(trial.score or 0.0)))
        found = [*scored, *others][:num_trials]
        for trial in found:
            if not trial.history:
                trial.history = self.study_history(self.ids.number_of(trial.trial_id))
        return best_first(found, num_trials, "get_best_trials", self.study.trials.values())

    def get_completed_trials(self, num_trials: int = 1) -> list[Trial]:
        """The completed trials, best first; fewer where there are not so many."""
        found = self.get_best_trials(num_trials)
        completed = [trial for trial in found if trial.status == TrialStatus.COMPLETED]
        stored = self.study.trials.values()
        return best_first(completed, num_trials, "get_completed_trials", stored)

    def remaining_trials(self) -> int | None:
        """How many trials are left to begin; None without `max_trials`."""
        return None if self.max_trials is None else max(0, self.max_trials - len(self.trials))

    # -- state of custom oracles ------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """A picture of the search, as JSON values; a subclass's own comes back by `set_state`."""
        return own_state.Picture(self) if self._moving_state else own_state.whole(self)

    def overrides_state(self) -> bool:
        """Whether a subclass adds to the state."""
        return type(self).get_state is not Oracle.get_state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Takes over what `get_state` of another oracle of the same kind returned.

        An oracle that has trials of its own keeps them, and this does nothing. A subclass that
        overrides `get_state` overrides this as well, for what it added.
        """
        if self.trials or self._moving_state:
            return
        self.seed = state["seed"]
        self.hyperparameters = HyperParameters.from_config(state["hyperparameters"])
        self.open(self.make_store())
        if self.trials:
            return
        self.study.begin()
        for row in state["trials"]:
            self.study.store.put(row_to_trial(row))
        self.open(self.study.store)

    def save(self) -> None:
        """Keeps a subclass's own state; every change of a trial is on disk already."""
        adopt(self)
        self._save_custom_state()

    def reload(self) -> None:
        """Reads the project again."""
        self.open(self.make_store() if self._folder else self.study.store)

    def _save_custom_state(self) -> None:
        self._moving_state = True
        try:
            self._kept_state = own_state.keep(self, self._kept_state)
        finally:
            self._moving_state = False
