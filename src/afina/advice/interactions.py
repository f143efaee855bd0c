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
from scipy.linalg import cho_solve
from scipy.optimize import minimize

from afina.surrogates.covariance import matern, matern_slope, rational

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
        found = minimize(
            self.loss, begin, jac=True, method="L-BFGS-B", bounds=known, options=options
        )
        return np.asarray(found.x), float(found.fun)

    def loss(self, some: Array) -> tuple[float, Array]:
        """Minus the log-likelihood, and its derivatives, by `some`: the logarithms of two
        lengthscales and of the noise, the logits of the additive part, of the weight of the first
        function and, if it is given, of the weight of the one that sees both."""
        own = self._distances[list(self._pair)] * np.exp(-2 * some[:2])[:, None, None]
        count, noise = len(self._distances), math.exp(some[2])
        additive, weight = _share(some[3]), _share(some[4])
        alone = self._others + own
        first, second = matern(alone[0].copy()), matern(alone[1].copy())
        apart = weight * first + (1 - weight) * second
        joint, both, third = apart, 0.0, apart
        if len(some) > 5:
            both, third = _share(some[5]), matern(alone[0] + own[1])
            joint = (1 - both) * apart + both * third
        effects = rational(own * count)
        average = (self._additive + effects.sum(axis=0)) / count
        covariance = (1 - additive) * joint + additive * average
        np.fill_diagonal(covariance, 1 + noise)
        try:
            factor = np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(some)
        inverse = cho_solve((factor, True), np.eye(len(factor)))
        sums = inverse.sum(axis=1)
        centred = self._targets - float(sums @ self._targets) / float(sums.sum())
        pull = inverse @ centred
        value = float(0.5 * centred @ pull + np.log(np.diagonal(factor)).sum())

        # Rasmussen & Williams, equation 5.9; the mean is the best one, so it has no slope.
        by_entry = 0.5 * (inverse - np.outer(pull, pull))
        slopes = [1.0, 1.0]
        together = both * matern_slope(alone[0] + own[1]) if both else 0.0
        for place, part in enumerate((weight, 1 - weight)):
            inner = (1 - both) * part * matern_slope(alone[place].copy()) + together
            by_square = (1 - additive) * inner - additive * np.square(effects[place])
            slopes[place] = -2 * float(np.vdot(by_entry, by_square * own[place]))
        slopes += [
            noise * float(np.trace(by_entry)),
            additive * (1 - additive) * float(np.vdot(by_entry, average - joint)),
            (1 - additive) * (1 - both) * weight * (1 - weight)
            * float(np.vdot(by_entry, first - second)),
        ]  # fmt: skip
        if len(some) > 5:
            change = (1 - additive) * both * (1 - both)
            slopes.append(change * float(np.vdot(by_entry, third - apart)))
        return value, np.array(slopes)


def _share(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))
