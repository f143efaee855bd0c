"""How sure the advice is: probabilities that can be checked later.

Two things are claimed. Of a cut: nothing better lies in what is cut off. Of a bound: something
better lies beyond it. Both are shares of functions that fit the trials (`Belief`), so they can be
compared with what is true where all results are known: `benchmarks/advice/`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from afina.advice.belief import Belief
from afina.advice.resize import Limits, Side, widened
from afina.advice.sample import Sample
from afina.space import HyperParameter
from afina.space.parameters import Numerical
from afina.surrogates.geometry import Dimension

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

DRAWS = 1000  # on each side of a cut
NEAR = 40  # configurations near each of the best trials
BEST = 5
BEYOND = 0.3  # of the range's length, beyond its end
STEPS = 8
WITHIN = 17
CLEAR_GAIN = 0.05  # of the distance from the median result to the best one


def keeps_best(
    sample: Sample, belief: Belief, column: int, kept: Mask, rng: np.random.Generator
) -> float:
    """The probability that nothing better lies in the cells of an entry that are not kept.

    Args:
        sample: The trials.
        belief: Functions that fit them.
        column: The entry.
        kept: Its cells that are kept; not all.
        rng: Every draw comes from it.
    """
    units = rng.random((DRAWS, sample.places.shape[1]))
    near = _near_best(sample, rng)
    lowest = []
    for cells in (np.flatnonzero(kept), np.flatnonzero(~kept)):
        rows = np.concatenate([units, near])
        within = rows[:, column] * len(cells)
        chosen = np.minimum(within.astype(int), len(cells) - 1)
        rows = rows.copy()
        rows[:, column] = (cells[chosen] + np.minimum(within - chosen, 0.999)) / len(kept)
        lowest.append(_lowest(sample, belief, rows, column))
    best = _at_best(sample, belief)
    return _share(np.minimum(lowest[0], best) <= lowest[1])


def better_beyond(
    sample: Sample, belief: Belief, column: int, side: Side, limits: Limits = (None, None)
) -> float:
    """The probability that an end of a range cuts off something better.

    Args:
        sample: The trials.
        belief: Functions that fit them.
        column: The entry; ordered.
        side: Which end.
        limits: The user's bounds.
    """
    part = sample.geometry.tunable[column]
    axis = part.axes[0]
    rows = [row for row in sample.best(BEST) if not np.isnan(sample.points[row, axis])]
    inside, beyond = line_across(sample.entries[column], part, side, limits)
    if not rows or not len(beyond):
        return 0.0
    inside = np.union1d(inside, sample.points[rows, axis])
    places = np.concatenate([inside, beyond])
    points = np.repeat(np.nan_to_num(sample.points[rows], nan=0.5), len(places), axis=0)
    active = sample.geometry.active(points)  # before the move: beyond the end there is no value
    points[:, axis] = np.tile(places, len(rows))
    features = sample.geometry.embed(points, active)
    values = np.concatenate([drawn(features) for drawn in belief.functions], axis=1)
    values = values.reshape(len(rows), len(places), -1).min(axis=0)
    return _share(values[len(inside) :].min(axis=0) < values[: len(inside)].min(axis=0))


def line_across(
    entry: HyperParameter, part: Dimension, side: Side, limits: Limits
) -> tuple[Array, Array]:
    """Coordinates of values of a range, and of values that a wider one has beyond an end.

    Only values that exist are looked at: with four layers at most, the next number is five, a whole
    step away. Of a range of many values, it is the part near its end.

    Args:
        entry: The hyperparameter.
        part: Its dimension; ordered.
        side: Which end.
        limits: The user's bounds.
    """
    wider = widened(entry, side, limits)
    if wider == entry:
        return np.linspace(0, 1, WITHIN), np.zeros(0)
    own = (0.0, 1.0) if part.positions is None else (part.positions[0], part.positions[-1])
    smooth = len(part.values) > WITHIN or part.positions is None
    bounds: tuple[Any, Any] = (part.values[0], part.values[-1]) if part.values else (0.0, 1.0)
    if part.positions is None and isinstance(entry, Numerical):
        bounds = (entry.min_value, entry.max_value)
    first, last = (wider.value_to_prob(each) for each in bounds)

    def placed(unit: float) -> float:
        return float(own[0] + (unit - first) / (last - first) * (own[1] - own[0]))

    length = own[1] - own[0]
    near, far = (own[1], placed(1.0)) if side == "high" else (own[0], placed(0.0))
    if smooth:
        reach = min(abs(far - near), BEYOND * length) * (1 if side == "high" else -1)
        beyond = near + reach * np.linspace(0, 1, STEPS + 1)[1:]
        return np.linspace(own[0], own[1], WITHIN), beyond
    new = [placed(wider.value_to_prob(each)) for each in wider.values if not entry.contains(each)]
    gaps = np.abs(np.array(new) - near)
    beyond = np.array(new)[gaps <= max(BEYOND * length, gaps.min() + 1e-9)]  # at least the next one
    return np.asarray(part.positions), beyond[:: max(1, len(beyond) // STEPS)]


def better_inside(sample: Sample, belief: Belief, rng: np.random.Generator) -> float:
    """The probability that the space holds a result that is clearly better than the best trials.

    Args:
        sample: The trials.
        belief: Functions that fit them.
        rng: Every draw comes from it.
    """
    units = rng.random((2 * DRAWS, sample.places.shape[1]))
    geometry = sample.geometry
    features = geometry.embed(geometry.place(np.concatenate([units, _near_best(sample, rng)])))
    values = np.concatenate([drawn(features) for drawn in belief.functions], axis=1)
    best = _at_best(sample, belief)
    least = CLEAR_GAIN * float(np.median(sample.modelled) - sample.modelled.min())
    return _share(values.min(axis=0) < best - least)


def _share(true: Mask) -> float:
    """The share of functions, by Laplace's rule: so many functions never make it certain."""
    return float((true.sum() + 1) / (len(true) + 2))


def _near_best(sample: Sample, rng: np.random.Generator) -> Array:
    """(m, entries) places near the best trials."""
    rows = np.repeat(sample.best(BEST), NEAR)
    places = sample.places[rows]
    fresh = rng.random(places.shape)
    places = np.where(np.isnan(places), fresh, places)
    moved = places + 0.1 * rng.standard_normal(places.shape)
    chosen = np.where(rng.random(places.shape) < 0.5, moved, places)
    return np.asarray(np.clip(chosen, 0.0, 0.999))


def _lowest(sample: Sample, belief: Belief, units: Array, column: int) -> Array:
    """(functions,) the lowest value among configurations in which the entry is active."""
    geometry = sample.geometry
    points = geometry.place(units)
    active = geometry.active(points)
    on = active[:, geometry.dimensions.index(geometry.tunable[column])]
    features = geometry.embed(points[on], active[on])
    if not len(features):
        return np.full(len(belief.parts), np.inf)
    values = np.concatenate([drawn(features) for drawn in belief.functions], axis=1)
    return np.asarray(values.min(axis=0))


def _at_best(sample: Sample, belief: Belief) -> Array:
    """(functions,) the lowest value at the best trials."""
    features = sample.geometry.embed(sample.points[sample.best(BEST)])
    values = np.concatenate([drawn(features) for drawn in belief.functions], axis=1)
    return np.asarray(values.min(axis=0))
