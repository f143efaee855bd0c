"""By how much the loss of a single epoch is luck, seen in the curves of trainings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

# A shorter curve shows its fall rather than its noise.
FEWEST_EPOCHS = 6
ORDER = 3
# The standard deviation of a third difference of independent numbers of deviation 1: 1, 3, 3, 1.
SPREAD = math.sqrt(20)
# The median of the absolute value of a normal number.
MEDIAN = 0.6745


def epoch_luck(curves: Sequence[Sequence[float]]) -> float:
    """The standard deviation of an epoch's loss around its own curve; 0 while it is not known.

    Third differences hardly see a smooth fall. The first quarter of a curve, where it falls most,
    does not count; nor do curves of fewer than six epochs or with an epoch that was not validated.

    Args:
        curves: The loss after each epoch, one curve for each training.

    Example:
        >>> smooth = [1 / epoch for epoch in range(1, 13)]
        >>> rough = [loss + 0.1 * (-1) ** place for place, loss in enumerate(smooth)]
        >>> epoch_luck([smooth]) < 0.002, epoch_luck([rough]) > 0.1, epoch_luck([smooth[:5]])
        (True, True, 0.0)
    """
    found: list[float] = []
    for curve in curves:
        if len(curve) >= FEWEST_EPOCHS and np.isfinite(curve).all():
            late = np.asarray(curve, dtype=float)[len(curve) // 4 :]
            found += np.abs(np.diff(late, ORDER)).tolist()
    return float(np.median(found)) / (MEDIAN * SPREAD) if found else 0.0
