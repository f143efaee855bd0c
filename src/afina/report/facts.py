"""What a report tells of a search, gathered from its project folder: data, not drawings."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from afina.advice.judgement import Judgement
from afina.errors import StoreError, wrong
from afina.space import HyperParameters, Space
from afina.store import Header, TrialStore, open_store
from afina.study import Curves
from afina.trials import Failure, MultiObjective, Objective, Report, Status, Trial

History = Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, kw_only=True)
class Point:
    """The search after one more trial had ended."""

    trial: int
    """Its number."""

    epochs: int
    """Trained so far by all trials that had ended."""

    seconds: float
    """Summed over these trials; with several workers more than the wall time."""

    score: float | None
    """Of this trial."""

    best: float | None
    """The best score so far; None before the first."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A search as its report shows it."""

    name: str
    """Of the project."""

    header: Header
    objective: Objective
    space: Space
    hp: HyperParameters
    trials: tuple[Trial, ...]
    """By number, finished or not, with their curves."""

    history: History
    """All metrics of the best trial, epoch by epoch, with those of the trials that it goes on
    from; mean over the executions."""

    judgement: Judgement | None = None
    """Of the final model, where there is one."""

    @property
    def finished(self) -> list[Trial]:
        """In the order in which they ended."""
        return sorted((t for t in self.trials if t.ended is not None), key=lambda t: t.ended or 0)

    @property
    def completed(self) -> list[Trial]:
        """Those with a score, best first."""
        scored = [trial for trial in self.trials if trial.status is Status.COMPLETED]
        return sorted(scored, key=lambda trial: (trial.loss, trial.number))

    @property
    def failed(self) -> list[Trial]:
        """Those without."""
        return [trial for trial in self.trials if trial.status is Status.FAILED]

    @property
    def best(self) -> Trial | None:
        """The trial with the best score; None where there is none."""
        return next(iter(self.completed), None)

    @functools.cached_property
    def course(self) -> tuple[Point, ...]:
        """The search trial by trial, in the order in which they ended."""
        points, epochs, seconds = [], 0, 0.0
        best: Trial | None = None
        for trial in self.finished:
            epochs += len(trial.curve) or int(trial.status is Status.COMPLETED)
            seconds += trial.seconds
            if trial.loss is not None and (best is None or trial.loss < (best.loss or 0.0)):
                best = trial
            points.append(
                Point(
                    trial=trial.number,
                    epochs=epochs,
                    seconds=seconds,
                    score=trial.score,
                    best=None if best is None else best.score,
                )
            )
        return tuple(points)

    @property
    def longest(self) -> int:
        """The most epochs that any trial's model has behind it; 0 where none were counted."""
        return max((t.start_epoch + len(t.curve) for t in self.trials if t.curve), default=0)

    @property
    def reasons(self) -> list[tuple[str, str, list[int]]]:
        """Why trials failed: kind, the headline of the reason, and the numbers of the trials."""
        groups: dict[tuple[str, str], list[int]] = {}
        for trial in self.failed:
            failure = trial.failure
            assert isinstance(failure, Failure)
            groups.setdefault((failure.kind.value, failure.headline), []).append(trial.number)
        ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
        return [(kind, line, numbers) for (kind, line), numbers in ordered]

    @functools.cached_property
    def seconds(self) -> Mapping[str, float]:
        """Where the trials' time went, in seconds: as far as they noted it, and the rest."""
        parts: dict[str, float] = {}
        whole = math.fsum(trial.seconds for trial in self.trials)
        for trial in self.trials:
            for part in filter(None, trial.notes.get("seconds", "").split(", ")):
                name, _, value = part.partition(" ")
                parts[name] = parts.get(name, 0.0) + float(value)
        parts["rest"] = max(0.0, whole - math.fsum(parts.values()))
        return {name: value for name, value in parts.items() if value >= 0.0005}

    @property
    def training(self) -> Mapping[str, int]:
        """How many trials were trained in which way."""
        ways: dict[str, int] = {}
        for trial in self.trials:
            if "training" in trial.notes:
                way = trial.notes["training"]
                ways[way] = ways.get(way, 0) + 1
        return ways

    @property
    def names(self) -> list[str]:
        """Of the hyperparameters that vary, in the order of their definition."""
        return list(dict.fromkeys(entry.name for entry in self.space if entry.count != 1))


def read_facts(folder: Path | str, *, judgement: Judgement | None = None) -> Facts:
    """Gathers the facts about the search in a project folder; it may be running meanwhile.

    Args:
        folder: A tuner's `directory/project_name`, or a study's `storage`.
        judgement: Of the final model.

    Raises:
        StoreError: There is no search in the folder, or it cannot be read.
    """
    store = open_store(folder)
    try:
        if store.header() is None:
            advice = "Give the directory/project_name of a tuner."
            raise StoreError(wrong("FOLDER", "must hold a search", str(folder), advice))
        return facts_of(store, Path(folder).resolve().name, judgement=judgement)
    finally:
        store.close()


def facts_of(store: TrialStore, name: str, *, judgement: Judgement | None = None) -> Facts:
    """Gathers the facts from an open store; see `read_facts`."""
    header = store.header()
    assert header is not None
    objective = _objective(header.objective)
    reports = store.history()
    curves = Curves(objective)
    for report in reports:
        curves.add(report)
    trials = tuple(
        # A trial that is still running shows what it has reported so far.
        _with(trial, curves.curve(trial), objective)
        for trial in store.trials()
    )
    hp = HyperParameters.from_config(dict(store.space() or header.space))
    return Facts(
        name=name,
        header=header,
        objective=objective,
        space=hp.to_space(),
        hp=hp,
        trials=trials,
        history=_history(trials, reports),
        judgement=judgement,
    )


def _with(trial: Trial, curve: tuple[float, ...], objective: Objective) -> Trial:
    return replace(trial, curve=curve, losses=objective.losses(trial.metrics))


def _objective(described: Any) -> Objective:
    if isinstance(described, Mapping):
        return Objective(described["name"], described["direction"])
    return MultiObjective([Objective(part["name"], part["direction"]) for part in described])


def _history(trials: Sequence[Trial], reports: Sequence[Report]) -> History:
    """The best trial's metrics by epoch, those of the trials that it goes on from in front."""
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
    steps = sorted(rows)
    names = dict.fromkeys(name for step in steps for row in rows[step] for name in row)
    return {
        name: tuple(
            math.fsum(values) / len(values) if values else math.nan
            for step in steps
            for values in ([row[name] for row in rows[step] if name in row],)
        )
        for name in names
    }
