"""What the results on all rungs say about new configurations and paused trainings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri

from afina.search.base import Situation
from afina.search.fidelity.cost import Cost, PerSecond, fit_cost
from afina.search.fidelity.luck import epoch_luck
from afina.search.fidelity.rung_process import (
    Measurements,
    Owners,
    RungKernel,
    RungProcess,
    fit_rungs,
)
from afina.search.fidelity.rungs import RungHistory, Segment, tells
from afina.search.untried import draw_untried, key_of, running_keys
from afina.space import Value
from afina.surrogates.acquisition import Acquisition, maximise
from afina.surrogates.covariance import Groups
from afina.surrogates.distances import squared_distances
from afina.surrogates.geometry import SAME, encoded, geometry_of
from afina.surrogates.memo import remembered
from afina.surrogates.prior import Prior
from afina.surrogates.subset import filled_up
from afina.surrogates.threads import one_blas_thread
from afina.trials import Trial

Array = NDArray[np.float64]
Ends = tuple[Array, Array]

# The cost of an answer grows with the cube of the number of results in the model. The kernel needs
# fewer results than the posterior can use.
FIT_LIMIT = 100
MODEL_LIMIT = 300
# The kernel is fitted again when there are so many times as many results: it changes slowly.
REFIT = 1.1
INCUMBENTS = 4
# The owner of configurations without a measurement.
FRESH = -1
# For this part of the results, the best, losses count as well as ranks.
PROPORTIONAL = 0.25
# How far beyond equal trainings others count as equal, in units of their distance.
BEYOND = 0.5
# The luck of an epoch never counts for more than all differences of the results, whose variance is
# about 1.
MOST_LUCK = 1.0
# By how much to beat the best, in normal deviations; drawn on a log scale.
MARGINS = (0.1, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class LogProbability:
    """The logarithm of the probability that a new configuration beats a result."""

    process: RungProcess

    fidelity: float
    """How far it would be trained: 0 up to the lowest rung, 1 in full."""

    target: float
    """What to beat; lower is better."""

    def value(self, features: Array) -> Array:
        """See `afina.surrogates.acquisition.Acquisition`."""
        mean, variance = self.process.predict(_rows(features, self.fidelity, FRESH))
        return log_probability(mean, variance, self.target)

    def gradient(self, features: Array) -> tuple[Array, Array]:
        """See `afina.surrogates.acquisition.Acquisition`."""
        mean, variance, mean_slope, variance_slope = self.process.gradients(features, self.fidelity)
        deviation = np.sqrt(variance)
        z = (self.target - mean) / deviation
        value = np.asarray(log_ndtr(z))
        ratio = np.exp(-0.5 * z * z - 0.5 * math.log(2 * math.pi) - value)  # pdf / cdf
        by_mean, by_variance = -ratio / deviation, -0.5 * ratio * z / variance
        return value, by_mean[:, None] * mean_slope + by_variance[:, None] * variance_slope


def log_probability(mean: Array, variance: Array, target: float) -> Array:
    """(n,) log probabilities of results below the target, given normal predictions."""
    return np.asarray(log_ndtr((target - mean) / np.sqrt(variance)))


class RungModel:
    """The process of `rung_process` on the trials of a search.

    Results are compared by their ranks among all results of all rungs. A loss falls by orders of
    magnitude in the first epochs; with ranks, the small differences among good trainings after two
    epochs count as much as their differences at the end. Running trainings count as if they had
    the result that is expected of them. Rungs below `RungHistory.lowest_telling` are left out, and
    trainings that are paused there count as new ones.

    Args:
        history: At least one finished segment.
        situation: The question.
        ends: Epochs at the end of each rung.
        prior: What is believed of new configurations; None for nothing.
        weight: How much that counts, from 0 to 1.
        per_second: Whether chances count for each second that an epoch is expected to take.
    """

    def __init__(
        self,
        history: RungHistory,
        situation: Situation,
        ends: Sequence[int],
        prior: Prior | None = None,
        weight: float = 0.0,
        *,
        per_second: bool = False,
    ) -> None:
        self.ends = ends
        self._prior, self._weight = prior, weight
        self.space = situation.space
        self.geometry = geometry_of(situation.space)
        self._cost: Cost | None = fit_cost(history, self.geometry) if per_second else None
        self._tried = history.tried
        self._running = running_keys(situation)
        self.lowest = history.lowest_telling()
        """The first rung that new trainings go to."""
        segments = [segment for segment in history.segments if tells(segment, self.lowest)]
        targets = warped(segments)
        groups = self.geometry.groups
        with one_blas_thread():
            fitted = _kept(segments[: _fit_count(len(segments))], FIT_LIMIT)
            rows = self._rows_of([segments[place] for place in fitted])
            measured = warped([segments[place] for place in fitted])
            kernel = _fit(rows.features, rows.fidelities, rows.owners, measured, groups)
            kept = _kept(segments, MODEL_LIMIT)
            rows = self._rows_of([segments[place] for place in kept])
            process = RungProcess(kernel, rows, targets[kept], groups)
            if situation.running:
                process = process.believe(self._running_rows(history, situation.running))
        self.process = process
        self.best = float(targets.min())
        """The best result's target."""
        latest = history.latest()
        deviation = steepness(segments, targets) * epoch_luck([each.curve for each in latest])
        self.luck = min(deviation**2, MOST_LUCK)
        """The variance, among the best, that an epoch of its own adds to a result."""
        trained = encoded(self.geometry, [segment.values for segment in latest])
        begun = [segment.root for segment in latest]
        self._boxes = [self._box(alike, trained, begun) for alike in history.twins()]
        order = sorted(range(len(segments)), key=lambda place: (targets[place], place))
        roots = list(dict.fromkeys(segments[place].root for place in order))[:INCUMBENTS]
        first = {segment.root: segment for segment in reversed(segments)}
        self._incumbents = encoded(self.geometry, [first[root].values for root in roots])

    def fidelity(self, epochs: float) -> float:
        """How far a training of so many epochs has come, on a log scale: 0 to 1."""
        return fidelity(epochs, self.ends)

    def probabilities(
        self, segments: Sequence[Segment], fidelities: Sequence[float], target: float
    ) -> Array:
        """(n,) log probabilities that the paused trainings beat the target at these fidelities.

        The luck of further epochs counts. The process, which sees the lowest loss of all epochs so
        far, takes most of it for merit: it would leave good trainings unfinished, whatever it takes
        to beat a result that was lucky itself. A new training spends most epochs on coming as far.
        """
        rows = self._rows_of(segments, fidelities)
        with one_blas_thread():
            mean, variance = self.process.predict(rows)
            chances = log_probability(mean, variance + self.luck, target)
        return chances - self._cost_of(rows.features)

    def _cost_of(self, features: Array) -> Array | float:
        """(n,) logarithms of the relative seconds of an epoch; 0 if they do not count."""
        return 0.0 if self._cost is None else self._cost.logs(features)

    def fresh(
        self, fidelity: float, target: float, rng: np.random.Generator
    ) -> tuple[dict[str, Value] | None, float]:
        """The new configuration that is most likely to beat the target, and its log probability.

        Args:
            fidelity: How far it would be trained.
            target: What to beat.
            rng: Every draw comes from it.

        Returns:
            None instead of the configuration if the space has nothing new.
        """
        acquisition: Acquisition = LogProbability(self.process, fidelity, target)
        if self._cost is not None:
            acquisition = PerSecond(acquisition, self._cost)
        with one_blas_thread():
            wanted = acquisition
            if self._prior is not None:
                wanted = self._prior.weighted(acquisition, self._weight)
            points = maximise(wanted, self.geometry, self._incumbents, rng)
            features = self.geometry.embed(points)
            apart = squared_distances(features, self.process.rows.features).min(axis=1)
            worth = acquisition.value(features)
        for place in np.flatnonzero((apart > SAME) & ~self._alike(points)):
            values = self.geometry.decode(points[place])
            if not self._is_tried(key_of(values, self.space)):
                return values, float(worth[place])
        return draw_untried(self.space, rng, self._is_tried), float(worth.min())

    def again(
        self, segments: Sequence[Segment], fidelity: float, target: float
    ) -> tuple[Segment | None, float]:
        """The configuration whose repeat is most likely to beat the target, and its log
        probability; None if there is none to repeat.

        Luck counts, as nothing else can make a repeat better than what is known: the part of the
        variance that trainings do not share.
        """
        if not segments:
            return None, -math.inf
        rows = self._rows_of(segments)
        rows = _rows(rows.features, fidelity, FRESH)
        with one_blas_thread():
            chances = self.lucky(rows, target)
        place = int(chances.argmax())
        return segments[place], float(chances[place])

    def lucky_chance(
        self, values: dict[str, Value] | None, fidelity: float, target: float
    ) -> float:
        """The same for a new configuration."""
        if values is None:
            return -math.inf
        point = encoded(self.geometry, [tuple(values.items())])
        with one_blas_thread():
            rows = _rows(self.geometry.embed(point), fidelity, FRESH)
            return float(self.lucky(rows, target)[0])

    def lucky(self, rows: Measurements, target: float) -> Array:
        """(n,) log probabilities that new trainings beat the target, by merit or by luck."""
        mean, variance = self.process.predict(rows)
        chances = log_probability(mean, variance + self.process.luck(rows.fidelities), target)
        return chances - self._cost_of(rows.features)

    def _alike(self, points: Array) -> NDArray[np.bool_]:
        """(m,) which points lie between equal trainings, or half as far beyond them: training them
        would add nothing."""
        found = np.zeros(len(points), dtype=bool)
        for low, high in self._boxes:
            found |= _within(points, low, high)
        return found

    def _is_tried(self, key: object) -> bool:
        return key in self._running or key in self._tried

    def _rows_of(
        self, segments: Sequence[Segment], fidelities: Sequence[float] | None = None
    ) -> Measurements:
        if fidelities is None:
            fidelities = [self.fidelity(segment.epochs) for segment in segments]
        return Measurements(
            self.geometry.embed(encoded(self.geometry, [segment.values for segment in segments])),
            np.array(fidelities, dtype=float),
            np.array(
                [segment.root if tells(segment, self.lowest) else FRESH for segment in segments],
                dtype=np.intp,
            ),
        )

    def _box(self, alike: Sequence[Segment], trained: Array, roots: Sequence[int]) -> Ends:
        """The lower and upper ends of a box around these trainings that holds no other training.

        The box is widened, because they are only a sample of all equal trainings.
        """
        members = {segment.root for segment in alike}
        strangers = trained[[root not in members for root in roots]]
        rows = trained[[roots.index(segment.root) for segment in alike]]
        low = high = rows[0]
        for row in rows[1:]:
            lower, upper = np.minimum(low, row), np.maximum(high, row)
            if not _within(strangers, lower, upper).any():
                low, high = lower, upper
        return low - BEYOND * (high - low), high + BEYOND * (high - low)

    def _running_rows(self, history: RungHistory, running: Sequence[Trial]) -> Measurements:
        roots = {segment.number: segment.root for segment in history.segments}
        return Measurements(
            self.geometry.embed(
                encoded(self.geometry, [tuple(trial.values.items()) for trial in running])
            ),
            np.array([self.fidelity(trial.end_epoch or self.ends[-1]) for trial in running]),
            np.array([roots.get(t.parent, t.number) for t in running], dtype=np.intp),  # type: ignore[arg-type]
        )


