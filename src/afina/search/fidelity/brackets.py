"""Rungs and brackets of Hyperband as plain numbers: how many trials train for how many epochs.

A bracket starts `size` new trials with a few epochs each, keeps the best `1/factor` of them,
trains these `factor` times as long, and so on up to `max_epochs`. A bracket's number is the number
of its promotions: the highest number starts the most trials with the fewest epochs, bracket 0
trains each of its trials in full. All arithmetic is exact, so no rung depends on how a logarithm
was rounded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral, Real

from afina.errors import ArgumentError, check_whole, wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One round of a bracket: `size` trials, each trained up to `end_epoch`."""

    bracket: int
    """The bracket's number."""

    index: int
    """Place within the bracket, from 0."""

    size: int
    """How many trials this rung has."""

    start_epoch: int
    """Epochs that each trial has done before; 0 on the first rung."""

    end_epoch: int
    """Epochs that each trial has done at the end."""

    @property
    def epochs(self) -> int:
        """Epochs trained on this rung, over all its trials."""
        return self.size * (self.end_epoch - self.start_epoch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """One run of successive halving."""

    number: int
    """How many times its best trials are promoted; the count of its rungs minus one."""

    rungs: tuple[Rung, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Trials on each rung; strictly falling."""
        return tuple(rung.size for rung in self.rungs)

    @property
    def trials(self) -> int:
        """Trials on all rungs; each promotion counts as a trial."""
        return sum(self.sizes)

    @property
    def epochs(self) -> int:
        """Epochs trained on all rungs."""
        return sum(rung.epochs for rung in self.rungs)


def plan(max_epochs: int, factor: float = 3) -> tuple[Bracket, ...]:
    """All brackets of one iteration of Hyperband, in the order in which they start.

    Args:
        max_epochs: Epochs of a full training; at least 1.
        factor: One in `factor` trials is promoted to the next rung; at least 2, usually whole.

    Raises:
        ArgumentError: An argument is out of range.

    Source:
        Li et al., "Hyperband", JMLR 18 (2018), algorithm 1. Rungs are rounded up, as Keras Tuner
        does: with b the bracket and r the rung, `ceil(B / (b+1) * factor^(b-r))` trials train
        until epoch `ceil(max_epochs / factor^(b-r))`, where `B = ceil(1 + log_factor(max_epochs))`.

    Example:
        >>> [(rung.size, rung.start_epoch, rung.end_epoch) for rung in plan(10, 3)[0].rungs]
        [(12, 0, 2), (4, 2, 4), (2, 4, 10)]
    """
    epochs = check_whole("max_epochs", max_epochs, advice="Try 100.")
    ratio = Fraction(check_factor(factor))
    halvings = 0
    while ratio ** (halvings + 1) <= epochs:
        halvings += 1
    weight = 1
    while ratio ** (weight - 1) < epochs:
        weight += 1
    return tuple(_bracket(number, weight, epochs, ratio) for number in range(halvings, -1, -1))


def _bracket(number: int, weight: int, epochs: int, ratio: Fraction) -> Bracket:
    rungs = []
    start = 0
    for index in range(number + 1):
        left = ratio ** (number - index)
        end = math.ceil(epochs / left)
        size = math.ceil(weight * left / (number + 1))
        rungs.append(Rung(bracket=number, index=index, size=size, start_epoch=start, end_epoch=end))
        start = end
    return Bracket(number=number, rungs=tuple(rungs))


def ladder(max_epochs: int, factor: float = 3, min_epochs: int = 1) -> tuple[int, ...]:
    """The epochs at the end of each rung of a single bracket.

    Each rung is `factor` times as long as the one below, and the last is `max_epochs`. A rung that
    would end just below the last is left out.

    Args:
        max_epochs: Epochs of a full training; at least 1.
        factor: At least 2.
        min_epochs: Epochs of the lowest rung, 1 to `max_epochs`.

    Raises:
        ArgumentError: An argument is out of range.

    Example:
        >>> ladder(50, 3), ladder(100, 3, min_epochs=4), ladder(3, 2, min_epochs=3)
        ((1, 3, 9, 27, 50), (4, 12, 36, 100), (3,))
    """
    epochs = check_whole("max_epochs", max_epochs, advice="Try 100.")
    ratio = Fraction(check_factor(factor))
    whole = isinstance(min_epochs, Integral) and not isinstance(min_epochs, bool)
    if not whole or not 1 <= min_epochs <= epochs:
        rule = f"must be a whole number from 1 to max_epochs ({epochs})"
        raise ArgumentError(wrong("min_epochs", rule, min_epochs))
    ends = []
    length = Fraction(int(min_epochs))
    while math.ceil(length) ** 2 * ratio <= epochs**2:
        ends.append(math.ceil(length))
        length *= ratio
    return (*ends, epochs)


def scaled_sizes(bracket: Bracket, started: int, factor: float) -> tuple[int, ...]:
    """The sizes of the rungs if only `started` new trials were found for the first rung.

    Keeps the ratio between rungs, and at least one trial on each.

    Example:
        >>> bracket = plan(27, 3)[0]
        >>> bracket.sizes, scaled_sizes(bracket, 10, 3)
        ((27, 9, 3, 1), (10, 4, 2, 1))
    """
    if started >= bracket.sizes[0]:
        return bracket.sizes
    ratio = Fraction(factor)
    return tuple(
        min(size, math.ceil(started / ratio**index)) for index, size in enumerate(bracket.sizes)
    )


def check_factor(factor: float) -> float:
    """`factor`; raises ArgumentError unless it is a number from 2 up."""
    number = isinstance(factor, Real) and not isinstance(factor, bool)
    if not number or not 2 <= factor < math.inf:  # False for NaN too
        raise ArgumentError(
            wrong("factor", "must be a number from 2 up", factor, "3 and 4 are usual.")
        )
    return factor
