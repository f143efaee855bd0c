"""The facts that a report shows, gathered from a project folder: data, not drawings."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from afina.advice.judgement import Judgement
from afina.errors import StoreError
from afina.page.thinning import evenly
from afina.space import HyperParameters, Space
from afina.store import Header, TrialStore, open_store
from afina.store.places import name_of_search
from afina.store.project import no_search
from afina.study import Curves
from afina.trials import (
    Configuration,
    Failure,
    MultiObjective,
    Objective,
    Report,
    Status,
    Trial,
    configurations,
)
from afina.trials.objective import objective_described
from afina.trials.pareto import front_of, hypervolume, pareto_front, pareto_order

History = Mapping[str, tuple[float, ...]]

MOST_IN_VOLUME = 3
"""No hypervolume is computed for more objectives than this: it would take too long."""

MOST_VOLUMES = 100
"""The hypervolume is computed at this many points in time, at most."""

LONGEST = 10_000
"""Epochs. A report with a higher step counts something other than epochs."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """The search right after a trial ended."""

    trial: int
    """The trial's number."""

    epochs: int
    """Epochs that all trials that had ended by then trained together."""

    seconds: float
    """Seconds of these trials together; with several workers, more than the wall time."""

    score: float | None
    """The trial's score; None if there are several objectives."""

    best: float | None
    """The best score so far; None before the first, and if there are several objectives."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that a report shows of a search."""

    name: str
    """The project's name."""

    header: Header
    objective: Objective
    space: Space
    hp: HyperParameters
    trials: tuple[Trial, ...]
    """All trials with their curves, by number, finished or not."""

    history: History
    """All metrics of the best trial, epoch by epoch, after those of the trials that it continues;
    averaged over the executions. Empty if there are several objectives."""

    parts: Mapping[str, Mapping[int, tuple[float, ...]]] = field(default_factory=dict)
    """For each objective, by name: trial number to curve, like `Trial.curve`."""

    judgement: Judgement | None = None
    """The judgement of the final model, if there is one."""

    source: TrialStore | Path | str | None = None
    """Where the facts were read, for what is read on demand."""

    @property
    def several(self) -> bool:
        """Whether there are several objectives: then trials have no single score."""
        return isinstance(self.objective, MultiObjective)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The objectives, in the order in which they were given; often just one."""
        whole = self.objective
        return whole.objectives if isinstance(whole, MultiObjective) else (whole,)

    def values_of(self, trial: Trial) -> tuple[float | None, ...]:
        """A trial's value in each objective, as the user measures it; None if it has none."""
        if not self.several:
            return (trial.score,)
        if len(trial.losses) != len(self.objectives):
            return (None,) * len(self.objectives)
        pairs = zip(self.objectives, trial.losses, strict=True)
        return tuple(objective.loss(loss) for objective, loss in pairs)  # its own inverse

    @functools.cached_property
    def front(self) -> list[Trial]:
        """The Pareto front, by number; with one objective, the trials with the best score."""
        known = self.trials
        if self.several:
            known = tuple(trial for trial in self.trials if trial.losses)
        return front_of(known)

    @property
    def starred(self) -> list[Trial]:
        """The trials that figures mark: the best one, or with several objectives the front."""
        if self.several:
            return self.front
        return [] if self.best is None else [self.best]

    @functools.cached_property
    def configurations(self) -> list[Configuration]:
        """The configurations with a score, best first; with several objectives, front by front."""
        found = configurations(t for t in self.trials if t.status is Status.COMPLETED)
        if not self.several:
            return sorted(found, key=lambda each: (each.best.loss or 0.0, each.best.number))
        whole = [each for each in found if self.shown(each).losses]
        losses = np.array([self.shown(each).losses for each in whole], dtype=float)
        return [whole[place] for place in pareto_order(losses).tolist()] if whole else []

    @functools.cached_property
    def comparable(self) -> list[Configuration]:
        """The configurations that were trained as long as the longest; all if that is just one.

        In a multi-fidelity search, the score after one epoch says little beside that after many.
        """
        most = max((each.epochs or 0 for each in self.configurations), default=0)
        planned = any(trial.schedule is not None for trial in self.trials)
        if not planned:
            return self.configurations
        kept = [each for each in self.configurations if (each.epochs or 0) == most]
        return kept if len(kept) > 1 else self.configurations

    def shown(self, configuration: Configuration) -> Trial:
        """The trial that represents a configuration: its best one.

        With several objectives: one on the front, otherwise the one that was trained longest.
        """
        if not self.several:
            return configuration.best
        front = {trial.number for trial in self.front}
        parts = [part for part in configuration.parts if part.losses] or configuration.parts
        return next((part for part in reversed(parts) if part.number in front), parts[-1])

    @property
    def finished(self) -> list[Trial]:
        """The finished trials, in the order in which they finished."""
        return sorted((t for t in self.trials if t.ended is not None), key=lambda t: t.ended or 0)

    @property
    def completed(self) -> list[Trial]:
        """The completed trials, best first; by number if there are several objectives."""
        scored = [trial for trial in self.trials if trial.status is Status.COMPLETED]
        if self.several:
            return scored
        return sorted(scored, key=lambda trial: (trial.loss, trial.number))

    @property
    def failed(self) -> list[Trial]:
        """The failed trials, by number."""
        return [trial for trial in self.trials if trial.status is Status.FAILED]

    @property
    def best(self) -> Trial | None:
        """The trial with the best score; None without one, or with several objectives."""
        return None if self.several else next(iter(self.completed), None)

    @functools.cached_property
    def course(self) -> tuple[Point, ...]:
        """The course of the search: one point for each finished trial, in that order."""
        points, epochs, seconds = [], 0, 0.0
        best: Trial | None = None
        for trial in self.finished:
            epochs += len(trial.curve) or int(trial.status is Status.COMPLETED)
            seconds += trial.seconds
            beats = best is None or (trial.loss or 0.0) < (best.loss or 0.0)
            if not self.several and trial.loss is not None and beats:
                best = trial
            points.append(
                Point(
                    trial=trial.number,
                    epochs=epochs,
                    seconds=seconds,
                    score=None if self.several else trial.score,
                    best=None if best is None else best.score,
                )
            )
        return tuple(points)

    @functools.cached_property
    def volumes(self) -> tuple[float, ...]:
        """The hypervolume of the front after each finished trial, as a share of the final one.

        The reference point is the worst value that was measured in each objective. Empty with one
        objective, with more than three (it would take too long), and if the volume is zero.
        """
        found = [trial for trial in self.finished if trial.losses]
        rows = np.array([trial.losses for trial in found], dtype=float)
        if not self.several or not 1 < len(self.objectives) <= MOST_IN_VOLUME or len(rows) < 2:
            return ()
        real = rows[np.isfinite(rows).all(axis=1)]
        if not len(real):
            return ()
        reference = real.max(axis=0)
        whole = hypervolume(real[pareto_front(real)], reference)
        if not whole:
            return ()
        # Computed at only some places; between them, the last value counts.
        places = set(evenly(len(self.finished), MOST_VOLUMES))
        volumes, last, front = [], 0.0, np.empty((0, len(reference)))
        for place, trial in enumerate(self.finished):
            if trial.losses and np.isfinite(trial.losses).all():
                front = np.vstack([front, trial.losses])
                front = front[pareto_front(front)]
            if place in places:
                last = min(hypervolume(front, reference) / whole, 1.0)
            volumes.append(last)
        return tuple(volumes)

    @property
    def longest(self) -> int:
        """The most epochs that any model was trained; 0 if none were counted."""
        return max((t.start_epoch + len(t.curve) for t in self.trials if t.curve), default=0)

    @property
    def reasons(self) -> list[tuple[str, str, list[int]]]:
        """Why trials failed: the kind, the first line of the reason, and the trials' numbers."""
        groups: dict[tuple[str, str], list[int]] = {}
        for trial in self.failed:
            failure = trial.failure
            assert isinstance(failure, Failure)
            groups.setdefault((failure.kind.value, failure.headline), []).append(trial.number)
        ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
        return [(kind, line, numbers) for (kind, line), numbers in ordered]

    @functools.cached_property
    def seconds(self) -> Mapping[str, float]:
        """Where the trials' time went, in seconds: the parts that trials noted, and the rest."""
        parts: dict[str, float] = {}
        whole = math.fsum(trial.seconds for trial in self.trials)
        for trial in self.trials:
            for part in filter(None, trial.notes.get("seconds", "").split(", ")):
                name, _, value = part.partition(" ")
                try:
                    parts[name] = parts.get(name, 0.0) + float(value)
                except ValueError:  # a note of the user's own under the same name
                    break
        parts["rest"] = max(0.0, whole - math.fsum(parts.values()))
        return {name: value for name, value in parts.items() if value >= 0.0005}

    @property
    def training(self) -> Mapping[str, int]:
        """How many trials each trainer trained."""
        trainers: dict[str, int] = {}
        for trial in self.trials:
            if "training" in trial.notes:
                trainer = trial.notes["training"]
                trainers[trainer] = trainers.get(trainer, 0) + 1
        return trainers

    @property
    def names(self) -> list[str]:
        """Names of the hyperparameters that vary, in the order of their definition."""
        return list(dict.fromkeys(entry.name for entry in self.space if entry.count != 1))


