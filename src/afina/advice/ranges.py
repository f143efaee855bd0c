"""What to do about each hyperparameter's range: widen, narrow, drop values, freeze, or leave it.

Only what is clear is changed. A hyperparameter that the trials do not show to matter keeps its
range. One that matters is cut where the box (`box.py`) leaves it, but no further than to where the
model is sure that nothing better is lost; its values with which trainings fail are cut, too. It is
widened where something better lies beyond a bound more likely than not: a wider range costs the
model that searches it little, a range that is too narrow hides the best results.
"""

from __future__ import annotations

import enum
import functools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afina.advice.belief import Belief, believe
from afina.advice.box import TRIED, cells_in, peel, safe_cells
from afina.advice.claims import better_beyond, keeps_best
from afina.advice.effects import Effects, Visibility
from afina.advice.evidence import Evidence
from afina.advice.failing import FailingRegion
from afina.advice.resize import Limits, Side, fixed, part_of, widened, with_range, with_values
from afina.advice.sample import Sample, cells_of, described, is_ordered
from afina.advice.scales import on_log_scale
from afina.space import Choice, HyperParameter, Int, Value
from afina.space.parameters import Numerical
from afina.surrogates.geometry import Dimension

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

OUTER = 0.25  # the outer part of a range
BEST_PART = 0.15  # the share of trials that are the best ones ...
BEST_LEAST = 6  # ... and how many these are at least
SURE_TO_CUT = 0.9  # the least probability that a cut loses nothing better
LEAST_CUT = 0.2  # a smaller part of a range is not worth a cut
SURE_TO_WIDEN = 0.5  # the least probability that something better lies beyond a bound
NO_EFFECT = 0.02  # no effect: the upper end of the share of the variance is below
TRIALS_TO_FREEZE = 10  # configurations for each hyperparameter that "no effect" needs
TRIED_PER_CHILD = 3  # more tries that a value needs for each hyperparameter that it switches on
LONG = 0.5  # trainings of so many of the most epochs tell what a region is worth
LONG_LEAST = 2  # ... and so many of them must lie in what is cut off a range
AT_END = 1 / 16  # the part of a range that counts as its end
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

    RESCALE = "log scale"
    """The good values crowd the low end of a range over several powers of ten."""

    LEAVE_OUT = "leave out"
    """No value that is left makes it active."""


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
    """Of a cut, the probability that nothing better lies in what is cut off. If the range is
    widened, the probability that something better lies beyond its bound. Otherwise 1."""

    tried: int
    """In how many configurations it was active."""

    cut: float = 1.0
    """If a widened range is also cut, the probability that nothing better lies in what is cut."""

    bound: Side | None = None
    """The end of the range at which the best trial lies, if the range can be wider there."""

    beyond: float = 0.0
    """The probability that something better lies beyond that end."""

    widen: Side | None = None
    """The end that the best trials press against."""

    pressed: int = 0
    """How many of the best trials lie in the outer quarter at that end."""

    pressing: int = 0
    """How many best trials there are."""

    crowd: float = 0.0
    """The share of all trials that lie there."""

    visibility: Visibility = Visibility.UNDECIDED
    """What the trials show of its effect."""

    failing: tuple[FailingRegion, ...] = ()
    """Values of it with which trainings fail."""

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
    visibility: Visibility
    partners: tuple[str, ...]
    failing: tuple[FailingRegion, ...]
    kept: Mask
    sure: float
    """See `RangeAdvice.confidence`, of the cut."""

    widen: Side | None = None
    pressed: int = 0
    pressing: int = 0
    crowd: float = 0.0
    bound: Side | None = None
    """The end at which the best trial lies."""

    beyond: float = 0.0
    """The probability that something better lies beyond the end."""


@dataclass(frozen=True)
class Grounds:
    """What the advice on ranges stands on."""

    evidence: Evidence
    sample: Sample
    belief: Belief
    effects: Effects
    failing: tuple[FailingRegion, ...] = ()
    limits: Mapping[str, Limits] = field(default_factory=dict)
    """The smallest and the largest value that a hyperparameter may ever have, by name."""


