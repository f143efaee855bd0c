"""Do two hyperparameters act together? A likelihood-ratio test of nested models.

Without an interaction, the results are a sum of two functions, of which each sees only one of the
two hyperparameters, and both see all others. How much of the variance each function has is not
known, so its weight is fitted. The alternative adds a third function that sees both. With its
weight at 0 it is the model without an interaction: only then does a gain in likelihood speak of
the interaction, and not of a model that suits the results better in some other way.

Source:
    The distribution of such a test, whose parameter lies on a bound: Self & Liang, "Asymptotic
    properties of maximum likelihood estimators and likelihood ratio tests under nonstandard
    conditions", JASA 82 (1987).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from afina.surrogates.covariance import matern, rational

Array = NDArray[np.float64]

STEPS = 20
APART = -3.0  # the logit of the joint function's weight at which the search for it starts
JOINT = 1.0
ADDITIVE = 2.5  # the logit of the additive part at which a fit without an interaction may start
UNEQUAL = 1.5  # the logit of unequal weights of the two functions
LOGITS = (-6.0, 6.0)


class PairTest:
    """The test of one pair, given the most likely kernel of all hyperparameters.

    Args:
        distances: (entries, n, n) squared distances by each hyperparameter.
        targets: (n,) results.
        logs: The logarithms of its lengthscales and of its noise, and the logit of its additive
            part.
        bounds: Of each of these.
        pair: The columns of the two.
    """

    def __init__(
        self,
        distances: Array,
        targets: Array,
        logs: Array,
        bounds: Sequence[tuple[float, float]],
        pair: tuple[int, int],
    ) -> None:
        self._distances, self._targets, self._logs = distances, targets, logs
        count = len(distances)
        self._free = [*pair, count, count + 1]
        self._bounds = [bounds[place] for place in self._free]
        self._pair = pair
        scaled = distances * np.exp(-2 * logs[:count])[:, None, None]
        self._others = scaled.sum(axis=0) - scaled[pair[0]] - scaled[pair[1]]
        parts = [rational(scaled[column] * count) for column in range(count) if column not in pair]
        self._additive = sum(parts, np.zeros(distances.shape[1:]))

    def gain(self) -> float:
        """The log-likelihood with an interaction, less that without one."""
        begin = self._logs[self._free]
        additive = np.append(begin[:-1], max(float(begin[-1]), ADDITIVE))
        starts = [np.append(start, weight) for start, weight in (
            (begin, 0.0), (begin, UNEQUAL), (begin, -UNEQUAL), (additive, 0.0)
        )]  # fmt: skip
        apart = min((self._best(start, self._bounds) for start in starts), key=lambda e: e[1])
        # Each start of the alternative is also one of the model without an interaction, and its
        # end without the third function is one, too: neither may be stuck in a worse maximum.
        ends = [
            self._best(np.append(start, logit), self._bounds)
            for start, logit in ((apart[0], APART), (apart[0], JOINT), (starts[0], JOINT))
        ]
        joint = min(ends, key=lambda each: each[1])
        again = self._best(joint[0][:-1], self._bounds)
        return min(apart[1], again[1]) - min(joint[1], apart[1])

    def _best(self, start: Array, bounds: list[tuple[float, float]]) -> tuple[Array, float]:
        known = [*bounds, *[LOGITS] * (len(start) - len(bounds))]
        begin = np.clip(start, *np.array(known).T)
        options = {"maxiter": STEPS}
        found = minimize(self._loss, begin, method="L-BFGS-B", bounds=known, options=options)
        return np.asarray(found.x), float(found.fun)

    def _loss(self, some: Array) -> float:
        """Minus the log-likelihood: of two lengthscales, noise, additive part, the weight of the
        first function and, if it is given, the weight of the one that sees both."""
        own = self._distances[list(self._pair)] * np.exp(-2 * some[:2])[:, None, None]
        count = len(self._distances)
        weight = _share(some[4])
        joint = weight * matern(self._others + own[0])
        joint += (1 - weight) * matern(self._others + own[1])
        if len(some) > 5:
            both = _share(some[5])
            joint = (1 - both) * joint + both * matern(self._others + own.sum(axis=0))
        average = (self._additive + rational(own * count).sum(axis=0)) / count
        additive = _share(some[3])
        covariance = (1 - additive) * joint + additive * average
        np.fill_diagonal(covariance, 1 + math.exp(some[2]))
        try:
            factor = np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            return 1e10
        both_sides = np.stack([self._targets, np.ones_like(self._targets)], 1)
        left = np.linalg.solve(factor, both_sides)
        mean = float(left[:, 1] @ left[:, 0]) / float(left[:, 1] @ left[:, 1])
        rest = left[:, 0] - mean * left[:, 1]
        return float(0.5 * rest @ rest + np.log(np.diagonal(factor)).sum())


def _share(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))
