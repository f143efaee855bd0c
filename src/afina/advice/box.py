"""Which values of each hyperparameter to keep: peeling slabs of little promise off the space.

The space is a box of cells. Of all the slabs at its faces (an end of a number's range, a value of a
choice) the one is cut off that gains most: the part of the space it takes minus the part of the
promise. Then the rest is looked at again, so that one bad hyperparameter does not blur the others.

Source:
    Friedman & Fisher, "Bump hunting in high-dimensional data", Statistics and Computing 9 (1999):
    peeling (the patient rule induction method). Here it peels what a model promises, not data, and
    stops by what it would lose.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afina.advice.belief import Belief
from afina.advice.sample import Sample, cells_of, is_ordered
from afina.search.candidates import Geometry

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

POOR = 0.8  # a slab is cut only if its promise is below this part of the mean of the box
KEPT = 0.25  # of the promise of the whole space must stay in the box
HELD = 3  # so many of the best trials keep their cells
TRIED = 3  # a value of a choice that was tried less often is not dropped
DRAWS = 3000
REDRAWN = 1000  # with fewer draws left in the box it is drawn anew


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


def peel(
    sample: Sample,
    belief: Belief,
    seed: int,
    partners: Mapping[int, Collection[int]] | None = None,
    held: int = HELD,
) -> Box:
    """The box that is left when slabs of little promise are cut off.

    Args:
        sample: The trials; cells of the best of them are never cut.
        belief: Gives the promise of configurations.
        seed: Fixes the draws that the promise is measured on.
        partners: Varying entries that interact with an entry: a slab of the one is cut only if it
            is no better than the mean for any half of the other (any value, of a choice of names).
        held: How many of the best trials keep their cells.
    """
    rng = np.random.default_rng([seed, 3])
    geometry = sample.geometry
    parts = geometry.tunable
    kept = [np.ones(cells_of(part), dtype=bool) for part in parts]
    safe = [_safe(sample, column, held) for column in range(len(parts))]
    together = partners or {}
    cost = np.zeros(len(parts))
    promise = volume = 1.0
    draws = _Draws(geometry, belief, kept, rng)
    while True:
        found = [
            (gain, column, slab, lost, share)
            for column in range(len(parts))
            for gain, slab, lost, share in _slabs(
                draws, column, kept[column], safe[column], is_ordered(parts[column])
            )
            if promise * (1 - lost) >= KEPT
            and all(draws.holds(column, slab, other) for other in together.get(column, ()))
        ]
        if not found:
            return Box(tuple(kept), tuple(cost.tolist()), promise, volume)
        _, column, slab, lost, share = max(found, key=lambda item: item[0])
        kept[column][slab] = False
        cost[column] += promise * lost
        promise, volume = promise * (1 - lost), volume * (1 - share)
        draws = draws.without(column, slab)
        if len(draws.promise) < REDRAWN:
            draws = _Draws(geometry, belief, kept, rng)


class _Draws:
    """Configurations drawn from a box, their cells and their promise."""

    def __init__(
        self,
        geometry: Geometry,
        belief: Belief,
        kept: Sequence[Mask],
        rng: np.random.Generator,
    ) -> None:
        units = rng.random((DRAWS, len(kept)))
        self.cells = np.zeros((DRAWS, len(kept)), dtype=np.intp)
        for column, mask in enumerate(kept):
            own = np.flatnonzero(mask)
            within = units[:, column] * len(own)
            chosen = within.astype(int)
            self.cells[:, column] = own[chosen]
            units[:, column] = (own[chosen] + within - chosen) / len(mask)
        points = geometry.place(units)
        switched = geometry.active(points)
        places = [geometry.parts.index(part) for part in geometry.tunable]
        self.active = switched[:, places]
        self.ordered = tuple(is_ordered(part) for part in geometry.tunable)
        self.promise = belief.promise(geometry.embed(points, switched))

    def holds(self, column: int, slab: NDArray[np.intp], other: int) -> bool:
        """Whether a slab is no better than the mean, whatever the value of another entry."""
        both = self.active[:, column] & self.active[:, other]
        inside = np.isin(self.cells[:, column], slab)
        places = self.cells[:, other]
        if self.ordered[other]:
            places = np.asarray(places > np.median(places), dtype=np.intp)
        for value in np.unique(places[both]):
            here = both & (places == value)
            cut = self.promise[here & inside]
            if len(cut) and cut.mean() > self.promise[here].mean():
                return False
        return True

    def without(self, column: int, slab: NDArray[np.intp]) -> _Draws:
        """Those that do not lie in some cells of an entry that is active in them."""
        gone = np.isin(self.cells[:, column], slab) & self.active[:, column]
        other = object.__new__(_Draws)
        other.cells, other.active = self.cells[~gone], self.active[~gone]
        other.promise, other.ordered = self.promise[~gone], self.ordered
        return other


def _slabs(
    draws: _Draws, column: int, kept: Mask, safe: Mask, ordered: bool
) -> list[tuple[float, NDArray[np.intp], float, float]]:
    """Slabs that may be cut: gain, cells, part of all promise in them, part of all draws.

    A conditional entry is judged among the draws in which it is active.
    """
    on = draws.active[:, column]
    own = np.flatnonzero(kept)
    weights = draws.promise[on]
    if len(own) < 2 or not weights.sum() > 0:
        return []
    cells = draws.cells[on, column]
    promise = np.bincount(cells, weights, len(kept))[own] / weights.sum()
    space = np.bincount(cells, minlength=len(kept))[own] / len(weights)
    here, everywhere = float(on.mean()), float(weights.sum() / draws.promise.sum())
    slabs = []
    for places in _faces(own, safe, ordered):
        share, lost = float(space[places].sum()), float(promise[places].sum())
        if share and lost <= POOR * share:
            gain = here * (share - lost / POOR)
            slabs.append((gain, own[places], everywhere * lost, here * share))
    return slabs


def _faces(own: NDArray[np.intp], safe: Mask, ordered: bool) -> list[NDArray[np.intp]]:
    """Sets of cells, as places in `own`, that can go: ends of a range, or one value of a choice."""
    places = np.arange(len(own))
    if not ordered:
        return [places[[place]] for place in places if not safe[own[place]]]
    held = np.flatnonzero(safe[own])
    first, last = (int(held[0]), int(held[-1])) if len(held) else (len(own) - 1, 0)
    lower = [places[:end] for end in range(1, first + 1)]
    return lower + [places[start:] for start in range(last + 1, len(own))]


def _safe(sample: Sample, column: int, held: int) -> Mask:
    """Cells that stay: those of the best trials, the neighbours of these where a cell is but a
    part of a range, and values of a choice that were hardly tried."""
    part = sample.geometry.tunable[column]
    count = cells_of(part)
    cells = cells_in(sample.places[:, column], count)
    safe = np.zeros(count, dtype=bool)
    best = cells[sample.best(held)]
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
