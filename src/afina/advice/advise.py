"""Turns the trials of a search into advice for the next one."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal

import numpy as np

from afina import html_tables
from afina.advice import sentences
from afina.advice.apart import explained, unexplained, with_failures, without
from afina.advice.belief import believe
from afina.advice.carry import carry_over
from afina.advice.code import as_code
from afina.advice.effects import Effects, effects_of
from afina.advice.evidence import Evidence, gather
from afina.advice.failing import FailingRegion, failing_regions
from afina.advice.failing_pairs import FailingPair
from afina.advice.findings import Aim, Findings
from afina.advice.importance import Importances, Method, Share, importance_of
from afina.advice.ranges import (
    Grounds,
    RangeAdvice,
    Verdict,
    moved_default,
    ranges_of,
    untouched,
)
from afina.advice.recommendation import Recommendation, recommend, without_result
from afina.advice.resize import Limits, joined
from afina.advice.sample import sample_of
from afina.advice.shown import shares_of
from afina.errors import ArgumentError, wrong
from afina.space import HyperParameter, HyperParameters, Parent, Space, serialize
from afina.trials import MultiObjective, Objective, Trial
from afina.trials.pareto import front_of
from afina.trials.text import printable


@dataclass(frozen=True)
class Advice(Findings):
    """What a search taught, as data. `str` writes it as sentences.

    Example:
        >>> from afina.space import Float, Space
        >>> found = advice([], Space((Float("rate", 0.0, 1.0),)))
        >>> found.importances.shortage
        'few-trials'
        >>> print(found.as_code(), end="")
        hp.Float("rate", min_value=0.0, max_value=1.0)
    """

    def next_space(self) -> HyperParameters:
        """The space to search next, with its conditions and constraints."""
        hp = HyperParameters()
        hp.merge(list(self.after))
        hp.learn_constraints(self.after)
        return hp

    def whole_space(self) -> HyperParameters:
        """The space that was searched, with the ranges that are to be widened, and no cut.

        `search_again` searches here, so every trial counts. A model that knows the trials avoids
        what a cut would forbid.
        """
        wider = {id(each.before): each.after for each in self.ranges if each.widen}
        scaled = {
            id(each.before): each.after for each in self.ranges if each.verdict is Verdict.RESCALE
        }
        best = {id(each.before): each.best for each in self.ranges if each.best is not None}
        hp = HyperParameters()
        for entry in self.before:
            whole = joined(entry, wider[id(entry)]) if id(entry) in wider else entry
            whole = scaled.get(id(entry), whole)
            hp.merge([moved_default(whole, best.get(id(entry), entry.default))])
        hp.learn_constraints(self.before)
        return hp

    def carry_over_all(self, trials: Iterable[Trial]) -> list[Trial]:
        """All finished trials, as trials of `whole_space()`."""
        return carry_over(trials, self.before, self.whole_space().to_space())

    def as_code(self, hp: str = "hp") -> str:
        """The Python code that defines the space to search next.

        Args:
            hp: The name of the `HyperParameters` in the code.
        """
        return as_code(self.after, hp)

    def carry_over(self, trials: Iterable[Trial]) -> list[Trial]:
        """The trials that also lie in the space to search next; see `afina.advice.carry_over`.

        Values of frozen hyperparameters are ignored, since they had no effect.
        """
        frozen = {each.name for each in self.ranges if each.verdict is Verdict.FREEZE}
        return carry_over(trials, self.before, self.after, frozen)

    @property
    def shares(self) -> tuple[Share, ...]:
        """How much each hyperparameter matters by the model that also gives the verdicts.

        The largest share comes first. `clear` says that the hyperparameter matters. Unlike
        `importances`, these shares never contradict `effects`. Empty if the trials are too few or
        have several objectives.
        """
        return tuple(sorted(shares_of(self), key=lambda each: (not each.clear, -each.share)))

    def to_dict(self) -> dict[str, Any]:
        """The findings as JSON values."""
        plain: dict[str, Any] = _plain(self)
        return plain

    def _repr_html_(self) -> str:
        """For notebooks: the sentences, and the code of the next search space."""
        code = html_tables.code(self.as_code()) if self.changes else ""
        return html_tables.lines(str(self)) + code

    def __str__(self) -> str:
        return printable(sentences.of_advice(self), lines=True)


def advice(
    trials: Iterable[Trial] | Mapping[int, Trial],
    space: Space | HyperParameters,
    direction: Literal["min", "max"] = "min",
    *,
    objective: Objective | None = None,
    limits: Mapping[str, Limits] | None = None,
    method: Literal["auto"] | Method = "auto",
    seed: int = 0,
) -> Advice:
    """Says what a search taught, and what to search next.

    If the trials are too few, have failed or are all equal, the advice says so and leaves the
    space unchanged. It never raises because of the trials.

    Args:
        trials: The trials of the search, or a mapping to them such as `study.trials`. Unfinished
            ones are only counted.
        space: The space that was searched.
        direction: Whether the objective was minimized or maximized; only the sentences use it.
        objective: The objective of the search. It replaces `direction`, and names several
            objectives.
        limits: For each hyperparameter, by name, the lowest and the highest value that advice may
            widen its range to. None means no limit: `{"units": (None, 1024)}`.
        method: How to measure importance; see `afina.advice.importance`.
        seed: Fixes all random draws.

    Raises:
        ArgumentError: The direction or the method is unknown.
    """
    if direction not in ("min", "max"):
        raise ArgumentError(wrong("direction", 'must be "min" or "max"', direction))
    known = space.to_space() if isinstance(space, HyperParameters) else space
    listed = list(trials.values()) if isinstance(trials, Mapping) else list(trials)
    parts = _objectives(listed, objective)
    if len(parts) > 1:
        return _of_several(listed, known, parts, method, seed)
    if objective is not None:
        direction = "max" if parts[0].direction == "max" else "min"
    evidence = gather(listed, known)
    importances = importance_of(evidence, method, seed)
    learnt = _learn(evidence, importances, limits or {}, seed)
    after = _after(known, learnt.ranges)
    return Advice(
        counts=evidence.counts,
        best=evidence.best,
        direction=direction,
        importances=importances,
        ranges=tuple(_left_out(each, after) for each in learnt.ranges),
        before=known,
        after=after,
        recommendation=learnt.recommendation,
        effects=learnt.effects,
        failing=learnt.failing,
        failing_pairs=learnt.failing_pairs,
        top=evidence.top,
    )


@dataclass(frozen=True)
class _Learnt:
    """What the trials of one objective taught."""

    ranges: tuple[RangeAdvice, ...]
    recommendation: Recommendation
    effects: Effects = field(default_factory=Effects)
    failing: tuple[FailingRegion, ...] = ()
    failing_pairs: tuple[FailingPair, ...] = ()


def _learn(
    evidence: Evidence, importances: Importances, limits: Mapping[str, Limits], seed: int
) -> _Learnt:
    sample = sample_of(evidence)
    if importances.shortage is not None:
        return _Learnt(untouched(evidence, sample), without_result(importances))
    failed = np.array([row.failed for row in evidence.rows], dtype=bool)
    failing, pairs = failing_regions(sample, failed)
    caused = explained(sample, failed, failing, pairs)
    told = unexplained(failed, caused)
    known = without(evidence, told)
    if known is not evidence:
        sample = sample_of(known)
    belief = believe(sample, seed)
    clean = without(evidence, told | caused)
    if clean is known:
        effects = effects_of(sample, belief, seed)
    else:
        apart = sample_of(clean)
        effects = effects_of(apart, believe(apart, seed), seed)
    effects = with_failures(effects, failing, pairs)
    ranges = ranges_of(Grounds(known, sample, belief, effects, failing, limits), seed)
    advised = recommend(evidence, sample, belief, effects, failing, pairs, ranges, seed)
    return _Learnt(ranges, advised, effects, failing, pairs)


def _left_out(each: RangeAdvice, after: Space) -> RangeAdvice:
    """The advice on one entry; if nothing makes it active any more, it is to be left out."""
    if any(
        entry.name == each.name and entry.conditions == each.after.conditions for entry in after
    ):
        return each
    return replace(each, verdict=Verdict.LEAVE_OUT, after=each.before, kept=0.0, confidence=1.0)


def _objectives(trials: Sequence[Trial], objective: Objective | None) -> list[Objective]:
    """Each objective; without an `objective`, as many unnamed ones as the trials have."""
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
    """Advice for each objective. Their sum measures nothing, so it is not used."""
    aims = []
    front = front_of(trials)
    for place, part in enumerate(parts):
        evidence = gather([_by_one(trial, place) for trial in trials], space)
        importances = importance_of(evidence, method, seed)
        direction: Literal["min", "max"] = "max" if part.direction == "max" else "min"
        # Of equal results in one objective, the best is one that no other trial beats in all.
        best = gather([_by_one(trial, place) for trial in front], space).top
        aims.append(Aim(part.name, direction, best or evidence.top, importances))
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
        recommendation=without_result(nothing),
        aims=tuple(aims),
        front=tuple(trial.number for trial in front),
    )


def _by_one(trial: Trial, place: int) -> Trial:
    """The trial with one objective's loss as its own; None if that was not reported."""
    loss = trial.losses[place] if place < len(trial.losses) else None
    return replace(trial, loss=loss, curve=())


def _after(space: Space, ranges: Iterable[RangeAdvice]) -> Space:
    """The space with its new definitions, without those that can no longer be active."""
    changed = {id(each.before): each.after for each in ranges}
    kept: list[HyperParameter] = []
    for entry in space:
        new = changed.get(id(entry), entry)
        if all(_can_hold(condition, kept) for condition in new.conditions):
            kept.append(new)
    return replace(space, entries=tuple(kept))


def _can_hold(condition: Parent, entries: Iterable[HyperParameter]) -> bool:
    parents = [entry for entry in entries if entry.name == condition.name]
    return any(parent.contains(value) for parent in parents for value in condition.values)


def _plain(value: Any) -> Any:
    """The value as JSON values."""
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
