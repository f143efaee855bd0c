"""Population based training: hyperparameters change during a training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from afina.errors import ArgumentError, check_whole, wrong
from afina.search import sobol
from afina.search.base import Algorithm, Done, Situation, Suggestion, Wait
from afina.search.untried import all_tried, check_seed, draw_untried, key_of, keys_of
from afina.space import Boolean, Choice, Float, HyperParameter, Int, Space, Value
from afina.space.conditions import same_value
from afina.space.parameters import all_values
from afina.surrogates.geometry import geometry_of
from afina.trials import Schedule, Status, Trial

# The worst quarter copies the best. A copied value is drawn anew with probability 1/4; otherwise it
# changes by a fifth. Source: Jaderberg et al., arXiv:1711.09846, section 4.
PART = 0.25
RESAMPLED = 0.25
FACTORS = (0.8, 1.2)
# In a range that includes 0 or less, a factor would not change some values: values move by a part
# of the range instead.
SHIFT = 0.1


@dataclass(frozen=True, slots=True)
class PopulationMember:
    """The last trial of a member of the population."""

    slot: int
    """The member's place in the population, from 0."""

    number: int
    """The trial's number."""

    values: tuple[tuple[str, Value], ...]
    """The trial's values, in its order."""

    loss: float | None
    """The best loss of that trial alone; None if it failed."""

    epochs: int
    """How many epochs its model has trained in all."""

    generation: int
    """How often the member has trained before."""


@dataclass(frozen=True, slots=True)
class PopulationState:
    """The population."""

    members: tuple[PopulationMember, ...] = ()
    """The members that have finished a trial, by slot."""


