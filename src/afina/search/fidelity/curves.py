"""Whether a running training can still become the best: its curve compared with those of others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Curve = Sequence[float]

# A shorter curve says nothing about its end; fewer full curves say nothing about curves.
FEWEST_EPOCHS = 6
FEWEST_CURVES = 3
# The missing gain must exceed the largest gain ever made in the remaining epochs so many times.
CAUTION = 2.0
# Powers with which losses may approach their end; a wider range stops fewer trainings.
POWERS = (0.25, 0.5, 1.0, 2.0)


def is_hopeless(curve: Curve, end: int, best: float, others: Sequence[Curve]) -> bool:
    """Whether a training will probably not reach a loss below the best one by its end.

    Two tests must agree. The first looks at full trainings: none of them has ever gained half of
    what is missing in the epochs that are left. So if one training improved late, all others are
    given time. The second looks at the curve itself: the most optimistic power law through it does
    not reach the best loss.

    Args:
        curve: The loss after each epoch so far; NaN if unknown.
        end: Epochs of a full training.
        best: The loss to beat; infinite if there is none.
        others: Curves of trainings of `end` epochs.

    Example:
        >>> flat = [1.0, 0.8, 0.7, 0.66, 0.65, 0.65, 0.65, 0.65]
        >>> quick = [[1 / epoch for epoch in range(1, 21)]] * 3
        >>> late = [0.9] * 12 + [0.1] * 8
        >>> is_hopeless(flat, 20, 0.05, quick), is_hopeless(flat, 20, 0.05, [*quick, late])
        (True, False)
    """
    done = len(curve)
    full = [np.asarray(other[:end], dtype=float) for other in others if len(other) >= end]
    if done < FEWEST_EPOCHS or len(full) < FEWEST_CURVES or done >= end:
        return False
    losses = np.asarray(curve, dtype=float)
    if not np.isfinite(losses).any():
        return False
    missing = float(np.nanmin(losses)) - best
    gains = [np.nanmin(o[:done]) - np.nanmin(o) for o in full if np.isfinite(o[:done]).any()]
    if not gains or not missing > CAUTION * max(gains):
        return False
    return hopeful_end(losses, end) > best


def hopeful_end(curve: Array, end: int) -> float:
    """The lowest loss that a power law through the curve predicts for epoch `end`.

    `c + a * epoch ** -p` is fitted to the lowest losses so far, for a few powers p. Of those that
    fit about as well as the best one, the most optimistic counts, minus two standard deviations of
    its residuals.

    Args:
        curve: (epochs,) losses, at least one finite; NaN if unknown.
        end: Epochs of a full training.

    Example:
        >>> epochs = np.arange(1, 9)
        >>> round(hopeful_end(0.2 + 0.5 / epochs, 50), 3) <= 0.21
        True
    """
    epochs = np.flatnonzero(np.isfinite(curve)) + 1.0
    lowest = np.minimum.accumulate(curve[np.isfinite(curve)])
    # The first epochs do not follow a power law.
    epochs, lowest = epochs[len(epochs) // 4 :], lowest[len(lowest) // 4 :]
    ends, errors = [], []
    for power in POWERS:
        design = np.stack([np.ones_like(epochs), epochs**-power], axis=1)
        (level, scale), *_ = np.linalg.lstsq(design, lowest, rcond=None)
        left = float(np.sqrt(np.mean((lowest - level - scale * epochs**-power) ** 2)))
        ends.append(min(float(level + scale * end**-power), float(lowest[-1])) - 2 * left)
        errors.append(left)
    allowed = 2 * min(errors) + 1e-12 * max(1.0, float(np.abs(lowest).max()))
    return min(
        (end for end, error in zip(ends, errors, strict=True) if error <= allowed),
        default=min(ends),
    )
