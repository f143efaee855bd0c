"""Bayesian optimization: a Gaussian process predicts where the next trial is worth most."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from afina.errors import ArgumentError, check_count, check_number, wrong
from afina.search import sobol
from afina.search.base import Algorithm, Done, Situation, Suggestion, Wait
from afina.search.observation import Observation
from afina.search.untried import (
    TriedKeys,
    answer,
    check_seed,
    first_new,
    keys_of,
    noted,
    without_priors,
)
from afina.space import Space
from afina.surrogates.acquisition import (
    Acquisition,
    Averaged,
    Feasible,
    LogExpectedImprovement,
    LowerConfidenceBound,
    fresh,
    maximise,
)
from afina.surrogates.distances import squared_distances
from afina.surrogates.gaussian_process import (
    GaussianProcess,
    fit_once,
)
from afina.surrogates.geometry import SAME, Geometry, encoded, geometry_of
from afina.surrogates.likely_kernels import likely_processes
from afina.surrogates.prior import PriorName, check_prior, prior_of
from afina.surrogates.subset import representatives
from afina.surrogates.targets import standardised, tamed
from afina.surrogates.threads import one_blas_thread
from afina.surrogates.warped_process import fitted_process
from afina.trials import Trial

Array = NDArray[np.float64]
AcquisitionName = Literal["log_ei", "lcb"]

# The cost of a proposal grows with the cube of the number of trials in the model. Lengthscales need
# fewer trials than the posterior can use.
FIT_LIMIT = 64
MODEL_LIMIT = 300
# Trials that spread before the model takes over, at least and at most. Few are best: Bossek, Doerr
# & Kerschke, "Initial design strategies and their effects on sequential model-based optimization",
# arXiv:2003.13826. In a short search it is a quarter of all trials, as in SMAC.
INITIAL = (4, 6)
INITIAL_PART = 0.25
# Up to so many results, the expected improvement is averaged over all likely kernels. More results
# settle the kernel, and an average would then explore too much.
FEW = 16
# While a model's skill is within one standard error of zero, one of so many proposals spreads over
# the space. That is so at first, and for long if nearly all configurations are equally bad.
SPREAD_EVERY = 3
# (trials without a gain, one of so many proposals is then a random draw). A model that has promised
# in vain so often may be wrong. Random draws cost little if the optimum is found already, and find
# another one if not.
STALLED = ((20, 2), (10, 3))
GAIN = 0.01  # a smaller part of the distance from the median to the best is no gain
SMALLEST_NOISE = 1e-6  # of the targets' variance; less makes the covariance singular in float64


@dataclass(frozen=True, slots=True)
class BayesianState:
    """What Bayesian optimization remembers."""

    observations: tuple[Observation, ...] = ()
    """The finished trials, in the order in which they ended."""

    tried: TriedKeys = field(default_factory=TriedKeys)
    """Keys of their configurations."""


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The model of the finished trials, or of `MODEL_LIMIT` of them."""

    features: Array
    """(n, f) the features of these trials."""

    good: NDArray[np.bool_]
    """(n,) which of them have a loss; the other fields are about these only."""

    targets: Array
    """Their standardised targets, in their order."""

    best_first: Array
    """Their encoded points, the best first."""

    process: GaussianProcess
    """The process that models their targets."""


