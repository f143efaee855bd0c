"""Keras Tuner's `Oracle`: a search as its users drive it by hand."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from afina.errors import ArgumentError, wrong
from afina.search import Algorithm, Done, Suggestion, Wait
from afina.space import HyperParameters
from afina.store import TrialStore, delete_project, open_store
from afina.study import BegunElsewhereError, Budget, SearchState, choose_seed
from afina.trials import Decision, create_objective
from afina.trials import Trial as StoredTrial
from afina.tuners import face_trials
from afina.tuners.best_first import best_first
from afina.tuners.custom_oracles import (
    OracleDisplay,
    OwnState,
    Picture,
    TriedHashes,
    made_folder,
    named_trial,
    restore_state,
    synchronized,
    values_hash,
    warn_renamed,
    whole_state,
)
from afina.tuners.joining import next_of
from afina.tuners.oracle_arguments import (
    check_arguments,
    check_no_new_entries,
    check_space,
    draw_seed,
)
from afina.tuners.overrides import is_overridden
from afina.tuners.populated import door_of, search_in
from afina.tuners.reserved_keys import with_schedule
from afina.tuners.trial import Trial, TrialStatus


class Oracle:
    """Chooses what to try and keeps what came of it.

    To search in your own way, override `populate_space`; to score in your own way, `score_trial`.

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

    budget: Budget | None = None
    """What limits the search beside `max_trials`; set it before the project is opened."""
    known: tuple[StoredTrial, ...] = ()
    """Trials of an earlier search that teach this one."""
    again: bool = False
    """Whether it goes on after an earlier search."""
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
        self._asked_seed = self._wished_seed = None if seed is None else int(seed)
        self.max_retries_per_trial = max_retries_per_trial
        self.max_consecutive_failed_trials = max_consecutive_failed_trials
        self._hyperparameters = HyperParameters()
        if hyperparameters is not None:
            self._hyperparameters = hyperparameters.copy()
            self._hyperparameters.bind()
        self.verbose = "auto"
        self._max_collisions = 20
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Makes this an oracle that has not searched yet."""
        self.trials: dict[str, Trial] = face_trials.FaceTrials()
        self.ongoing_trials: dict[str, Trial] = {}
        self.tuner_ids: set[str] = set()
        self._seed = self._asked_seed
        self._own_seed_state: int | None = None
        self._why_done = "the oracle has nothing more to propose"
        self._folder: Path | None = None
        self.given_store = None
        self._search_state: SearchState | None = None
        self._ids = face_trials.TrialIds()
        self._with_curves: set[str] = set()
        self._tried: TriedHashes | None = None
        self._own_state = OwnState()
        self._display = OracleDisplay()
        self._retry_queue: list[str] = []  # for copied code: the search has a queue of its own

    @property
    def stop_reason(self) -> str:
        """Why the search has stopped, or why it would: the words of `Study.stop_reason`."""
        return (self._search_state and self._search_state.stop_reason) or self._why_done

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
        if self._search_state is None:
            self._asked_seed = self._wished_seed = value

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
        if self._search_state is not None:
            self._search_state.replace_space(hp)

    # -- the algorithm ------------------------------------------------------------------------

    def make_algorithm(self, seed: int) -> Algorithm[Any] | None:
        """The algorithm behind `populate_space`; None if the subclass chooses by itself."""
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
        face_trials.adopt(self)
        answer = door_of(self.search_state).propose()
        if isinstance(answer, Suggestion):
            values = with_schedule(answer.values, answer.schedule, self.id_of)
            return {"status": TrialStatus.RUNNING, "values": values}
        if isinstance(answer, Wait):
            return {"status": TrialStatus.IDLE, "values": None}
        self._why_done = answer.reason
        return {"status": TrialStatus.STOPPED, "values": None}

    def needed_trials(self) -> set[int]:
        """Numbers of finished trials whose models a later trial may continue."""
        return set()

    def score_trial(self, trial: Trial) -> None:
        """Sets `trial.score` and `trial.best_step` from its metrics; override it at will."""
        trial.score = trial.metrics.get_best_value(self.objective.name)
        trial.best_step = trial.metrics.get_best_step(self.objective.name)

    def _random_values(self) -> dict[str, Any] | None:
        """Random values that were not tried before, for custom oracles; None if there are none."""
        return door_of(self.search_state).draws.draw()

    # -- names of Keras Tuner's own oracles -----------------------------------------------------

    multi_worker: ClassVar[bool] = False
    should_report: ClassVar[bool] = True

    @property
    def tried(self) -> TriedHashes:
        """The hashes of all values tried; made when first asked for."""
        if self._tried is None:
            self._tried = TriedHashes(self.trials.values())
        return self._tried

    @property
    def _tried_so_far(self) -> set[str]:
        return self.tried.hashes

    _compute_values_hash = staticmethod(values_hash)

    def _duplicate(self, values: Mapping[str, Any]) -> bool:
        return values_hash(values) in self._tried_so_far

    def _record_values(self, trial: Trial) -> None:
        self.tried.record(trial)

    def _populate_space(self, trial_id: str) -> dict[str, Any]:
        warn_renamed("_populate_space", "populate_space")
        return self.populate_space(trial_id)

    def _score_trial(self, trial: Trial) -> None:
        warn_renamed("_score_trial", "score_trial")
        self.score_trial(trial)

    @property
    def _project_dir(self) -> str:
        return made_folder(self.directory or ".", self.project_name or "untitled_project")

    def _get_trial_dir(self, trial_id: str) -> str:
        return made_folder(self._project_dir, f"trial_{trial_id}")

    def _save_trial(self, trial: Trial) -> None:
        """Does nothing: every change of a trial is kept when it happens."""

    @property
    def _run_times(self) -> dict[str, int]:
        """How often each trial has been run to an end, by its id."""
        trials = self.search_state.trials.values()
        return {self.id_of(t.number): t.attempt + (t.failure is not None) for t in trials}

    @property
    def _seed_state(self) -> int:
        """A number that a subclass may draw with and count up; it is kept with the project."""
        return self.seed if self._own_seed_state is None else self._own_seed_state

    @_seed_state.setter
    def _seed_state(self, value: int) -> None:
        self._own_seed_state = value

    # -- the search behind ----------------------------------------------------------------------

    @property
    def search_state(self) -> SearchState:
        """The search itself; begun in memory where no project folder was set."""
        if self._search_state is None:
            self._begin()
        assert self._search_state is not None
        return self._search_state

    @property
    def study(self) -> SearchState:
        """Another name of `search_state`."""
        return self.search_state

    @synchronized
    def _begin(self) -> None:
        if self._search_state is None:  # no other thread has begun it meanwhile
            self.open()

    @synchronized
    def open(self, store: TrialStore | None = None) -> None:
        """Begins or continues the search in a store; None is the given one, else the project's."""
        if store is None:
            store = open_store(self._folder) if self.given_store is None else self.given_store
        # A seed that was drawn before is no wish: a project keeps its own.
        seed = choose_seed(store, self._asked_seed if store.header() else self._seed)
        try:
            self._search_state = search_in(self, store, seed)
        except BegunElsewhereError:  # in this moment: the seed is theirs
            self._asked_seed = self._wished_seed
            self.open(store)
            return
        self._take_over(self._search_state, seed)

    def _take_over(self, state: SearchState, seed: int) -> None:
        """Makes this oracle's trials, seeds and own state those of the search."""
        store = state.store
        self._asked_seed = self._seed = seed
        entered = {each: self.trials[each] for each in self._ids.strangers(self.trials)}
        self._ids = face_trials.TrialIds(store.note("trial_id_width"))
        for stored in state.trials.values():
            self.ids.learn(stored)  # its width is known, even if nobody has kept it yet
        self._tried = None
        self.ongoing_trials.clear()
        self.trials.clear()
        self.trials.update({self.id_of(n): self.face_of(t) for n, t in state.trials.items()})
        self.trials.update(entered)  # somebody put them in; `adopt` gives them numbers
        self._own_state = OwnState(self._seeds())
        self.take_own_state()

    def take_own_state(self) -> None:
        """Takes over what a subclass has kept with the project, in this process or another."""
        with self._own_state.move():
            seeds, added = self._own_state.read(self.search_state.store)
            if seeds is not None:
                self.seed, self._seed_state = seeds["seed"], seeds["seed_state"]
            if added is not None:
                self.set_state({**self._whole_state(), **added})

    def join(self) -> None:
        """Opens the search that another worker has begun since this one was opened."""
        self._asked_seed = self._wished_seed
        self.open()

    def _set_project_dir(
        self, directory: Any, project_name: str | None, overwrite: bool = False
    ) -> None:
        self.directory, self.project_name = directory, project_name
        self._folder = Path(directory or ".", project_name or "untitled_project")
        self._search_state = None
        if overwrite:
            delete_project(self._folder)

    def anew(
        self,
        hp: HyperParameters,
        known: tuple[StoredTrial, ...],
        max_trials: int | None,
    ) -> Oracle:
        """An oracle like this one that has not searched.

        Args:
            hp: Where it is to search.
            known: Trials that teach it.
            max_trials: How many trials; None for as many as this one.
        """
        other = copy.copy(self)
        other._begin_anew()
        other.hyperparameters, other.known, other.again = hp, known, bool(known)
        other.max_trials = self.max_trials if max_trials is None else max_trials
        return other

    @property
    def ids(self) -> face_trials.TrialIds:
        """The ids of all trials that the search knows."""
        if self._ids.width is None:
            self._ids.width = len(str(self.max_trials)) if self.max_trials else 4
        return self._ids

    def id_of(self, number: int) -> str:
        """The id of the trial with this number: zero-padded digits, unless somebody chose it."""
        return self.ids.id_of(number)

    def number_of(self, trial_id: str) -> int:
        """The number of the trial with this id; ArgumentError if there is none."""
        if trial_id not in self.ids:
            face_trials.adopt(self)
        return self.ids.number_of(trial_id)

    def face_of(self, trial: StoredTrial) -> Trial:
        """The trial as users see it."""
        return face_trials.face_of(self, trial)

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
        face_trials.adopt(self)
        self.tuner_ids.add(tuner_id)
        self.search_state.max_trials = self.max_trials  # users raise it between searches
        answer = next_of(self)
        if self.search_state.changed_elsewhere:
            face_trials.adopt(self)
        if not isinstance(answer, StoredTrial):
            status = TrialStatus.IDLE
            if isinstance(answer, Done):
                self.tuner_ids.discard(tuner_id)
                status = TrialStatus.STOPPED
            return Trial(HyperParameters(), self.id_of(len(self.trials)), status)
        self.ids.keep_width(self.search_state.store)
        self.ids.learn(answer)
        trial = self.face_of(answer)
        if trial.trial_id in self.trials:  # it is run again: who has the object sees it change
            vars(self.trials[trial.trial_id]).update(vars(trial))
            trial = self.trials[trial.trial_id]
        self.trials[trial.trial_id] = self.ongoing_trials[tuner_id] = trial
        self._display.on_trial_begin(trial)
        if self._tried is not None:
            self._tried.record(trial)
        self.keep_own_state()
        return trial

    @synchronized
    def update_trial(self, trial_id: str, metrics: Mapping[str, Any], step: int = 0) -> Trial:
        """Reports metrics of a running trial; a second report of one step is another execution's.

        Args:
            trial_id: The trial's id.
            metrics: The objective must be among them.
            step: The epoch.

        Raises:
            ObjectiveError: The objective is not among the metrics.
        """
        face_trials.adopt(self)
        trial = self.trials[trial_id]
        numbers = face_trials.read_reported(metrics, self.objective)
        face_trials.add_step(trial, numbers, step, self.objective)
        if trial_id not in self._with_curves:
            trial.notes["curves"] = "tracked"
            first = next(iter(numbers))
            seen = {o.step: len(o.value) for o in trial.metrics.get_history(first)}
            stored = self.search_state.trials[self.ids.number_of(trial_id)]
            if not stored.status.finished:
                self.search_state.report(stored, numbers, step=step, execution=seen[step] - 1)
        return trial

    @synchronized
    def report_epoch(
        self, trial_id: str, execution: int, epoch: int, metrics: Mapping[str, float]
    ) -> Decision:
        """Keeps the metrics of one epoch of one execution, beside the tracked best ones; says
        whether the training continues."""
        self._with_curves.add(trial_id)
        stored = self.search_state.trials[self.number_of(trial_id)]
        return self.search_state.report(stored, metrics, epoch, execution)

    @synchronized
    def keep_reports(self) -> None:
        """Writes the reported epochs now, which may otherwise wait for some seconds."""
        self.search_state.keep_reports()

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
        trial = named_trial(self, trial, status, trial_id=trial_id)
        face_trials.adopt(self)
        mine = self.trials.get(trial.trial_id)
        if mine is None:
            raise ArgumentError(wrong("end_trial", "must get a trial of this oracle", trial))
        if mine is not trial:  # a copy that travelled
            vars(mine).update({**vars(trial), "metrics": mine.metrics})
            trial = mine
        face_trials.end(self, trial)
        self._with_curves.discard(trial.trial_id)
        if self._tried is not None:
            self._tried.record(trial)
        for tuner_id, ongoing in list(self.ongoing_trials.items()):
            if ongoing.trial_id == trial.trial_id:
                del self.ongoing_trials[tuner_id]
        self.keep_own_state()
        if trial.status == TrialStatus.FAILED:
            self.search_state.check_failures()

    @synchronized
    def get_space(self) -> HyperParameters:
        """A copy of the search space as known now."""
        return self.hyperparameters.copy()

    @synchronized
    def update_space(self, hyperparameters: HyperParameters) -> None:
        """Takes new hyperparameters into the space, as far as the oracle's arguments allow; raises
        FatalRuntimeError if there are new ones and `allow_new_entries` is False."""
        self.check_entries(hyperparameters)
        if self.tune_new_entries and self._search_state is not None:
            self._search_state.add_space(hyperparameters)
        elif self.tune_new_entries:
            self.hyperparameters.absorb(hyperparameters)

    def check_entries(self, hp: HyperParameters) -> None:
        """Raises FatalRuntimeError for new hyperparameters where none are allowed."""
        if not self.allow_new_entries:
            check_no_new_entries(hp, self.hyperparameters)

    @property
    def start_order(self) -> list[str]:
        """Ids of all trials in the order in which they were begun."""
        return [self.id_of(number) for number in sorted(self.search_state.trials)]

    @property
    def end_order(self) -> list[str]:
        """Ids of the finished trials in the order in which they ended."""
        return [self.id_of(number) for number in self.search_state.ended]

    def get_trial(self, trial_id: str) -> Trial:
        """The trial with this id; KeyError if there is none."""
        return self.trials[trial_id]

    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """The completed trials, best first, and behind them the others in their own order."""
        face_trials.adopt(self)
        found = face_trials.ranked(self.trials.values(), self.objective)[:num_trials]
        for trial in found:
            if not trial.history:
                trial.history = self.search_state.history(self.ids.number_of(trial.trial_id))
        return best_first(found, num_trials, "get_best_trials", self.search_state.trials.values())

    def get_completed_trials(self, num_trials: int = 1) -> list[Trial]:
        """The completed trials, best first; fewer if there are not so many."""
        best = self.get_best_trials(num_trials)
        done = [trial for trial in best if trial.status == TrialStatus.COMPLETED]
        trials = self.search_state.trials.values()
        return best_first(done, num_trials, "get_completed_trials", trials)

    def remaining_trials(self) -> int | None:
        """How many trials are left to begin; None without `max_trials`."""
        return None if self.max_trials is None else max(0, self.max_trials - len(self.trials))

    # -- state of custom oracles ------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """The search as JSON values; a subclass gets its additions back by `set_state`."""
        return Picture(self._whole_state) if self._own_state.moving else self._whole_state()

    def _whole_state(self) -> dict[str, Any]:
        """The state without what a subclass adds."""
        return {**whole_state(self), **self._seeds(), "tried_so_far": sorted(self._tried_so_far)}

    def _seeds(self) -> dict[str, Any]:
        """The numbers that a subclass may draw with and count up."""
        return {"seed": self.seed, "seed_state": self._seed_state}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Takes over what `get_state` of another oracle of this kind returned, if it has no trials.

        A subclass that overrides `get_state` overrides this too, for what it added.
        """
        if not self.trials and not self._own_state.moving:
            restore_state(self, state)

    def save(self) -> None:
        """Keeps a subclass's own state; every change of a trial is on disk already."""
        face_trials.adopt(self)
        self.keep_own_state()

    def reload(self) -> None:
        """Reads the project again."""
        self.open(None if self._folder else self.search_state.store)

    def keep_own_state(self) -> None:
        """Writes what a subclass keeps with the project, if that has changed."""
        with self._own_state.move():
            added = dict(self.get_state()) if is_overridden(self, "get_state") else None
            self._own_state.keep(self.search_state, self._seeds(), added)
