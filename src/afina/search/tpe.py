"""TPE (tree-structured Parzen estimator): tries what is like good trials and unlike bad ones."""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from afina.errors import check_count, check_whole
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
from afina.space import Space, Value
from afina.surrogates.geometry import Values
from afina.surrogates.parzen import Columns, Mixture, compare, compiled, mixture, read_trials
from afina.trials import Trial

Array = NDArray[np.float64]

# The good trials are the best 15 %, but never more than 25: more would blur where the best lie.
GOOD_PART = 0.15
GOOD_LIMIT = 25
# An even sample of many bad trials says as much as all of them, and keeps proposals cheap.
BAD_LIMIT = 128
# If that many of the best candidates have been tried, as happens in small finite spaces, more
# candidates are drawn, half of them from the whole space.
LOOKED_AT = 8
MORE = 10

# Larger logarithms make no difference.
LARGE = 50.0

GOLDEN = (math.sqrt(5) - 1) / 2


def by_cost(observation: Observation) -> tuple[float, int]:
    """Sorts the best first; of equals the earlier one."""
    return observation.cost, observation.order


def by_share(observation: Observation) -> float:
    """Sorts so that the first k of any number of observations lie evenly among them in time.

    Source: multiples of the golden ratio, taken modulo 1, are spread evenly (Knuth, "The Art of
    Computer Programming", volume 3, section 6.4, theorem S).
    """
    return observation.order * GOLDEN % 1.0


@dataclass(frozen=True, slots=True, eq=False)
class SortedObservations:
    """Some of the finished trials, sorted. Most new trials do not change them."""

    observations: tuple[Observation, ...] = ()

    orders: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """(n,) `Observation.order` of each."""

    failed: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    """(n,) whether a trial has no finite loss."""

    rows: Array = field(default_factory=lambda: np.zeros((0, 0)))
    """(n, columns) the trials' rows in the state's space, from `Columns.read`."""

    def insert(self, place: int, new: Observation, row: Array, limit: int) -> SortedObservations:
        """With one more trial at a place, cut to `limit` trials.

        Args:
            place: Index within `observations`.
            new: The trial's result.
            row: (columns,) its row.
            limit: At least 1.
        """
        if place >= limit:
            return self
        before, after = self.observations[:place], self.observations[place : limit - 1]

        def inserted(old: NDArray[Any], own: object) -> NDArray[Any]:
            return np.concatenate([old[:place], np.array([own]), old[place : limit - 1]])

        return SortedObservations(
            (*before, new, *after),
            inserted(self.orders, new.order),
            inserted(self.failed, not math.isfinite(new.cost)),
            inserted(self.rows, row),
        )


@dataclass(frozen=True, slots=True)
class TPEState:
    """What TPE remembers. Only `tried` grows with every trial; the rest is bounded."""

    finished: int = 0
    """How many trials have finished."""

    completed: int = 0
    """How many of them have a finite loss."""

    best: SortedObservations = field(default_factory=SortedObservations)
    """Those with the lowest losses, the best first: at most `GOOD_LIMIT` and one more."""

    sample: SortedObservations = field(default_factory=SortedObservations)
    """An even sample of all, failed ones too: at most `BAD_LIMIT + GOOD_LIMIT`."""

    tried: TriedKeys = NOTHING_TRIED
    """Keys of the configurations of all of them."""

    space: Space | None = None
    """The space that the rows of `best` and `sample` belong to."""


