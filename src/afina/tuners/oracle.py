"""Keras Tuner's `Oracle`: the search as its users drive it by hand, over a `Ledger`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from afina.errors import ArgumentError, FatalRuntimeError, ObjectiveError, wrong
from afina.search import Algorithm, Done, Suggestion, Wait
from afina.space import HyperParameters
from afina.store import MemoryStore, TrialStore, open_store, row_to_trial, trial_to_row
from afina.study import Budget, Ledger, choose_seed
from afina.trials import (
    Decision,
    Failure,
    FailureKind,
    MultiObjective,
    Report,
    Status,
    create_objective,
)
from afina.trials import Trial as StoredTrial
from afina.tuners.face_trials import add_step, metrics_at_best, refresh, track
from afina.tuners.locking import synchronized
from afina.tuners.oracle_arguments import check_arguments
from afina.tuners.populated import PopulatedByOracle, random_values
from afina.tuners.reserved_keys import split_schedule, with_schedule
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
    narrow_every: int | None = None
    """Trials after which the space is narrowed to the advised one; None never."""

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
        check_arguments(hyperparameters, allow_new_entries, tune_new_entries, seed)
        self.objective = create_objective(objective)
        self.max_trials = max_trials
        self.allow_new_entries = allow_new_entries
        self.tune_new_entries = tune_new_entries
        self.seed = None if seed is None else int(seed)
        self.max_retries_per_trial = max_retries_per_trial
        self.max_consecutive_failed_trials = max_consecutive_failed_trials
        self.hyperparameters = HyperParameters()
        if hyperparameters is not None:
            self.hyperparameters = hyperparameters.copy()
            self.hyperparameters.bind()
        self.trials: dict[str, Trial] = {}
        self.ongoing_trials: dict[str, Trial] = {}
        self.verbose = "auto"
        self._folder: Path | None = None
        self._study: Ledger | None = None
        self._id_width: int | None = None
        self._with_curves: set[str] = set()

    @property
    def verbose(self) -> Any:
        """0 is silent, 1 is not; "auto" is 1."""
        return self._verbose

    @verbose.setter
    def verbose(self, value: Any) -> None:
        """Keras' "auto" becomes 1."""
        self._verbose = 1 if value == "auto" else value

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
        study = self.study
        inner = study.algorithm.inner if isinstance(study.algorithm, PopulatedByOracle) else None
        if inner is None:
            raise NotImplementedError(f"{type(self).__name__} must override populate_space.")
        answer = inner.ask(study.state, study.situation())
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
        return random_values(self.study)

    # -- the study behind -----------------------------------------------------------------------

    @property
    def study(self) -> Ledger:
        """The search itself; begun in memory where no project folder was set."""
        if self._study is None:
            self.open(open_store(self._folder))
        assert self._study is not None
        return self._study

    def open(self, store: TrialStore) -> None:
        """Begins a search in `store`, or goes on with the one that it holds."""
        seed = choose_seed(store, self.seed)
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
        self.seed = seed
        self._id_width = store.note("trial_id_width")
        self.ongoing_trials.clear()
        self.trials.clear()
        self.trials.update({self.id_of(n): self._face(t) for n, t in self._study.trials.items()})
        state = store.note("oracle_state")
        if state is not None:
            self.set_state(state)

    def _set_project_dir(self, directory: str | Path | None, project_name: str | None) -> None:
        self._folder, self._study = Path(directory or ".", project_name or "untitled_project"), None

    def id_of(self, number: int) -> str:
        """The id of the trial with this number: digits, zero-padded."""
        if self._id_width is None:
            self._id_width = len(str(self.max_trials)) if self.max_trials else 4
        return f"{number:0{self._id_width}d}"

    def _face(self, trial: StoredTrial) -> Trial:
        """The trial as users see it."""
        hp = HyperParameters.for_trial(self.hyperparameters, trial.values, trial.ranges)
        hp.values = with_schedule(hp.values, trial.schedule, self.id_of)
        face = Trial(hp, trial_id=self.id_of(trial.number))
        if trial.notes.get("curves") == "tracked":
            track(face, self.study_history(trial.number))
        refresh(face, trial)
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
        self.study.max_trials = self.max_trials  # users raise it between searches
        answer = self.study.next()
        if not isinstance(answer, StoredTrial):
            waiting = isinstance(answer, Wait)
            if isinstance(answer, Done):
                self.stop_reason = answer.reason  # type: ignore[misc]
            status = TrialStatus.IDLE if waiting else TrialStatus.STOPPED
            return Trial(HyperParameters(), self.id_of(len(self.trials)), status)
        if self.study.store.note("trial_id_width") is None:
            self.study.store.set_note("trial_id_width", self._id_width)
        trial = self._face(answer)
        self.trials[trial.trial_id] = self.ongoing_trials[tuner_id] = trial
        self._save_custom_state()
        return trial

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
            stored = self.study.trials[int(trial_id)]
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
        return self.study.report(self.study.trials[int(trial_id)], metrics, epoch, execution)

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
                FAILED; or its id.
            status: With an id: the status.
            trial_id: The id, as Keras Tuner's old form names it.

        Raises:
            SearchFailedError: Too many trials in a row have failed.
        """
        if trial is None or isinstance(trial, str):
            trial = self.trials[str(trial_id if trial is None else trial)]
            trial.status = status or TrialStatus.COMPLETED
        mine = self.trials.get(trial.trial_id)
        if mine is None:
            raise ArgumentError(wrong("end_trial", "must get a trial of this oracle", trial))
        if mine is not trial:  # a copy that travelled
            vars(mine).update({**vars(trial), "metrics": mine.metrics})
            trial = mine
        self._end(trial)
        for tuner_id, ongoing in list(self.ongoing_trials.items()):
            if ongoing.trial_id == trial.trial_id:
                del self.ongoing_trials[tuner_id]
        self._save_custom_state()
        if trial.status == TrialStatus.FAILED:
            self.study.check_failures()

    def _end(self, trial: Trial) -> None:
        stored = self.study.trials[int(trial.trial_id)]
        self._check_entries(trial.hyperparameters)
        hp = trial.hyperparameters.copy()
        hp.values, _ = split_schedule(hp.values)
        if trial.status == TrialStatus.COMPLETED:
            self.score_trial(trial)
            score = math.nan if trial.score is None else float(trial.score)
            metrics = metrics_at_best(trial)
            best, notes = trial.best_step, trial.notes
            ended = self.study.complete(
                stored, metrics, score=score, best_step=best, hp=hp, notes=notes
            )
        else:
            why = trial.message or f"The trial ended with status {trial.status}."
            failure = trial.failure or Failure(FailureKind.ERROR, why)
            retry = trial.status == TrialStatus.INVALID
            ended = self.study.fail(stored, failure, retry=retry, hp=hp, notes=trial.notes)
        self._with_curves.discard(trial.trial_id)
        if ended.status is Status.WAITING:  # the rerun starts with a clean record
            trial.metrics = type(trial.metrics)()
            trial.score = None
        refresh(trial, ended)

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
        self._check_entries(hyperparameters)
        if not self.tune_new_entries:
            return
        if self._study is not None:
            self._study.add_space(hyperparameters)
        else:
            self.hyperparameters.absorb(hyperparameters)

    def _check_entries(self, hp: HyperParameters) -> None:
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
        best = self.study.best_trials(num_trials)
        numbers = [trial.number for trial in best]
        if len(best) < num_trials:
            numbers += [n for n in sorted(self.study.trials) if n not in set(numbers)]
        found = [self.trials[self.id_of(number)] for number in numbers[:num_trials]]
        for trial in found:
            if not trial.history:
                trial.history = self.study_history(int(trial.trial_id))
        return found

    def get_completed_trials(self, num_trials: int = 1) -> list[Trial]:
        """The completed trials, best first; fewer where there are not so many."""
        found = self.get_best_trials(num_trials)
        return [trial for trial in found if trial.status == TrialStatus.COMPLETED]

    def remaining_trials(self) -> int | None:
        """How many trials are left to begin; None without `max_trials`."""
        return None if self.max_trials is None else max(0, self.max_trials - len(self.trials))

    # -- state of custom oracles ------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """A picture of the search, as JSON values; a subclass's own comes back by `set_state`."""
        return {
            "hyperparameters": self.hyperparameters.get_config(),
            "start_order": self.start_order,
            "end_order": self.end_order,
            "ongoing_trials": {who: t.trial_id for who, t in self.ongoing_trials.items()},
            "seed": self.study.seed,
            "trials": [trial_to_row(trial) for trial in self.study.trials.values()],
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Takes over what `get_state` of another oracle of the same kind returned.

        An oracle that has trials of its own keeps them, and this does nothing. A subclass that
        overrides `get_state` overrides this as well, for what it added.
        """
        if self.trials:
            return
        self.seed = state["seed"]
        self.hyperparameters = HyperParameters.from_config(state["hyperparameters"])
        self.open(MemoryStore() if self._folder is None else open_store(self._folder))
        if self.trials:
            return
        self.study.begin()
        for row in state["trials"]:
            self.study.store.put(row_to_trial(row))
        self.open(self.study.store)

    def save(self) -> None:
        """Kept for Keras Tuner's users: every change is on disk already."""
        self._save_custom_state()

    def reload(self) -> None:
        """Reads the project again."""
        self.open(open_store(self._folder) if self._folder else self.study.store)

    def _save_custom_state(self) -> None:
        if type(self).get_state is not Oracle.get_state:
            self.study.store.set_note("oracle_state", self.get_state())
