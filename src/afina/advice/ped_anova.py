"""How much the values of the best trials differ from the others, for each hyperparameter.

PED-ANOVA compares the distribution of a hyperparameter among the best trials with that among all
trials. If there is no difference, the hyperparameter does not decide which trials are the best. The
method takes milliseconds and describes the good region rather than the whole space.

Source: Watanabe, Bansal & Hutter, "PED-ANOVA: efficiently quantifying hyperparameter importance in
arbitrary subspaces", IJCAI 2023 (arXiv:2304.10255).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CELLS = 50


def divergence(top: Array, reference: Array) -> float:
    """Pearson's chi-squared divergence of two distributions over the same cells, each above 0.

    Example:
        >>> divergence(np.array([0.5, 0.5]), np.array([0.5, 0.5]))
        0.0
        >>> divergence(np.array([1.0, 0.0]), np.array([0.5, 0.5]))
        1.0
    """
    return float((reference * (top / reference - 1) ** 2).sum())


def densities(places: Array, cells: int, smooth: bool) -> Array:
    """(cells,) the distribution of observed places, plus one observation spread over all cells.

    Args:
        places: (n,) in [0, 1]; a value of a choice lies at the middle of its cell.
        cells: How many equal cells of [0, 1].
        smooth: Whether neighbouring cells are alike. Then a kernel spreads each observation;
            otherwise it counts for its own cell only.
    """
    middles = (np.arange(cells) + 0.5) / cells
    if smooth and len(places):
        width = _bandwidth(places, cells)
        spread = np.exp(-0.5 * ((middles[None] - places[:, None]) / width) ** 2)
        spread /= spread.sum(axis=1, keepdims=True)
        mass = spread.sum(axis=0)
    else:
        own = np.minimum((places * cells).astype(int), cells - 1)
        mass = np.bincount(own, minlength=cells).astype(float)
    return np.asarray((mass + 1 / cells) / (len(places) + 1))


def importance(places: Array, best: NDArray[np.bool_], cells: int | None, smooth: bool) -> float:
    """The importance of one hyperparameter, not yet normalised.

    Args:
        places: (n,) its coordinate in each trial; NaN if it was inactive.
        best: (n,) which trials are among the best.
        cells: How many values it has; None means 50 cells.
        smooth: See `densities`.

    Returns:
        The divergence of the best from all. A conditional hyperparameter is measured on the trials
        in which it is active. Its weight is the square of the share of the best trials in which it
        is active, divided by the same share of all trials. That is its own part of the divergence;
        the rest belongs to its parent.
    """
    active = ~np.isnan(places)
    own = best & active
    if not best.any() or own.sum() < 2 or active.sum() < 2:
        return 0.0
    count = CELLS if cells is None else cells
    top = densities(places[own], count, smooth)
    reference = densities(places[active], count, smooth)
    among_best, among_all = own.sum() / best.sum(), active.sum() / len(places)
    return float(among_best**2 / among_all) * divergence(top, reference)


def _bandwidth(places: Array, cells: int) -> float:
    """Scott's rule with the robust spread, at least a cell."""
    quartiles = np.quantile(places, [0.25, 0.75])
    spread = min(float(np.diff(quartiles)[0]) / 1.34, float(places.std())) or float(places.std())
    return max(1.059 * spread * len(places) ** -0.2, 1 / cells) if math.isfinite(spread) else 1.0
