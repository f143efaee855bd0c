"""From stored trials to the trial objects that Keras Tuner's users know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from afina.study import ENDED_AS
from afina.trials import MultiObjective, Objective, Report, Status
from afina.trials import Trial as StoredTrial
from afina.tuners.model_objective import maximized
from afina.tuners.trial import Trial, TrialStatus

_STATUS = {
    Status.RUNNING: TrialStatus.RUNNING,
    Status.WAITING: TrialStatus.INVALID,
    Status.COMPLETED: TrialStatus.COMPLETED,
    Status.FAILED: TrialStatus.FAILED,
}


def refresh(face: Trial, trial: StoredTrial, objective: Objective) -> None:
    """Brings the object up to what is stored: status, score, reason of failure."""
    face.status = trial.notes.get(ENDED_AS, _STATUS[trial.status])
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


def add_step(trial: Trial, metrics: Mapping[str, float], step: int, objective: Objective) -> None:
    """Adds one step's metrics to those that the trial tracks."""
    for name, value in metrics.items():
        if not trial.metrics.exists(name):
            own = name in (objective.name, *objective.names)
            single = own and not isinstance(objective, MultiObjective)
            direction: Any = objective.direction if single else None
            trial.metrics.register(name, direction)
        trial.metrics.update(name, value, step=step)
