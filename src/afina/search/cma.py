"""CMA-ES with margin: a normal distribution that moves to where results are good."""

from __future__ import annotations

import copy
import functools
import hashlib
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from afina.errors import ArgumentError, check_count
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
from afina.surrogates.parzen import Columns, compiled, read_trials
from afina.trials import Trial

Array = NDArray[np.float64]

# The first distribution's deviation in each coordinate, in units of the range: the best of a first
# design is a hint, no more.
FIRST_SIGMA = 0.2
# With so many first trials, the good ones together say more than the best one alone.
WARM_START = 50
# Draws for a proposal before one is taken from what is left. If one hyperparameter is a real number
# the first draw has practically never been tried.
DRAWS = 8
# What a copy of an optimizer may share with it.
NEVER_CHANGED = (bool, int, float, np.generic, type(None), np.random.RandomState)
# How many of the last distributions are kept, for trials that finish late.
KEPT = 8
SAME = 1e-9

_drawing = threading.Lock()  # the distributions of a search share a generator


class Distribution:
    """The distribution that a generation of trials is drawn from; immutable.

    Two are equal if they come from the same history.
    """

    def __init__(self, optimizer: Any, columns: Columns, key: bytes) -> None:
        self.columns = columns
        self.key = key
        self.population: int = optimizer.population_size
        self._optimizer = optimizer

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Distribution) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @classmethod
    def begin(
        cls,
        columns: Columns,
        rows: Array,
        ranks: NDArray[np.intp],
        population: int | None,
        seed: int,
    ) -> Distribution:
        """The first distribution.

        Args:
            columns: Of the space.
            rows: (n, columns) of the trials so far, without NaN; n may be 0.
            ranks: (n,) of these, 0 the best.
            population: Trials of a generation; None for the usual number.
            seed: Of the search; part of the key.

        Source:
            From many trials: Nomura et al., "Warm starting CMA-ES", arXiv:2012.06932.
        """
        # Late, because it loads a part of scipy that takes a second.
        from cmaes import CatCMAwM, get_warm_start_mgd

        real, cells = _gaussian(columns)
        numbers = np.concatenate([real, cells])
        best = rows[ranks.argmin()] if len(rows) else None
        mean = np.full(len(numbers), 0.5) if best is None else best[numbers].copy()
        sigma, covariance = FIRST_SIGMA, np.eye(len(numbers))
        if len(rows) >= WARM_START and len(numbers):
            pairs = list(zip(rows[:, numbers], ranks.tolist(), strict=True))
            mean, sigma, covariance = get_warm_start_mgd(pairs)
        optimizer = CatCMAwM(
            x_space=[[0.0, 1.0]] * len(real) or None,
            z_space=[_positions(columns, c) for c in cells.tolist()] or None,
            c_space=columns.sizes.tolist() or None,
            mean=mean if len(numbers) else None,
            sigma=sigma,
            cov=covariance if len(numbers) else None,
            population_size=population,
            seed=0,
        )
        key = hashlib.blake2b(repr((seed, population, columns.geometry.space)).encode())
        key.update(rows.tobytes() + ranks.tobytes())
        optimizer.ask()  # computes what all draws share
        return cls(optimizer, columns, key.digest())

    def draw(self, seed: int) -> Any:
        """One draw, a `CatCMAwM.Solution`; the same for the same seed."""
        with _drawing:
            self._optimizer.reseed_rng(seed)
            return self._optimizer.ask()

    def after(self, solutions: Sequence[Any], losses: Sequence[float]) -> Distribution | None:
        """The next distribution, given a generation's draws and their losses.

        None if it overflows, which can happen when all draws are equally good.
        """
        # Ranks instead of losses: nothing depends on units, and failures can take part.
        ranks = np.argsort(np.argsort(losses, kind="stable"), kind="stable")
        key = hashlib.blake2b(self.key)
        for solution, rank in zip(solutions, ranks.tolist(), strict=True):
            for part in (solution.x, solution.z, solution.c):
                key.update(b"-" if part is None else np.ascontiguousarray(part).tobytes())
            key.update(rank.to_bytes(8, "big"))
        with _drawing:
            optimizer = _copied(self._optimizer)
        pairs = [(solution, float(r)) for solution, r in zip(solutions, ranks, strict=True)]
        try:
            with np.errstate(all="ignore"):
                optimizer.tell(pairs)
        except AssertionError:  # the package's sign of an overflow
            return None
        return Distribution(optimizer, self.columns, key.digest())

    @property
    def stopped(self) -> bool:
        """Whether it has shrunk to a point, or become invalid."""
        return bool(len(self.columns.numbers)) and bool(self._optimizer.should_stop())

    def row(self, solution: Any) -> Array:
        """(columns,) the row of a draw."""
        row = np.zeros(self.columns.count)
        real, cells = _gaussian(self.columns)
        if len(real):
            row[real] = solution.x
        if len(cells):
            row[cells] = solution.z
        if len(self.columns.categories):
            row[self.columns.categories] = solution.c.argmax(axis=1)
        return row

    def solution(self, row: Array) -> Any:
        """The draw that would have given a trial that was not drawn; NaN becomes the middle."""
        from cmaes import CatCMAwM

        columns, row = self.columns, _filled(row, self.columns)
        real, cells = _gaussian(columns)
        hot = np.arange(columns.sizes.max(initial=1)) == row[columns.categories, None]
        return CatCMAwM.Solution(
            row[real] if len(real) else None,
            row[cells] if len(cells) else None,
            hot if len(hot) else None,
            np.concatenate([row[real], row[cells]]) if len(columns.numbers) else None,
        )


