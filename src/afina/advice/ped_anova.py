"""How far the best results lie apart from the others, hyperparameter by hyperparameter.

PED-ANOVA compares the distribution of a hyperparameter among the best trials with that among all:
where the best are no different, it does not matter for being among the best. It takes milliseconds
and no forest, and asks about the good region, not about the whole space.

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
    """(cells,) the distribution of observed places, with one observation's worth of evenness.

    Args:
        places: (n,) in [0, 1]; a value of a choice lies at the middle of its cell.
        cells: How many equal cells of [0, 1].
        smooth: Whether neighbours are alike: then each observation is spread by a kernel, else it
            counts for its own cell alone.
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
        places: (n,) its coordinate in each trial, NaN where it was inactive.
        best: (n,) which trials are among the best.
        cells: How many values it has; None takes 50 cells.
        smooth: See `densities`.

    Returns:
        The divergence of the best from all. A conditional hyperparameter is judged where it is
        active, with weight (share of the best that have it active) squared over (share of all that
        have it active): that is its own part of the divergence, the rest is its parent's.
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
