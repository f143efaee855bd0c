"""The trials as Keras Tuner's users see them: made from stored ones, adopted, ended.

    store ── stored trial ──▶ refresh, track ──▶ face trial (mutable) ──▶ end, adopt ──▶ store

Keras Tuner's `Oracle.trials` is a plain dict, and oracles that people write, and their tests, put
trials into it, under ids of their own and often finished: `adopt` takes them into the search. The
search counts its trials by numbers; it keeps an id of another form as a note.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, Self

from afina.errors import ArgumentError, ObjectiveError, wrong
from afina.space import HyperParameters
from afina.store import TrialStore
from afina.study import ENDED_AS, SearchState, is_queued
from afina.trials import (
    Failure,
    FailureKind,
    MultiObjective,
    Objective,
    Report,
    Status,
    failure_of,
)
from afina.trials import Trial as StoredTrial
from afina.tuners.model_objective import maximized
from afina.tuners.reserved_keys import split_schedule, with_schedule
from afina.tuners.trial import Trial, TrialStatus

OWN_ID = "trial_id"
"""The note of a trial whose id is not its number."""

_STATUS = {
    Status.RUNNING: TrialStatus.RUNNING,
    Status.WAITING: TrialStatus.INVALID,
    Status.COMPLETED: TrialStatus.COMPLETED,
    Status.FAILED: TrialStatus.FAILED,
}


class TrialIds:
    """Translates between ids of trials and their numbers.

    Args:
        width: Digits of an id that is the trial's number; None until the first trial is made.
    """

    def __init__(self, width: int | None = None) -> None:
        self.width = width
        self._is_kept = width is not None
        self._own: dict[int, str] = {}
        self._numbers: dict[str, int] = {}

    def __contains__(self, trial_id: str) -> bool:
        return trial_id in self._numbers

    def keep_width(self, store: TrialStore) -> None:
        """Writes the width into the project, unless it is there."""
        if self._is_kept:
            return
        if store.note("trial_id_width") is None:
            store.set_note("trial_id_width", self.width)
        self._is_kept = True

    def learn(self, trial: StoredTrial) -> None:
        """Records the id of a trial that the search knows."""
        own = trial.notes.get(OWN_ID)
        if own is not None:
            self._own[trial.number] = own
        self._numbers[self.id_of(trial.number)] = trial.number

    def id_of(self, number: int) -> str:
        """The id of a trial: its own, else its number with leading zeros."""
        if number in self._own:
            return self._own[number]
        trial_id = f"{number:0{self.width or 4}d}"
        taken = self._numbers.get(trial_id, number) != number
        return f"{trial_id}-{number}" if taken else trial_id  # somebody gave it to another trial

    def label_of(self, number: int) -> str:
        """What people call a trial: its own id, else its number."""
        return self._own.get(number, str(number))

    def strangers(self, trial_ids: Iterable[str]) -> list[str]:
        """The ids that belong to no trial of the search, in their order."""
        return [each for each in trial_ids if each not in self._numbers]

    def number_of(self, trial_id: str) -> int:
        """The number of a trial.

        Raises:
            ArgumentError: No trial has this id.
        """
        if trial_id not in self._numbers:
            raise ArgumentError(wrong("trial_id", "must be the id of a trial", trial_id))
        return self._numbers[trial_id]


class FaceTrials(dict[str, Trial]):
    """`Oracle.trials`: a dict that knows what was put into it since the last call of `seen`.

    Without this, each trial of a long search would look through all ids for new ones.

    Example:
        >>> trials = FaceTrials()
        >>> trials["mine"] = None
        >>> trials.entered()
        ['mine']
        >>> trials.seen()
        >>> trials.entered()
        []
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """An empty one."""
        made = super().__new__(cls)
        made._new = []  # here, as a pickle puts the entries in before it restores attributes
        return made

    _new: list[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._new.extend(self)

    def entered(self) -> list[str]:
        """The ids that came since then and are still there, in their order."""
        return [each for each in dict.fromkeys(self._new) if each in self]

    def seen(self) -> None:
        """Forgets what came."""
        self._new.clear()

    def __setitem__(self, trial_id: str, trial: Trial) -> None:
        super().__setitem__(trial_id, trial)
        self._new.append(trial_id)

    def setdefault(self, trial_id: str, trial: Trial) -> Trial:
        """As of a dict."""
        self._new.append(trial_id)
        return super().setdefault(trial_id, trial)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """As of a dict."""
        for trial_id, trial in dict(*args, **kwargs).items():
            self[trial_id] = trial

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]
        self.update(other)
        return self


