"""Which values of two hyperparameters make trainings fail together, such as SGD with a large rate.

Each hyperparameter gives some parts: each value of a choice, and both sides of some splits of a
range. Every part of one is tested with every part of another, by the same test as a single region
(`afina.advice.failing`). All these tests count in the correction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afina.advice.failures import Failures, ends_of
from afina.advice.sample import Sample, is_ordered
from afina.space import Value

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

SPLITS = 8
"""At most so many splits of a range are tested: each more makes all tests count for less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailingPart:
    """Values of one of the two hyperparameters."""

    name: str

    column: int
    """Its place among the hyperparameters that vary."""

    low: float
    """The lower end on the scale of the hyperparameter, from 0 to 1."""

    high: float
    """The upper end."""

    above: Value
    """The smallest value with which a trial of the region was made."""

    below: Value
    """The largest one; the same for a value of a choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailingPair(Failures):
    """Values of two hyperparameters with which trainings fail if both hold."""

    parts: tuple[FailingPart, FailingPart]


@dataclass(frozen=True)
class _Half:
    """A part of one hyperparameter's scale."""

    column: int
    low: float
    high: float


def clearest_pair(
    sample: Sample, failed: Mask, left: Mask, tests: int
) -> tuple[FailingPair, Mask] | None:
    """The pair of parts that fails most clearly, and the trials in it; None if there is none.

    Args:
        sample: The trials.
        failed: (n,) which of them failed.
        left: (n,) which of them are not yet explained.
        tests: How many tests of single hyperparameters were made of the same trials.
    """
    places = sample.places[left]
    bad = failed[left].astype(float)
    halves = [
        half
        for column in range(places.shape[1])
        for half in _halves(column, places[:, column], is_ordered(sample.geometry.tunable[column]))
    ]
    if len({half.column for half in halves}) < 2:
        return None
    inside = np.array(
        [(places[:, h.column] >= h.low) & (places[:, h.column] <= h.high) for h in halves], float
    )
    known = np.array([~np.isnan(places[:, h.column]) for h in halves], float)
    first, second = np.array(
        [
            (a, b)
            for a in range(len(halves))
            for b in range(a + 1, len(halves))
            if halves[a].column != halves[b].column
        ]
    ).T
    counts = [
        np.rint((part @ mask.T)[first, second]).astype(np.intp)
        for part in (inside, known)
        for mask in (part, part * bad)
    ]
    chances = _by_chance(*counts)
    at = int(chances.argmin())
    chance = float(chances[at]) * (tests + len(chances))
    pair = halves[first[at]], halves[second[at]]
    where = left.copy()
    for half in pair:
        column = sample.places[:, half.column]
        where &= (column >= half.low) & (column <= half.high)
    tried, worse, total, all_bad = (int(each[at]) for each in counts)
    found = FailingPair(
        parts=(_part(sample, pair[0], where), _part(sample, pair[1], where)),
        failed=worse,
        tried=tried,
        failed_elsewhere=all_bad - worse,
        tried_elsewhere=total - tried,
        chance=min(1.0, chance),
    )
    return found, where


def _halves(column: int, places: Array, ordered: bool) -> list[_Half]:
    """The parts of a hyperparameter that are tested."""
    values = np.unique(places[~np.isnan(places)])
    if len(values) < 2:
        return []
    if not ordered:
        return [_Half(column, value - 1e-9, value + 1e-9) for value in values]
    middles = (values[1:] + values[:-1]) / 2
    if len(middles) > SPLITS:
        middles = middles[np.linspace(0, len(middles) - 1, SPLITS + 2).round().astype(int)[1:-1]]
    return [
        half
        for middle in middles
        for half in (_Half(column, 0.0, middle), _Half(column, middle, 1.0))
    ]


def _by_chance(
    tried: NDArray[np.intp],
    bad: NDArray[np.intp],
    total: NDArray[np.intp],
    all_bad: NDArray[np.intp],
) -> Array:
    """See `afina.advice.failing.by_chance`; here each part has its own trials."""
    from scipy.stats import hypergeom

    chances = np.ones(len(tried))
    rest = total - tried
    told = (tried > 0) & (rest > 0) & (bad * rest > (all_bad - bad) * tried)
    chances[told] = hypergeom.sf(bad[told] - 1, total[told], all_bad[told], tried[told])
    return chances


def _part(sample: Sample, half: _Half, where: Mask) -> FailingPart:
    entry = sample.entries[half.column]
    above, below = ends_of(entry, sample.places[where, half.column])
    return FailingPart(
        name=entry.name,
        column=half.column,
        low=half.low,
        high=half.high,
        above=above,
        below=below,
    )
