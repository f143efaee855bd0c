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
    tests = [
        (column, low, high)
        for column in range(sample.places.shape[1])
        for low, high in _splits(sample, column, left)
    ]
    best, chosen, where = math.inf, None, np.zeros(len(failed), dtype=bool)
    for column, low, high in tests:
        places = sample.places[:, column]
        inside = left & (places >= low) & (places <= high)
        # Where the hyperparameter is inactive, it is neither guilty nor innocent.
        outside = left & ~inside & ~np.isnan(places)
        counts = (int(failed[inside].sum()), int(inside.sum()))
        others = (int(failed[outside].sum()), int(outside.sum()))
        chance = _by_chance(*counts, *others)
        if chance < best:
            best, chosen, where = chance, (column, low, high, counts, others), inside
    if chosen is None or best * len(tests) > LEVEL:
        return None, where
    column, low, high, counts, others = chosen
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
        failed=counts[0],
        tried=counts[1],
        failed_elsewhere=others[0],
        tried_elsewhere=others[1],
        chance=min(1.0, best * len(tests)),
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


def _by_chance(failed: int, tried: int, failed_elsewhere: int, tried_elsewhere: int) -> float:
    """The probability of at least so many failures inside, if it makes no difference."""
    from scipy.stats import hypergeom

    total, bad = tried + tried_elsewhere, failed + failed_elsewhere
    if not tried or not tried_elsewhere or failed * tried_elsewhere <= failed_elsewhere * tried:
        return 1.0
    return float(hypergeom.sf(failed - 1, total, bad, tried))
