"""The trial that a study hands out: Optuna's habits on an open trial."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Protocol

from afina.errors import ArgumentError, wrong
from afina.trials import Decision, Objective, Trial
from afina.trials.trial import USER_ATTR


class OwnerOfTrial(Protocol):
    """What an open trial needs of its study."""

    objective: Objective

    def note(self, trial: Trial, notes: Mapping[str, str]) -> None:
        """Keeps facts about an open trial."""
        ...

    def report(self, trial: Trial, metrics: Mapping[str, float], step: int) -> Decision:
        """Keeps the metrics of an epoch."""
        ...


class OpenTrial(Trial):
    """A trial that is running, with methods that Optuna's users know.

    It equals the `Trial` with the same fields. In another process it has no study: what it sets or
    reports there would be lost, so it refuses.
    """

    __slots__ = ("_attrs", "_decision", "_study")
    _study: OwnerOfTrial | None
    _attrs: dict[str, Any]
    _decision: Decision

    @classmethod
    def of(cls, trial: Trial, study: OwnerOfTrial | None) -> OpenTrial:
        """The trial, handed out by a study."""
        known = {each.name: getattr(trial, each.name) for each in dataclasses.fields(trial)}
        opened = cls(**known)
        object.__setattr__(opened, "_study", study)
        object.__setattr__(opened, "_attrs", trial.user_attrs)
        object.__setattr__(opened, "_decision", Decision.CONTINUE)
        return opened

    @property
    def params(self) -> Mapping[str, Any]:
        """Optuna's name of `values`."""
        return self.values

    @property
    def user_attrs(self) -> dict[str, Any]:
        """The attributes that were set, by key."""
        return dict(self._attrs)

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keeps a fact about the trial with the project, at once.

        Args:
            key: Its name.
            value: Anything that JSON can hold.

        Raises:
            ArgumentError: JSON cannot hold it, or the trial is not open here.
        """
        try:
            text = json.dumps(value)
        except (TypeError, ValueError) as error:
            rule = "value must be one that JSON can hold"
            raise ArgumentError(wrong(f"set_user_attr({key!r})", rule, value)) from error
        self._owner("set_user_attr").note(self, {f"{USER_ATTR}{key}": text})
        self._attrs[str(key)] = value

    def report(self, value: float | Mapping[str, float], step: int) -> None:
        """Reports the objective, or all metrics by name, after an epoch; see `should_prune`."""
        study = self._owner("report")
        metrics = value if isinstance(value, Mapping) else {study.objective.name: value}
        object.__setattr__(self, "_decision", study.report(self, metrics, step))

    def should_prune(self) -> bool:
        """Whether the algorithm has decided, after the last report, to end this training."""
        return self._decision is Decision.STOP

    def _owner(self, what: str) -> OwnerOfTrial:
        if self._study is None:
            rule = "must be called in the process of the study"
            advice = 'Return the metrics instead, or use executor="threads".'
            raise ArgumentError(wrong(what, rule, "another process", advice))
        return self._study

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trial):
            return NotImplemented
        names = [each.name for each in dataclasses.fields(Trial)]
        return all(getattr(self, name) == getattr(other, name) for name in names)

    __hash__ = Trial.__hash__

    def __reduce__(self) -> Any:
        known = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        return _elsewhere, (known,)


def _elsewhere(fields: dict[str, Any]) -> OpenTrial:
    return OpenTrial.of(Trial(**fields), None)