def ranges_of(grounds: Grounds, seed: int = 0) -> tuple[RangeAdvice, ...]:
    """Advice on every hyperparameter that varies, in the order of the space.

    Args:
        grounds: What is known.
        seed: Fixes every draw.
    """
    sample, belief = grounds.sample, grounds.belief
    mattering = grounds.effects.mattering()
    together = _partners(grounds.effects)
    safe = [
        _safe(grounds, column) if column in mattering else _all(sample, column)
        for column in _columns(sample)
    ]
    box = peel(sample, belief, seed, together, safe)
    rng = np.random.default_rng([seed, 5])
    others = functools.cache(lambda: believe(sample, seed + 1))
    found = []
    for column in _columns(sample):
        kept, sure = _surely(sample, belief, column, box.kept[column], rng)
        if is_ordered(sample.geometry.tunable[column]) and kept.mean() > 1 - LEAST_CUT:
            kept, sure = np.ones_like(kept), 1.0
        names = tuple(sorted({sample.entries[other].name for other in together.get(column, ())}))
        regions = tuple(each for each in grounds.failing if each.column == column)
        kept = _without_failures(sample, column, kept, regions)
        entry = sample.entries[column]
        view = _View(
            column=column,
            entry=entry,
            part=sample.geometry.tunable[column],
            best=_best_value(grounds.evidence, entry),
            tried=int((~np.isnan(sample.places[:, column])).sum()),
            visibility=grounds.effects.single[column].visibility,
            partners=names,
            failing=regions,
            kept=kept,
            sure=sure,
        )
        if column in mattering:
            limit = grounds.limits.get(entry.name, (None, None))
            view = _pressing(view, sample, belief, others, limit)
        found.append(_advice(view, grounds))
    return tuple(found)


def untouched(evidence: Evidence, sample: Sample) -> tuple[RangeAdvice, ...]:
    """The advice to keep every range, where there is too little to say more."""
    return tuple(_untouched(evidence, sample, column) for column in _columns(sample))


def _columns(sample: Sample) -> range:
    return range(len(sample.geometry.tunable))


def _all(sample: Sample, column: int) -> Mask:
    return np.ones(cells_of(sample.geometry.tunable[column]), dtype=bool)


def _best_value(evidence: Evidence, entry: HyperParameter) -> Value | None:
    row = evidence.best
    if row is None or not any(entry is active for active in evidence.space.active(row.values)):
        return None
    return row.values[entry.name]


def _safe(grounds: Grounds, column: int) -> Mask:
    """Cells that are not cut, because they hold good trials or too little is known of them."""
    sample, part = grounds.sample, grounds.sample.geometry.tunable[column]
    longest = grounds.evidence.counts.epochs
    long = np.array(
        [
            row.failed or longest is None or (row.epochs or 0) >= LONG * longest
            for row in grounds.evidence.rows
        ]
    )
    least = [TRIED + TRIED_PER_CHILD * _children(sample, part, value) for value in part.values]
    safe = safe_cells(sample, column, long, least or None)
    if is_ordered(part) and not long.all():
        # Cut no end of which only short trainings tell: what starts slowly may end best.
        cells = cells_in(sample.places[:, column], len(safe))
        for end in (np.arange(len(safe)), np.arange(len(safe))[::-1]):
            met = np.cumsum(np.bincount(cells[long & (cells >= 0)], minlength=len(safe))[end])
            if met[-1]:
                safe[end[met < LONG_LEAST]] = True
    return safe


def _children(sample: Sample, part: Dimension, value: Value) -> int:
    """How many hyperparameters that vary a value switches on."""
    number, place = sample.geometry.dimensions.index(part), part.values.index(value)
    return sum(
        any(parent == number and mask[place] for pairs in other.switches for parent, mask in pairs)
        for other in sample.geometry.tunable
    )


def _surely(
    sample: Sample, belief: Belief, column: int, kept: Mask, rng: np.random.Generator
) -> tuple[Mask, float]:
    """The cells to keep, with more of them until the cut is sure; and how sure it is."""
    ordered = is_ordered(sample.geometry.tunable[column])
    kept = kept.copy()
    while not kept.all():
        sure = keeps_best(sample, belief, column, kept, rng)
        if sure >= SURE_TO_CUT:
            return kept, sure
        if ordered:
            kept[1:] |= kept[:-1].copy()
            kept[:-1] |= kept[1:].copy()
            continue
        chances = []
        for cell in np.flatnonzero(~kept):
            other = np.ones_like(kept)
            other[cell] = False
            chances.append((keeps_best(sample, belief, column, other, rng), int(cell)))
        kept[min(chances)[1]] = True
    return kept, 1.0


def _without_failures(
    sample: Sample, column: int, kept: Mask, regions: Sequence[FailingRegion]
) -> Mask:
    """The kept cells without those in which nearly all trainings fail."""
    middles = (np.arange(len(kept)) + 0.5) / len(kept)
    edges = np.arange(len(kept)) / len(kept)
    part = sample.geometry.tunable[column]
    places = sample.places[sample.best(1), column]
    cells = cells_in(places, len(kept))
    for region in regions:
        if not region.useless:
            continue
        inside = (middles >= region.low) & (middles <= region.high)
        if is_ordered(part):
            inside = (edges >= region.low - 1e-9) & (edges + 1 / len(kept) <= region.high + 1e-9)
        left = kept & ~inside
        if left.any() and all(left[cell] or cell < 0 for cell in cells):
            kept = left
    return kept


