"""Which values of each hyperparameter to keep: the box in which a next search most likely wins.

Two random searches of equal length, one in the box and one in the whole space: if good
configurations are r times as frequent in the box, the best of all of their trials is in the box
with probability r / (1 + r). What r is depends on what the objective looks like, so the mean over
functions that the trials allow is taken. It is what a box is chosen by, and it needs no penalty
for risk: where a function has its good region outside of the box, r is 0 and the case is lost,
while from r = 10 on more hardly counts.

The box is found by peeling: of all slabs at its faces (an end of a number's range, a value of a
choice) the one is cut off that gains most for what it takes of the space; then the rest is looked
at again, so that one bad hyperparameter does not blur the others.

Source:
    Friedman & Fisher, "Bump hunting in high-dimensional data", Statistics and Computing 9 (1999):
    peeling (the patient rule induction method). Here it peels what functions of a posterior say,
    not data, and stops by what it gains.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afina.advice.belief import DRAWS, Belief
from afina.advice.sample import Sample, cells_of, is_ordered
from afina.surrogates.geometry import Geometry

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Cells = NDArray[np.intp]

WORTH = 0.03  # chance to win that must be gained where the space is cut to 1/e of it
LITTLE = 0.55  # with less chance to win than this nothing is cut: a box of no use is a nuisance
# So many of the best trials keep their cells, and the box stays as large as the space that so many
# of all trials stand for: finer they cannot tell.
HELD = 3
TRIED = 3  # a value of a choice that was tried less often is not dropped


@dataclass(frozen=True, eq=False)
class Box:
    """What is left of the space."""

    kept: tuple[Mask, ...]
    """For each varying entry, which of its cells."""

    cost: tuple[float, ...]
    """For each varying entry, what part of the good configurations lies in its cut cells, by the
    model (of those in the whole space, in the order of the cuts)."""

    promise: float
    """What part of the good configurations lies in the box, by the model."""

    volume: float
    """What part of the space the box is."""

    chance: float
    """That the better one of two random searches, in the box and in the whole space, is the one
    in the box, by the model; 0.5 where they are the same."""


@dataclass(frozen=True, eq=False)
class _Cut:
    """A slab that may be cut off."""

    column: int
    slab: Cells
    share: float
    """Of the space of the box."""

    lost: float
    """Of the good configurations of the box."""

    chance: float
    """What `Box.chance` will be."""

    gain: float
    """Chance for each factor e that the space shrinks by."""


def peel(
    sample: Sample,
    belief: Belief,
    seed: int,
    partners: Mapping[int, Collection[int]] | None = None,
) -> Box:
    """The box that is left when all slabs are cut off whose loss makes a win more likely.

    Args:
        sample: The trials; cells of the best of them are never cut.
        belief: What the objective may look like.
        seed: Fixes the draws that the box is measured on.
        partners: Varying entries that interact with an entry: a slab of the one is cut only if it
            is no better than the mean for any half of the other (any value, of a choice of names).
    """
    rng = np.random.default_rng([seed, 3])
    parts = sample.geometry.tunable
    kept = [np.ones(cells_of(part), dtype=bool) for part in parts]
    safe = [_safe(sample, column) for column in range(len(parts))]
    together = partners or {}
    cost = np.zeros(len(parts))
    promise = volume = 1.0
    least = HELD / max(len(sample.targets), 1)
    draws = _Draws.of(sample.geometry, belief, kept, rng)
    while True:
        cuts = [
            cut
            for column, part in enumerate(parts)
            for cut in draws.cuts(column, kept[column], safe[column], is_ordered(part))
            if volume * (1 - cut.share) >= least
            and all(draws.holds(column, cut.slab, other) for other in together.get(column, ()))
        ]
        if not cuts and draws.chance < LITTLE:
            whole = tuple(np.ones_like(mask) for mask in kept)
            return Box(whole, (0.0,) * len(parts), 1.0, 1.0, 0.5)
        if not cuts:
            return Box(tuple(kept), tuple(cost.tolist()), promise, volume, draws.chance)
        cut = max(cuts, key=lambda cut: cut.gain)
        kept[cut.column][cut.slab] = False
        cost[cut.column] += promise * cut.lost
        promise, volume = promise * (1 - cut.lost), volume * (1 - cut.share)
        draws = draws.without(cut)
        if len(draws.weights) < DRAWS / 3:
            draws = _Draws.of(sample.geometry, belief, kept, rng)


@dataclass(frozen=True, eq=False)
class _Draws:
    """Configurations drawn from a box."""

    cells: Cells
    """(m, varying entries)."""

    active: Mask
    """(m, varying entries)."""

    richness: Array
    """(m, functions), see `Belief`."""

    weights: Array
    """(m,) part of the draws from the box that each stands for."""

    ordered: tuple[bool, ...]

    @classmethod
    def of(
        cls, geometry: Geometry, belief: Belief, kept: Sequence[Mask], rng: np.random.Generator
    ) -> _Draws:
        """Draws anew."""
        units = rng.random((DRAWS, len(kept)))
        cells = np.zeros((DRAWS, len(kept)), dtype=np.intp)
        for column, mask in enumerate(kept):
            own = np.flatnonzero(mask)
            within = units[:, column] * len(own)
            chosen = within.astype(int)
            cells[:, column] = own[chosen]
            units[:, column] = (own[chosen] + within - chosen) / len(mask)
        points = geometry.place(units)
        switched = geometry.active(points)
        places = [geometry.dimensions.index(part) for part in geometry.tunable]
        return cls(
            cells,
            switched[:, places],
            belief.richness(geometry.embed(points, switched)),
            np.full(DRAWS, 1 / DRAWS),
            tuple(is_ordered(part) for part in geometry.tunable),
        )

    @property
    def chance(self) -> float:
        """See `Box`."""
        return float(_chance(self.weights @ self.richness))

    def cuts(self, column: int, kept: Mask, safe: Mask, ordered: bool) -> Iterator[_Cut]:
        """The slabs at the faces of one entry that are worth a cut.

        A conditional entry is judged among the draws in which it is active: there its other values
        become more frequent by what is cut, and nothing else changes.
        """
        own = np.flatnonzero(kept)
        on = self.active[:, column]
        if len(own) < 2 or not on.any():
            return
        weighted = self.weights[:, None] * self.richness
        whole, now = weighted.sum(axis=0), self.chance
        marks = np.equal.outer(np.arange(len(kept)), np.where(on, self.cells[:, column], -1))
        good = (marks.astype(float) @ weighted)[own]  # (cells, functions)
        space = (marks @ self.weights)[own]
        here_good, here = good.sum(axis=0), float(space.sum())
        for places in _faces(own, safe, ordered):
            taken, lost = float(space[places].sum()), good[places].sum(axis=0)
            if not 0 < taken < 0.999 * here:
                continue
            left = whole - here_good + (here_good - lost) * here / (here - taken)
            chance = float(_chance(left))
            shrunk = -math.log1p(-taken / here)
            if chance - now > WORTH * shrunk:
                gone = float(lost.sum() / whole.sum())
                yield _Cut(column, own[places], taken, gone, chance, (chance - now) / shrunk)

    def holds(self, column: int, slab: Cells, other: int) -> bool:
        """Whether a slab is no better than the mean, whatever the value of another entry."""
        promise = self.richness.mean(axis=1)
        both = self.active[:, column] & self.active[:, other]
        inside = np.isin(self.cells[:, column], slab)
        places = self.cells[:, other]
        if self.ordered[other]:
            places = np.asarray(places > np.median(places), dtype=np.intp)
        for value in np.unique(places[both]):
            here = both & (places == value)
            cut = promise[here & inside]
            if len(cut) and cut.mean() > promise[here].mean():
                return False
        return True

    def without(self, cut: _Cut) -> _Draws:
        """Those that are left by a cut."""
        on = self.active[:, cut.column]
        left = ~(np.isin(self.cells[:, cut.column], cut.slab) & on)
        more = self.weights[on].sum() / self.weights[on & left].sum()
        weights = np.where(on, self.weights * more, self.weights)
        return _Draws(
            self.cells[left], self.active[left], self.richness[left], weights[left], self.ordered
        )


def _chance(ratio: Array) -> Array:
    """The mean over functions of the probability to win, at these ratios of good ones."""
    return np.asarray((ratio / (1 + ratio)).mean())


def _faces(own: NDArray[np.intp], safe: Mask, ordered: bool) -> list[NDArray[np.intp]]:
    """Sets of cells, as places in `own`, that can go: ends of a range, or one value of a choice."""
    places = np.arange(len(own))
    if not ordered:
        return [places[[place]] for place in places if not safe[own[place]]]
    held = np.flatnonzero(safe[own])
    first, last = (int(held[0]), int(held[-1])) if len(held) else (len(own) - 1, 0)
    lower = [places[:end] for end in range(1, first + 1)]
    return lower + [places[start:] for start in range(last + 1, len(own))]


def _safe(sample: Sample, column: int) -> Mask:
    """Cells that stay: those of the best trials, the neighbours of these where a cell is but a
    part of a range, and values of a choice that were hardly tried."""
    part = sample.geometry.tunable[column]
    count = cells_of(part)
    cells = cells_in(sample.places[:, column], count)
    safe = np.zeros(count, dtype=bool)
    best = cells[sample.best(HELD)]
    safe[best[best >= 0]] = True
    if not is_ordered(part):
        tried = np.bincount(cells[cells >= 0], minlength=count)
        return np.asarray(safe | (tried < TRIED))
    if len(part.values) != count:
        safe[1:] |= safe[:-1].copy()
        safe[:-1] |= safe[1:].copy()
    return safe


def cells_in(places: Array, count: int) -> NDArray[np.intp]:
    """(n,) which of `count` equal cells of [0, 1] places lie in; -1 for NaN."""
    known = np.nan_to_num(places, nan=0.0)
    cells = np.minimum((known * count).astype(np.intp), count - 1)
    return np.where(np.isnan(places), -1, cells)
