"""What to do about each hyperparameter's range: widen, narrow, drop values, freeze, or leave it."""

from __future__ import annotations

import enum
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from afina.advice.belief import Belief, believe
from afina.advice.box import Box, cells_in, peel
from afina.advice.evidence import Evidence
from afina.advice.importance import Importances
from afina.advice.resize import Limits, Side, fixed, part_of, widened, with_range, with_values
from afina.advice.sample import Sample, cells_of, described, is_ordered, sample_of
from afina.space import Choice, HyperParameter, Int, Value
from afina.space.parameters import Numerical
from afina.surrogates.geometry import Dimension

Array = NDArray[np.float64]

PRESSED_PART = 0.25  # the outer part of a range
PRESSED_BEST = 0.15  # the share of trials that are the best ones ...
PRESSED_LEAST = 6  # ... and how many these are at least
PRESSED_CHANCE = 0.01  # largest probability that so many of them lie there by chance
NO_EFFECT = 0.02  # no effect: the upper end of the share of the variance is below
TRIALS_TO_FREEZE = 10  # configurations for each hyperparameter that "no effect" needs
GAP = 0.25  # the smallest empty part of a range that is reported
INTERACTING = 0.05  # the smallest share of a pair that counts

COSTLY = (
    "unit", "layer", "filter", "depth", "width", "hidden", "neuron", "block", "dim", "channel",
)  # fmt: skip


class Verdict(enum.Enum):
    """What to do about a hyperparameter."""

    KEEP = "keep"
    """There is no reason to change it."""

    NARROW = "narrow"
    """The good configurations lie in a part of the range."""

    WIDEN = "widen"
    """The best trials press against a bound (the other end may be cut in the same advice)."""

    DROP = "drop"
    """Some of its values never win."""

    FREEZE = "freeze"
    """It has no effect: one value is enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeAdvice:
    """What to do about one hyperparameter, and the numbers behind it."""

    name: str

    conditions: tuple[str, ...]
    """When it is active, for people; empty if it is always active."""

    verdict: Verdict

    before: HyperParameter
    """Its definition in the search."""

    after: HyperParameter
    """Its definition for the next search; the default is the best known value."""

    best: Value | None
    """Its value in the best trial; None if it has none there, or there is no best trial."""

    kept: float
    """The share of its range, on its scale, or of its values, that is kept."""

    confidence: float
    """The share of the good configurations that the model expects in the kept part."""

    tried: int
    """In how many configurations it was active."""

    widen: Side | None = None
    """The end that the best trials press against."""

    pressed: int = 0
    """How many of the best trials lie in the outer quarter at that end."""

    pressing: int = 0
    """How many best trials there are."""

    partners: tuple[str, ...] = ()
    """Hyperparameters that it interacts with; it is narrowed only as far as that is right for all
    of their values."""

    gap: tuple[Value, Value] | None = None
    """The ends of the largest part of its range without a trial, if it is large."""

    untried: tuple[Value, ...] = ()
    """Values of a choice that no trial has tried."""


@dataclass(frozen=True)
class _View:
    """What is known about one varying entry."""

    column: int
    entry: HyperParameter
    part: Dimension
    best: Value | None
    tried: int
    partners: tuple[str, ...]
    widen: Side | None = None
    pressed: int = 0
    pressing: int = 0


def ranges_of(
    evidence: Evidence,
    importances: Importances,
    limits: Mapping[str, Limits] | None = None,
    seed: int = 0,
) -> tuple[RangeAdvice, ...]:
    """Advice on every hyperparameter that varies, in the order of the space.

    Args:
        evidence: From `gather`.
        importances: The importances from the same evidence. If they say that there are too few
            trials, all ranges are kept.
        limits: The smallest and the largest value that a hyperparameter may ever have, by name.
        seed: Fixes every draw.
    """
    sample = sample_of(evidence)
    if importances.shortage is not None:
        return tuple(_untouched(evidence, sample, column) for column in _columns(sample))
    belief = believe(sample, seed)
    together = _partners(sample, importances)
    box = peel(sample, belief, seed, together)
    found = []
    for column in _columns(sample):
        names = tuple(sorted({sample.entries[other].name for other in together.get(column, ())}))
        view = _view(evidence, sample, belief, column, names)
        found.append(_advice(view, sample, box, importances, dict(limits or {})))
    return tuple(found)


def _columns(sample: Sample) -> range:
    return range(len(sample.geometry.tunable))


def _view(
    evidence: Evidence, sample: Sample, belief: Belief, column: int, partners: tuple[str, ...]
) -> _View:
    entry, part = sample.entries[column], sample.geometry.tunable[column]
    row = evidence.best
    best = None
    if row is not None and any(entry is active for active in evidence.space.active(row.values)):
        best = row.values[entry.name]
    tried = int((~np.isnan(sample.places[:, column])).sum())
    view = _View(column, entry, part, best, tried, partners)
    for side in ("low", "high"):
        pressed, pressing = _pressed(sample, column, side)
        if pressing and _rising(sample, belief, column, side):
            return replace(view, widen=side, pressed=pressed, pressing=pressing)
    return view


def _pressed(sample: Sample, column: int, side: Side) -> tuple[int, int]:
    """How many of the best trials lie in the outer quarter of a range, and of how many; (0, 0)
    where that may be chance, or the very best is not among them."""
    if not is_ordered(sample.geometry.tunable[column]):
        return 0, 0
    wanted = max(PRESSED_LEAST, math.ceil(PRESSED_BEST * len(sample.targets)))
    places = sample.places[sample.best(wanted), column]
    places = places[~np.isnan(places)]
    if len(places) < PRESSED_LEAST:
        return 0, 0
    outer = places > 1 - PRESSED_PART if side == "high" else places < PRESSED_PART
    count, number = int(outer.sum()), len(outer)
    part = _outer_part(sample, column, side)
    chance = _chance_of(count, number, part)
    return (count, number) if outer[0] and chance <= PRESSED_CHANCE else (0, 0)


def _chance_of(count: int, number: int, part: float) -> float:
    """The chance that at least `count` of `number` draws lie in a part of all values.

    The upper tail of the binomial distribution, as the regularized incomplete beta function: a sum
    of binomial coefficients overflows a float from about 1,000 draws on.

    Args:
        count: From 0 to `number`.
        number: Of independent draws.
        part: The chance of each, from 0 to 1.

    Example:
        >>> _chance_of(2, 2, 0.25)
        0.0625
    """
    if count <= 0:
        return 1.0
    from scipy.special import betainc

    return float(betainc(count, number - count + 1, part))


def _outer_part(sample: Sample, column: int, side: Side) -> float:
    """The share of an entry's values in the outer quarter: not a quarter if the values are few."""
    positions = sample.geometry.tunable[column].positions
    if positions is None:
        return PRESSED_PART
    outer = positions > 1 - PRESSED_PART if side == "high" else positions < PRESSED_PART
    return max(float(outer.mean()), PRESSED_PART)