def propose(
    history: RungHistory, situation: Situation, ends: Sequence[int], seed: int
) -> dict[str, Value] | None:
    """The new configuration that is most promising if trained in full; None if there is none.

    Args:
        history: At least one finished segment.
        situation: The question; its number and the seed fix the draws.
        ends: Epochs at the end of each rung.
        seed: The algorithm's.
    """
    rng = np.random.default_rng([seed, situation.number])
    model = RungModel(history, situation, ends)
    return model.fresh(1.0, model.best - margin(rng), rng)[0]


def margin(rng: np.random.Generator) -> float:
    """By how much a proposal should beat the best: a random draw; a larger one is bolder.

    Source:
        Rakotoarison et al., "In-context freeze-thaw Bayesian optimization", arXiv:2404.16795: the
        probability of improvement with a random threshold. The range is Afina's own.
    """
    low, high = np.log(MARGINS)
    return math.exp(rng.uniform(low, high))


def fidelity(epochs: float, ends: Sequence[int]) -> float:
    """How far a training of so many epochs has come, on a log scale: 0 the lowest rung, 1 in full.

    Example:
        >>> fidelity(1, (2, 8)), fidelity(4, (2, 8)), fidelity(8, (2, 8)), fidelity(5, (5,))
        (0.0, 0.5, 1.0, 1.0)
    """
    if epochs >= ends[-1]:
        return 1.0
    return max(math.log(epochs / ends[0]), 0.0) / math.log(ends[-1] / ends[0])


