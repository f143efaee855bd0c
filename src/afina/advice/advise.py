"""From the trials of a search to advice on the next one."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
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
from afina.trials import MultiObjective, Objective, Trial
from afina.trials.pareto import front_of
from afina.trials.text import printable


@dataclass(frozen=True)
class Aim:
    """What a search with several objectives has taught about one of them."""

    name: str
    """Of the objective."""

    direction: Literal["min", "max"]
    """Of the objective; losses are lower-is-better all the same."""

    top: Row | None
    """The best result in this objective; None where no trial has one."""

    importances: Importances
    """Which hyperparameters matter for it."""


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
    """The best configuration among the longest trainings, whose values become the defaults; None
    where no trial has a loss, and where there are several objectives."""

    direction: Literal["min", "max"]
    """Of the objective; losses are lower-is-better all the same."""

    importances: Importances
    """Which hyperparameters matter; empty where there are several objectives, which have their
    own in `aims`."""

    ranges: tuple[RangeAdvice, ...]
    """What to do about each hyperparameter that varies, in the order of the space. Empty where
    there are several objectives: what is good for one may be bad for another."""

    before: Space
    """The space that was searched."""

    after: Space
    """The space to search next. Each default is the best known value. Entries that can never be
    active any more are not in it."""

    top: Row | None = None
    """The best result of all, as the search itself ranks them, after however many epochs."""

    aims: tuple[Aim, ...] = ()
    """Of a search with several objectives: what is known about each, in their order."""

    front: tuple[int, ...] = ()
    """Of a search with several objectives: numbers of the trials that no other trial beats in
    every objective."""

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
    objective: Objective | None = None,
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
        objective: Of the search; it names the objectives where there are several. Its direction
            is taken instead of `direction`.
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
    listed = list(trials)
    parts = _objectives(listed, objective)
    if len(parts) > 1:
        return _of_several(listed, known, parts, method, seed)
    if objective is not None:
        direction = "max" if parts[0].direction == "max" else "min"
    evidence = gather(listed, known)
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
        top=evidence.top,
    )


def _objectives(trials: Sequence[Trial], objective: Objective | None) -> list[Objective]:
    """Each objective by itself; where nobody has named them, as many as the trials have."""
    if isinstance(objective, MultiObjective):
        return list(objective.objectives)
    if objective is not None:
        return [objective]
    count = max((len(trial.losses) for trial in trials), default=0)
    return [Objective(f"objective {place + 1}", "min") for place in range(count)]


def _of_several(
    trials: Sequence[Trial],
    space: Space,
    parts: Sequence[Objective],
    method: Literal["auto"] | Method,
    seed: int,
) -> Advice:
    """Advice by objective. The sum of several measures nothing, so nothing here goes by it."""
    aims = []
    for place, part in enumerate(parts):
        evidence = gather([_by_one(trial, place) for trial in trials], space)
        importances = importance_of(evidence, method, seed)
        direction: Literal["min", "max"] = "max" if part.direction == "max" else "min"
        aims.append(Aim(part.name, direction, evidence.top, importances))
    counts = evidence.counts
    nothing = Importances(
        method=importances.method,
        configurations=importances.configurations,
        needed=importances.needed,
        shortage="several-objectives",
        single=(),
        pairs=(),
        chance=0.0,
    )
    return Advice(
        counts=counts,
        best=None,
        direction="min",
        importances=nothing,
        ranges=(),
        before=space,
        after=space,
        aims=tuple(aims),
        front=tuple(trial.number for trial in front_of(trials)),
    )


def _by_one(trial: Trial, place: int) -> Trial:
    """The trial with one objective's loss for its own; None where it was not reported."""
    loss = trial.losses[place] if place < len(trial.losses) else None
    return replace(trial, loss=loss, curve=())


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
