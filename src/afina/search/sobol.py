"""Quasi-random search: trials that cover the space more evenly than random draws."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from afina.search.base import Algorithm, Done, Situation, Suggestion, Wait
from afina.search.untried import (
    TriedState,
    answer,
    check_seed,
    first_new,
    keys_of,
)
from afina.space import Space, Value
from afina.surrogates.geometry import Geometry, geometry_of
from afina.surrogates.prior import Prior
from afina.trials import Trial

Array = NDArray[np.float64]

BITS = 32
# Separates these draws from others that are seeded by a seed and a small number.
STREAM = 0x50B01

# Of each dimension: the primitive polynomial, its bits the coefficients from the highest power
# down, and the odd numbers that the recurrence starts with. The first is van der Corput's sequence.
# Source: Joe & Kuo, "Constructing Sobol sequences with better two-dimensional projections", SIAM
# Journal on Scientific Computing 30 (2008), table new-joe-kuo-6.
TABLE: tuple[tuple[int, tuple[int, ...]], ...] = (
    (1, ()),
    (3, (1,)),
    (7, (1, 3)),
    (11, (1, 3, 1)),
    (13, (1, 1, 1)),
    (19, (1, 1, 3, 3)),
    (25, (1, 3, 5, 13)),
    (37, (1, 1, 5, 5, 17)),
    (41, (1, 1, 5, 5, 5)),
    (47, (1, 1, 7, 11, 19)),
    (55, (1, 1, 5, 1, 1)),
    (59, (1, 1, 1, 3, 11)),
    (61, (1, 3, 5, 5, 31)),
    (67, (1, 3, 3, 9, 7, 49)),
    (91, (1, 1, 1, 15, 21, 21)),
    (97, (1, 3, 1, 13, 27, 49)),
    (103, (1, 1, 1, 15, 7, 5)),
    (109, (1, 3, 1, 15, 13, 25)),
    (115, (1, 1, 5, 5, 19, 61)),
    (131, (1, 3, 7, 11, 23, 15, 103)),
    (137, (1, 3, 7, 13, 13, 15, 69)),
    (143, (1, 1, 3, 13, 7, 35, 63)),
    (145, (1, 3, 5, 9, 1, 25, 53)),
    (157, (1, 3, 1, 13, 9, 35, 107)),
    (167, (1, 3, 1, 5, 27, 61, 31)),
    (171, (1, 1, 5, 11, 19, 41, 61)),
    (185, (1, 3, 5, 3, 3, 13, 69)),
    (191, (1, 1, 7, 13, 1, 19, 1)),
    (193, (1, 3, 7, 5, 13, 19, 59)),
    (203, (1, 1, 3, 9, 25, 29, 41)),
    (211, (1, 3, 5, 13, 23, 1, 55)),
    (213, (1, 3, 7, 3, 13, 59, 17)),
    (229, (1, 3, 1, 3, 5, 53, 69)),
    (239, (1, 1, 5, 5, 23, 33, 13)),
    (241, (1, 1, 7, 7, 1, 61, 123)),
    (247, (1, 1, 7, 9, 13, 61, 49)),
    (253, (1, 3, 3, 5, 3, 55, 33)),
    (285, (1, 3, 1, 15, 31, 13, 49, 245)),
    (299, (1, 3, 5, 15, 31, 59, 63, 97)),
    (301, (1, 3, 1, 11, 11, 11, 77, 249)),
    (333, (1, 3, 1, 11, 27, 43, 71, 9)),
    (351, (1, 1, 7, 15, 21, 11, 81, 45)),
    (355, (1, 3, 7, 3, 25, 31, 65, 79)),
    (357, (1, 3, 1, 1, 19, 11, 3, 205)),
    (361, (1, 1, 5, 9, 19, 21, 29, 157)),
    (369, (1, 3, 7, 11, 1, 33, 89, 185)),
    (391, (1, 3, 3, 3, 15, 9, 79, 71)),
    (397, (1, 3, 7, 11, 15, 39, 119, 27)),
    (425, (1, 1, 3, 1, 11, 31, 97, 225)),
    (451, (1, 1, 1, 3, 23, 43, 57, 177)),
    (463, (1, 3, 7, 7, 17, 17, 37, 71)),
    (487, (1, 3, 1, 5, 27, 63, 123, 213)),
    (501, (1, 1, 3, 5, 11, 43, 53, 133)),
    (529, (1, 3, 5, 5, 29, 17, 47, 173, 479)),
    (539, (1, 3, 3, 11, 3, 1, 109, 9, 69)),
    (545, (1, 1, 1, 5, 17, 39, 23, 5, 343)),
    (557, (1, 3, 1, 5, 25, 15, 31, 103, 499)),
    (563, (1, 1, 1, 11, 11, 17, 63, 105, 183)),
    (601, (1, 1, 5, 11, 9, 29, 97, 231, 363)),
    (607, (1, 1, 5, 15, 19, 45, 41, 7, 383)),
    (617, (1, 3, 7, 7, 31, 19, 83, 137, 221)),
    (623, (1, 1, 1, 3, 23, 15, 111, 223, 83)),
    (631, (1, 1, 5, 13, 31, 15, 55, 25, 161)),
    (637, (1, 1, 3, 13, 25, 47, 39, 87, 257)),
)


def point(geometry: Geometry, index: int, seed: int, prior: Prior | None = None) -> Array:
    """A full point of the design that begins with the default configuration.

    Each entry of the space has a dimension of the sequence, given by its place in the space. So the
    draws of an entry stay the same when entries are discovered later.

    Args:
        geometry: Of the space.
        index: Place in the design, from 0. 0 is the default configuration, the others are points
            of a scrambled Sobol sequence.
        seed: Fixes the scrambling.
        prior: The beliefs that the point follows; None for an even spread. The default stays the
            first point.

    Returns:
        (1, dim), without NaN; `geometry.decode` of its row gives the configuration.

    Example:
        >>> from afina.space import Float
        >>> geometry = Geometry(Space((Float("x", 0.0, 8.0, default=1.0),)))
        >>> rows = [geometry.decode(point(geometry, index, 3)[0]) for index in range(9)]
        >>> rows[0], sorted(int(row["x"]) for row in rows[1:])
        ({'x': 1.0}, [0, 1, 2, 3, 4, 5, 6, 7])
    """
    places = [number for number, part in enumerate(geometry.dimensions) if len(part.axes)]
    units = [0.5 if index == 0 else unit(seed, place, index - 1) for place in places]
    drawn = geometry.place(
        np.array([units]) if prior is None else prior.opening(np.array([units]), index)
    )
    if index == 0:
        start = geometry.encode([geometry.space.defaults()])
        return np.where(np.isnan(start), drawn, start)
    return drawn


def configuration(
    geometry: Geometry, index: int, seed: int, prior: Prior | None = None
) -> dict[str, Value]:
    """The configuration at `point`; index 0 gives the default values exactly, without rounding."""
    if index == 0:
        return geometry.space.defaults()
    return geometry.decode(point(geometry, index, seed, prior)[0])


def unit(seed: int, dimension: int, index: int) -> float:
    """One coordinate, within (0, 1), of a point of the scrambled sequence.

    Args:
        seed: Fixes the scrambling.
        dimension: From 0 up.
        index: Of the point, from 0 up.
    """
    numbers, bits = _scrambled(seed, dimension)
    place = 0
    while index:
        if index & 1:
            bits ^= numbers[place]
        index >>= 1
        place += 1
    return (bits + 0.5) / 2.0**BITS


@functools.lru_cache(maxsize=4096)
def _scrambled(seed: int, dimension: int) -> tuple[tuple[int, ...], int]:
    """The direction numbers of a dimension after a random linear scrambling, and a random shift.

    When a space has more dimensions than the table, the table's dimensions are used again. A random
    triangular matrix then changes the order of the points, so that two uses differ.

    Source:
        Matousek, "On the L2-discrepancy for anchored boxes", Journal of Complexity 14 (1998).
    """
    rng = np.random.default_rng([seed, dimension, STREAM])
    draws = rng.integers(0, 2, (2, BITS, BITS))
    matrix = _bits(_directions(*TABLE[dimension % len(TABLE)]))  # (number, bit)
    if dimension >= len(TABLE):
        matrix = (np.tril(draws[0], -1) + np.eye(BITS, dtype=int)) @ matrix % 2
    mixing = np.tril(draws[1], -1) + np.eye(BITS, dtype=int)  # (new bit, old bit)
    mixed = matrix @ mixing.T % 2
    weights = [1 << (BITS - 1 - place) for place in range(BITS)]
    numbers = tuple(
        sum(w for w, bit in zip(weights, row, strict=True) if bit) for row in mixed.tolist()
    )
    return numbers, int(rng.integers(0, 1 << BITS))


def _bits(numbers: tuple[int, ...]) -> NDArray[np.int64]:
    """(numbers, BITS) the binary digits, the highest first."""
    places = np.arange(BITS - 1, -1, -1)
    return (np.array(numbers, dtype=np.int64)[:, None] >> places) & 1


def _directions(polynomial: int, starts: tuple[int, ...]) -> tuple[int, ...]:
    """The direction numbers v_1, v_2 ..., as fractions of 2 ** BITS.

    Source:
        Bratley & Fox, "Algorithm 659: implementing Sobol's quasirandom sequence generator", ACM
        Transactions on Mathematical Software 14 (1988), equation 2.
    """
    degree = polynomial.bit_length() - 1
    if degree == 0:
        return tuple(1 << (BITS - 1 - place) for place in range(BITS))
    numbers = [start << (BITS - 1 - place) for place, start in enumerate(starts)]
    while len(numbers) < BITS:
        new = numbers[-degree] ^ (numbers[-degree] >> degree)
        for back in range(1, degree):
            if polynomial >> (degree - back) & 1:
                new ^= numbers[-back]
        numbers.append(new)
    return tuple(numbers)


@dataclass(frozen=True)
class QuasiRandom(Algorithm[TriedState]):
    """Spreads the trials over the space: the default configuration, then a Sobol sequence.

    The first n trials, for every n, cover each hyperparameter and pairs of hyperparameters more
    evenly than random draws. The search learns nothing from results. Use it for fair comparisons,
    for many workers, or to study a space. No configuration is tried twice: in small finite spaces,
    where the sequence repeats itself, a random configuration that is left takes its place.

    Args:
        seed: Fixes the scrambling of the sequence; a whole number from 0 up.

    Raises:
        ArgumentError: The seed is not a whole number from 0 up.

    Example:
        >>> from afina.space import Float
        >>> search = QuasiRandom(seed=1)
        >>> space = Space((Float("x", 0.0, 1.0, default=0.5),))
        >>> search.ask(search.init(), Situation(number=0, space=space)).values
        {'x': 0.5}
    """

    seed: int = 0

    name: ClassVar[str] = "quasi-random"
    order_independent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_seed(self.seed)

    def settings(self) -> Mapping[str, Any]:
        """The seed."""
        return {"seed": int(self.seed)}

    def init(self) -> TriedState:
        """Nothing tried."""
        return TriedState()

    def ask(self, state: TriedState, situation: Situation) -> Suggestion | Wait | Done:
        """Proposes the point of the sequence at the trial's number, or one that is left."""
        geometry = geometry_of(situation.space)
        proposal = configuration(geometry, situation.number, self.seed)
        rng = np.random.default_rng([self.seed, situation.number])
        return answer(first_new(situation, state.tried, [proposal], rng), situation)

    def tell(self, state: TriedState, trial: Trial, space: Space) -> TriedState:
        """Remembers that the trial's configuration was tried, whatever its result."""
        return TriedState(state.tried.add(keys_of(trial, space)))
