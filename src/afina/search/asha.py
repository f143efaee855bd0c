"""Asynchronous successive halving (ASHA): no worker waits for a rung to fill."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from afina.errors import ArgumentError, wrong
from afina.search import sobol
from afina.search.base import Algorithm, Done, Situation, Suggestion, Wait
from afina.search.fidelity.brackets import ladder
from afina.search.fidelity.pareto_rank import pareto_ranks
from afina.search.fidelity.rungs import (
    RungHistory,
    Segment,
    begun,
    enough,
    fresh_count,
    resumed,
)
from afina.search.untried import all_tried, check_seed, first_new
from afina.space import Space, Value
from afina.surrogates.geometry import geometry_of
from afina.surrogates.prior import Prior
from afina.trials import Trial

Sampler = Literal["random", "model"]


@dataclass(frozen=True, kw_only=True)
class AsynchronousHalving(Algorithm[RungHistory]):
    """Starts many short trainings and promotes the best of each rung, one by one (ASHA).

    A training is paused at the end of each rung. When a worker is free, the search looks for a
    promotion, from the highest rung down. A rung may promote `1 / factor` of all trainings that
    have reached it so far; its best paused training continues as a new trial. If there is no
    promotion, a new configuration starts at the lowest rung. So no worker waits for another; in
    return, some promotions are made that a full rung would not have made. A failed training is
    never promoted. With several objectives, the first front of a rung is the best, and within it
    the least crowded trials; see `pareto_ranks`.

    The default configuration comes first, then a Sobol sequence. No configuration starts twice. In
    a finite space the search ends when everything has been tried and at least one training has
    been trained in full.

    Args:
        max_epochs: Epochs of a full training.
        factor: One in `factor` trainings is promoted to the next rung; at least 2.
        min_epochs: Epochs of the lowest rung. None means those of `Hyperband`'s lowest rung.
        seed: Fixes every draw; a whole number from 0 up.
        sampler: "random" draws new configurations independently of results. "model" takes them,
            after the first few, from a Gaussian process over all rungs.

    Raises:
        ArgumentError: An argument is out of range.

    Source:
        Li et al., "A system for massively parallel hyperparameter tuning", arXiv:1810.05934,
        algorithm 2. The limit of one in `factor` on all promotions of a rung is the delay of Li et
        al., "Hyper-Tune", arXiv:2201.06834. The sampler "model": Klein et al., arXiv:2003.10865.
        Halving by fronts: Schmucker et al., arXiv:2106.12639.

    Example:
        >>> from afina.space import Float
        >>> search = AsynchronousHalving(max_epochs=9, seed=1)
        >>> situation = Situation(number=0, space=Space((Float("x", 0.0, 1.0, default=0.5),)))
        >>> answer = search.ask(search.init(), situation)
        >>> answer.values, answer.schedule.end_epoch
        ({'x': 0.5}, 1)
    """

    max_epochs: int = 100
    factor: float = 3
    min_epochs: int | None = None
    seed: int = 0
    sampler: Sampler = "random"

    name: ClassVar[str] = "asha"
    fixed_settings: ClassVar[frozenset[str]] = frozenset({"max_epochs", "factor", "min_epochs"})

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_sampler(self.sampler)
        assert self.ends

    def settings(self) -> Mapping[str, Any]:
        """All arguments."""
        return {
            "max_epochs": int(self.max_epochs),
            "factor": self.factor,
            "min_epochs": self.ends[0],
            "seed": int(self.seed),
            "sampler": self.sampler,
        }

    @functools.cached_property
    def ends(self) -> tuple[int, ...]:
        """Epochs at the end of each rung, the lowest first."""
        return ends_of(self.max_epochs, self.factor, self.min_epochs)

    def init(self) -> RungHistory:
        """No trial yet."""
        return RungHistory()

    def tell(self, state: RungHistory, trial: Trial, space: Space) -> RungHistory:
        """Puts the trial on its rung."""
        return state.add(trial, space, self.ends)

    def ask(self, state: RungHistory, situation: Situation) -> Suggestion | Wait | Done:
        """Promotes from the highest rung that may promote; otherwise starts a new training."""
        promoted = self._promotion(state, situation.running, least=0)
        if promoted is not None:
            return resumed(promoted, self.ends)
        values = self._fresh(state, situation)
        if values is not None:
            return begun(values, self.ends)
        if situation.running:
            return Wait()  # a running trial may be promoted, or enlarge the space
        last = self._promotion(state, (), least=1)
        return Done(all_tried(situation.space)) if last is None else resumed(last, self.ends)

    def _promotion(
        self, state: RungHistory, running: Sequence[Trial], least: int
    ) -> Segment | None:
        """The best training of the highest rung that may promote one; or None."""
        top = len(self.ends) - 1
        paused = state.paused(running, top)
        begun_at = [segment.rung for segment in state.segments]
        begun_at += [t.schedule.rung for t in running if t.schedule and t.parent is not None]
        for rung in range(top - 1, -1, -1):
            # Failed trainings count as having reached the rung; they are never promoted.
            reached = [segment for segment in state.segments if segment.rung == rung]
            gone = sum(other == rung + 1 for other in begun_at)
            ready = [segment for segment in paused if segment.rung == rung]
            if ready and gone < max(math.floor(len(reached) / self.factor), least):
                return _first_of(ready, reached)
        return None

    def _fresh(self, state: RungHistory, situation: Situation) -> dict[str, Value] | None:
        """A configuration that has not started; None if the space has none left."""
        if self.sampler == "model" and enough(state):
            from afina.search.fidelity.rung_model import propose

            return propose(state, situation, self.ends, self.seed)
        return spread(state, situation, self.seed)


def _first_of(ready: Sequence[Segment], reached: Sequence[Segment]) -> Segment:
    """The best of the paused trainings, ranked among all that have reached their rung."""
    numbers = [segment.number for segment in reached]
    ranks = dict(zip(numbers, pareto_ranks(reached), strict=True))
    return min(ready, key=lambda segment: (*ranks[segment.number], segment.number))


def check_sampler(sampler: str) -> None:
    """Raises ArgumentError if there is no such sampler."""
    if sampler not in get_args(Sampler):
        raise ArgumentError(wrong("sampler", 'must be "random" or "model"', sampler))


def ends_of(max_epochs: int, factor: float, min_epochs: int | None) -> tuple[int, ...]:
    """The epochs of `ladder`; None starts as low as `Hyperband` with a factor of 3 does."""
    if min_epochs is None:
        lowest = math.ceil(max_epochs / 27) if isinstance(max_epochs, int) else 1
        return ladder(max_epochs, factor, max(lowest, 1))
    return ladder(max_epochs, factor, min_epochs)


def spread(
    state: RungHistory, situation: Situation, seed: int, prior: Prior | None = None
) -> dict[str, Value] | None:
    """The next point of the Sobol design that begins with the default configuration.

    If it was tried already, a random configuration; None if the space has nothing new.
    """
    count = fresh_count(state, situation.running)
    values = sobol.configuration(geometry_of(situation.space), count, seed, prior)
    rng = np.random.default_rng([seed, situation.number])
    return first_new(situation, state.tried, [values], rng)