def warped(segments: Sequence[Segment]) -> Array:
    """(n,) targets: the normal quantile of each result's rank among all; failed ones are the worst.

    A result's weight falls with the square root of the number of results on its rung. Otherwise
    the few results on high rungs, which matter most, would share one end of the scale. Ranks alone
    would hide how large a gain is, so the targets of the best quarter are the mean of a target by
    rank and a target by loss.
    """
    losses = np.array([math.inf if segment.loss is None else segment.loss for segment in segments])
    rungs = np.array([segment.rung for segment in segments])
    _, place, counts = np.unique(rungs, return_inverse=True, return_counts=True)
    weights = 1 / np.sqrt(counts[place])
    _, rank = np.unique(losses, return_inverse=True)
    share = np.bincount(rank, weights=weights)
    middle = (np.cumsum(share) - share / 2) / share.sum()
    targets = np.asarray(ndtri(middle)[rank])
    top = (middle[rank] <= PROPORTIONAL) & np.isfinite(losses)
    lowest, highest = (losses[top].min(), losses[top].max()) if top.any() else (0.0, 0.0)
    if math.isfinite(highest - lowest) and highest > lowest:
        best, worst = targets[top].min(), targets[top].max()
        even = best + (losses[top] - lowest) / (highest - lowest) * (worst - best)
        targets[top] = (targets[top] + even) / 2
    return targets


