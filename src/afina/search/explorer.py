"""What to try in a space of branches when a search has stalled: each branch on its own.

If a choice decides which other hyperparameters are active, its values are *branches*. One Gaussian
process of all branches is sure of too much. Its lengthscales are those of the branch that has most
trials. If that branch is flat, the process tries it again and again for gains that do not matter,
and expects nothing of a branch that is good in a narrow part only.

So an explorer takes some turns when the search has gained next to nothing for a while, and more the
longer that lasts. It goes to the branch that has had fewest trials for its number of
hyperparameters; a branch whose best trial is far behind counts as fuller than it is. Within the
branch it alternates between a point of a Sobol sequence and the best proposal of a process that
sees the branch's trials alone and tries to improve on their best one. No branch is given up for
good.

Source:
    Branches as arms that get few trials each: Audibert, Bubeck & Munos, "Best arm identification in
    multi-armed bandits" (COLT 2010), here without final rejects.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afina.search import sobol
from afina.search.observation import Observation
from afina.search.untried import place
from afina.space import Boolean, Choice, Fixed, HyperParameter, Space, Value
from afina.surrogates.acquisition import LogExpectedImprovement, maximise
from afina.surrogates.gaussian_process import GaussianProcess, fit_once
from afina.surrogates.geometry import Geometry, encoded
from afina.surrogates.subset import representatives
from afina.surrogates.targets import tamed
from afina.trials import Trial

Array = NDArray[np.float64]

MOST_BRANCHES = 8
"""A choice among more values has no branches: each of them would have too few trials."""

FIRST = 10
"""From so many results on, it can be seen whether a search has stalled."""

REAL = 0.05
"""The smallest gain that counts, as a part of `spread`."""

PERIOD = 6
SHARES = ((12, (1, 2, 4, 5)), (8, (1, 3, 5)), (5, (1, 4)))
"""(trials without a gain that counts, which of `PERIOD` trials an explorer proposes)."""

FARTHEST = 3.0
"""A branch counts as at most so many times `spread` behind."""

FIT_LIMIT = 64
"""The process of a branch sees at most so many trials."""

NOISE_FLOOR = 1e-4


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
    def completed(self) -> int:
        """How many of them have a loss."""
        return sum(each.loss is not None for each in self.observations)


def is_turn(losses: Sequence[float], number: int, space: Space) -> bool:
    """Whether an explorer proposes a trial, because the search has stalled.

    Args:
        losses: Of all completed trials, in the order in which they finished.
        number: The number of the proposed trial.
        space: The search space; without branches there is nothing to explore.
    """
    finite = [loss for loss in losses if math.isfinite(loss)]
    if len(finite) < FIRST + SHARES[-1][0] or not dividing(space):
        return False
    enough = min(finite) + REAL * spread(finite)
    reached = next(number for number, loss in enumerate(finite) if loss <= enough)
    since = len(finite) - 1 - reached
    turns = next((turns for count, turns in SHARES if since >= count), ())
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


def explored(
    space: Space,
    observations: Sequence[Observation],
    running: Sequence[Trial],
    seed: int,
    rng: np.random.Generator,
) -> dict[str, Value]:
    """A proposal within the branch whose turn it is.

    Args:
        space: The search space; it has branches.
        observations: The finished trials; at least two of them have a loss.
        running: Trials without a result.
        seed: Of the search.
        rng: Every draw comes from it.
    """
    roots = dividing(space)
    root = roots[int(rng.integers(len(roots)))]
    chosen = emptiest([_branch(space, root, each, observations, running) for each in root.values])
    geometry = _geometry(chosen.space)
    if chosen.count % 2 or chosen.count < 3 or chosen.completed < 2:
        return geometry.decode(sobol.point(geometry, chosen.count + 1, seed)[0])
    return _promising(geometry, chosen, rng)


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


def emptiest(branches: Sequence[Branch]) -> Branch:
    """The branch that has had fewest trials for its size and for how good it may be."""
    every = sorted((each for own in branches for each in own.observations), key=by_order)
    costs = [each.cost for each in every if math.isfinite(each.cost)]
    best, unit = min(costs), spread(costs)

    def fullness(own: Branch) -> float:
        wanted = len(_geometry(own.space).tunable) + 2
        behind = min((each.cost for each in own.observations), default=best) - best
        gap = min(behind / unit, FARTHEST) if unit > 0 else 0.0
        return own.count / wanted * (1 + gap)

    return min(branches, key=fullness)


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


@functools.lru_cache(maxsize=64)
def _geometry(space: Space) -> Geometry:
    """Of a branch; `geometry_of` keeps too few of them."""
    return Geometry(space)


def _promising(geometry: Geometry, own: Branch, rng: np.random.Generator) -> dict[str, Value]:
    """Where a process of the branch's trials expects the greatest gain on the best of them."""
    costs = [each.cost for each in own.observations]
    ordered = np.argsort(costs, kind="stable").tolist()
    seen = [own.observations[index] for index in representatives(ordered, FIT_LIMIT)]
    values = tamed([each.loss for each in seen])
    targets = (values - values.mean()) / (values.std() or 1.0)
    points = encoded(geometry, [each.values for each in seen])
    features = geometry.embed(points)
    kernel = fit_once(features, targets, geometry.groups, NOISE_FLOOR)
    process = GaussianProcess(kernel, features, targets, geometry.groups)
    if own.running:
        rows = encoded(geometry, [tuple(trial.values.items()) for trial in own.running])
        process = process.believe(geometry.embed(rows))
    worth = LogExpectedImprovement(process, float(process.fitted().min()))
    best_first = points[np.argsort(targets, kind="stable")]
    return geometry.decode(maximise(worth, geometry, best_first, rng)[0])
