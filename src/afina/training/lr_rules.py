"""The field's rules for reading a learning rate off the curve of a range test."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Rule = Literal["valley", "steep", "minimum", "slide"]

SKIPPED = 0.1
"""Share of the sweep, at its beginning, that no rule looks at: few batches are smoothed there, and
their noise looks like a slope."""

FLAT = 0.3
"""For `slide`: how different two slopes must be, in units of the mean slope of the whole fall."""

APART = math.log(30.0)
"""For `slide`: how far apart the two slopes are, in units of log rate."""


def smooth(losses: Floats, memory: float) -> Floats:
    """The moving mean, in which each loss has `memory` times the weight of the next.

    It is unbiased from the first step on: divided by 1 - memory^t, as in Adam.

    Args:
        losses: The losses of the batches; (steps,).
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
    """The middle, on the log axis, of the longest fall: the longest subsequence of steps in which
    each has a smaller loss than the one before, with any bumps between them.

    Source: the rule of this name in fastai.
    """
    fall = longest_fall(smoothed)
    return math.sqrt(rates[fall[0]] * rates[fall[-1]])


def steep(rates: Floats, smoothed: Floats) -> float:
    """The rate at which the loss falls most steeply over the log of the rate, before its minimum:
    after a jump beyond that it may fall steeply by chance.

    The derivative by the rate itself is larger by 1 / rate, and so prefers small rates whatever the
    curve looks like.
    """
    until = int(np.argmin(smoothed)) + 1
    if until < 2:
        return float(rates[0])
    return float(rates[np.argmin(np.gradient(smoothed[:until], np.log(rates[:until])))])


def minimum(rates: Floats, smoothed: Floats) -> float:
    """A tenth of the rate at which the loss is smallest: there it is already about to rise."""
    return float(rates[np.argmin(smoothed)]) / 10.0


def slide(rates: Floats, smoothed: Floats) -> float:
    """Slides an interval down from the end of the sweep until the slopes at its two ends are about
    the same, and returns its lower end: the rate before which the loss falls steadily.

    Source: the rule of this name in fastai. Here slopes are measured in units of the curve's whole
    fall, so that the scale of the loss does not matter.
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
    """The places of the longest subsequence in which each value is below the one before; if there
    are several, the one that ends lowest.

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
"""Each rule takes the rates and the smoothed losses of a sweep and returns a rate."""


def suggestions(rates: Floats, smoothed: Floats) -> dict[str, float]:
    """The learning rate that each rule suggests."""
    first = min(int(SKIPPED * len(rates)), max(0, len(rates) - 2))
    return {name: rule(rates[first:], smoothed[first:]) for name, rule in RULES.items()}
