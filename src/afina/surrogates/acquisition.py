"""Acquisition functions: what a candidate is worth, and the search for the best candidates."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import erfcx, log_ndtr, ndtr

from afina.surrogates.distances import squared_distances
from afina.surrogates.gaussian_process import GaussianProcess
from afina.surrogates.geometry import Geometry, Mask

Array = NDArray[np.float64]

SMALLEST_DEVIATION = 1e-9  # of the posterior; a smaller one means that the outcome is known

# Below it, 1 + z * mills(z) has lost so many digits that its asymptotic series is more exact.
FAR_TAIL = -100.0

CAUTION = 10.0  # each deviation beyond even odds of failure reduces the logarithm by so much

# Candidates for the distance within which results are equal, in units of the features; the first
# one means none.
REACHES = np.array([1e-6, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7])
WIDER = 1.2
LARGEST_REACH = 2.0
FAR_MORE = 3.0  # a difference of log likelihoods
ODD = 1e-3  # the smallest probability, so that one odd pair does not decide
APART = 1e3  # scale of discrete features: configurations that differ in a choice are not neighbours
RELUCTANCE = 3.0
TINY, LARGEST_ODDS = 1e-12, 300.0

UNIFORM = 256
INCUMBENTS = 4
AROUND_EACH = 48
STARTS = 4
ROUNDS = 2
# With constraints: batches of `UNIFORM` points that are drawn for as many allowed ones, the best
# points not allowed that are repaired, and the halvings of a climb that leaves what is allowed.
BATCHES = 8
REPAIRED = 8
HALVINGS = 6
STEPS = 12


def log_improvement(z: Array) -> tuple[Array, Array, Array]:
    """log h(z) of h(z) = pdf(z) + z cdf(z), and the ratios pdf(z) / h(z) and cdf(z) / h(z).

    Expected improvement is h((best - mean) / deviation) * deviation. Its logarithm and the
    logarithm's gradient are finite and accurate for every z, while h itself underflows to 0.

    Args:
        z: Any shape, finite.

    Source:
        The logarithm: Ament et al., "Unexpected Improvements to Expected Improvement",
        arXiv:2310.20708, section 4. Unlike theirs, this evaluation uses the ratio m = cdf / pdf:
        h / pdf = 1 + z m. m comes from the scaled complementary error function; below z = -100 it
        comes from its series (Abramowitz & Stegun, 26.2.12).

    Example:
        >>> value, _, _ = log_improvement(np.array([0.0, -1e4]))
        >>> [f"{v:.6g}" for v in value]
        ['-0.918939', '-5e+07']
    """
    log_pdf = -0.5 * z * z - 0.5 * math.log(2 * math.pi)

    near = np.maximum(z, -1.0)
    pdf, cdf = np.exp(-0.5 * near * near) / math.sqrt(2 * math.pi), ndtr(near)
    direct = pdf + near * cdf

    tail = np.minimum(z, -1.0)
    mills = math.sqrt(math.pi / 2) * erfcx(-tail / math.sqrt(2))
    inverse = 1 / (tail * tail)
    series = inverse * (1 - inverse * (3 - inverse * (15 - 105 * inverse)))
    relative = np.where(tail < FAR_TAIL, series, 1 + tail * mills)  # h / pdf

    far = z < -1.0
    value = np.where(far, log_pdf + np.log(relative), np.log(direct))
    return (
        value,
        np.where(far, 1 / relative, pdf / direct),
        np.where(far, mills / relative, cdf / direct),
    )


class Acquisition(Protocol):
    """The worth of candidates, higher is better."""

    def value(self, features: Array) -> Array:
        """(m,) for features (m, f)."""
        ...

    def gradient(self, features: Array) -> tuple[Array, Array]:
        """`value`, (m,), with its derivatives by the features, (m, f)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class LogExpectedImprovement:
    """The logarithm of the expected improvement on the best result so far."""

    process: GaussianProcess

    best: float
    """Target to improve on, lower is better."""

    def value(self, features: Array) -> Array:
        """See `Acquisition`."""
        mean, variance = self.process.predict(features)
        deviation = np.maximum(np.sqrt(variance), SMALLEST_DEVIATION)
        return log_improvement((self.best - mean) / deviation)[0] + np.log(deviation)

    def gradient(self, features: Array) -> tuple[Array, Array]:
        """See `Acquisition`."""
        mean, variance, mean_slope, variance_slope = self.process.gradients(features)
        deviation = np.maximum(np.sqrt(variance), SMALLEST_DEVIATION)
        value, pdf, cdf = log_improvement((self.best - mean) / deviation)
        # EI = deviation * h(z): its derivative by the mean is -cdf, by the deviation pdf.
        by_mean, by_variance = -cdf / deviation, 0.5 * pdf / deviation**2
        slope = by_mean[:, None] * mean_slope + by_variance[:, None] * variance_slope
        return value + np.log(deviation), slope


