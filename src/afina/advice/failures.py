"""What `failing` and `failing_pairs` have in common: how trainings fail in a region."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afina.space import HyperParameter, Value

USELESS = 0.8
"""The share of failures from which on a region is not worth a trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Failed trials in a region and elsewhere."""

    failed: int
    """Failed trials in the region."""

    tried: int
    """All trials in the region."""

    failed_elsewhere: int
    """Failed trials outside of it (and outside of the regions before)."""

    tried_elsewhere: int
    """All trials outside of it."""

    chance: float
    """The probability of such a region by chance, corrected for the number of tests."""

    @property
    def useless(self) -> bool:
        """Whether so many trainings fail there that it is worth no trial."""
        return self.failed >= USELESS * self.tried


def ends_of(entry: HyperParameter, places: NDArray[np.float64]) -> tuple[Value, Value]:
    """The smallest and the largest value with which trials of a region were made.

    Args:
        entry: The hyperparameter.
        places: Of these trials on its scale.
    """
    below_one = math.nextafter(1, 0)
    low, high = float(places.min()), float(places.max())
    return entry.prob_to_value(min(low, below_one)), entry.prob_to_value(min(high, below_one))