def _pressing(
    view: _View, sample: Sample, belief: Belief, others: Callable[[], Belief], limits: Limits
) -> _View:
    """The view with the end beyond which something better is expected.

    The functions that point out an end are too sure of it: it is one of many ends, chosen by them.
    So others, drawn anew, say how probable it is.
    """
    if not is_ordered(view.part) or not _rising(view.part):
        return view
    wanted = max(BEST_LEAST, math.ceil(BEST_PART * len(sample.targets)))
    places = sample.places[:, view.column]
    best = sample.best(wanted)
    best = [row for row in best if not np.isnan(places[row])]
    for side in ("low", "high"):
        outer = places > 1 - OUTER if side == "high" else places < OUTER
        if not best or not outer[best[0]] or _fails_at(view.failing, side):
            continue
        beyond = better_beyond(sample, belief, view.column, side, limits)
        if beyond >= SURE_TO_WIDEN:
            beyond = better_beyond(sample, others(), view.column, side, limits)
        if beyond and _at_end(view.part, float(places[best[0]]), side):
            view = replace(view, bound=side, beyond=beyond)
        if beyond >= SURE_TO_WIDEN:
            return replace(
                view,
                widen=side,
                beyond=beyond,
                pressed=int(outer[best].sum()),
                pressing=len(best),
                crowd=float(outer[~np.isnan(places)].mean()),
            )
    return view


def _rising(part: Dimension) -> bool:
    """Whether the values of an ordered choice are listed from the smallest to the largest."""
    values: list[Any] = list(part.values)
    return values == sorted(values)


def _fails_at(regions: Sequence[FailingRegion], side: Side) -> bool:
    """Whether trainings fail at an end of the range."""
    return any(each.high >= 1 if side == "high" else each.low <= 0 for each in regions)


def _at_end(part: Dimension, place: float, side: Side) -> bool:
    """Whether a place is the last value at an end, or in the last part of a range without steps."""
    if part.positions is not None:
        return bool(abs(place - part.positions[-1 if side == "high" else 0]) < 1e-9)
    return place > 1 - AT_END if side == "high" else place < AT_END


def _advice(view: _View, grounds: Grounds) -> RangeAdvice:
    """The verdict on one entry."""
    entry, sample = view.entry, grounds.sample
    default = entry.default if view.best is None else view.best
    effect = grounds.effects.single[view.column]
    gap, untried = _unexplored(sample, view.column, entry)
    rescaled = None
    if view.visibility is Visibility.MATTERS:
        rescaled = on_log_scale(entry, sample, view.column, default)
    flat = view.visibility is Visibility.NONE and effect.high < NO_EFFECT and view.kept.all()
    enough = len(sample.targets) >= TRIALS_TO_FREEZE * len(sample.geometry.tunable)
    if rescaled is not None:
        after, verdict = rescaled, Verdict.RESCALE
    elif flat and enough and not view.partners and gap is None and not untried:
        after, verdict = fixed(entry, _cheap(entry, default)), Verdict.FREEZE
    else:
        after, verdict = _resized(
            view, view.kept, default, grounds.limits.get(entry.name, (None, None))
        )
    widen = view.widen if verdict is Verdict.WIDEN else None
    sure = view.sure if verdict in (Verdict.NARROW, Verdict.DROP) else 1.0
    return RangeAdvice(
        name=entry.name,
        conditions=described(entry),
        verdict=verdict,
        before=entry,
        after=after,
        best=view.best,
        kept=1.0 if verdict in (Verdict.KEEP, Verdict.RESCALE) else float(view.kept.mean()),
        confidence=view.beyond if widen else sure,
        cut=view.sure if widen else 1.0,
        bound=None if widen or rescaled is not None else view.bound,
        beyond=view.beyond,
        tried=view.tried,
        widen=widen,
        pressed=view.pressed if widen else 0,
        pressing=view.pressing if widen else 0,
        crowd=view.crowd if widen else 0.0,
        partners=view.partners,
        gap=gap,
        untried=untried,
        visibility=view.visibility,
        failing=view.failing,
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


def _partners(effects: Effects) -> dict[int, Collection[int]]:
    """The varying entries that clearly interact."""
    together: dict[int, set[int]] = {}
    for pair, (a, b) in zip(effects.pairs, effects.columns, strict=True):
        if pair.share >= INTERACTING:
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
