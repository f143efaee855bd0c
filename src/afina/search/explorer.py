"""What to try in a space of branches when a search has stalled: each branch on its own.

If a choice decides which other hyperparameters are active, its values are *branches*. One Gaussian
process of all branches is sure of too much, and in stalled searches the cause is always this:

- Its scale is that of the worst branch. What differs within a good one then counts as noise.
- Its lengthscales are those of the branch that has most trials. If that branch is flat, the process
  tries it again and again for gains that do not matter, and expects nothing of a branch that is
  good in a narrow part only.

So when the search has gained next to nothing for a while, trials are proposed by
`BayesianOptimization` of one branch, which sees the trials of that branch alone and tries to
improve on their best one. Some trials go to the branch with the best trial. The others, more of
them the longer the stall lasts, go to the branch that has had fewest trials for its number of
hyperparameters. A branch whose best trial is far behind counts as fuller than it is, and so does
one that gains nothing any more. No branch is given up for good.

`Auto` explores with full trainings. `ModelBasedHalving` explores with new trainings, which start
short: it compares their first results, and decides as usual which of them continue.

Source:
    Branches as arms that get few trials each: Audibert, Bubeck & Munos, "Best arm identification in
    multi-armed bandits" (COLT 2010), here without final rejects. Arms that still gain come first:
    Li et al., "Efficient automatic CASH via rising bandits" (AAAI 2020).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from afina.search.base import Done, Situation, Suggestion, Wait
from afina.search.bayesian import BayesianOptimization, BayesianState
from afina.search.observation import Observation
from afina.search.untried import TriedKeys, answer, first_new, key_of, place
from afina.space import Boolean, Choice, Fixed, HyperParameter, Space, Value
from afina.surrogates.geometry import adapted
from afina.trials import Trial

MOST_BRANCHES = 8
"""A choice among more values has no branches: each of them would have too few trials."""

FIRST = 10
"""From so many results on, it can be seen whether a search has stalled."""

REAL = 0.05
"""The smallest gain that counts, as a part of `spread`."""

PERIOD = 6
SHARES = ((12, (0, 1, 2, 4, 5)), (8, (1, 2, 4, 5)), (5, (1, 3, 5)))
"""(trials without a gain that counts, which of `PERIOD` trials do not go to the best branch)."""

FARTHEST = 3.0
"""A branch counts as at most so many times `spread` behind."""

LATEST = 4
"""By its latest trials, so many, it is seen whether a branch still gains."""

CLOSER = 0.15
"""A branch gains if it came nearer to the best trial by this part of the distance, or by `REAL` if
that is more."""

GAINING, IDLE = 0.5, 1.5
"""How full a branch counts that gains, and one that does not, as a part of how full it is."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A part of the space, and the trials in it."""

    space: Space
    """The space below one value of a choice."""

    observations: tuple[Observation, ...]
    running: tuple[Trial, ...]

    @property
    def count(self) -> int:
        """How many trials it has had."""
        return len(self.observations) + len(self.running)

    @property
    def wanted(self) -> int:
        """How many trials tell something of it."""
        return sum(entry.count != 1 for entry in self.space) + 2

    @property
    def costs(self) -> list[float]:
        """The losses of its trials, in their order; infinite for those that failed."""
        return [each.cost for each in self.observations]


def stalled_for(losses: Sequence[float], space: Space) -> int:
    """How many trials have gained next to nothing; 0 while the search has not stalled.

    Args:
        losses: Of all completed trials, in the order in which they finished.
        space: The search space; without branches there is nothing to explore.
    """
    finite = [loss for loss in losses if math.isfinite(loss)]
    least = SHARES[-1][0]
    if len(finite) < FIRST + least or not dividing(space):
        return 0
    enough = min(finite) + REAL * spread(finite)
    reached = next(number for number, loss in enumerate(finite) if loss <= enough)
    since = len(finite) - 1 - reached
    return since if since >= least else 0


def leaves_best(stalled: int, number: int) -> bool:
    """Whether a trial goes to another branch than that of the best trial.

    Args:
        stalled: From `stalled_for`.
        number: The number of the proposed trial.
    """
    turns = next((turns for count, turns in SHARES if stalled >= count), ())
    return number % PERIOD in turns