@dataclass(frozen=True, slots=True, eq=False)
class Averaged:
    """Log of the weighted mean of acquisition values (log-sum-exp)."""

    parts: Sequence[Acquisition]
    """Acquisitions that are logarithms."""

    weights: Array
    """(k,) the logarithms of their weights."""

    def value(self, features: Array) -> Array:
        """See `Acquisition`."""
        values = np.array([part.value(features) for part in self.parts])
        return np.asarray(np.logaddexp.reduce(values + self.weights[:, None]))

    def gradient(self, features: Array) -> tuple[Array, Array]:
        """See `Acquisition`."""
        values, slopes = zip(*(part.gradient(features) for part in self.parts), strict=True)
        weighted = np.array(values) + self.weights[:, None]
        total = np.logaddexp.reduce(weighted)
        return total, np.einsum("km,kmf->mf", np.exp(weighted - total), np.array(slopes))


@dataclass(frozen=True, slots=True, eq=False)
class LowerConfidenceBound:
    """An optimistic estimate of a candidate: minus (mean - beta * deviation)."""

    process: GaussianProcess

    beta: float
    """Weight of the uncertainty; larger explores more."""

    def value(self, features: Array) -> Array:
        """See `Acquisition`."""
        mean, variance = self.process.predict(features)
        return self.beta * np.sqrt(variance) - mean

    def gradient(self, features: Array) -> tuple[Array, Array]:
        """See `Acquisition`."""
        mean, variance, mean_slope, variance_slope = self.process.gradients(features)
        deviation = np.sqrt(variance)
        by_variance = 0.5 * self.beta / np.maximum(deviation, SMALLEST_DEVIATION)
        return self.beta * deviation - mean, by_variance[:, None] * variance_slope - mean_slope


@dataclass(frozen=True, slots=True, eq=False)
class Feasible:
    """An acquisition plus the log probability that a candidate's training does not fail.

    With the log expected improvement, that is the log of the expected improvement if a failed
    training improves nothing. Where a failure is more likely than a success, a steep penalty is
    added: near the end of a search there is little to gain anywhere, and regions that have always
    failed would otherwise look best.

    Source:
        Gelbart, Snoek & Adams, "Bayesian optimization with unknown constraints", arXiv:1403.5607,
        equation 10. The probability comes from a regression on "ended well" and "failed"
        (Rasmussen & Williams, section 6.5), which costs no approximation of a classifier.
    """

    inner: Acquisition

    process: GaussianProcess
    """A process of labels: one number for completed trials and a larger one for failed trials."""

    middle: float
    """The mean of the two labels."""

    def value(self, features: Array) -> Array:
        """See `Acquisition`."""
        mean, variance = self.process.predict(features)
        spread = np.sqrt(variance + self.process.kernel.noise)
        z = (self.middle - mean) / spread
        caution = CAUTION * np.minimum(z, 0.0)
        return np.asarray(self.inner.value(features) + log_ndtr(z) + caution)

    def gradient(self, features: Array) -> tuple[Array, Array]:
        """See `Acquisition`."""
        inner, inner_slope = self.inner.gradient(features)
        mean, variance, mean_slope, variance_slope = self.process.gradients(features)
        spread = np.sqrt(variance + self.process.kernel.noise)
        z = (self.middle - mean) / spread
        value = log_ndtr(z)
        caution = CAUTION * np.minimum(z, 0.0)
        # pdf / cdf, from logarithms: both underflow where failure is certain
        ratio = np.exp(-0.5 * z * z - 0.5 * math.log(2 * math.pi) - value) / spread
        ratio += np.where(z < 0, CAUTION / spread, 0.0)
        by_variance = -0.5 * ratio * z / spread
        slope = -ratio[:, None] * mean_slope + by_variance[:, None] * variance_slope
        return inner + value + caution, inner_slope + slope