@dataclass(frozen=True)
class TPE(Algorithm[TPEState]):
    """Compares where good trials lie with where all others lie, and tries what is like the good.

    The first trials spread over the space: the default configuration, then a Sobol sequence. After
    that, the best 15 % of the trials, at most 25, form one density. All other trials, failed and
    running ones included, form another. Candidates are drawn from the first density, and the one
    with the greatest ratio of both densities is proposed. The densities cover whole configurations,
    so they know how hyperparameters interact. TPE works in every kind of space: with conditions,
    with choices and with noise. No configuration is tried twice.

    A proposal takes about a millisecond, however many trials there are (`benchmarks/latency`).

    Args:
        seed: Fixes every draw: the same seed and the same history give the same proposals.
        num_initial_points: How many trials spread over the space before the densities take over.
            None means the number of hyperparameters plus 2, at least 4 and at most 10.
        candidates: How many draws compete for a proposal. With few, chance decides; with very many,
            the candidate farthest from all bad trials wins.

    Raises:
        ArgumentError: An argument is out of range.

    Source:
        Bergstra et al., "Algorithms for hyper-parameter optimization", NeurIPS 2011. Settings as
        recommended by Watanabe, arXiv:2304.11127, after ablations: see `afina.surrogates.parzen`.
        Also from there: a good trial's weight is its gain on the best of the others.

    Example:
        >>> from afina.space import Choice, Space
        >>> space = Space((Choice("optimizer", ["adam", "sgd"], default="sgd"),))
        >>> search = TPE(seed=0)
        >>> search.ask(search.init(), Situation(number=0, space=space)).values
        {'optimizer': 'sgd'}
    """

    seed: int = 0
    num_initial_points: int | None = None
    candidates: int = 64

    name: ClassVar[str] = "tpe"

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_count("num_initial_points", self.num_initial_points)
        check_whole("candidates", self.candidates, advice="The default is 64.")

    def settings(self) -> Mapping[str, Any]:
        """See `Algorithm.settings`."""
        return {
            "seed": int(self.seed),
            "num_initial_points": check_count("num_initial_points", self.num_initial_points),
            "candidates": int(self.candidates),
        }

    def init(self) -> TPEState:
        """Nothing tried."""
        return TPEState()

    def tell(self, state: TPEState, trial: Trial, space: Space) -> TPEState:
        """Adds the trial to the best, if it is one of them, and to the sample of all."""
        columns = compiled(space)
        best, sample = _in_space(state, space, columns)
        new = Observation.of(trial, state.finished)
        finite = math.isfinite(new.cost)
        first = bisect.bisect(best.observations, by_cost(new), key=by_cost)
        second = bisect.bisect(sample.observations, by_share(new), key=by_share)
        good = finite and first <= GOOD_LIMIT
        if good or second < BAD_LIMIT + GOOD_LIMIT:  # of many trials only few are kept
            row = _row(columns, new.values)[0]
            best = best.insert(first, new, row, GOOD_LIMIT + 1) if good else best
            sample = sample.insert(second, new, row, BAD_LIMIT + GOOD_LIMIT)
        return TPEState(
            finished=state.finished + 1,
            completed=state.completed + finite,
            best=best,
            sample=sample,
            tried=state.tried.add(keys_of(trial, space)),
            space=space,
        )

    def ask(self, state: TPEState, situation: Situation) -> Suggestion | Wait | Done:
        """Proposes the configuration of trial `situation.number`. Changes nothing."""
        space = situation.space
        rng = np.random.default_rng([self.seed, situation.number])
        columns = compiled(space)
        started = state.finished + len(situation.running)
        proposals: Iterator[dict[str, Value]] = iter(())
        if started < (self.num_initial_points or min(max(columns.count + 2, 4), 10)):
            proposals = iter([sobol.configuration(columns.geometry, started, self.seed)])
        elif state.completed >= 2 and columns.count:
            points = self._promising(columns, state, situation.running, space, rng)
            proposals = map(columns.geometry.decode, points)
        return answer(first_new(situation, state.tried, proposals, rng), situation)

    def _promising(
        self,
        columns: Columns,
        state: TPEState,
        running: Sequence[Trial],
        space: Space,
        rng: np.random.Generator,
    ) -> Iterator[Array]:
        """Points with the greatest ratio of densities first."""
        densities = _compared(columns, state, running, space)
        drawn = densities.good.sample(self.candidates, rng)
        yield from columns.write(densities.ranked(drawn)[:LOOKED_AT])
        more = MORE * self.candidates
        others = [densities.good.sample(more, rng), columns.uniform(more, rng)]
        yield from columns.write(densities.ranked(np.concatenate([drawn, *others])))


