"""Distances between many rows at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def squared_distances(a: Array, b: Array) -> Array:
    """Squared Euclidean distances of the rows of (n, f) and (m, f), as (n, m)."""
    return from_products(a @ b.T, squared_lengths(a), squared_lengths(b))


def squared_lengths(rows: Array) -> Array:
    """(n,) squared lengths of the rows of (n, f)."""
    return np.asarray(np.einsum("nf,nf->n", rows, rows))


def from_products(products: Array, a: Array, b: Array, out: Array | None = None) -> Array:
    """(n, m) squared distances from products and lengths of rows.

    Args:
        products: (n, m) scalar products of n rows with m other rows. They are overwritten.
        a: (n,) squared lengths of the n rows.
        b: (m,) squared lengths of the m rows.
        out: Memory for the result.
    """
    squares: Array = np.add.outer(a, b, out=out)
    products *= 2
    squares -= products
    return np.maximum(squares, 0.0, out=squares)
