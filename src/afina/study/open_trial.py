"""The trial that a study hands out: Optuna's habits on an open trial."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from afina.errors import ArgumentError, SpaceError, SuggestionError, wrong
from afina.space import Choice, Float, HyperParameter, HyperParameters, Int
from afina.trials import Decision, Objective, Trial
from afina.trials.trial import USER_ATTR


class OwnerOfTrial(Protocol):
    """What an open trial needs of its study."""

    objective: Objective
    seed: int

    def hp_of(self, trial: Trial) -> HyperParameters:
        """The hyperparameters of an open trial, to which it may add."""
        ...

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

    __slots__ = ("_attrs", "_decision", "_hp", "_study")
    _study: OwnerOfTrial | None
    _hp: HyperParameters | None
    _attrs: dict[str, Any]
    _decision: Decision

    @classmethod
    def of(cls, trial: Trial, study: OwnerOfTrial | None) -> OpenTrial:
        """The trial, handed out by a study."""
        known = {each.name: getattr(trial, each.name) for each in dataclasses.fields(trial)}
        opened = cls(**known)
        object.__setattr__(opened, "_study", study)
        object.__setattr__(opened, "_hp", None)
        object.__setattr__(opened, "_attrs", trial.user_attrs)
        object.__setattr__(opened, "_decision", Decision.CONTINUE)
        return opened

    @property
    def params(self) -> Mapping[str, Any]:
        """Optuna's name of `values`, with those that were suggested."""
        return self.values if self._hp is None else dict(self._hp.values)

    # -- define by run ------------------------------------------------------------------------

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A real number between two bounds, both included; it joins the space of the search.

        Args:
            name: The hyperparameter's name.
            low: Smallest value.
            high: Largest value.
            step: Difference between values; None for any.
            log: Whether it is drawn on a logarithmic scale.

        Raises:
            SuggestionError: That makes no sense; the search ends, as the script must be mended.
        """
        with _of_the_script():
            entry = Float(name, low, high, step, _sampling(name, step, log=log))
            return float(self._suggest(entry))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """A whole number between two bounds, both included; see `suggest_float`."""
        given = None if step == 1 else step
        with _of_the_script():
            entry = Int(name, low, high, given, _sampling(name, given, log=log))
            return int(self._suggest(entry))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of several values: numbers, texts, booleans or None; see `suggest_float`."""
        with _of_the_script():
            return self._suggest(Choice(name, list(choices), ordered=False))

    def _suggest(self, entry: HyperParameter) -> Any:
        if self._hp is None:
            object.__setattr__(self, "_hp", self._owner("suggest").hp_of(self))
        hp, seed = self._hp, self._owner("suggest").seed
        assert hp is not None
        if entry.name not in hp.values:  # the search did not know it when it chose the others
            drawn = np.random.SeedSequence([seed, self.number, zlib.crc32(entry.name.encode())])
            hp.values[entry.name] = entry.random_sample(int(drawn.generate_state(1)[0]))
        return hp.ask(entry)

    # -- facts and epochs ---------------------------------------------------------------------

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
        text = attribute_text(key, value)
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


def attribute_text(key: str, value: Any) -> str:
    """A user attribute as JSON.

    Raises:
        ArgumentError: JSON cannot hold it.
    """
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        rule = "value must be one that JSON can hold"
        raise ArgumentError(wrong(f"set_user_attr({key!r})", rule, value)) from error


@contextlib.contextmanager
def _of_the_script() -> Iterator[None]:
    """Within the block, what makes no sense ends the search: each trial would fail with it."""
    try:
        yield
    except (ArgumentError, SpaceError) as error:
        raise SuggestionError(str(error)) from None


def _sampling(name: str, step: Any, *, log: bool) -> str:
    if log and step is not None:
        raise ArgumentError(wrong(name, "must have no step where log=True", step))
    return "log" if log else "linear"


def _elsewhere(fields: dict[str, Any]) -> OpenTrial:
    return OpenTrial.of(Trial(**fields), None)