@dataclass(frozen=True, slots=True, eq=False)
class Densities:
    """Where good trials lie, and where others do."""

    good: Mixture

    both: Mixture
    """That of good trials, beside that of the others."""

    failed: NDArray[np.bool_]
    """(kernels of the others,) which of them belong to failed trials."""

    def ranked(self, rows: Array) -> Array:
        """The rows, the most promising first."""
        worth, failing = compare(self.both, rows, self.failed)
        if self.failed.any():
            # The probability that a trial fails here: the share of failed trials in the density of
            # all. They are among the bad trials already, but near good ones the ratio hides them.
            odds = np.exp(np.clip(worth, -LARGE, LARGE)) * len(self.good.rows) / len(self.failed)
            worth += np.log1p(-failing / (1 + odds))
        return np.asarray(rows[np.argsort(-worth, kind="stable")])


def _compared(
    columns: Columns, state: TPEState, running: Sequence[Trial], space: Space
) -> Densities:
    """The densities of the good trials, and of all others and those still running."""
    best, sample = _in_space(state, space, columns)
    count = min(math.ceil(GOOD_PART * state.completed), GOOD_LIMIT)
    pending = tuple(tuple(trial.values.items()) for trial in running)
    return _densities(columns, best, sample, count, pending)


@functools.lru_cache(maxsize=2)
def _densities(
    columns: Columns,
    best: SortedObservations,
    sample: SortedObservations,
    count: int,
    pending: tuple[Values, ...],
) -> Densities:
    """The densities of the `count` best, and of the others of the sample and those pending.

    A memo of a pure function: of many trials, few change what is kept.
    """
    good = _good(columns, best, count)
    others = np.flatnonzero(~(sample.orders[:, None] == best.orders[:count]).any(axis=1))
    others = others[:BAD_LIMIT]
    rows = np.concatenate([sample.rows[others], *(_row(columns, values) for values in pending)])
    bad = mixture(columns, rows, np.ones(len(rows)), 1.0)
    failed = np.zeros(len(rows) + 1, dtype=bool)
    failed[: len(others)] = sample.failed[others]
    return Densities(good, good.beside(bad), failed)


@functools.lru_cache(maxsize=256)
def _row(columns: Columns, values: Values) -> Array:
    """(1, columns) the row of a trial; of a running one it is wanted at each proposal."""
    return read_trials([values], columns)


@functools.lru_cache(maxsize=2)
def _good(columns: Columns, best: SortedObservations, count: int) -> Mixture:
    """The density of the `count` best."""
    losses = np.array([each.cost for each in best.observations[: count + 1]])
    with np.errstate(over="ignore", invalid="ignore"):
        # What a trial gains on the best of the others. Unlike a rank, a gain shows how large the
        # difference is; unlike the loss itself, it does not depend on the loss's unit.
        gains = losses[-1] - losses[:count]
        average = gains.mean()
    if not 0 < average < math.inf:  # all are equal, or differ beyond all numbers
        gains, average = np.ones(count), 1.0
    return mixture(columns, best.rows[:count], gains / average, 1.0)


def _in_space(
    state: TPEState, space: Space, columns: Columns
) -> tuple[SortedObservations, SortedObservations]:
    """`TPEState.best` and `TPEState.sample` with the rows of this space."""
    if state.space is space or state.space == space:
        return state.best, state.sample
    best, sample = (
        SortedObservations(
            kept.observations,
            kept.orders,
            kept.failed,
            read_trials([each.values for each in kept.observations], columns),
        )
        for kept in (state.best, state.sample)
    )
    return best, sample