@dataclass(frozen=True)
class BayesianOptimization(Algorithm[BayesianState]):
    """Models the objective with a Gaussian process and tries what may improve on it most.

    The first trials spread over the space: the default configuration, then a Sobol sequence. Each
    later proposal fits the process to all results so far and maximises the logarithm of the
    expected improvement. With few results, the improvement is averaged over all likely kernels.
    No configuration is tried twice.

    - While the process predicts unseen results no better than chance, one proposal in three still
      spreads over the space.
    - If trials fail, a second process learns where. An expected improvement then counts in
      proportion to the probability that the training succeeds.
    - If nearby trials have exactly the same result, as on a step, the neighbourhood of such trials
      becomes less attractive.
    - After ten trials without a gain some proposals are random draws, after twenty trials more.
    - Running trials count as if they had scored what is expected of them, so any number of workers
      can ask at once.

    Args:
        seed: Fixes every draw: the same seed and the same history give the same proposals.
        num_initial_points: How many trials spread over the space before the model takes over. None
            means the number of hyperparameters plus 2, at least 4 and at most 6. If `max_trials` is
            known, it is also at most a quarter of that, but not below 4.
        alpha: Smallest variance of the noise, as a part of the variance of the results.
        beta: Weight of the uncertainty; only for `acquisition="lcb"`.
        acquisition: "log_ei" (expected improvement) or "lcb" (mean minus beta deviations).
        prior: Which beliefs shape the first trials, and the acquisition until results outweigh
            them: "given" (`prior=` of hyperparameters), "roles" (also those of their roles, see
            `afina.surrogates.prior`) or None.

    Raises:
        ArgumentError: An argument is out of range.

    Source:
        The process: Hvarfner et al., arXiv:2402.02229. The acquisition: Ament et al.,
        arXiv:2310.20708. The names of the arguments are those of Keras Tuner 1.4, which starts with
        max(3 d, 3) random points for d hyperparameters. From d = 4 on these are more than its
        default of 10 trials; the model is useful much earlier.

    Example:
        >>> from afina.space import Float, Space
        >>> space = Space((Float("rate", 1e-4, 1e-1, sampling="log"),))
        >>> search = BayesianOptimization(seed=0)
        >>> search.ask(search.init(), Situation(number=0, space=space)).values
        {'rate': 0.0001}
    """

    seed: int = 0
    num_initial_points: int | None = None
    alpha: float = 1e-4
    beta: float = 2.6
    acquisition: AcquisitionName = "log_ei"
    prior: PriorName | None = "given"

    name: ClassVar[str] = "bayesian"

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_count("num_initial_points", self.num_initial_points)
        check_number("alpha", self.alpha, above=0, advice="The default is 1e-4.")
        check_number("beta", self.beta, least=0, advice="The default is 2.6.")
        if self.acquisition not in get_args(AcquisitionName):
            raise ArgumentError(wrong("acquisition", 'must be "log_ei" or "lcb"', self.acquisition))
        check_prior(self.prior)

    def settings(self) -> Mapping[str, Any]:
        """See `Algorithm.settings`."""
        return {
            "seed": int(self.seed),
            "num_initial_points": check_count("num_initial_points", self.num_initial_points),
            "alpha": self.alpha,
            "beta": self.beta,
            "acquisition": self.acquisition,
            "prior": self.prior,
        }

    def _initial(self, geometry: Geometry, trials: int | None) -> int:
        """How many trials spread over the space, in a search of `trials` trials."""
        if self.num_initial_points is not None:
            return self.num_initial_points
        least, most = INITIAL
        wanted = len(geometry.tunable) + 2
        if trials is not None:
            wanted = min(wanted, int(INITIAL_PART * trials))
        return min(max(wanted, least), most)

    def init(self) -> BayesianState:
        """Nothing tried."""
        return BayesianState()

    def tell(self, state: BayesianState, trial: Trial, space: Space) -> BayesianState:
        """Remembers the trial; `ask` reads its loss in comparison with all others."""
        new = Observation.of(trial, len(state.observations))
        return BayesianState((*state.observations, new), state.tried.add(keys_of(trial, space)))

    def ask(self, state: BayesianState, situation: Situation) -> Suggestion | Wait | Done:
        """Proposes the configuration of trial `situation.number`. Changes nothing."""
        if self.prior is None:
            situation = without_priors(situation)
        space = situation.space
        rng = np.random.default_rng([self.seed, situation.number])
        geometry = geometry_of(space)
        prior = prior_of(geometry, self.prior)
        started = len(state.observations) + len(situation.running)
        initial = self._initial(geometry, situation.max_trials)
        completed = sum(each.loss is not None for each in state.observations)
        points, weight = np.zeros((0, geometry.dim)), 0.0
        if started < initial:
            weight = self.influence(state, situation)
            points = sobol.point(geometry, started, self.seed, prior if weight else None)
        elif completed >= 2 and (not (every := draws_every(state)) or started % every):
            # The model needs two results to see a difference, however many trials are running.
            with one_blas_thread():
                points, weight = self._promising(
                    geometry, state.observations, situation.running, rng, initial
                )
        proposals = map(geometry.decode, points)
        found = answer(first_new(situation, state.tried, proposals, rng), situation)
        return noted(found, prior, weight)

    def influence(self, state: BayesianState, situation: Situation) -> float:
        """How much the prior counts in the next proposal, from 0 to 1.

        One of the first trials follows it or does not: 1 or 0.
        """
        geometry = geometry_of(situation.space)
        prior = prior_of(geometry, self.prior)
        if prior is None:
            return 0.0
        known = [state.observations[index] for index in _representing(state)]
        features = geometry.embed(encoded(geometry, [each.values for each in known]))
        losses = np.array([each.cost for each in known])
        started = len(state.observations) + len(situation.running)
        if started < self._initial(geometry, situation.max_trials):
            return float(prior.leads(started, features, losses))
        return prior.influence(started, features, losses)

    def skill(self, state: BayesianState, space: Space) -> float:
        """How well the model predicts results that it has not seen: a correlation, from -1 to 1.

        See `GaussianProcess.skill`. With n results, chance alone gives about 1 / sqrt(n).
        """
        if sum(each.loss is not None for each in state.observations) < 2:
            return 0.0
        with one_blas_thread():
            return self._fitted(geometry_of(space), state.observations).process.skill()

    def promise(self, state: BayesianState, situation: Situation) -> float:
        """The expected gain of the best proposal, in standard deviations of the results so far.

        0 if all results are equal; infinite if there are fewer than two.
        """
        if sum(each.loss is not None for each in state.observations) < 2:
            return math.inf
        geometry = geometry_of(situation.space)
        rng = np.random.default_rng([self.seed, situation.number])
        with one_blas_thread():
            fitted = self._fitted(geometry, state.observations)
            if not fitted.targets.any():
                return 0.0
            worth = self._worth(geometry, fitted, situation.running, "log_ei")
            found = maximise(worth, geometry, fitted.best_first, rng)
            return float(np.exp(worth.value(geometry.embed(found[:1]))[0]))

    def _promising(
        self,
        geometry: Geometry,
        observations: Sequence[Observation],
        running: Sequence[Trial],
        rng: np.random.Generator,
        initial: int,
    ) -> tuple[Array, float]:
        """Points in the order of their expected worth, and how much a prior counts in it."""
        fitted = self._fitted(geometry, observations)
        turn, rest = divmod(len(observations) + len(running) - initial, SPREAD_EVERY)
        if not rest and fitted.process.skill() * math.sqrt(len(fitted.targets)) < 1:
            # Its predictions may be chance: some trials still spread over the space.
            return sobol.point(geometry, initial + turn, self.seed), 0.0
        worth = self._worth(geometry, fitted, running, self.acquisition)
        prior, weight = prior_of(geometry, self.prior), 0.0
        if prior is not None:
            trials = len(observations) + len(running)
            losses = np.full(len(fitted.good), np.inf)
            losses[fitted.good] = fitted.targets
            weight = prior.influence(trials, fitted.features, losses)
            worth = prior.weighted(worth, weight)
        found = maximise(worth, geometry, fitted.best_first, rng)
        taken = fitted.features
        if running:
            pending = encoded(geometry, [tuple(trial.values.items()) for trial in running])
            taken = np.concatenate([taken, geometry.embed(pending)])
        nearest = squared_distances(geometry.embed(found), taken).min(axis=1)
        return np.asarray(found[nearest > SAME]), weight

    def _fitted(self, geometry: Geometry, observations: Sequence[Observation]) -> Fitted:
        """The model of the finished trials; at least two of them have completed."""
        losses = [each.loss for each in observations]
        kept = [observations[index] for index in _kept(losses, MODEL_LIMIT)]
        points = encoded(geometry, [t.values for t in kept])
        features = geometry.embed(points)
        good = np.array([t.loss is not None for t in kept])
        values = tamed([t.loss for t in kept if t.loss is not None])
        rows = _kept(values, FIT_LIMIT)
        process = fitted_process(features[good], values, rows, geometry.groups, self._noise_floor)
        best_first = points[good][np.argsort(values, kind="stable")]
        return Fitted(features, good, process.targets, best_first, process)

    def _worth(
        self,
        geometry: Geometry,
        fitted: Fitted,
        running: Sequence[Trial],
        acquisition: AcquisitionName,
    ) -> Acquisition:
        """What to maximise, given the model, the running trials and the failed ones."""
        processes, weights = [fitted.process], np.zeros(1)
        if acquisition == "log_ei" and len(fitted.targets) <= FEW and fitted.targets.any():
            processes, weights = likely_processes(fitted.process, self._noise_floor)
        if running:
            pending = encoded(geometry, [tuple(trial.values.items()) for trial in running])
            processes = [process.believe(geometry.embed(pending)) for process in processes]
        worth: Acquisition
        if acquisition == "lcb":
            worth = LowerConfidenceBound(processes[0], self.beta)
        else:
            # The best expected result, not the best measured one, which may be luck. Running trials
            # take part: otherwise their expected results would count as a gain.
            parts = [LogExpectedImprovement(each, float(each.fitted().min())) for each in processes]
            worth = Averaged(parts, weights) if len(parts) > 1 else parts[0]
        worth = fresh(worth, fitted.features[fitted.good], fitted.targets, geometry.steady)
        if fitted.good.all():
            return worth
        labels = standardised((~fitted.good).tolist())
        rows = _kept(labels, FIT_LIMIT)
        kernel = fit_once(fitted.features[rows], labels[rows], geometry.groups, self._noise_floor)
        middle = float(labels.min() + labels.max()) / 2
        failures = GaussianProcess(kernel, fitted.features, labels, geometry.groups)
        return Feasible(worth, failures, middle)

    @property
    def _noise_floor(self) -> float:
        return max(self.alpha, SMALLEST_NOISE)


def _representing(state: BayesianState) -> NDArray[np.intp]:
    """Places of the trials that the model sees."""
    return _kept([each.loss for each in state.observations], MODEL_LIMIT)


def draws_every(state: BayesianState) -> int:
    """One of how many proposals is a random draw, because the last trials gained nothing; or 0.

    If it is not 0, another algorithm may do better: see `Auto`.
    """
    losses = [t.loss for t in state.observations if t.loss is not None]
    return next((every for since, every in STALLED if _stalled(losses, since)), 0)


def _stalled(losses: Sequence[float], count: int) -> bool:
    """Whether the last `count` losses gained next to nothing on those before."""
    if len(losses) <= count:
        return False
    before, since = min(losses[:-count]), min(losses[-count:])
    # Not `before - since <= ...`: with infinite losses that would be NaN.
    return since >= before or since + GAIN * (statistics.median(losses) - since) >= before


def _kept(losses: Sequence[float | None] | Array, limit: int) -> NDArray[np.intp]:
    """Places of the `representatives`; failed trials are the worst."""
    filled = np.array([math.inf if loss is None else loss for loss in losses])
    return representatives(np.argsort(filled, kind="stable").tolist(), limit)
