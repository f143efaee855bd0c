"""Training a configuration once more: when luck decides and there is nothing better left to try.

Two trainings of one configuration differ by their initial weights and the order of the data. Where
a space is small, its good configurations are soon all trained. What is left is worse by more than
trainings differ, so that another training of a good one is more likely to become the best.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from afina.search.fidelity.rungs import RungHistory, Segment, is_fresh
from afina.search.untried import key_of
from afina.space import Choice, HyperParameter, Space, Value
from afina.space.parameters import Numerical, all_values
from afina.trials import Trial

# Entries with more values count as continuous: there is always something new next to the best.
MOST_VALUES = 64


def repeatable(
    history: RungHistory, running: Sequence[Trial], space: Space, top: int
) -> list[Segment]:
    """Full trainings whose configurations may be trained once more, the latest of each.

    All configurations next to it must have been tried: they tell more than a repeat. There are none
    if trainings of one configuration are equal to the last digit, if that is not known yet and
    the first repeat is still running, or if there are as many repeats as configurations.

    Args:
        history: All segments.
        running: The running trials.
        space: As known now.
        top: Epochs of a full training.
    """
    latest = history.latest()
    full = {
        segment.values: segment for segment in latest if segment.whole and segment.epochs >= top
    }
    if not full or len(latest) >= 2 * len({segment.values for segment in latest}):
        return []
    differ = trainings_differ(history)
    again = any(is_fresh(t) and key_of(t.values, space) in history.tried for t in running)
    if differ is False or (differ is None and again):
        return []
    return [segment for segment in full.values() if _is_surrounded(segment, history, space)]


def trainings_differ(history: RungHistory) -> bool | None:
    """Whether two trainings of one configuration have different results; None if none was repeated.

    If some do and some do not, they count as equal: what is equal to the last digit is no training.
    """
    firsts: dict[object, list[tuple[float | None, ...]]] = {}
    for segment in history.segments:
        if segment.number == segment.root and segment.loss is not None:
            result = segment.curve[:1] or (segment.loss,)
            firsts.setdefault(segment.values, []).append(result)
    repeated = [results for results in firsts.values() if len(results) > 1]
    if not repeated:
        return None
    return all(len(set(results)) == len(results) for results in repeated)


def _is_surrounded(segment: Segment, history: RungHistory, space: Space) -> bool:
    """Whether all configurations next to this one have been tried; False if that cannot be."""
    values = dict(segment.values)
    active = space.active(values)
    if any(entry.count is None or entry.count > MOST_VALUES for entry in active):
        return False
    if any(entry.name not in values or not entry.contains(values[entry.name]) for entry in active):
        return False
    return all(key_of(other, space) in history.tried for other in _next_to(values, active, space))


def _next_to(
    values: dict[str, Value], active: Sequence[HyperParameter], space: Space
) -> Iterator[dict[str, Value]]:
    """The allowed configurations that differ by one step of one hyperparameter."""
    for entry in active:
        for value in _steps(entry, values[entry.name]):
            changed = space.complete({**values, entry.name: value}, lambda each: each.default)
            if space.allows(changed):
                yield changed


def _steps(entry: HyperParameter, value: Value) -> list[Value]:
    """The values before and after, or all others if the values have no order."""
    if isinstance(entry, Choice):
        known: list[Any] = list(entry.values)
        ordered = entry.ordered
    else:
        known = sorted(all_values(entry))
        ordered = isinstance(entry, Numerical)
    place = known.index(value)
    if ordered:
        return [*known[max(place - 1, 0) : place], *known[place + 1 : place + 2]]
    return [*known[:place], *known[place + 1 :]]
