"""Search for the Pareto front: the best compromises between several objectives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from afina.errors import check_count
from afina.search import sobol
from afina.search.base import Algorithm, Done, Situation, Suggestion, Wait
from afina.search.observation import Observation
from afina.search.untried import (
    NOTHING_TRIED,
    TriedKeys,
    answer,
    check_seed,
    first_new,
    keys_of,
)
from afina.space import Space
from afina.surrogates.acquisition import Acquisition, LogExpectedImprovement, maximise
from afina.surrogates.distances import squared_distances
from afina.surrogates.gaussian_process import (
    GaussianProcess,
    fit_once,
)
from afina.surrogates.geometry import SAME, Geometry, encoded, geometry_of
from afina.surrogates.hypervolume_improvement import LogExpectedHypervolumeImprovement
from afina.surrogates.subset import representatives
from afina.surrogates.threads import one_blas_thread
from afina.trials import Trial
from afina.trials.pareto import pareto_front, pareto_order

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# The cost of a proposal grows with the cube of the number of trials, once for each objective.
FIT_LIMIT = 100
MODEL_LIMIT = 200
# More objectives have too many boxes; they are weighted instead.
BOXED_OBJECTIVES = 3
SMALLEST_NOISE = 1e-4  # of the targets' variance
BEYOND = 0.1  # how far the reference is moved outwards, as a part of the range
# Losses that lie above the best by so many times as much as the median are all equally bad.
WILD = 10.0
LARGEST = 1e150  # of a loss; the difference of two is a float still
AUGMENTATION = 0.05  # part of the plain sum in a weighted objective


@dataclass(frozen=True, slots=True)
class ParetoState:
    """What the search for the front remembers."""

    observations: tuple[Observation, ...] = ()
    """The finished trials, in the order in which they ended."""

    tried: TriedKeys = NOTHING_TRIED
    """Keys of their configurations."""


@dataclass(frozen=True)
class ParetoSearch(Algorithm[ParetoState]):
    """Models each objective with a Gaussian process and tries what may extend the front most.

    The search reads `Trial.losses`, one loss for each objective. It uses no weights: it looks for
    all compromises that no other trial beats in every objective. The first trials spread over the
    space: the default configuration, then a Sobol sequence. Each later proposal fits the processes
    to all results so far.

    - With two or three objectives, it maximises the hypervolume that the trial is expected to add
      to the front. With more, it weights the objectives at random and maximises the expected
      improvement of the weighted sum.
    - Running trials count as if they had scored what is expected of them, so any number of workers
      can ask at once. Failed trials count as the worst in every objective.
    - Scaling or shifting an objective changes nothing. An objective that does not vary is ignored.
    - If trials have one loss only, this is Bayesian optimization.

    No configuration is tried twice.

    Args:
        seed: Fixes every draw: the same seed and the same history give the same proposals.
        num_initial_points: How many trials spread over the space before the models take over. None
            means the number of hyperparameters plus 2, at least 4 and at most 10.

    Raises:
        ArgumentError: An argument is out of range.

    Source:
        Expected hypervolume improvement: see `afina.surrogates.hypervolume_improvement`. Random
        weights, augmented Chebyshev: Knowles, "ParEGO", IEEE Transactions on Evolutionary
        Computation 10 (2006). The processes: Hvarfner et al., arXiv:2402.02229.

    Example:
        >>> from afina.space import Float
        >>> space = Space((Float("dropout", 0.0, 0.5, default=0.25),))
        >>> search = ParetoSearch(seed=0)
        >>> search.ask(search.init(), Situation(number=0, space=space)).values
        {'dropout': 0.25}
    """

    seed: int = 0
    num_initial_points: int | None = None

    name: ClassVar[str] = "pareto"

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_count("num_initial_points", self.num_initial_points)

    def settings(self) -> Mapping[str, Any]:
        """See `Algorithm.settings`."""
        points = check_count("num_initial_points", self.num_initial_points)
        return {"seed": int(self.seed), "num_initial_points": points}

    def init(self) -> ParetoState:
        """Nothing tried."""
        return ParetoState()

    def tell(self, state: ParetoState, trial: Trial, space: Space) -> ParetoState:
        """Remembers the trial; `ask` reads its losses in comparison with all others."""
        new = Observation.of(trial, len(state.observations))
        return ParetoState((*state.observations, new), state.tried.add(keys_of(trial, space)))

    def ask(self, state: ParetoState, situation: Situation) -> Suggestion | Wait | Done:
        """Proposes the configuration of trial `situation.number`. Changes nothing."""
        space = situation.space
        rng = np.random.default_rng([self.seed, situation.number])
        geometry = geometry_of(space)
        started = len(state.observations) + len(situation.running)
        points = np.zeros((0, geometry.dim))
        if started < (self.num_initial_points or min(max(len(geometry.tunable) + 2, 4), 10)):
            points = sobol.point(geometry, started, self.seed)
        elif sum(bool(each.objectives) for each in state.observations) >= 2 and geometry.tunable:
            # Models need two results to see a difference, however many trials are running.
            with one_blas_thread():
                points = _promising(geometry, state.observations, situation.running, rng)
        proposals = map(geometry.decode, points)
        return answer(first_new(situation, state.tried, proposals, rng), situation)


def _promising(
    geometry: Geometry,
    observations: Sequence[Observation],
    running: Sequence[Trial],
    rng: np.random.Generator,
) -> Array:
    """Points in the order of their expected worth, the most promising first."""
    comparable, losses = _comparable(observations)
    kept = _kept(losses, MODEL_LIMIT)
    points = encoded(geometry, [comparable[index].values for index in kept])
    targets = front_targets(losses[kept])
    front = pareto_front(targets)
    if targets.shape[1] > BOXED_OBJECTIVES:
        targets = _weighted(targets, front, rng)
    features = geometry.embed(points)
    fitted = _kept(losses[kept], FIT_LIMIT)
    processes = []
    for column in targets.T:
        kernel = fit_once(features[fitted], column[fitted], geometry.groups, SMALLEST_NOISE)
        processes.append(GaussianProcess(kernel, features, column, geometry.groups))
    if running:
        pending = encoded(geometry, [tuple(trial.values.items()) for trial in running])
        processes = [process.believe(geometry.embed(pending)) for process in processes]
    if targets.shape[1] == 1:
        order = np.argsort(targets[:, 0], kind="stable")
    else:  # search around any part of the front
        order = rng.permutation(front)
    found = maximise(_acquisition(processes, targets), geometry, points[order], rng)
    nearest = squared_distances(geometry.embed(found), processes[0].features).min(axis=1)
    return np.asarray(found[nearest > SAME])


def _acquisition(processes: Sequence[GaussianProcess], targets: Array) -> Acquisition:
    """What to maximise, given the models of the columns of `targets`.

    The front to improve on is that of the expected results, not that of the measured ones, which
    may be luck. Running trials take part.
    """
    expected = np.array([process.predict(process.features)[0] for process in processes]).T
    if expected.shape[1] == 1:
        return LogExpectedImprovement(processes[0], float(expected.min()))
    reference = _reference(targets)
    return LogExpectedHypervolumeImprovement(processes, expected[pareto_front(expected)], reference)


def _reference(targets: Array) -> Array:
    """(m,) the reference point: midway between the end of the front and the worst result.

    The usual choice is the end of the front. While only one end of the front is known, it leaves no
    gain anywhere else, and the search stays where it is. The worst result would favour the ends
    too much: a step beyond them would count for the whole range of bad results.
    """
    end = targets[pareto_front(targets)].max(axis=0)
    high = (end + targets.max(axis=0)) / 2
    return np.asarray(high + BEYOND * (high - targets.min(axis=0)))


def front_targets(losses: Array) -> Array:
    """The targets of the models: columns of mean 0 and variance 1, lower is better.

    A good compromise is often poor in one objective. So differences among average losses matter,
    unlike in a search with one objective. Each objective keeps its proportions up to its median;
    beyond that it grows with the logarithm up to a limit. Otherwise one diverged training would
    hide all other differences.

    Args:
        losses: (n, m), with NaN for failed trials: they become as bad as the worst.

    Returns:
        (n, k) targets of the k objectives that vary; (n, 1) zeros if none does.
    """
    columns = []
    for column in losses.T:
        finite = column[np.isfinite(column)]
        if not len(finite):
            continue
        best, worst = np.clip([finite.min(), finite.max()], -LARGEST, LARGEST)
        values = np.clip(np.where(np.isnan(column), worst, column), best, worst)
        middle = float(np.median(values))
        usual = middle if middle > best else worst
        unit = usual - best
        if not unit > 1e-12 * max(abs(best), abs(usual)):
            continue
        with np.errstate(over="ignore"):  # an overflow is clipped to the limit
            parts = (values - best) / unit
        parts = np.where(parts > 1, 1 + np.log(np.clip(parts, 1, WILD)), parts)
        columns.append((parts - parts.mean()) / parts.std())
    return np.array(columns).T if columns else np.zeros((len(losses), 1))


def _weighted(targets: Array, front: Index, rng: np.random.Generator) -> Array:
    """(n, 1) one target from all objectives, with random weights: the augmented Chebyshev norm of
    ParEGO. The front spans from 0 to 1 in each objective.
    """
    low, high = targets[front].min(axis=0), targets[front].max(axis=0)
    weights = rng.dirichlet(np.ones(targets.shape[1]))
    parts = weights * (targets - low) / np.where(high > low, high - low, 1.0)
    return front_targets((parts.max(axis=1) + AUGMENTATION * parts.sum(axis=1))[:, None])


def _comparable(observations: Sequence[Observation]) -> tuple[list[Observation], Array]:
    """The trials that failed or have a loss for each objective; and their (n, m) losses, NaN for
    failed trials."""
    count = max(len(each.objectives) for each in observations)
    comparable = [each for each in observations if len(each.objectives) in (0, count)]
    missing = (math.nan,) * count
    rows = [each.objectives or missing for each in comparable]
    return comparable, np.array(rows, dtype=float)


def _kept(losses: Array, limit: int) -> Index:
    """Places of the `representatives`; the best are those on the front."""
    return representatives(pareto_order(losses).tolist(), limit)