def _rising(sample: Sample, belief: Belief, column: int, side: Side) -> bool:
    """Whether the model expects the best trial to do at least as well at the very end of the range
    as further inside."""
    geometry = sample.geometry
    axis = geometry.tunable[column].axes[0]
    best = next(row for row in sample.best(PRESSED_LEAST) if not np.isnan(sample.points[row, axis]))
    positions = geometry.tunable[column].positions
    ends = (0.0, 1.0) if positions is None else (float(positions[0]), float(positions[-1]))
    steps = np.array([0.0, PRESSED_PART / 2, PRESSED_PART, 0.5, 1.0])
    if side == "high":
        steps = 1 - steps
    places = ends[0] + steps * (ends[1] - ends[0])
    moved = np.tile(np.nan_to_num(sample.points[best], nan=0.5), (len(places), 1))
    moved[:, axis] = places
    features = geometry.embed(moved)
    means = belief.mean(features)
    return bool(means[0] <= means[1:].min())


def _advice(
    view: _View,
    sample: Sample,
    box: Box,
    importances: Importances,
    limits: Mapping[str, Limits],
) -> RangeAdvice:
    """The verdict on one entry."""
    entry, kept = view.entry, box.kept[view.column]
    default = entry.default if view.best is None else view.best
    share = importances.of(entry.name)
    flat = share is not None and share.high < NO_EFFECT and not kept.sum() < len(kept) / 2
    enough = len(sample.targets) >= TRIALS_TO_FREEZE * len(sample.geometry.tunable)
    if flat and enough and not view.partners and view.widen is None:
        after, verdict = fixed(entry, _cheap(entry, default)), Verdict.FREEZE
    else:
        after, verdict = _resized(view, kept, default, limits.get(entry.name, (None, None)))
    widen = view.widen if verdict is Verdict.WIDEN else None
    gap, untried = _unexplored(sample, view.column, entry)
    return RangeAdvice(
        name=entry.name,
        conditions=described(entry),
        verdict=verdict,
        before=entry,
        after=after,
        best=view.best,
        kept=1.0 if verdict is Verdict.KEEP else float(kept.mean()),
        confidence=1.0 if verdict in (Verdict.KEEP, Verdict.FREEZE) else 1 - box.cost[view.column],
        tried=view.tried,
        widen=widen,
        pressed=view.pressed if widen else 0,
        pressing=view.pressing if widen else 0,
        partners=view.partners,
        gap=gap,
        untried=untried,
    )