@dataclass(frozen=True, kw_only=True)
class PopulationBasedTraining(Algorithm[PopulationState]):
    """Trains a population side by side; the worst continue from copies of the best.

    Each member trains `interval` epochs at a time, and each such part is a trial. If a member is in
    the worst quarter when its turn comes, it copies a member of the best quarter, with its model,
    and changes some of the values. So the search finds a schedule rather than a configuration:
    values that change during training. The best trial holds the last values; its chain of parents
    holds the earlier ones.

    A member whose training failed is replaced in the same way. No member waits for a generation to
    end: it is compared with the last results of the others. The first member has the default
    configuration, the others are spread over the space.

    Args:
        population: How many members; from 2 up, usually 10 to 40.
        interval: Epochs between two choices.
        max_epochs: Epochs of each member in all.
        seed: Fixes every draw; a whole number from 0 up.
        explore: Names of the hyperparameters that may change during a training. They must not
            change the shapes of the model's weights, which are copied. None means all `Float`s,
            such as learning rates, dropout and weight decay. All others are inherited.

    Raises:
        ArgumentError: An argument is out of range.

    Source:
        Jaderberg et al., "Population based training of neural networks", arXiv:1711.09846.

    Example:
        >>> search = PopulationBasedTraining(population=4, interval=2, max_epochs=6, seed=1)
        >>> situation = Situation(number=0, space=Space((Float("x", 0.0, 1.0, default=0.5),)))
        >>> answer = search.ask(search.init(), situation)
        >>> answer.values, answer.schedule.end_epoch
        ({'x': 0.5}, 2)
    """

    population: int = 10
    interval: int = 1
    max_epochs: int = 20
    seed: int = 0
    explore: tuple[str, ...] | None = None

    name: ClassVar[str] = "population"
    fixed_settings: ClassVar[frozenset[str]] = frozenset({"population", "interval", "max_epochs"})

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_whole("max_epochs", self.max_epochs, advice="Try 100.")
        check_whole("population", self.population, least=2)
        check_whole("interval", self.interval)
        if self.explore is not None and not (
            isinstance(self.explore, tuple | list | set | frozenset)
            and all(isinstance(name, str) for name in self.explore)
        ):
            raise ArgumentError(wrong("explore", "must be names in a tuple", self.explore))

    def settings(self) -> Mapping[str, Any]:
        """All arguments."""
        return {
            "population": int(self.population),
            "interval": int(self.interval),
            "max_epochs": int(self.max_epochs),
            "seed": int(self.seed),
            "explore": None if self.explore is None else list(self.explore),
        }

    def init(self) -> PopulationState:
        """The population is empty."""
        return PopulationState()

    def tell(self, state: PopulationState, trial: Trial, space: Space) -> PopulationState:
        """Remembers the trial as its member's last. Trials without a schedule have no member."""
        del space
        schedule = trial.schedule
        if schedule is None or not 0 <= schedule.bracket < self.population:
            return state
        member = PopulationMember(
            slot=schedule.bracket,
            number=trial.number,
            values=tuple(trial.values.items()),
            loss=trial.loss if trial.status is Status.COMPLETED else None,
            epochs=schedule.end_epoch,
            generation=schedule.rung,
        )
        others = [other for other in state.members if other.slot != member.slot]
        return PopulationState(tuple(sorted([*others, member], key=lambda m: m.slot)))

    def ask(self, state: PopulationState, situation: Situation) -> Suggestion | Wait | Done:
        """Fills the population, then continues the member that has trained least."""
        busy = {trial.schedule.bracket for trial in situation.running if trial.schedule}
        known = {member.slot for member in state.members}
        rng = np.random.default_rng([self.seed, situation.number])
        for slot in range(self.population):
            if slot not in busy and slot not in known:
                fresh = self._fresh(slot, 0, state, situation, rng)
                if fresh is not None:
                    return fresh
        idle = [member for member in state.members if member.slot not in busy]
        for member in sorted(idle, key=lambda m: (m.generation, m.slot)):
            answer = self._next(member, state, situation, rng)
            if answer is not None:
                return answer
        if situation.running:
            return Wait()  # every member is running or has trained in full
        if not state.members:
            return Done(all_tried(situation.space))  # the constraints allow nothing
        return Done(f"all {self.population} members have trained for {self.max_epochs} epochs")

    # -- one member ------------------------------------------------------------------------------

    def _next(
        self,
        member: PopulationMember,
        state: PopulationState,
        situation: Situation,
        rng: np.random.Generator,
    ) -> Suggestion | None:
        """The member's next trial; None if it has trained in full, or waits for a build."""
        ranked = sorted(
            (m for m in state.members if m.loss is not None and math.isfinite(m.loss)),
            key=lambda m: (m.loss, m.slot),
        )
        count = int(PART * len(ranked))
        lost = member.loss is None
        best = [m for m in ranked[: max(count, lost)] if m.epochs < self.max_epochs]
        if best and (lost or member in ranked[len(ranked) - count :]):
            source = best[int(rng.integers(len(best)))]
            values = self._changed(dict(source.values), situation.space, rng)
            return self._part(values, source.epochs, member, source.number)
        if lost and not ranked:
            return self._fresh(member.slot, member.generation + 1, state, situation, rng)
        if lost or member.epochs >= self.max_epochs:
            return None
        return self._part(dict(member.values), member.epochs, member, member.number)

    def _part(
        self, values: Mapping[str, Value], start: int, member: PopulationMember, parent: int
    ) -> Suggestion:
        schedule = Schedule(
            bracket=member.slot,
            rung=member.generation + 1,
            start_epoch=start,
            end_epoch=min(start + self.interval, self.max_epochs),
            parent=parent,
        )
        return Suggestion(values=values, schedule=schedule)

    def _fresh(
        self,
        slot: int,
        generation: int,
        state: PopulationState,
        situation: Situation,
        rng: np.random.Generator,
    ) -> Suggestion | None:
        """A new model, with a configuration that no other member has if the space has one.

        None if a running build may still discover one, or the constraints allow none.
        """
        space = situation.space
        taken = {key for trial in situation.running for key in keys_of(trial, space)}
        taken |= {
            key_of(space.complete(dict(m.values), lambda e: e.default), space)
            for m in state.members
        }
        values: dict[str, Value] | None = None
        if generation == 0:
            values = space.repaired(sobol.configuration(geometry_of(space), slot, self.seed))
        if values is None or key_of(values, space) in taken:
            values = draw_untried(space, rng, taken.__contains__)
        if values is None:
            if any(trial.parent is None for trial in situation.running):
                return None
            values = dict(space.sample(rng))
            if not space.allows(values):
                return None
        schedule = Schedule(
            bracket=slot,
            rung=generation,
            start_epoch=0,
            end_epoch=min(self.interval, self.max_epochs),
        )
        return Suggestion(values=values, schedule=schedule)

    def _changed(
        self, values: Mapping[str, Value], space: Space, rng: np.random.Generator
    ) -> dict[str, Value]:
        """The values, with changes to those that may change; children of a new choice are drawn."""
        changed = dict(values)
        for entry in space.active(space.complete(values, lambda e: e.default)):
            named = isinstance(entry, Float) if self.explore is None else entry.name in self.explore
            if named and entry.name in values:
                changed[entry.name] = perturbed(entry, values[entry.name], rng)
        found = space.complete(changed, lambda entry: entry.prob_to_value(float(rng.random())))
        return space.repaired(found) or dict(values)


def perturbed(entry: HyperParameter, value: Value, rng: np.random.Generator) -> Value:
    """A value near the given one; with probability 1/4, any value of the range.

    Numbers change by a fifth. If that gives no other value of the range, they move to a neighbour,
    as ordered choices do. Choices without an order are drawn anew.

    Args:
        entry: Whose range it is.
        value: One of its values.
        rng: Every draw comes from it.
    """
    again, up, fresh = rng.random(), int(rng.integers(2)), float(rng.random())
    ordered = isinstance(entry, Int | Float) or (isinstance(entry, Choice) and entry.ordered)
    if again < RESAMPLED or isinstance(entry, Boolean) or not ordered:
        drawn: Value = entry.prob_to_value(fresh)
        return drawn
    if isinstance(entry, Int | Float) and isinstance(value, int | float):
        if entry.min_value > 0:
            moved: Value = entry.clip(value * FACTORS[up])
        else:
            shift = SHIFT * (entry.max_value - entry.min_value)
            moved = entry.clip(value + (shift if up else -shift))
        if not same_value(moved, value) or entry.count is None:
            return moved
    values: Sequence[Value] = sorted(all_values(entry), key=entry.value_to_prob)
    kept = entry.clip(value)
    here = next(place for place, other in enumerate(values) if same_value(other, kept))
    return values[min(max(here + (1 if up else -1), 0), len(values) - 1)]
