"""Reads a study of Optuna, through Optuna itself: from any storage that it can open."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from afina.errors import ArgumentError, StoreError, wrong
from afina.migration.project import Imported, in_order
from afina.space import Choice, Float, HyperParameter, HyperParameters, Int, Value, serialize
from afina.space.conditions import Parent, tag
from afina.store.places import hide_password
from afina.trials import (
    Failure,
    FailureKind,
    MultiObjective,
    Objective,
    Report,
    Status,
    Trial,
    first_line,
)

MOST_VALUES = 20
"""A condition is only looked for on a hyperparameter that has had at most so many values."""


def read_optuna(storage: str, study: str | None = None) -> Imported:
    """Reads the finished trials of a study; changes nothing.

    Optuna keeps no conditions. A hyperparameter that some trials lack is taken to depend on
    another one, if the values of that one tell exactly which trials have it. A pruned trial counts
    as completed, with its last intermediate value.

    Args:
        storage: What Optuna's `load_study` takes: a URL such as "sqlite:///study.db". Or the path
            of an SQLite file.
        study: The study's name; None if the storage holds a single one.

    Raises:
        ArgumentError: Optuna is not installed, or the storage holds several studies.
        StoreError: There is no such study, or it cannot be read.
    """
    try:
        import optuna
    except ImportError:
        raise ArgumentError("To read its studies, Optuna is needed: pip install optuna") from None
    storage = _checked(storage)
    names = _names(optuna, storage)
    if study is None and len(names) == 1:
        study = names[0]
    if study not in names:
        if not names:
            raise StoreError(f"There is no study in {hide_password(storage)}.")
        shown = ", ".join(names)
        if study is None:
            raise ArgumentError(
                f"study: must be given, as there are several in the storage: {shown}. "
                "Pass --study NAME."
            )
        raise ArgumentError(wrong("study", f"must be one of those in the storage: {shown}", study))
    try:
        loaded = optuna.load_study(study_name=study, storage=storage)
        frozen = loaded.get_trials(deepcopy=False)
    except Exception as error:
        raise _unreadable(error) from error
    return convert(loaded, frozen)


def _checked(storage: str) -> str:
    """The storage's URL; a file's path becomes one. Optuna would make a file that is not there."""
    file = re.match(r"(?i)sqlite(\+\w+)?:///([^?]+)", storage)
    place = file[2] if file else storage if "://" not in storage else None
    if place is None:
        return storage
    if not Path(place).is_file():
        rule = "must be the file of Optuna's storage, or its URL"
        raise StoreError(wrong("URL", rule, hide_password(storage), "There is no such file."))
    return storage if file else f"sqlite:///{place}"


def _names(optuna: Any, storage: str) -> list[str]:
    try:
        return list(optuna.get_all_study_names(storage))
    except Exception as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> StoreError:
    return StoreError(f"The storage cannot be read by Optuna: {first_line(error)}.")


def convert(study: Any, frozen: Sequence[Any]) -> Imported:
    """The study as an imported search.

    Args:
        study: An Optuna study, for its directions and metric names.
        frozen: Its trials.
    """
    ready = [each for each in frozen if each.state.is_finished()]
    skipped = []
    if len(ready) < len(frozen):
        count = len(frozen) - len(ready)
        skipped.append(f"{count} trial{'s' * (count != 1)} had not finished.")
    objective = _objective(study)
    kinds = _kinds(ready)
    shown = [{name: kinds[name].read(each.params[name]) for name in each.params} for each in ready]
    hp = _space(kinds, shown)
    trials, reports = [], []
    for number, (each, values) in enumerate(zip(ready, shown, strict=True)):
        trials.append(_trial(number, each, values, objective))
        if not isinstance(objective, MultiObjective):
            reports += [
                Report(trial=number, step=int(step), metrics={objective.name: float(value)})
                for step, value in sorted(each.intermediate_values.items())
                if step >= 0
            ]
    by_end = sorted(range(len(ready)), key=lambda n: (str(ready[n].datetime_complete), n))
    return Imported(
        source="optuna",
        objective=objective,
        hp=hp,
        trials=in_order(trials, by_end),
        reports=reports,
        skipped=skipped,
    )


def _objective(study: Any) -> Objective:
    directions = ["max" if each.name == "MAXIMIZE" else "min" for each in study.directions]
    several = len(directions) > 1
    usual = [f"value_{n}" for n in range(len(directions))] if several else ["value"]
    names = list(study.metric_names or usual)
    parts = [Objective(*pair) for pair in zip(names, directions, strict=True)]
    return MultiObjective(parts) if several else parts[0]


class _Distributions:
    """All distributions that trials drew one hyperparameter from, as a single entry."""

    def __init__(self, name: str, distributions: Sequence[Any]) -> None:
        self.name = name
        self._choices: list[Any] = []
        self._bounds: list[Any] = []
        for each in distributions:
            if hasattr(each, "choices"):
                self._choices += [choice for choice in each.choices if choice not in self._choices]
            else:
                self._bounds.append(each)
        self._as_text = bool(self._choices) and not self._plain()

    def _plain(self) -> bool:
        """Whether the choices can be those of a `Choice`: of one kind, and no objects."""
        try:
            Choice(self.name, self._choices)
        except (TypeError, ValueError):
            return False
        return True

    def read(self, value: Any) -> Value:
        """A value as the entry has it."""
        return str(value) if self._as_text else value

    def entry(self, conditions: Sequence[Parent]) -> HyperParameter:
        """The entry of the space."""
        given: dict[str, Any] = {"conditions": list(conditions)}
        if self._choices:
            return Choice(self.name, [self.read(each) for each in self._choices], **given)
        low, high = min(b.low for b in self._bounds), max(b.high for b in self._bounds)
        steps = {b.step for b in self._bounds}
        is_log = all(b.log for b in self._bounds)
        given["sampling"] = "log" if is_log else "linear"
        step = steps.pop() if len(steps) == 1 and not is_log else None
        if all("Int" in type(b).__name__ for b in self._bounds):
            return Int(self.name, int(low), int(high), step=step or None, **given)
        return Float(self.name, float(low), float(high), step=step, **given)


def _kinds(frozen: Sequence[Any]) -> dict[str, _Distributions]:
    found: dict[str, list[Any]] = {}
    for each in frozen:
        for name, distribution in each.distributions.items():
            found.setdefault(name, []).append(distribution)
    return {name: _Distributions(name, distributions) for name, distributions in found.items()}


def _space(
    kinds: Mapping[str, _Distributions], shown: Sequence[Mapping[str, Value]]
) -> HyperParameters:
    placed: dict[str, list[Parent]] = {}
    # The ones that most trials have come first: conditions depend on them.
    order = sorted(kinds, key=lambda name: -sum(name in values for values in shown))
    for name in order:
        parent = _parent_of(name, list(placed), shown)
        placed[name] = [] if parent is None else [*placed[parent.name], parent]
    config = [kinds[name].entry(placed[name]) for name in order]
    return HyperParameters.from_config(
        {"space": [serialize(entry) for entry in config], "values": {}}
    )


def _parent_of(
    name: str, before: Sequence[str], shown: Sequence[Mapping[str, Value]]
) -> Parent | None:
    """The condition under which trials have this hyperparameter; None if none tells."""
    if all(name in values for values in shown):
        return None
    for other in before:
        with_it: dict[Any, Value] = {}
        without: set[Any] = set()
        for values in shown:
            if other not in values:
                if name in values:
                    break
                continue
            if name in values:
                with_it[tag(values[other])] = values[other]
            else:
                without.add(tag(values[other]))
        else:
            few = len(with_it) + len(without) <= MOST_VALUES
            if few and with_it and without and not without & with_it.keys():
                return Parent(other, list(with_it.values()))
    return None


def _trial(number: int, frozen: Any, values: Mapping[str, Value], objective: Objective) -> Trial:
    begun, ended = frozen.datetime_start, frozen.datetime_complete
    notes = {"imported": f"Optuna's trial {frozen.number}"}
    facts: dict[str, Any] = {
        "number": number,
        "values": dict(values),
        "seconds": (ended - begun).total_seconds() if begun and ended else 0.0,
    }
    state, scores = frozen.state.name, list(frozen.values or ())
    if state == "PRUNED":
        steps = frozen.intermediate_values
        scores = scores or ([steps[max(steps)]] if steps else [])
        notes["ended early"] = "pruned by Optuna"
    if state == "FAIL" or not scores or any(math.isnan(score) for score in scores):
        message = frozen.system_attrs.get("fail_reason") or f"Optuna's state was {state}."
        failure = Failure(FailureKind.ERROR, str(message))
        return Trial(**facts, notes=notes, status=Status.FAILED, failure=failure)
    metrics = dict(zip(objective.names, map(float, scores), strict=True))
    score = objective.get_value(metrics)
    return Trial(
        **facts,
        notes=notes,
        status=Status.COMPLETED,
        score=score,
        loss=objective.loss(score),
        best_step=max(frozen.intermediate_values, default=None),
        metrics=metrics,
        losses=objective.losses(metrics),
    )