@dataclass(frozen=True, slots=True, eq=False)
class Fresh:
    """An acquisition plus the log probability that a candidate's result is a new one.

    Some losses are constant in steps, for example those looked up in a table. A Gaussian process
    does not model steps: it expects a peak between equal results for ever. `step_reaches` estimates
    from the trials how far a step reaches. The logarithm counts `RELUCTANCE` times, because the
    process also overestimates the gain on a step.
    """

    inner: Acquisition

    taken: Array
    """(n, f) features of the trials."""

    scale: Array
    """(f,) factors of the features, for distances."""

    reaches: Array
    """(n,) the distance from each trial within which results are equal."""

    def value(self, features: Array) -> Array:
        """See `Acquisition`."""
        return self.inner.value(features) + self._news(features)[0]

    def gradient(self, features: Array) -> tuple[Array, Array]:
        """See `Acquisition`."""
        value, slope = self.inner.gradient(features)
        news, odds, nearest = self._news(features)
        away = (features - self.taken[nearest]) * self.scale
        # Of odds = (d / r)^4 / 2 the derivative by the square of d is 2 odds / d^2.
        squares = np.maximum(np.square(away).sum(axis=1), TINY)
        steepness = RELUCTANCE * 4 * odds / (np.expm1(odds) * squares)
        return value + news, slope + steepness[:, None] * away * self.scale

    def _news(self, features: Array) -> tuple[Array, Array, NDArray[np.intp]]:
        """The log probability of a new result; minus the log probability of a repeat; and the
        index of the trial that would be repeated."""
        squares = squared_distances(features * self.scale, self.taken * self.scale)
        squares /= np.square(self.reaches)
        nearest = squares.argmin(axis=1)
        odds = np.clip(np.square(squares.min(axis=1)) / 2, TINY, LARGEST_ODDS)
        return RELUCTANCE * np.log(-np.expm1(-odds)), odds, nearest


def step_reaches(features: Array, losses: Array) -> Array | None:
    """(n,) the distance from each trial within which results are equal; None if there are no steps.

    The model: a trial and its nearest neighbour, at distance d, have equal losses with probability
    b + (1 - b) exp(-(d / r)^4 / 2), where b is the probability for any two trials. The reach r is
    the most likely of a few values; it must be far more likely than no reach. Steps differ in size:
    each trial beyond the second on a step widens its reach.

    Args:
        features: (n, f) embedded configurations.
        losses: (n,) their losses.
    """
    count = len(losses)
    _, step, sizes = np.unique(losses, return_inverse=True, return_counts=True)
    if count < 3 or sizes.max() < 2:
        return None
    squares = squared_distances(features, features)
    np.fill_diagonal(squares, math.inf)
    equal = losses == losses[squares.argmin(axis=1)]
    chance = float((sizes * (sizes - 1)).sum() / (count * (count - 1)))
    repeats = np.exp(-np.square(squares.min(axis=1) / np.square(REACHES[:, None])) / 2)
    shared = np.clip(chance + (1 - chance) * repeats, ODD, 1 - ODD)
    likely = np.where(equal, np.log(shared), np.log1p(-shared)).sum(axis=1)
    best = int(likely.argmax())
    if likely[best] <= likely[0] + FAR_MORE:
        return None
    ended = np.bincount(step, weights=equal)[step]
    wider = WIDER ** np.maximum(ended - 2, 0)
    return np.asarray(np.minimum(REACHES[best] * wider, LARGEST_REACH))


def fresh(inner: Acquisition, features: Array, losses: Array, steady: Mask) -> Acquisition:
    """The acquisition as `Fresh`, if losses are constant in steps; otherwise as it is.

    Args:
        inner: The acquisition.
        features: (n, f) the trials.
        losses: (n,) their losses.
        steady: (f,) whether a feature changes in steps.
    """
    scale = np.where(steady, APART, 1.0)
    reaches = step_reaches(features * scale, losses)
    return inner if reaches is None else Fresh(inner, features, scale, reaches)


def maximise(
    acquisition: Acquisition, geometry: Geometry, incumbents: Array, rng: np.random.Generator
) -> Array:
    """The most promising points, the best first.

    It compares points from the whole space with points near the best known ones. Then it improves
    the winner of each of these groups in two alternating steps: gradient ascent over the active
    real axes, then the best single change of any integer or choice. A changed choice activates and
    deactivates dependent axes. Where the space has constraints, all points satisfy them: others are
    dropped or repaired.

    Args:
        acquisition: What to maximise.
        geometry: The space.
        incumbents: (k, dim) the best points so far, the best first, NaN on inactive axes.
        rng: Every draw comes from it.

    Returns:
        (m, dim) full points: without NaN, discrete axes at their values.
    """
    pool = [geometry.uniform(UNIFORM, rng)]
    pool += [geometry.perturbed(point, AROUND_EACH, rng) for point in incumbents[:INCUMBENTS]]
    if geometry.space.constraints:
        pool = _allowed(acquisition, geometry, pool, rng)
    values = acquisition.value(geometry.embed(np.concatenate(pool)))
    bounds = np.cumsum([0] + [len(part) for part in pool])
    winners = [low + int(values[low:high].argmax()) for low, high in itertools.pairwise(bounds)]
    winners.sort(key=lambda index: -values[index])

    points = np.concatenate(pool)
    starts, worth = points[winners[:STARTS]], values[winners[:STARTS]]
    for _ in range(ROUNDS):
        starts, climbed = _climbed(acquisition, geometry, starts, worth)
        starts, worth = _stepped(acquisition, geometry, starts, climbed, rng)
        if not (worth > climbed).any():
            break
    points = np.concatenate([starts, points])
    order = np.argsort(-np.concatenate([worth, values]), kind="stable")
    return np.asarray(points[order])