def read_facts(folder: Path | str, *, judgement: Judgement | None = None) -> Facts:
    """Gathers the facts about the search in a project folder; it may still be running.

    Args:
        folder: A tuner's `directory/project_name`, or a study's `storage`, also a URL.
        judgement: The judgement of the final model.

    Raises:
        StoreError: There is no search in the folder, or it cannot be read.
    """
    store = open_store(folder)
    try:
        if store.header() is None:
            raise StoreError(no_search(folder))
        found = facts_of(store, name_of_search(folder), judgement=judgement)
        return replace(found, source=folder)
    finally:
        store.close()


def facts_of(store: TrialStore, name: str, *, judgement: Judgement | None = None) -> Facts:
    """Gathers the facts from an open store; see `read_facts`."""
    header = store.header()
    assert header is not None
    objective = objective_described(header.objective)
    reports = store.history()
    wholes = [objective]
    if isinstance(objective, MultiObjective):
        wholes += objective.objectives
    all_curves = {each.name: Curves(each) for each in wholes}
    for report in reports:
        for curves in all_curves.values():
            curves.add(report)
    stored = store.trials()
    drawn = {
        name: {trial.number: curves.curve(trial) for trial in stored}
        for name, curves in all_curves.items()
    }
    trials = tuple(
        # A running trial shows what it has reported so far.
        _with(trial, drawn[objective.name][trial.number], objective)
        for trial in stored
    )
    several = isinstance(objective, MultiObjective)
    hp = HyperParameters.from_config(dict(store.space() or header.space))
    return Facts(
        name=name,
        header=header,
        objective=objective,
        space=hp.to_space(),
        hp=hp,
        trials=trials,
        history={} if several else _history(trials, reports),
        parts={each.name: drawn[each.name] for each in (wholes[1:] or wholes)},
        judgement=judgement,
        source=store,
    )