class Owner(Protocol):
    """What trials need from the oracle that they belong to; see `Oracle`."""

    objective: Objective
    trials: dict[str, Trial]

    @property
    def hyperparameters(self) -> HyperParameters:
        """The search space."""

    @property
    def search_state(self) -> SearchState:
        """The search."""

    @property
    def ids(self) -> TrialIds:
        """The ids of all trials that the search knows."""

    def score_trial(self, trial: Trial) -> None:
        """Sets the trial's score and best step."""

    def check_entries(self, hp: HyperParameters) -> None:
        """Raises for new hyperparameters where none are allowed."""


# -- from the store to the user -------------------------------------------------------------------


def face_of(oracle: Owner, trial: StoredTrial) -> Trial:
    """The stored trial as users see it."""
    hp = HyperParameters.for_trial(oracle.hyperparameters, trial.values, trial.ranges)
    hp.values = with_schedule(hp.values, trial.schedule, oracle.ids.id_of)
    face = Trial(hp, trial_id=oracle.ids.id_of(trial.number))
    if trial.notes.get("curves") == "tracked":
        track(face, oracle.search_state.history(trial.number))
    refresh(face, trial, oracle.objective)
    return face


def refresh(face: Trial, trial: StoredTrial, objective: Objective) -> None:
    """Brings the object up to what is stored: status, score, reason of failure."""
    face.status = trial.notes.get(ENDED_AS, _STATUS[trial.status])
    if is_queued(trial):
        face.status = TrialStatus.IDLE
    face.message = trial.failure.message if trial.failure else None
    face.failure = trial.failure
    face.notes = dict(trial.notes)
    if trial.status is Status.COMPLETED:
        face.score, face.best_step = trial.score, trial.best_step
        if not face.metrics.metrics:
            face.observe(trial.metrics, trial.best_step or 0)
    _direct(face, objective)


def _direct(face: Trial, objective: Objective) -> None:
    """Sets the directions that the names of the metrics do not tell."""
    known = face.metrics.metrics
    for name in maximized(known, face.notes):
        known[name].direction = "max"
    parts = objective.objectives if isinstance(objective, MultiObjective) else (objective,)
    for part in parts:
        if part.name in known:
            direction: Any = part.direction
            known[part.name].direction = direction


def track(face: Trial, reports: Iterable[Report]) -> None:
    """Gives the object the metrics that a custom loop reported step by step."""
    for report in reports:
        for name, value in report.metrics.items():
            face.metrics.update(name, value, step=report.step)


def metrics_at_best(face: Trial) -> dict[str, float]:
    """Each metric at the trial's best step, else its last value."""
    found: dict[str, float] = {}
    for name in face.metrics.metrics:
        history = face.metrics.get_history(name)
        if history:
            at_best = [seen for seen in history if seen.step == face.best_step]
            found[name] = (at_best or history)[-1].mean()
    return found


def read_reported(metrics: Mapping[str, Any], objective: Objective) -> dict[str, float]:
    """What a trial reports, as numbers; with the score of several objectives.

    Raises:
        ObjectiveError: The objective is not among the metrics.
    """
    numbers = {name: float(value) for name, value in metrics.items()}
    if not objective.has_value(numbers):
        expected, found = list(objective.names), sorted(numbers)
        raise ObjectiveError(
            "Objective value missing in metrics reported to the Oracle, "
            f"expected: {expected}, found: {found}."
        )
    if isinstance(objective, MultiObjective):
        numbers.setdefault(objective.name, objective.get_value(numbers))
    return numbers


def ranked(trials: Iterable[Trial], objective: Objective) -> list[Trial]:
    """The completed trials, best first, and behind them the others in their own order."""
    scored: list[Trial] = []
    others: list[Trial] = []
    for trial in trials:
        completed = trial.status == TrialStatus.COMPLETED and trial.score is not None
        (scored if completed else others).append(trial)
    # By the score of the object that people see: it may be theirs.
    scored.sort(key=lambda trial: objective.loss(float(trial.score or 0.0)))
    return [*scored, *others]


def add_step(trial: Trial, metrics: Mapping[str, float], step: int, objective: Objective) -> None:
    """Adds one step's metrics to those that the trial tracks."""
    for name, value in metrics.items():
        if not trial.metrics.exists(name):
            own = name in (objective.name, *objective.names)
            single = own and not isinstance(objective, MultiObjective)
            direction: Any = objective.direction if single else None
            trial.metrics.register(name, direction)
        trial.metrics.update(name, value, step=step)


# -- from the user to the store -------------------------------------------------------------------