def _resized(
    view: _View, kept: NDArray[np.bool_], default: Value, limits: Limits
) -> tuple[HyperParameter, Verdict]:
    """The entry with its kept cells, widened at the end that the best trials press against."""
    entry = view.entry
    after = entry
    places = np.flatnonzero(kept)
    if len(places) < len(kept):
        start, end = places[0] / len(kept), (places[-1] + 1) / len(kept)
        # The end that the best trials press against is never cut off.
        start = 0.0 if view.widen == "low" else start
        end = 1.0 if view.widen == "high" else end
        if isinstance(entry, Numerical) and is_ordered(view.part):
            after = part_of(entry, float(start), float(end), default)
        else:
            values = view.part.values
            after = with_values(entry, [values[place] for place in places], default)
    wider = entry if view.widen is None else widened(entry, view.widen, limits)
    if wider != entry:
        return moved_default(_joined(after, wider, view.widen), default), Verdict.WIDEN
    same = type(after) is type(entry) and _same_range(after, entry)
    if same:
        return moved_default(entry, default), Verdict.KEEP
    dropped = not (isinstance(entry, Numerical) or (isinstance(entry, Choice) and entry.ordered))
    return moved_default(after, default), Verdict.DROP if dropped else Verdict.NARROW


def _joined(after: HyperParameter, wider: HyperParameter, side: Side | None) -> HyperParameter:
    """The narrowed entry, together with the new values beyond one end of the old one."""
    if isinstance(wider, Numerical):
        low, high = min(after.values), max(after.values)
        if isinstance(after, Numerical):
            low, high = after.min_value, after.max_value
        low, high = (low, wider.max_value) if side == "high" else (wider.min_value, high)
        return with_range(wider, low, high, wider.default)
    kept = [v for v in wider.values if after.contains(v)]
    return with_values(wider, [*kept, wider.values[-1]], wider.default)


def _same_range(a: HyperParameter, b: HyperParameter) -> bool:
    ours, theirs = a.get_config(), b.get_config()
    return {**ours, "default": None} == {**theirs, "default": None}


def moved_default(entry: HyperParameter, default: Value) -> HyperParameter:
    """The entry with another default, if that is one of its values."""
    if "default" not in entry.fields or not entry.contains(default):
        return entry
    return type(entry).from_config({**entry.get_config(), "default": entry.clip(default)})


def _cheap(entry: HyperParameter, best: Value) -> Value:
    """The value to freeze at: the smallest if larger ones cost time, else the best trial's."""
    words = entry.name.lower()
    if any(word in words for word in COSTLY):
        if isinstance(entry, Int):
            return int(min(entry.prob_to_value(0.0), entry.prob_to_value(math.nextafter(1, 0))))
        if isinstance(entry, Choice) and entry.ordered:
            return min(entry.values)  # type: ignore[no-any-return]
    return best


def _partners(sample: Sample, importances: Importances) -> dict[int, Collection[int]]:
    """The varying entries that clearly interact."""
    entries = sample.entries
    together: dict[int, set[int]] = {}
    for pair in importances.pairs:
        if not pair.clear or pair.share < INTERACTING:
            continue
        first, second = (
            [column for column, entry in enumerate(entries) if entry.name == name]
            for name in pair.names
        )
        for a in first:
            for b in second:
                together.setdefault(a, set()).add(b)
                together.setdefault(b, set()).add(a)
    return {column: frozenset(others) for column, others in together.items()}


def _unexplored(
    sample: Sample, column: int, entry: HyperParameter
) -> tuple[tuple[Value, Value] | None, tuple[Value, ...]]:
    """The largest empty part of a range, and the untried values of a choice."""
    part = sample.geometry.tunable[column]
    places = sample.places[:, column]
    if not is_ordered(part):
        tried = set(cells_in(places, cells_of(part)).tolist())
        return None, tuple(v for cell, v in enumerate(part.values) if cell not in tried)
    edges = np.concatenate([[0.0], np.sort(places[~np.isnan(places)]), [1.0]])
    widths = np.diff(edges)
    widest = int(widths.argmax())
    # The values of an entry with few steps lie far apart, with nothing between them.
    least = max(GAP, 2 / cells_of(part))
    if widths[widest] < least:
        return None, ()
    low, high = edges[widest], min(edges[widest + 1], math.nextafter(1, 0))
    return (entry.prob_to_value(float(low)), entry.prob_to_value(float(high))), ()


def _untouched(evidence: Evidence, sample: Sample, column: int) -> RangeAdvice:
    entry = sample.entries[column]
    row = evidence.best
    best = None if row is None else row.values.get(entry.name)
    tried = int((~np.isnan(sample.places[:, column])).sum())
    return RangeAdvice(
        name=entry.name,
        conditions=described(entry),
        verdict=Verdict.KEEP,
        before=entry,
        after=entry,
        best=best,
        kept=1.0,
        confidence=1.0,
        tried=tried,
    )