@dataclass(frozen=True, slots=True)
class Proposed:
    """An observation, and when its configuration was drawn."""

    observation: Observation

    number: int
    """The trial's number, which fixes the draw."""

    known: int
    """How many trials had finished when it was drawn."""


@dataclass(frozen=True, slots=True)
class Generation:
    """A distribution, and when it was made."""

    distribution: Distribution

    born: int
    """How many trials had finished when it was made."""

    def fits(self, columns: Columns) -> bool:
        """Whether the distribution is over the space of these columns."""
        own = self.distribution.columns
        return own is columns or own.geometry.space == columns.geometry.space


@dataclass(frozen=True, slots=True)
class CMAState:
    """All that the search remembers."""

    finished: int = 0
    """How many trials have finished."""

    pending: tuple[Proposed, ...] = ()
    """Trials that no distribution has learnt from, in the order in which they finished."""

    best: Proposed | None = None
    """The trial with the lowest finite loss."""

    generations: tuple[Generation, ...] = ()
    """The last distributions, the newest last; empty during the first trials."""

    tried: TriedKeys = NOTHING_TRIED
    """Keys of the configurations of all finished trials."""


@dataclass(frozen=True)
class CMAES(Algorithm[CMAState]):
    """Moves a normal distribution over the space, and learns its shape from each generation.

    Use it for long searches (hundreds of trials and more) of numbers. It costs almost nothing per
    trial and follows valleys in any direction. Whole and stepped numbers keep a margin of
    probability for other values; choices have a distribution of their own. For fewer than about 100
    trials `BayesianOptimization` and `TPE` are better. Conditional entries are searched as if they
    were always active, which wastes trials: `Auto` uses `TPE` in such spaces.

    The first trials spread over the space: the default configuration, then a Sobol sequence. The
    distribution starts around the best of them. Trials form a generation in the order in which
    they finish, so that no worker waits for others. No configuration is tried twice. When the
    distribution has shrunk to a point, a wide one replaces it, with twice as many trials in a
    generation.

    Needs the package `cmaes`.

    Args:
        seed: Fixes every draw: the same seed and the same history give the same proposals.
        num_initial_points: How many trials spread over the space before the distribution. None
            means the number of hyperparameters plus 2, at least 4 and at most 10. From 50 on, the
            distribution starts with the shape of their best tenth.
        population: Trials in a generation. None means 4 + 3 ln(hyperparameters).

    Raises:
        ArgumentError: An argument is out of range, or `cmaes` is not installed.

    Source:
        Hamano et al., "CatCMA with margin", arXiv:2504.07884, as implemented in the package
        `cmaes`; restarts: Auger & Hansen, "A restart CMA evolution strategy with increasing
        population size", CEC 2005. Losses count by their ranks within a generation.

    Example:
        >>> from afina.space import Float, Space
        >>> space = Space((Float("x", 0.0, 1.0, default=0.5),))
        >>> search = CMAES(seed=0)
        >>> search.ask(search.init(), Situation(number=0, space=space)).values
        {'x': 0.5}
    """

    seed: int = 0
    num_initial_points: int | None = None
    population: int | None = None

    name: ClassVar[str] = "cma-es"

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_count("num_initial_points", self.num_initial_points)
        check_count("population", self.population, least=4)
        try:
            import cmaes  # noqa: F401
        except ImportError as error:
            raise ArgumentError("CMAES: needs the package cmaes. Run: pip install cmaes") from error

    def settings(self) -> Mapping[str, Any]:
        """See `Algorithm.settings`."""
        return {
            "seed": int(self.seed),
            "num_initial_points": check_count("num_initial_points", self.num_initial_points),
            "population": check_count("population", self.population, least=4),
        }

    def init(self) -> CMAState:
        """Nothing tried."""
        return CMAState()

    def ask(self, state: CMAState, situation: Situation) -> Suggestion | Wait | Done:
        """Proposes the configuration of trial `situation.number`. Changes nothing."""
        space = situation.space
        columns = compiled(space)
        newest = state.generations[-1] if state.generations else None
        if newest is None or not newest.fits(columns):
            started = state.finished + len(situation.running)
            proposals = [sobol.configuration(columns.geometry, started, self.seed)]
        else:
            proposals = list(self._drawn(newest.distribution, situation.number))
        rng = np.random.default_rng([self.seed, situation.number])
        return answer(first_new(situation, state.tried, proposals, rng), situation)

    def tell(self, state: CMAState, trial: Trial, space: Space) -> CMAState:
        """Remembers the trial; learns from its generation when the generation is full."""
        new = Proposed(Observation.of(trial, state.finished), trial.number, trial.known)
        cost, best = new.observation.cost, state.best
        better = math.isfinite(cost) and (best is None or cost < best.observation.cost)
        best = new if better else best
        pending = (*state.pending, new)
        finished = state.finished + 1
        generations = state.generations
        columns = compiled(space)
        if generations and not generations[-1].fits(columns):
            # The space has changed: the learnt shape does not fit it.
            generations, pending = (), tuple(t for t in (best, *pending) if t is not None)
        if not generations:
            initial = self.num_initial_points or min(max(columns.count + 2, 4), 10)
            if finished >= initial and columns.count:
                rows = _filled(
                    read_trials([t.observation.values for t in pending], columns), columns
                )
                ranks = np.argsort(np.argsort([t.observation.cost for t in pending], kind="stable"))
                first = Distribution.begin(columns, rows, ranks, self.population, self.seed)
                generations, pending = (Generation(first, finished),), ()
        elif len(pending) >= generations[-1].distribution.population:
            generations = self._learnt(generations, pending, finished)
            pending = ()
        tried = state.tried.add(keys_of(trial, space))
        return CMAState(finished, pending, best, generations, tried)

    def _learnt(
        self,
        generations: tuple[Generation, ...],
        trials: Sequence[Proposed],
        finished: int,
    ) -> tuple[Generation, ...]:
        """The generations, with the one that these trials give."""
        newest = generations[-1].distribution
        rows = read_trials([each.observation.values for each in trials], newest.columns)
        solutions = [
            self._solution(generations, each, row) for each, row in zip(trials, rows, strict=True)
        ]
        after = newest.after(solutions, [each.observation.cost for each in trials])
        if after is None or after.stopped:
            rng = np.random.default_rng([self.seed, finished])
            centre, rank = newest.columns.uniform(1, rng), np.zeros(1, dtype=np.intp)
            population = 2 * newest.population
            after = Distribution.begin(newest.columns, centre, rank, population, self.seed)
        return (*generations[1 - KEPT :], Generation(after, finished))

    def _solution(self, generations: Sequence[Generation], trial: Proposed, row: Array) -> Any:
        """The draw that a trial comes from; if there is none, the draw that would give it."""
        newest = generations[-1].distribution
        source = [g.distribution for g in generations if g.born <= trial.known]
        if source:
            for attempt in range(_draws(newest.columns)):
                solution = source[-1].draw(self._draw_seed(trial.number, attempt))
                # Equal except for rounding, on the axes on which the trial was active.
                if not (abs(source[-1].row(solution) - row) > SAME).any():
                    return solution
        return newest.solution(row)

    def _drawn(self, distribution: Distribution, number: int) -> Any:
        geometry = distribution.columns.geometry
        for attempt in range(_draws(distribution.columns)):
            solution = distribution.draw(self._draw_seed(number, attempt))
            row = distribution.row(solution)
            yield geometry.decode(distribution.columns.write(row[None])[0])

    def _draw_seed(self, number: int, attempt: int) -> int:
        """The seed of the package's generator, which takes 32 bits."""
        return int(np.random.SeedSequence([self.seed, number, attempt]).generate_state(1)[0])