def _allowed(
    acquisition: Acquisition, geometry: Geometry, pool: list[Array], rng: np.random.Generator
) -> list[Array]:
    """The groups of points without those that break a constraint, and a group of repaired ones.

    If nothing is allowed, the groups as they are: then no point of the space may be.
    """
    masks = [geometry.allowed(group) for group in pool]
    kept = [group[mask] for group, mask in zip(pool, masks, strict=True)]
    for _ in range(BATCHES - 1):
        if len(kept[0]) >= UNIFORM:
            break
        more = geometry.uniform(UNIFORM, rng)
        kept[0] = np.concatenate([kept[0], more[geometry.allowed(more)]])[:UNIFORM]
    broken = np.concatenate([group[~mask] for group, mask in zip(pool, masks, strict=True)])
    if len(broken):
        order = np.argsort(-acquisition.value(geometry.embed(broken)), kind="stable")[:REPAIRED]
        repaired = [geometry.space.repaired(geometry.decode(broken[row])) for row in order]
        rows = [values for values in repaired if values is not None]
        if rows:
            full = geometry.encode(rows)
            kept.append(np.where(np.isnan(full), broken[order[: len(rows)]], full))
    kept = [group for group in kept if len(group)]
    return kept or pool


def _climbed(
    acquisition: Acquisition, geometry: Geometry, points: Array, worth: Array
) -> tuple[Array, Array]:
    """Gradient ascent on the real axes, all points at once as one separable problem."""
    real = geometry.real_axes
    if not len(real):
        return points, worth

    active = geometry.active(points)  # decided by discrete axes alone, which stay

    def negative(flat: Array) -> tuple[float, Array]:
        moved = points.copy()
        moved[:, real] = flat.reshape(len(points), len(real))
        value, slope = acquisition.gradient(geometry.embed(moved, active))
        by_axes = geometry.pull_back(moved, active, slope)[:, real]
        return -float(value.sum()), -by_axes.ravel()

    found = minimize(
        negative,
        points[:, real].ravel(),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, 1.0)] * (len(points) * len(real)),
        options={"maxiter": STEPS, "maxfun": 2 * STEPS},
    )
    moved = points.copy()
    moved[:, real] = np.clip(found.x, 0, 1).reshape(len(points), len(real))
    for _ in range(HALVINGS if geometry.space.constraints else 0):
        outside = ~geometry.allowed(moved)
        moved[outside] = (moved[outside] + points[outside]) / 2
    if geometry.space.constraints:
        outside = ~geometry.allowed(moved)
        moved[outside] = points[outside]
    return _better(moved, acquisition.value(geometry.embed(moved)), points, worth)


def _stepped(
    acquisition: Acquisition,
    geometry: Geometry,
    points: Array,
    worth: Array,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """For each point the best of all changes of one integer or one choice."""
    moves = [geometry.neighbours(point, rng) for point in points]
    if geometry.space.constraints:
        moves = [part[geometry.allowed(part)] for part in moves]
    sizes = [len(part) for part in moves]
    if not sum(sizes):
        return points, worth
    values = acquisition.value(geometry.embed(np.concatenate(moves)))
    moved, gained = points.copy(), np.full(len(points), -math.inf)
    bounds = np.cumsum([0, *sizes])
    for index, part in enumerate(moves):
        if len(part):
            here = values[bounds[index] : bounds[index + 1]]
            moved[index], gained[index] = part[here.argmax()], here.max()
    return _better(moved, gained, points, worth)


def _better(a: Array, worth_a: Array, b: Array, worth_b: Array) -> tuple[Array, Array]:
    """In each row the point of the greater worth."""
    first = worth_a > worth_b
    return np.where(first[:, None], a, b), np.where(first, worth_a, worth_b)
