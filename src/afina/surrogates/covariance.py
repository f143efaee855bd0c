"""The prior covariance of the results of two configurations.

Configurations come as rows of *features*, which belong to *groups* (one a hyperparameter), each
with its own lengthscale. With s_g the squared distance of two rows within group g, divided by the
square of its lengthscale, and d groups, their covariance is

    (1 - additive) * matern52(sqrt(sum of s_g)) + additive * mean of 1 / (1 + d * s_g).

The first part models interactions of hyperparameters, which it learns slowly. The second is a sum
of effects of single hyperparameters, which it learns from a few trials: much of what numbers do,
and most of what choices do, is of that kind.

Source:
    Rasmussen & Williams, "Gaussian Processes for Machine Learning" (2006), equation 4.17 and, as it
    costs no exponentials, the rational quadratic of 4.19 for the additive part; Duvenaud, Nickisch
    & Rasmussen, "Additive Gaussian processes", arXiv:1112.4394.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from afina.surrogates.distances import from_products, squared_distances, squared_lengths

Array = NDArray[np.float64]
Groups = NDArray[np.intp]

ROWS_AT_ONCE = 64


class Covariance:
    """The covariance of any rows with the measured ones.

    Args:
        features: (n, f) the measured rows, n >= 1.
        lengthscales: (g,) one for each group.
        groups: (f,) group of each feature, from 0.
        additive: Part of the variance, from 0 to 1, that is a sum of effects of single groups.
    """

    def __init__(
        self, features: Array, lengthscales: Array, groups: Groups, additive: float = 0.0
    ) -> None:
        self.additive = additive
        self._groups = groups
        self._weights = 1 / lengthscales[groups] if len(groups) else np.zeros(0)  # (f,)
        self._scaled = features * self._weights
        count = len(lengthscales)
        self._columns = [np.flatnonzero(groups == group) for group in range(count)]
        self._root = math.sqrt(count)
        self._lines = np.ascontiguousarray((self._root * self._scaled).T)  # (f, n)
        self._spread = count * (groups[:, None] == np.arange(count)).astype(float)  # (f, g)

    def among(self, *, as_others: bool = False) -> Array:
        """(n, n) of the measured rows with each other.

        Args:
            as_others: Give the same digits as `of` does; the product of a matrix with itself is
                rounded differently.
        """
        return self._between(self._scaled.copy() if as_others else self._scaled)

    def of(self, features: Array) -> Array:
        """(m, n) of rows (m, f)."""
        return self._between(features * self._weights)

    def slopes(self, features: Array) -> tuple[Array, Array]:
        """The covariances (m, n) of rows (m, f); their derivatives by the features (m, n, f)."""
        gaps = (features * self._weights)[:, None] - self._scaled  # (m, n, f)
        squares = np.square(gaps)
        total = squares.sum(axis=2)
        effects = rational(squares @ self._spread)  # (m, n, g)
        cross = self._mixed(matern(total.copy()), effects.sum(axis=2))

        # By the distances first: the derivative of 1 / (1 + d s) by s is -d / (1 + d s) ** 2.
        effects *= effects
        effects *= -self.additive
        slopes: Array = effects[:, :, self._groups]
        slopes += ((1 - self.additive) * matern_slope(total))[:, :, None]
        slopes *= gaps
        slopes *= 2 * self._weights
        return cross, slopes

    def _between(self, scaled: Array) -> Array:
        """(m, n) of rows (m, f) that are divided by the lengthscales."""
        result: Array = scaled @ self._scaled.T
        sizes, own_sizes = squared_lengths(scaled), squared_lengths(self._scaled)
        # Some rows at a time, in pieces of memory that fit in the cache: twice as fast.
        pieces = np.empty((3, min(ROWS_AT_ONCE, len(result)), result.shape[1]))
        for first in range(0, len(result), ROWS_AT_ONCE):
            rows = slice(first, first + ROWS_AT_ONCE)
            part = result[rows]
            joint, effects, spare = pieces[:, : len(part)]
            matern(from_products(part, sizes[rows], own_sizes, joint), spare)
            if self.additive != 0:
                effects[...] = 0.0
                self._add_effects(scaled[rows], effects, spare)
                self._mixed(joint, effects)
            part[...] = joint
        return result

    def _add_effects(self, scaled: Array, total: Array, squares: Array) -> None:
        """Adds the effects of all groups to `total`; `squares` is scratch memory of its shape."""
        a, b = np.ascontiguousarray((self._root * scaled).T), self._lines
        for own in self._columns:
            if len(own) == 1:
                np.subtract.outer(a[own[0]], b[own[0]], out=squares)
                squares *= squares
            else:
                squares[...] = squared_distances(a[own].T, b[own].T)
            total += rational(squares)

    def _mixed(self, joint: Array, effects: Array) -> Array:
        """The covariance from its joint part, which is overwritten, and the sum of all effects."""
        if len(self._columns):
            joint *= 1 - self.additive
            effects *= self.additive / len(self._columns)
            joint += effects
        return joint


def matern(squares: Array, spare: Array | None = None) -> Array:
    """Matern-5/2 at squared distances, which are overwritten: Rasmussen & Williams, equation 4.17.

    `spare` is scratch memory of their shape.
    """
    squares *= 5
    root = np.sqrt(squares, out=spare)
    squares /= 3
    squares += root
    squares += 1
    np.negative(root, out=root)
    squares *= np.exp(root, out=root)
    return squares


def matern_slope(squares: Array) -> Array:
    """Derivative of Matern-5/2 by the squared distance."""
    root = np.sqrt(5 * squares)
    return np.asarray(-5 / 6 * (1 + root) * np.exp(-root))


def rational(squares: Array) -> Array:
    """1 / (1 + s), the kernel of the additive part, at squared distances s, which are overwritten:
    the rational quadratic of Rasmussen & Williams, equation 4.19."""
    squares += 1
    return np.divide(1.0, squares, out=squares)  # half the time of `np.reciprocal`