def _with(trial: Trial, curve: tuple[float, ...], objective: Objective) -> Trial:
    return replace(trial, curve=curve, losses=objective.losses(trial.metrics))


def _history(trials: Sequence[Trial], reports: Sequence[Report]) -> History:
    """The best trial's metrics by epoch, after those of the trials that it continues."""
    scored = [trial for trial in trials if trial.loss is not None]
    if not scored:
        return {}
    known = {trial.number: trial for trial in trials}
    line = [min(scored, key=lambda trial: (trial.loss, trial.number))]
    while (parent := known.get(-1 if line[0].parent is None else line[0].parent)) is not None:
        line.insert(0, parent)
    rows: dict[int, list[Mapping[str, float]]] = {}
    for trial in line:
        for report in reports:
            if report.trial == trial.number and report.attempt == trial.attempt:
                rows.setdefault(report.step, []).append(report.metrics)
    last = max(rows, default=-1)
    steps = range(last + 1) if last <= LONGEST else range(0)
    for step in steps:
        rows.setdefault(step, [])
    names = dict.fromkeys(name for step in steps for row in rows[step] for name in row)
    return {
        name: tuple(
            math.fsum(values) / len(values) if values else math.nan
            for step in steps
            for values in ([row[name] for row in rows[step] if name in row],)
        )
        for name in names
    }
