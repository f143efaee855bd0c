"""Which values of each hyperparameter to keep: the box in which a next search most likely wins.

Imagine two random searches of equal length, one in the box and one in the whole space. If good
configurations are r times as frequent in the box, the best trial of both is in the box with
probability r / (1 + r). r depends on the objective, so the mean over all functions that fit the
trials is taken. The box is chosen by this probability, which needs no extra penalty for risk: for a
function whose good region lies outside the box, r is 0; beyond r = 10 a larger r hardly counts.

The box is found by peeling. A slab is an end of a number's range or a value of a choice. In each
step, the slab with the largest gain for the removed volume is cut off. Then all slabs are measured
again, so that one bad hyperparameter does not hide the others.

Source:
    Friedman & Fisher, "Bump hunting in high-dimensional data", Statistics and Computing 9 (1999):
    peeling (the patient rule induction method). Unlike theirs, this one peels functions drawn from
    a posterior rather than data, and stops by the gain.
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
from afina.surrogates.threads import one_blas_thread

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Cells = NDArray[np.intp]

WORTH = 0.03  # the least gain in the chance to win for cutting the space to 1/e of its volume
LITTLE = 0.55  # with a smaller chance to win, nothing is cut
# The cells of so many of the best trials are kept. The box also keeps the share of the space that
# so many trials represent: the trials cannot resolve a smaller one.
HELD = 3
TRIED = 3  # a value of a choice that was tried less often is not dropped


@dataclass(frozen=True, eq=False)
class Box:
    """The part of the space that is kept."""

    kept: tuple[Mask, ...]
    """For each varying entry, which cells are kept."""

    cost: tuple[float, ...]
    """For each varying entry, the share of good configurations in its cut cells, by the model.
    It is a share of those in the whole space, in the order of the cuts."""

    promise: float
    """The share of good configurations in the box, by the model."""

    volume: float
    """The share of the space that the box fills."""

    chance: float
    """The probability that a random search in the box beats one in the whole space, by the model;
    0.5 if the box is the whole space."""


@dataclass(frozen=True, eq=False)
class _Cut:
    """A slab that may be cut off."""

    column: int
    slab: Cells
    share: float
    """The share of the box's volume that it removes."""

    lost: float
    """The share of the box's good configurations that it removes."""

    chance: float
    """`Box.chance` after the cut."""

    gain: float
    """The gain in chance for each factor e by which the space shrinks."""


def peel(
    sample: Sample,
    belief: Belief,
    seed: int,
    partners: Mapping[int, Collection[int]] | None = None,
    safe: Sequence[Mask] | None = None,
) -> Box:
    """The box that is left after cutting all slabs whose removal makes a win more likely.

    Args:
        sample: The trials; cells of the best trials are never cut.
        belief: Functions that fit the trials.
        seed: Fixes the draws that the box is measured on.
        partners: For each varying entry, the entries that it interacts with. A slab is cut only if
            it is no better than the mean for each half of such a partner, or for each of its values
            if they have no order.
        safe: For each varying entry, cells that are not cut. None protects those of the best trials
            and of values that were hardly tried.
    """
    rng = np.random.default_rng([seed, 3])
    parts = sample.geometry.tunable
    kept = [np.ones(cells_of(part), dtype=bool) for part in parts]
    if safe is None:
        safe = [safe_cells(sample, column) for column in range(len(parts))]
    together = partners or {}
    cost = np.zeros(len(parts))
    promise = volume = 1.0
    least = HELD / max(len(sample.targets), 1)
    draws = _BoxDraws.of(sample.geometry, belief, kept, rng)
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
            draws = _BoxDraws.of(sample.geometry, belief, kept, rng)


@dataclass(frozen=True, eq=False)
class _BoxDraws:
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
    ) -> _BoxDraws:
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
        """The slabs of one entry that are worth a cut.

        A conditional entry is measured on the draws in which it is active. A cut there makes its
        other values more frequent and changes nothing else.
        """
        own = np.flatnonzero(kept)
        on = self.active[:, column]
        if len(own) < 2 or not on.any():
            return
        weighted = self.weights[:, None] * self.richness
        whole, now = weighted.sum(axis=0), self.chance
        marks = np.equal.outer(np.arange(len(kept)), np.where(on, self.cells[:, column], -1))
        with one_blas_thread():
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
        """Whether a slab is no better than the mean for every value of another entry."""
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

    def without(self, cut: _Cut) -> _BoxDraws:
        """The draws that are left after a cut."""
        on = self.active[:, cut.column]
        left = ~(np.isin(self.cells[:, cut.column], cut.slab) & on)
        more = self.weights[on].sum() / self.weights[on & left].sum()
        weights = np.where(on, self.weights * more, self.weights)
        return _BoxDraws(
            self.cells[left], self.active[left], self.richness[left], weights[left], self.ordered
        )


def _chance(ratio: Array) -> Array:
    """The mean over functions of r / (1 + r), the probability to win, for ratios r."""
    return np.asarray((ratio / (1 + ratio)).mean())


def _faces(own: NDArray[np.intp], safe: Mask, ordered: bool) -> list[NDArray[np.intp]]:
    """Sets of cells, as indices of `own`, that can be cut: ends of a range, or single values."""
    places = np.arange(len(own))
    if not ordered:
        return [places[[place]] for place in places if not safe[own[place]]]
    held = np.flatnonzero(safe[own])
    first, last = (int(held[0]), int(held[-1])) if len(held) else (len(own) - 1, 0)
    lower = [places[:end] for end in range(1, first + 1)]
    return lower + [places[start:] for start in range(last + 1, len(own))]


def safe_cells(
    sample: Sample, column: int, counted: Mask | None = None, least: Sequence[int] | None = None
) -> Mask:
    """Cells that are never cut.

    These are the cells of the best trials, their neighbours if a cell is a part of a range, and
    values of a choice that were hardly tried.

    Args:
        sample: The trials.
        column: The entry.
        counted: (n,) the trials that count as tries; None counts all.
        least: For each value of a choice, how often it must have been tried; None is always 3.
    """
    part = sample.geometry.tunable[column]
    count = cells_of(part)
    cells = cells_in(sample.places[:, column], count)
    safe = np.zeros(count, dtype=bool)
    best = cells[sample.best(HELD)]
    safe[best[best >= 0]] = True
    if not is_ordered(part):
        known = cells >= 0 if counted is None else (cells >= 0) & counted
        tried = np.bincount(cells[known], minlength=count)
        return np.asarray(safe | (tried < (TRIED if least is None else np.array(least))))
    if len(part.values) != count:
        safe[1:] |= safe[:-1].copy()
        safe[:-1] |= safe[1:].copy()
    return safe


def cells_in(places: Array, count: int) -> NDArray[np.intp]:
    """(n,) which of `count` equal cells of [0, 1] places lie in; -1 for NaN."""
    known = np.nan_to_num(places, nan=0.0)
    cells = np.minimum((known * count).astype(np.intp), count - 1)
    return np.where(np.isnan(places), -1, cells)
