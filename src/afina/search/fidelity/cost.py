"""What an epoch of a configuration takes, learnt from the seconds of finished trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afina.search.fidelity.rungs import RungHistory, Segment
from afina.surrogates.acquisition import Acquisition
from afina.surrogates.geometry import Geometry, encoded

Array = NDArray[np.float64]

# Fewer trials say too little of what takes how long.
FEWEST = 8
# The weight of the prior belief that all configurations take equally long.
RIDGE = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Cost:
    """Relative seconds of an epoch, log-linear in the features."""

    weights: Array
    """(f,) by how much the logarithm of the seconds rises with each feature."""

    centre: Array
    """(f,) features of a configuration of average cost."""

    def logs(self, features: Array) -> Array:
        """(m,) logarithms of the seconds of an epoch, relative to the average configuration."""
        return np.asarray((features - self.centre) @ self.weights)


@dataclass(frozen=True, slots=True, eq=False)
class PerSecond:
    """An acquisition (a logarithm) for each second of training."""

    inner: Acquisition
    cost: Cost

    def value(self, features: Array) -> Array:
        """See `afina.surrogates.acquisition.Acquisition`."""
        return self.inner.value(features) - self.cost.logs(features)

    def gradient(self, features: Array) -> tuple[Array, Array]:
        """See `afina.surrogates.acquisition.Acquisition`."""
        value, slope = self.inner.gradient(features)
        return value - self.cost.logs(features), slope - self.cost.weights


def fit_cost(history: RungHistory, geometry: Geometry) -> Cost | None:
    """The cost by ridge regression; None while too few trials have taken a measured time.

    The seconds of a trial include building and compiling the model. So their logarithm is explained
    by the number of its epochs as well, which is left out again when costs are compared.

    Args:
        history: All segments.
        geometry: Of the space.
    """
    measured = [segment for segment in history.segments if segment.seconds > 0 and segment.whole]
    if len(measured) < FEWEST:
        return None
    epochs = np.array([_own_epochs(segment, history) for segment in measured], dtype=float)
    features = geometry.embed(encoded(geometry, [segment.values for segment in measured]))
    centre = features.mean(axis=0)
    columns = np.column_stack([features - centre, np.log(epochs) - np.log(epochs).mean()])
    logs = np.log([segment.seconds for segment in measured]) - np.log(epochs)
    penalty = RIDGE * np.eye(columns.shape[1])
    penalty[-1, -1] = 1e-6
    weights = np.linalg.solve(columns.T @ columns + penalty, columns.T @ (logs - logs.mean()))
    return Cost(weights[:-1], centre)


def _own_epochs(segment: Segment, history: RungHistory) -> int:
    known: Sequence[Segment] = history.segments
    before = next((other.epochs for other in known if other.number == segment.parent), 0)
    return max(segment.epochs - before, 1)