def steepness(segments: Sequence[Segment], targets: Array) -> float:
    """By how much targets differ for a difference in losses of 1, among the best quarter.

    Args:
        segments: At least one.
        targets: (n,) from `warped`.
    """
    losses = np.array([math.inf if segment.loss is None else segment.loss for segment in segments])
    order = np.argsort(losses, kind="stable")[: max(math.ceil(PROPORTIONAL * len(losses)), 2)]
    best, worst = losses[order[0]], losses[order[-1]]
    if not (math.isfinite(worst - best) and worst > best):
        return 0.0
    return float((targets[order[-1]] - targets[order[0]]) / (worst - best))


def _within(points: Array, low: Array, high: Array) -> NDArray[np.bool_]:
    """(m,) which points lie in a box; an inactive axis (NaN) excludes nothing."""
    return np.asarray(~((points < low) | (points > high)).any(axis=1))


def _rows(features: Array, fidelity: float, owner: int) -> Measurements:
    count = len(features)
    return Measurements(features, np.full(count, fidelity), np.full(count, owner, dtype=np.intp))


def _fit_count(count: int) -> int:
    """How many of the first results the kernel is fitted to.

    It grows in steps: results in between change nothing, and the same history gives the same
    kernel.
    """
    fitted = 4
    while (larger := int(fitted * REFIT) + 1) <= count:
        fitted = larger
    return min(fitted, count)


def _kept(segments: Sequence[Segment], limit: int) -> NDArray[np.intp]:
    """Which results the model looks at if there are more than `limit`: sorted indices.

    Up to two thirds belong to the trainings with the most segments, the best of them first: they
    connect the rungs. The rest lie evenly over the history.
    """
    count = len(segments)
    if count <= limit:
        return np.arange(count)
    trainings: dict[int, list[int]] = {}
    for place, segment in enumerate(segments):
        trainings.setdefault(segment.root, []).append(place)

    def rank(places: list[int]) -> tuple[int, float, int]:
        loss = segments[places[-1]].loss
        return -len(places), math.inf if loss is None else loss, places[0]

    chosen: list[int] = []
    for places in sorted(trainings.values(), key=rank):
        if len(chosen) + len(places) > limit * 2 // 3:
            break
        chosen += places
    taken = set(chosen)
    return filled_up(chosen, [place for place in range(count) if place not in taken], limit)


@remembered(maxsize=8)
def _fit(
    features: Array, fidelities: Array, owners: Owners, targets: Array, groups: Groups
) -> RungKernel:
    """`fit_rungs`; questions asked of the same results share one fit."""
    return fit_rungs(Measurements(features, fidelities, owners), targets, groups)
