"""Trials that somebody else put into an oracle's `trials`: under ids of their own, often finished.

Keras Tuner's `Oracle.trials` is a plain dict, and oracles that people write, and their tests, enter
trials in it. The search counts its trials by numbers; an id of another form is kept as a note.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from afina.errors import ArgumentError, wrong
from afina.trials import Failure, FailureKind
from afina.tuners.face_trials import metrics_at_best, refresh
from afina.tuners.reserved_keys import split_schedule
from afina.tuners.trial import Trial, TrialStatus

if TYPE_CHECKING:
    from afina.trials import Trial as StoredTrial
    from afina.tuners.oracle import Oracle

OWN_ID = "trial_id"
"""The note of a trial whose id is not its number."""


class TrialIds:
    """Which id a trial has, by its number, and which number, by its id."""

    def __init__(self) -> None:
        self.width: int | None = None
        """Digits of an id that is the trial's number; None until the first trial is made."""
        self._own: dict[int, str] = {}
        self._numbers: dict[str, int] = {}

    def __contains__(self, trial_id: str) -> bool:
        return trial_id in self._numbers

    def learn(self, trial: StoredTrial) -> None:
        """Takes in the id of a trial that the search knows."""
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
        """Those ids that no trial has, in their order."""
        return [each for each in trial_ids if each not in self._numbers]

    def number_of(self, trial_id: str) -> int:
        """The number of a trial.

        Raises:
            ArgumentError: No trial has this id.
        """
        if trial_id not in self._numbers:
            raise ArgumentError(wrong("trial_id", "must be the id of a trial", trial_id))
        return self._numbers[trial_id]


def adopt(oracle: Oracle) -> None:
    """Takes trials that were put into `oracle.trials` into the search, and puts missing ones back.

    Completed ones teach the algorithm, as all others do.
    """
    study = oracle.study  # begins, where nobody has asked for it yet
    for trial_id in oracle.ids.strangers(oracle.trials):
        _take_in(oracle, trial_id, oracle.trials[trial_id])
    if len(oracle.trials) < len(study.trials):
        for number, stored in study.trials.items():
            if oracle.id_of(number) not in oracle.trials:
                oracle.trials[oracle.id_of(number)] = oracle.face_of(stored)


def _take_in(oracle: Oracle, trial_id: str, trial: Trial) -> None:
    trial.notes[OWN_ID] = trial_id
    values, schedule = split_schedule(trial.hyperparameters.values, oracle.ids.number_of)
    stored = oracle.study.take(values, trial.notes, schedule=schedule)
    oracle.ids.learn(stored)
    if trial.status == TrialStatus.RUNNING:
        return
    hp = trial.hyperparameters.copy()
    hp.values = values
    if trial.status == TrialStatus.COMPLETED:
        if trial.score is None:
            oracle.score_trial(trial)
        ended = oracle.study.complete(
            stored,
            metrics_at_best(trial),
            score=math.nan if trial.score is None else float(trial.score),
            best_step=trial.best_step,
            hp=hp,
            notes=trial.notes,
            retry=False,
        )
    else:
        why = trial.message or f"The trial was entered with status {trial.status}."
        failure = trial.failure or Failure(FailureKind.ERROR, why)
        ended = oracle.study.fail(stored, failure, retry=False, hp=hp, notes=trial.notes)
    refresh(trial, ended, oracle.objective)
