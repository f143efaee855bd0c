"""Distances between many rows at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def squared_distances(a: Array, b: Array) -> Array:
    """Squared Euclidean distances of the rows of (n, f) and (m, f), as (n, m)."""
    return from_products(a @ b.T, squared_lengths(a), squared_lengths(b))


def squared_lengths(rows: Array) -> Array:
    """(n,) of rows (n, f)."""
    return np.asarray(np.einsum("nf,nf->n", rows, rows))


def from_products(products: Array, a: Array, b: Array, out: Array | None = None) -> Array:
    """Squared distances, (n, m), from what is known of the rows.

    Args:
        products: (n, m) of each with each. They are overwritten.
        a: (n,) squared lengths of the ones.
        b: (m,) squared lengths of the others.
        out: Memory for the result.
    """
    squares: Array = np.add.outer(a, b, out=out)
    products *= 2
    squares -= products
    return np.maximum(squares, 0.0, out=squares)