def _copied(optimizer: Any) -> Any:
    """A deep copy at a tenth of the usual cost; the generator is shared, as each draw seeds it."""
    twin = copy.copy(optimizer)
    for name, value in vars(optimizer).items():
        if isinstance(value, np.ndarray | list):  # of numbers
            setattr(twin, name, value.copy())
        elif not isinstance(value, NEVER_CHANGED):
            setattr(twin, name, copy.deepcopy(value))
    return twin


@functools.lru_cache(maxsize=8)
def _gaussian(columns: Columns) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Columns of real numbers, and columns of numbers with a cell for each value."""
    numbers = columns.numbers.tolist()
    real, cells = (
        np.array([c for c in numbers if (c in columns.edges) is wanted], dtype=np.intp)
        for wanted in (False, True)
    )
    return real, cells


def _draws(columns: Columns) -> int:
    return 1 if len(_gaussian(columns)[0]) else DRAWS


def _positions(columns: Columns, column: int) -> list[float]:
    """The coordinates of the values of a number that has few."""
    positions = columns.geometry.tunable[column].positions
    assert positions is not None
    return positions.tolist()  # type: ignore[no-any-return]


def _filled(rows: Array, columns: Columns) -> Array:
    """The rows with NaN replaced: by the middle, or by the first choice."""
    middle = np.full(columns.count, 0.5)
    middle[columns.categories] = 0.0
    return np.where(np.isnan(rows), middle, rows)