def spread(losses: Sequence[float]) -> float:
    """What losses differ by: from the best of all to the upper quartile of the first ones.

    The median of all would not do: a search that stays in a flat branch moves it to the best.

    Args:
        losses: Finite, in the order in which the trials finished; at least one.
    """
    first = sorted(losses[:FIRST])
    return first[len(first) * 3 // 4] - min(losses)


def by_order(observation: Observation) -> int:
    """Sorts the earliest first."""
    return observation.order


def explore(
    process: BayesianOptimization,
    situation: Situation,
    observations: Sequence[Observation],
    tried: TriedKeys,
    stalled: int,
) -> Suggestion | Wait | Done:
    """A new configuration from the branch whose turn it is.

    A branch knows nothing of the space's constraints, or of values that stand for others. So a
    proposal that is not new and allowed in the whole space is repaired, or replaced by a draw.

    Args:
        process: Proposes within the branch.
        situation: The question; its space has branches.
        observations: The finished trials; at least two of them have a loss.
        tried: Keys of everything that has been tried.
        stalled: From `stalled_for`.
    """
    found = explored(process, situation, observations, stalled)
    rng = np.random.default_rng([process.seed, situation.number])
    wanted = [] if found is None else [dict(found.values)]
    given = answer(first_new(situation, tried, wanted, rng), situation)
    if found is None or not isinstance(given, Suggestion) or given.values != found.values:
        return given
    return found


def explored(
    process: BayesianOptimization,
    situation: Situation,
    observations: Sequence[Observation],
    stalled: int,
) -> Suggestion | None:
    """A proposal within the branch whose turn it is; None if no branch has anything new.

    Args:
        process: Proposes within the branch.
        situation: The question; its space has branches.
        observations: The finished trials; at least two of them have a loss.
        stalled: From `stalled_for`.
    """
    roots = dividing(situation.space)
    rng = np.random.default_rng([process.seed, situation.number])
    root = roots[int(rng.integers(len(roots)))]
    branches = [
        _branch(situation.space, root, each, observations, situation.running)
        for each in root.values
    ]
    ordered = emptiest(branches) if leaves_best(stalled, situation.number) else best(branches)
    for own in ordered:
        asked = replace(situation, space=own.space, running=own.running, max_trials=None)
        found = process.ask(BayesianState(own.observations, _tried(own)), asked)
        if isinstance(found, Suggestion):
            return found
    return None


@functools.lru_cache(maxsize=8)
def dividing(space: Space) -> tuple[HyperParameter, ...]:
    """The unordered choices, always active, that decide which other entries are active."""
    parents = {condition.name for entry in space for condition in entry.conditions}
    names = [entry.name for entry in space]
    return tuple(
        entry
        for entry in space
        if not entry.conditions
        and entry.name in parents
        and names.count(entry.name) == 1
        and (isinstance(entry, Boolean) or (isinstance(entry, Choice) and not entry.ordered))
        and 1 < (entry.count or 0) <= MOST_BRANCHES
    )


@functools.lru_cache(maxsize=64)
def below(space: Space, root: HyperParameter, value: Value) -> Space:
    """The space below one value of a choice, without entries that are never active there."""
    kept: list[HyperParameter] = []
    for entry in space:
        if place(entry) == place(root):
            kept.append(Fixed(root.name, value))
        elif all(
            condition.allows(value)
            if condition.name == root.name
            else any(each.name == condition.name for each in kept)
            for condition in entry.conditions
        ):
            kept.append(entry)
    return Space(tuple(kept))


def best(branches: Sequence[Branch]) -> list[Branch]:
    """The branches, that of the best trial first."""
    return sorted(branches, key=lambda own: min(own.costs, default=math.inf))


def emptiest(branches: Sequence[Branch]) -> list[Branch]:
    """The branches, that with fewest trials for its size and for how good it may be first."""
    every = sorted((each for own in branches for each in own.observations), key=by_order)
    costs = [each.cost for each in every if math.isfinite(each.cost)]
    least, unit = min(costs), spread(costs)

    def fullness(own: Branch) -> float:
        behind = min(own.costs, default=least) - least
        full = own.count / own.wanted
        full *= 1 + (min(behind / unit, FARTHEST) if unit > 0 else 0.0)
        if own.count < own.wanted:
            return full
        before = min(own.costs[:-LATEST], default=math.inf) - least
        gains = before - behind > max(REAL * unit, CLOSER * behind)
        return full * (GAINING if gains else IDLE)

    return sorted(branches, key=fullness)


def _branch(
    space: Space,
    root: HyperParameter,
    value: Value,
    observations: Sequence[Observation],
    running: Sequence[Trial],
) -> Branch:
    key = (root.name, value)
    own = tuple(each for each in observations if key in each.values)
    return Branch(
        below(space, root, value),
        own,
        tuple(trial for trial in running if trial.values.get(root.name) == value),
    )


def _tried(own: Branch) -> TriedKeys:
    """Keys of the branch's trials, as of configurations of its space."""
    rows = (adapted(each.values, own.space) for each in own.observations)
    return TriedKeys().add(key_of(values, own.space) for values in rows)
