"""From the trials of a search to advice on the next one."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

from afina.advice import sentences
from afina.advice.carry import carry_over
from afina.advice.code import as_code
from afina.advice.evidence import Counts, Row, gather
from afina.advice.importance import Importances, Method, importance_of
from afina.advice.ranges import RangeAdvice, Verdict, ranges_of
from afina.advice.resize import Limits
from afina.errors import ArgumentError, wrong
from afina.space import HyperParameter, HyperParameters, Parent, Space, serialize
from afina.trials import Trial
from afina.trials.text import printable


@dataclass(frozen=True)
class Advice:
    """What a search has taught, as data. `str` draws it as sentences.

    Example:
        >>> from afina.space import Float, Space
        >>> told = advice([], Space((Float("rate", 0.0, 1.0),)))
        >>> told.importances.shortage
        'few-trials'
        >>> print(told.as_code(), end="")
        hp.Float("rate", min_value=0.0, max_value=1.0)
    """

    counts: Counts
    """Of the trials."""

    best: Row | None
    """The best configuration; None where no trial has a loss."""

    direction: Literal["min", "max"]
    """Of the objective; losses are lower-is-better all the same."""

    importances: Importances
    """Which hyperparameters matter."""

    ranges: tuple[RangeAdvice, ...]
    """What to do about each hyperparameter that varies, in the order of the space."""

    before: Space
    """The space that was searched."""

    after: Space
    """The space to search next. Each default is the best known value. Entries that can never be
    active any more are not in it."""

    @property
    def changes(self) -> bool:
        """Whether the space to search next has other values than the one that was searched."""
        return any(each.verdict is not Verdict.KEEP for each in self.ranges)

    def next_space(self) -> HyperParameters:
        """The space to search next, for a tuner or a study; conditions are kept."""
        hp = HyperParameters()
        hp.merge(list(self.after))
        return hp

    def as_code(self, hp: str = "hp") -> str:
        """The Python that defines the space to search next.

        Args:
            hp: What the `HyperParameters` is called in it.
        """
        return as_code(self.after, hp)

    def carry_over(self, trials: Iterable[Trial]) -> list[Trial]:
        """The trials that lie in the space to search next too; see `afina.advice.carry_over`.

        Frozen hyperparameters had no effect, so their values do not matter.
        """
        frozen = {each.name for each in self.ranges if each.verdict is Verdict.FREEZE}
        return carry_over(trials, self.before, self.after, frozen)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        plain: dict[str, Any] = _plain(self)
        return plain

    def __str__(self) -> str:
        return printable(sentences.of_advice(self), lines=True)


def advice(
    trials: Iterable[Trial],
    space: Space | HyperParameters,
    direction: Literal["min", "max"] = "min",
    *,
    limits: Mapping[str, Limits] | None = None,
    method: Literal["auto"] | Method = "auto",
    seed: int = 0,
) -> Advice:
    """Says what a search has taught, and what to search next.

    Never raises because of what the trials are: where they are too few, have failed or are all
    alike, the advice says so and leaves the space as it is.

    Args:
        trials: Of the search; those that have not finished are counted only.
        space: What was searched.
        direction: Whether the objective was made small or large; for the sentences only.
        limits: The least and the largest value that a hyperparameter may ever have, by name, each
            None where there is none: `{"units": (None, 1024)}`. No range is widened beyond.
        method: How importance is measured: see `afina.advice.importance`.
        seed: Fixes every draw.

    Raises:
        ArgumentError: The direction or the method is unknown.
    """
    if direction not in ("min", "max"):
        raise ArgumentError(wrong("direction", 'must be "min" or "max"', direction))
    known = space.to_space() if isinstance(space, HyperParameters) else space
    evidence = gather(trials, known)
    importances = importance_of(evidence, method, seed)
    ranges = ranges_of(evidence, importances, limits, seed)
    return Advice(
        counts=evidence.counts,
        best=evidence.best,
        direction=direction,
        importances=importances,
        ranges=ranges,
        before=known,
        after=_after(known, ranges),
    )


def _after(space: Space, ranges: Iterable[RangeAdvice]) -> Space:
    """The space with its new definitions, without those that can never be active any more."""
    changed = {id(each.before): each.after for each in ranges}
    kept: list[HyperParameter] = []
    for entry in space:
        new = changed.get(id(entry), entry)
        if all(_can_hold(condition, kept) for condition in new.conditions):
            kept.append(new)
    return Space(tuple(kept))


def _can_hold(condition: Parent, entries: Iterable[HyperParameter]) -> bool:
    parents = [entry for entry in entries if entry.name == condition.name]
    return any(parent.contains(value) for parent in parents for value in condition.values)


def _plain(value: Any) -> Any:
    """As JSON values."""
    if isinstance(value, HyperParameter):
        return serialize(value)
    if isinstance(value, Space):
        return value.get_config()
    if isinstance(value, enum.Enum):
        return value.value
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value
