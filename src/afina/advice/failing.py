"""Which values make trainings fail.

For each hyperparameter, every split of its range (or each value of a choice) is tested: do trials
fail more often on one side? The clearest region is taken, its trials are left out, and the rest is
tested again. So a hyperparameter that is only found together with the cause is not blamed.

Source:
    Fisher's exact test: R. A. Fisher, "Statistical Methods for Research Workers" (1934), section
    21.02. The correction for the number of tests is Bonferroni's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afina.advice.sample import Sample, described, is_ordered
from afina.space import Value

Mask = NDArray[np.bool_]

LEVEL = 0.01  # the largest corrected probability of such a region by chance
USELESS = 0.8  # the share of failures from which on a region is not worth a trial
MOST_REGIONS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FailingRegion:
    """Values of one hyperparameter with which trainings fail more often than with others."""

    name: str

    conditions: tuple[str, ...]
    """When the hyperparameter is active, in words; empty if it always is."""

    column: int
    """Its place among the hyperparameters that vary."""

    low: float
    """The region's lower end on the scale of the hyperparameter, from 0 to 1."""

    high: float
    """Its upper end."""

    above: Value
    """The smallest value with which a trial of the region was made."""

    below: Value
    """The largest one; the same for a value of a choice."""

    failed: int
    """Failed trials in the region."""

    tried: int
    """All trials in the region."""

    failed_elsewhere: int
    """Failed trials outside of it (and outside of the regions before)."""

    tried_elsewhere: int
    """All trials outside of it."""

    chance: float
    """The probability of such a region by chance, corrected for the number of tests."""

    @property
    def useless(self) -> bool:
        """Whether so many trainings fail there that it is worth no trial."""
        return self.failed >= USELESS * self.tried


def failing_regions(sample: Sample, failed: Mask) -> tuple[FailingRegion, ...]:
    """The regions, the clearest first.

    Args:
        sample: The trials.
        failed: (n,) which of them failed.
    """
    found: list[FailingRegion] = []
    left = np.ones(len(failed), dtype=bool)
    while len(found) < MOST_REGIONS and failed[left].any() and not failed[left].all():
        region, inside = _clearest(sample, failed, left)
        if region is None:
            break
        found.append(region)
        left &= ~inside
    return tuple(found)


def _clearest(sample: Sample, failed: Mask, left: Mask) -> tuple[FailingRegion | None, Mask]:
    best, chosen, tests = math.inf, None, 0
    for column in range(sample.places.shape[1]):
        splits = np.array(list(_splits(sample, column, left))).reshape(-1, 2)
        tests += len(splits)
        if not len(splits):
            continue
        counts, others = _counted(sample.places[left, column], failed[left], splits)
        chances = _by_chance(*counts, *others)
        place = int(chances.argmin())
        if chances[place] < best:
            best = float(chances[place])
            low, high = map(float, splits[place])
            chosen = (column, low, high, _pair(counts, place), _pair(others, place))
    where = np.zeros(len(failed), dtype=bool)
    if chosen is None or best * tests > LEVEL:
        return None, where
    column, low, high, here, elsewhere = chosen
    where = left & (sample.places[:, column] >= low) & (sample.places[:, column] <= high)
    entry = sample.entries[column]
    places = sample.places[where, column]
    ends = [entry.prob_to_value(min(float(each), math.nextafter(1, 0)))
            for each in (places.min(), places.max())]  # fmt: skip
    region = FailingRegion(
        name=entry.name,
        conditions=described(entry),
        column=column,
        low=low,
        high=high,
        above=ends[0],
        below=ends[1],
        failed=here[0],
        tried=here[1],
        failed_elsewhere=elsewhere[0],
        tried_elsewhere=elsewhere[1],
        chance=min(1.0, best * tests),
    )
    return region, where


def _splits(sample: Sample, column: int, left: Mask) -> Iterator[tuple[float, float]]:
    """Parts of [0, 1] to test: both sides of each split, or each value of a choice."""
    places = np.unique(sample.places[left, column])
    places = places[~np.isnan(places)]
    if not is_ordered(sample.geometry.tunable[column]):
        for place in places:
            yield float(place) - 1e-9, float(place) + 1e-9
        return
    for middle in (places[1:] + places[:-1]) / 2:
        yield 0.0, float(middle)
        yield float(middle), 1.0


Counts = NDArray[np.int64]


def _counted(
    places: NDArray[np.float64], failed: Mask, splits: NDArray[np.float64]
) -> tuple[tuple[Counts, Counts], tuple[Counts, Counts]]:
    """Failed and all trials within each of many ranges, and outside of it.

    Where the hyperparameter is inactive, it is neither guilty nor innocent.
    """
    known = ~np.isnan(places)
    order = np.argsort(places[known])
    ordered = places[known][order]
    before = np.concatenate([[0], np.cumsum(failed[known][order])])
    first = np.searchsorted(ordered, splits[:, 0], "left")
    last = np.searchsorted(ordered, splits[:, 1], "right")
    bad, tried = before[last] - before[first], last - first
    return (bad, tried), (before[-1] - bad, len(ordered) - tried)


def _pair(counts: tuple[Counts, Counts], place: int) -> tuple[int, int]:
    return int(counts[0][place]), int(counts[1][place])


def _by_chance(
    failed: Counts, tried: Counts, failed_elsewhere: Counts, tried_elsewhere: Counts
) -> NDArray[np.float64]:
    """The probabilities of at least so many failures inside, if it makes no difference."""
    from scipy.stats import hypergeom

    more = (tried > 0) & (tried_elsewhere > 0)
    more &= failed * tried_elsewhere > failed_elsewhere * tried
    found = np.ones(len(failed))
    if more.any():
        total, bad = (tried + tried_elsewhere)[more], (failed + failed_elsewhere)[more]
        found[more] = hypergeom.sf(failed[more] - 1, total, bad, tried[more])
    return found