def adopt(oracle: Owner) -> None:
    """Takes trials that were put into `oracle.trials` into the search, and puts missing ones back.

    The algorithm learns from the completed ones, as from all others.
    """
    state = oracle.search_state  # begins, where nobody has asked for it yet
    if state.changed_elsewhere:
        _take_news(oracle, state)
    own = oracle.trials if isinstance(oracle.trials, FaceTrials) else None  # users replace it
    for trial_id in oracle.ids.strangers(oracle.trials if own is None else own.entered()):
        _take_in(oracle, trial_id, oracle.trials[trial_id])
    if own is not None:
        own.seen()  # only now: a trial that was refused comes again
    if len(oracle.trials) < len(state.trials):
        for number, stored in state.trials.items():
            if oracle.ids.id_of(number) not in oracle.trials:
                oracle.ids.learn(stored)
                oracle.trials[oracle.ids.id_of(number)] = face_of(oracle, stored)


def _take_news(oracle: Owner, state: SearchState) -> None:
    """Brings the trials that users see up to what other workers have made of them."""
    numbers, state.changed_elsewhere[:] = sorted(set(state.changed_elsewhere)), []
    for number in numbers:
        stored = state.trials[number]
        oracle.ids.learn(stored)
        face = face_of(oracle, stored)
        known = oracle.trials.setdefault(face.trial_id, face)
        if known is not face:  # who has the object sees it change
            vars(known).update(vars(face))


def _take_in(oracle: Owner, trial_id: str, trial: Trial) -> None:
    trial.notes[OWN_ID] = trial_id
    values, schedule = split_schedule(trial.hyperparameters.values, oracle.ids.number_of)
    stored = oracle.search_state.take(values, trial.notes, schedule=schedule)
    oracle.ids.learn(stored)
    if trial.status == TrialStatus.RUNNING:
        return
    hp = trial.hyperparameters.copy()
    hp.values = values
    if trial.status == TrialStatus.COMPLETED:
        if trial.score is None:
            oracle.score_trial(trial)
        ended = _complete(oracle, trial, stored, hp, trial.notes, retry=False)
    else:
        why = trial.message or f"The trial was entered with status {trial.status}."
        failure = trial.failure or Failure(FailureKind.ERROR, why)
        ended = oracle.search_state.fail(stored, failure, retry=False, hp=hp, notes=trial.notes)
    refresh(trial, ended, oracle.objective)


def end(oracle: Owner, trial: Trial) -> None:
    """Ends a trial as its status says, and brings the object up to what is kept.

    Args:
        oracle: The trial is one of its own.
        trial: One of `oracle.trials`; one that has ended before stays as it is.
    """
    stored = oracle.search_state.trials[oracle.ids.number_of(trial.trial_id)]
    if stored.status.finished:
        _end_again(trial, stored, oracle.objective)
        return
    oracle.check_entries(trial.hyperparameters)
    hp = trial.hyperparameters.copy()
    hp.values, _ = split_schedule(hp.values, oracle.ids.number_of)
    notes = dict(trial.notes)
    if OWN_ID in stored.notes:
        notes[OWN_ID] = trial.trial_id
    if trial.status == TrialStatus.COMPLETED:
        oracle.score_trial(trial)
        ended = _complete(oracle, trial, stored, hp, notes)
    else:
        if trial.status not in (TrialStatus.INVALID, TrialStatus.FAILED):
            notes[ENDED_AS] = str(trial.status)
            _warn_of_lost_score(oracle, trial)
        why = trial.message or f"The trial ended with status {trial.status}."
        failure = trial.failure or failure_of(why)
        retry = trial.status == TrialStatus.INVALID
        ended = oracle.search_state.fail(stored, failure, retry=retry, hp=hp, notes=notes)
    if ended.status is Status.WAITING:  # the rerun starts with a clean record
        trial.metrics = type(trial.metrics)()
        trial.score = None
    refresh(trial, ended, oracle.objective)


def _complete(
    oracle: Owner,
    trial: Trial,
    stored: StoredTrial,
    hp: HyperParameters,
    notes: Mapping[str, str],
    *,
    retry: bool = True,
) -> StoredTrial:
    score = math.nan if trial.score is None else float(trial.score)
    metrics, best = metrics_at_best(trial), trial.best_step
    return oracle.search_state.complete(
        stored, metrics, score=score, best_step=best, hp=hp, notes=notes, retry=retry
    )


def _warn_of_lost_score(oracle: Owner, trial: Trial) -> None:
    if trial.metrics.exists(oracle.objective.name):
        what, rule = f"end_trial: status of trial {trial.trial_id}", 'must be "COMPLETED"'
        advice = "The trial keeps this status and has no score."
        warnings.warn(wrong(what, rule, trial.status, advice), stacklevel=5)


def _end_again(trial: Trial, stored: StoredTrial, objective: Objective) -> None:
    said = trial.status
    refresh(trial, stored, objective)
    if said != trial.status:
        warnings.warn(
            f"end_trial: trial {trial.trial_id} has ended as {trial.status} before, but got "
            f"{said!r}. It stays as it is.",
            stacklevel=5,
        )
