"""Which values make trainings fail.

For each hyperparameter, every split of its range (or each value of a choice) is tested: do trials
fail more often on one side? The clearest region is taken, its trials are left out, and the rest is
tested again. So a hyperparameter that is only found together with the cause is not blamed. Values
of two hyperparameters that fail together are taken instead if they are clearer: see
`afina.advice.failing_pairs`.

Source:
    Fisher's exact test: R. A. Fisher, "Statistical Methods for Research Workers" (1934), section
    21.02. The correction for the number of tests is Bonferroni's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from afina.advice.failing_pairs import FailingPair, clearest_pair
from afina.advice.failures import Failures, ends_of
from afina.advice.sample import Sample, described, is_ordered
from afina.space import Value

Array = NDArray[np.float64]
Counted = NDArray[np.intp]
Mask = NDArray[np.bool_]

LEVEL = 0.01  # the largest corrected probability of such a region by chance
MOST_REGIONS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FailingRegion(Failures):
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


def failing_regions(
    sample: Sample, failed: Mask
) -> tuple[tuple[FailingRegion, ...], tuple[FailingPair, ...]]:
    """The regions of one hyperparameter, and those of two; the clearest first.

    Args:
        sample: The trials.
        failed: (n,) which of them failed.
    """
    found: list[FailingRegion] = []
    pairs: list[FailingPair] = []
    left = np.ones(len(failed), dtype=bool)
    while len(found) + len(pairs) < MOST_REGIONS and failed[left].any() and not failed[left].all():
        region, inside, tests = _clearest(sample, failed, left)
        chance = LEVEL if region is None else region.chance
        pair = clearest_pair(sample, failed, left, tests)
        if pair is not None and pair[0].useless and pair[0].chance < chance:
            pairs.append(pair[0])
            inside = pair[1]
        elif region is not None:
            found.append(region)
        else:
            break
        left &= ~inside
    return tuple(found), tuple(pairs)


def _clearest(sample: Sample, failed: Mask, left: Mask) -> tuple[FailingRegion | None, Mask, int]:
    best, tests = _Split(math.inf), 0
    for column in range(sample.places.shape[1]):
        places = sample.places[:, column]
        # Where the hyperparameter is inactive, it is neither guilty nor innocent.
        known = left & ~np.isnan(places)
        ordered = is_ordered(sample.geometry.tunable[column])
        found, count = _clearest_split(places[known], failed[known], ordered=ordered)
        tests += count
        if found.chance < best.chance:
            best = replace(found, column=column)
    if not best.chance * tests <= LEVEL:  # also where there is nothing to test
        return None, np.zeros(len(failed), dtype=bool), tests
    column = best.column
    places = sample.places[:, column]
    where = left & (places >= best.low) & (places <= best.high)
    entry = sample.entries[column]
    above, below = ends_of(entry, places[where])
    known = left & ~np.isnan(places)
    region = FailingRegion(
        name=entry.name,
        conditions=described(entry),
        column=column,
        low=best.low,
        high=best.high,
        above=above,
        below=below,
        failed=best.failed,
        tried=best.tried,
        failed_elsewhere=int(failed[known].sum()) - best.failed,
        tried_elsewhere=int(known.sum()) - best.tried,
        chance=min(1.0, best.chance * tests),
    )
    return region, where, tests


@dataclass(frozen=True, slots=True)
class _Split:
    """A part of a hyperparameter's scale, and the trials in it."""

    chance: float
    """The probability of so many failures in it by chance."""

    low: float = 0.0
    high: float = 1.0
    failed: int = 0
    tried: int = 0
    column: int = 0


def _clearest_split(places: Array, failed: Mask, *, ordered: bool) -> tuple[_Split, int]:
    """The clearest part of [0, 1] among both sides of each split, or among the values of a choice.

    Args:
        places: (n,) where the trials lie.
        failed: (n,) which of them failed.
        ordered: Whether neighbouring places are alike.

    Returns:
        The part, and how many were tested.
    """
    values, which, tried = np.unique(places, return_inverse=True, return_counts=True)
    bad = np.bincount(which, failed, len(values)).astype(np.intp)
    if ordered:
        middles = (values[1:] + values[:-1]) / 2
        below, worse = np.cumsum(tried)[:-1], np.cumsum(bad)[:-1]
        # Both sides of each split, one after the other.
        tried = np.stack([below, len(places) - below], axis=1).ravel()
        bad = np.stack([worse, int(failed.sum()) - worse], axis=1).ravel()
        low = np.stack([np.zeros_like(middles), middles], axis=1).ravel()
        high = np.stack([middles, np.ones_like(middles)], axis=1).ravel()
    else:
        low, high = values - 1e-9, values + 1e-9
    if not len(tried):
        return _Split(math.inf), 0
    chances = by_chance(bad, tried, int(failed.sum()), len(places))
    at = int(chances.argmin())
    found = _Split(
        float(chances[at]), float(low[at]), float(high[at]), int(bad[at]), int(tried[at])
    )
    return found, len(tried)


def by_chance(failed: Counted, tried: Counted, bad: int, total: int) -> Array:
    """The probability of at least so many failures in a part, if it makes no difference.

    That is the upper tail of the hypergeometric distribution, for all parts at once; 1 where there
    are no more failures than elsewhere.

    Args:
        failed: (m,) failed trials of each part.
        tried: (m,) all trials of each part.
        bad: Failed trials in all.
        total: Trials in all.

    Example:
        >>> by_chance(np.array([2, 0]), np.array([2, 2]), 2, 4).round(4).tolist()
        [0.1667, 1.0]
    """
    from scipy.stats import hypergeom

    chances = np.ones(len(failed))
    rest = total - tried
    told = (tried > 0) & (rest > 0) & (failed * rest > (bad - failed) * tried)
    chances[told] = hypergeom.sf(failed[told] - 1, total, bad, tried[told])
    return chances
