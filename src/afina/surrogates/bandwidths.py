"""How wide the kernels of a Parzen estimator are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WIDEST = 1.0  # of a kernel, in units of the whole range


def bandwidths(numbers: Array, floor: Array) -> Array:
    """(c, n) the widths of the kernels of coordinates (c, n); 1 for NaN.

    A width is the distance to the farther of the two neighbours among a column's sorted
    coordinates. At the ends it is the distance to the only neighbour; for a single coordinate, to
    the farther bound.

    Args:
        numbers: (c, n) in [0, 1], or NaN.
        floor: (c,) the narrowest.

    Source:
        The rule: Bergstra et al., NeurIPS 2011. The floor: Watanabe, arXiv:2304.11127, section
        3.3.4; while few rows are known it is 1 / (N + 1) ** 2.
    """
    columns, count = numbers.shape
    if not count or not columns:
        return np.ones(numbers.shape)
    order = np.argsort(numbers, axis=1)  # NaN at the end
    order += np.arange(0, columns * count, count)[:, None]  # as if all lay in one line
    ordered = np.take(numbers, order)
    gaps = ordered[:, 1:] - ordered[:, :-1]
    unknown = np.isnan(ordered)
    seen = count - unknown.sum(axis=1)
    if unknown.any():
        gaps[np.isnan(gaps)] = 0.0  # beyond the last known
    widths = np.zeros((columns, count))
    widths[:, 1:] = gaps
    np.maximum(widths[:, :-1], gaps, out=widths[:, :-1])
    alone = seen == 1
    if alone.any():
        widths[alone, 0] = np.maximum(ordered[alone, 0], 1 - ordered[alone, 0])
    narrowest = np.maximum(floor, (seen + 1.0) ** -2)
    np.clip(widths, narrowest[:, None], WIDEST, out=widths)
    widths[unknown] = 1.0
    result = np.empty_like(widths)
    result.ravel()[order] = widths
    return result
