"""Private names of Keras Tuner's `Oracle` that oracles written after it use.

They are methods and properties of `Oracle`; none of Afina's own code needs them.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from afina.tuners.oracle import Oracle
    from afina.tuners.trial import Trial


class Tried:
    """The hashes of the values that trials have, and those that an oracle adds itself."""

    def __init__(self) -> None:
        self.hashes: set[str] = set()
        self._of: dict[str, str] = {}

    def record(self, trial: Trial) -> None:
        """Takes the trial's values in, in place of those it had before."""
        new = values_hash(trial.hyperparameters.values)
        old = self._of.get(trial.trial_id)
        if old is not None and old != new:
            self.hashes.discard(old)
        self._of[trial.trial_id] = new
        self.hashes.add(new)


def values_hash(values: Mapping[str, Any]) -> str:
    """32 hexadecimal digits that equal values share."""
    pairs = sorted((str(name), str(value)) for name, value in values.items())
    return hashlib.sha256(repr(pairs).encode()).hexdigest()[:32]


def compute_values_hash(oracle: Oracle, values: Mapping[str, Any]) -> str:
    """32 hexadecimal digits that equal values share."""
    del oracle
    return values_hash(values)


def duplicate(oracle: Oracle, values: Mapping[str, Any]) -> bool:
    """Whether a trial has these values already."""
    return values_hash(values) in oracle._tried_so_far


def record_values(oracle: Oracle, trial: Trial) -> None:
    """Notes the values of a trial as tried."""
    oracle.tried.record(trial)


def populate_space(oracle: Oracle, trial_id: str) -> dict[str, Any]:
    """The old name of `Oracle.populate_space`."""
    _warn("_populate_space", "populate_space")
    return oracle.populate_space(trial_id)


def score_trial(oracle: Oracle, trial: Trial) -> None:
    """The old name of `Oracle.score_trial`."""
    _warn("_score_trial", "score_trial")
    oracle.score_trial(trial)


def _warn(old: str, new: str) -> None:
    warnings.warn(f"{old} is deprecated: call {new}.", DeprecationWarning, stacklevel=3)


def get_project_dir(oracle: Oracle) -> str:
    """The project's folder; made if it is not there."""
    folder = os.path.join(str(oracle.directory or "."), oracle.project_name or "untitled_project")
    os.makedirs(folder, exist_ok=True)
    return folder


def get_trial_dir(oracle: Oracle, trial_id: str) -> str:
    """The folder of one trial's files; made if it is not there."""
    folder = os.path.join(get_project_dir(oracle), f"trial_{trial_id}")
    os.makedirs(folder, exist_ok=True)
    return folder


def save_trial(oracle: Oracle, trial: Trial) -> None:
    """Does nothing: every change of a trial is kept when it happens."""


def get_run_times(oracle: Oracle) -> dict[str, int]:
    """How often each trial has been run to an end, by its id."""
    trials = oracle.study.trials.values()
    return {oracle.id_of(t.number): t.attempt + (t.failure is not None) for t in trials}
