"""The evidence as arrays: coordinates of hyperparameters and targets of configurations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from afina.advice.evidence import Evidence
from afina.space import HyperParameter, Value
from afina.surrogates.geometry import Dimension, Geometry
from afina.surrogates.targets import standardised, tamed
from afina.surrogates.threads import one_blas_thread
from afina.surrogates.warped_process import fit_warped

Array = NDArray[np.float64]

# A number with more values than this is divided into so many equal parts of its scale.
CELLS = 16
FIT_LIMIT = 100  # rows that the scale of the losses is fitted to
NOISE_FLOOR = 1e-3  # of the variance
USUAL = 0.9  # the part of the losses that are not far off
FAR = 10.0  # how much further the others may be


@dataclass(frozen=True, eq=False)
class Sample:
    """The data that a model learns from."""

    geometry: Geometry

    points: Array
    """(n, axes) encoded configurations, NaN on inactive axes."""

    places: Array
    """(n, varying entries) in [0, 1]: the place of each value on its entry's scale; NaN if
    inactive. The values of a choice lie at the middles of equal cells."""

    targets: Array
    """(n,) standardised losses, lower is better; a failed trial is as bad as the worst. In the
    worse half only the order counts."""

    modelled: Array
    """(n,) the losses on the scale on which a Gaussian process fits them best: after a search that
    crowds its trials, the few bad ones show what matters, so their proportions count."""

    plain: Array
    """(n,) the losses themselves; NaN for failed trials and for losses that are far off."""

    numbers: tuple[int, ...]
    """(n,) the trial numbers of the rows."""

    def plainly(self) -> Sample:
        """The rows with a loss, with a model of the losses themselves."""
        known = self.take(np.flatnonzero(np.isfinite(self.plain)))
        spread = float(known.plain.std()) or 1.0
        return replace(known, modelled=(known.plain - known.plain.mean()) / spread)

    @property
    def entries(self) -> list[HyperParameter]:
        """The entries that vary, in the order of the columns of `places`."""
        parts = self.geometry.dimensions
        entries = self.geometry.space.entries
        return [entries[parts.index(part)] for part in self.geometry.tunable]

    def best(self, count: int) -> list[int]:
        """The rows of the lowest targets, the lowest first."""
        return [int(row) for row in np.argsort(self.targets, kind="stable")[:count]]

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> Sample:
        """Some of the rows; their targets do not change."""
        chosen = np.asarray(rows, dtype=np.intp)
        return Sample(
            self.geometry,
            self.points[chosen],
            self.places[chosen],
            self.targets[chosen],
            self.modelled[chosen],
            self.plain[chosen],
            tuple(self.numbers[row] for row in chosen),
        )


def sample_of(evidence: Evidence) -> Sample:
    """The evidence as arrays."""
    geometry = Geometry(evidence.space)
    points = geometry.encode([row.values for row in evidence.rows])
    points = points.reshape(len(evidence.rows), geometry.dim)
    columns = [_place(points, part) for part in geometry.tunable]
    places = np.stack(columns, axis=1) if columns else np.zeros((len(points), 0))
    losses = _losses(evidence)
    return Sample(
        geometry,
        points,
        places,
        standardised(losses),
        _modelled(geometry, points, losses),
        _plain(losses),
        tuple(row.number for row in evidence.rows),
    )


def _modelled(geometry: Geometry, points: Array, losses: list[float | None]) -> Array:
    """The losses as the model of the search sees them, with a power that fits best."""
    values = tamed(losses)
    if not len(values):
        return values
    rows = np.arange(len(values))
    if len(rows) > FIT_LIMIT:
        rows = np.sort(np.random.default_rng(0).choice(rows, FIT_LIMIT, replace=False))
    with one_blas_thread():
        features = geometry.embed(points)
        return fit_warped(features, values, rows, geometry.groups, NOISE_FLOOR)[1]


def _plain(losses: list[float | None]) -> Array:
    """The losses, without those that are so far off that nothing else would count."""
    values = np.array([math.nan if loss is None else loss for loss in losses])
    known = values[np.isfinite(values)]
    if not len(known):
        return values
    usual = float(np.quantile(known, USUAL))
    limit = usual + FAR * (usual - float(known.min()))
    return np.asarray(np.where(values <= limit, values, math.nan))


def _losses(evidence: Evidence) -> list[float | None]:
    """The losses of the rows; if all of them are equal, 1 for failed trials and 0 for others."""
    if evidence.constant and evidence.counts.failed:
        return [float(row.failed) for row in evidence.rows]
    return evidence.losses


def _place(points: Array, part: Dimension) -> Array:
    if not part.one_hot:
        return np.asarray(points[:, part.axes[0]])
    hot = points[:, part.axes]
    place = (hot.argmax(axis=1) + 0.5) / len(part.axes)
    return np.asarray(np.where(np.isnan(hot).any(axis=1), np.nan, place))


def cells_of(part: Dimension) -> int:
    """How many equal cells of [0, 1] an entry has: one for each value if these are few."""
    count = len(part.values)
    return count if 0 < count <= CELLS or part.one_hot else CELLS


def is_ordered(part: Dimension) -> bool:
    """Whether neighbouring cells of the entry are alike: not for choices of names and booleans."""
    return not part.one_hot and cells_of(part) > 2


def described(entry: HyperParameter) -> tuple[str, ...]:
    """The conditions of an entry, as text."""
    return tuple(_condition(c.name, c.values) for c in entry.conditions)


def _condition(name: str, values: Sequence[Value]) -> str:
    if len(values) == 1:
        return f"{name} = {values[0]!r}"
    return f"{name} in {list(values)!r}"
