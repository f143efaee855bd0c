"""Which learning rate the curve of a range test speaks for: the field's rules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Rule = Literal["valley", "steep", "minimum", "slide"]

SKIPPED = 0.1
"""Share of the sweep at its beginning that no rule looks at: the smoothed loss is one of few
batches there, and its noise looks like a slope."""

FLAT = 0.3
"""Of `slide`: how different two slopes must be, in units of the mean slope of the whole fall."""

APART = math.log(30.0)
"""Of `slide`: how far apart they are, in units of log rate."""


def smooth(losses: Floats, memory: float) -> Floats:
    """The moving mean, each loss weighing `memory` times the next; unbiased from the first on.

    Args:
        losses: Of the batches; (steps,).
        memory: From 0, no smoothing, to below 1.

    Example:
        >>> smooth(np.array([1.0, 1.0, 4.0]), 0.5).round(3).tolist()
        [1.0, 1.0, 2.714]
    """
    means = np.empty_like(losses)
    total = 0.0
    for step, loss in enumerate(losses):
        total = memory * total + (1.0 - memory) * loss
        means[step] = total / (1.0 - memory ** (step + 1))
    return means


def valley(rates: Floats, smoothed: Floats) -> float:
    """The middle, on the log axis, of the longest fall: the longest subsequence of steps of which
    each has a smaller loss than the one before, whatever bumps lie between them.

    Source: the rule of this name in fastai.
    """
    fall = longest_fall(smoothed)
    return math.sqrt(rates[fall[0]] * rates[fall[-1]])


def steep(rates: Floats, smoothed: Floats) -> float:
    """Where the loss falls most for one step on the axis of log rate, before it is least: beyond
    that it may fall steeply by chance, after a jump.

    The derivative by the rate itself, which some take, is larger by 1 / rate at small rates and
    so prefers them whatever the curve looks like.
    """
    until = int(np.argmin(smoothed)) + 1
    if until < 2:
        return float(rates[0])
    return float(rates[np.argmin(np.gradient(smoothed[:until], np.log(rates[:until])))])


def minimum(rates: Floats, smoothed: Floats) -> float:
    """A tenth of the rate at which the loss is least: there it is about to rise already."""
    return float(rates[np.argmin(smoothed)]) / 10.0


def slide(rates: Floats, smoothed: Floats) -> float:
    """Slides an interval down from the end of the sweep until the slopes at its two ends are about
    the same, and takes its lower end: the rate before which the loss falls steadily.

    Source: the rule of this name in fastai; slopes are measured by the curve's whole fall here, so
    that the scale of the loss does not matter.
    """
    if len(rates) < 3:
        return float(rates[0])
    logs = np.log(rates)
    fall = float(smoothed[0] - smoothed.min())
    slopes = np.gradient(smoothed, logs) * (logs[-1] - logs[0]) / (fall or 1.0)
    width = max(1, round(APART / (logs[1] - logs[0])))
    lower = max(0, len(rates) - 1 - width)
    while lower > 0 and abs(slopes[min(lower + width, len(rates) - 1)] - slopes[lower]) > FLAT:
        lower -= 1
    return float(rates[lower])


def longest_fall(values: Floats) -> list[int]:
    """The places of the longest subsequence in which each value is below the one before; of several
    the one that ends lowest.

    Example:
        >>> longest_fall(np.array([3.0, 5.0, 4.0, 6.0, 2.0, 2.5]))
        [1, 2, 4]
    """
    count = len(values)
    length = np.ones(count, dtype=int)
    before = np.full(count, -1)
    for end in range(1, count):
        earlier = np.flatnonzero(values[:end] > values[end])
        if len(earlier):
            best = earlier[np.argmax(length[earlier])]
            length[end], before[end] = length[best] + 1, best
    ends = np.flatnonzero(length == length.max())
    place = int(ends[np.argmin(values[ends])])
    fall = []
    while place >= 0:
        fall.append(place)
        place = int(before[place])
    return fall[::-1]


RULES: dict[Rule, Callable[[Floats, Floats], float]] = {
    "valley": valley,
    "steep": steep,
    "minimum": minimum,
    "slide": slide,
}
"""Each takes the rates and the smoothed losses of a sweep and returns a rate."""


def suggestions(rates: Floats, smoothed: Floats) -> dict[str, float]:
    """What each rule says."""
    first = min(int(SKIPPED * len(rates)), max(0, len(rates) - 2))
    return {name: rule(rates[first:], smoothed[first:]) for name, rule in RULES.items()}
