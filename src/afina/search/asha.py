"""Asynchronous successive halving: nobody waits for a rung to fill."""

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
from afina.trials import Trial

Sampler = Literal["random", "model"]


@dataclass(frozen=True, kw_only=True)
class AsynchronousHalving(Algorithm[RungHistory]):
    """Starts many trainings short and takes the best of each rung on, one by one (ASHA).

    A training is paused at the end of each rung. Whenever something can be started, the highest
    rung is looked at first: while fewer have gone on than `1 / factor` of all that have reached it
    so far, the best one that is paused there goes on, as a new trial whose parent is the paused
    one. Where none may, a fresh configuration begins at the lowest rung. So no worker ever waits
    for another, at the price of promotions that a full rung would not have made. A failed
    training counts as thrown away. With several objectives the best are those of the first front of
    their rung, and of them first those that have the most room around them; see `pareto_ranks`.

    The first configuration is the default one, then a Sobol sequence spreads over the space; no
    configuration begins twice. A finite space ends the search when everything has been tried and
    at least one training has gone the whole way.

    Args:
        max_epochs: Epochs of a training that is never thrown away.
        factor: One in `factor` goes on to the next rung; at least 2.
        min_epochs: Epochs of the lowest rung. None takes what `Hyperband` begins with.
        seed: Fixes every draw; from 0 up.
        sampler: "random" draws fresh configurations without looking at results; "model" takes
            them, after the first few, from a Gaussian process over all rungs.

    Raises:
        ArgumentError: An argument is out of range.

    Source:
        Li et al., "A system for massively parallel hyperparameter tuning", arXiv:1810.05934. That
        no more than one in `factor` ever goes on is the delay of Li et al., "Hyper-Tune",
        arXiv:2201.06834. The sampler "model": Klein et al., arXiv:2003.10865. Halving by fronts:
        Schmucker et al., arXiv:2106.12639.

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
        """Promotes on the highest rung where one may go on; else begins a fresh training."""
        promoted = self._promotion(state, situation.running, least=0)
        if promoted is not None:
            return resumed(promoted, self.ends)
        values = self._fresh(state, situation)
        if values is not None:
            return begun(values, self.ends)
        if situation.running:
            return Wait()  # one of them may be promoted, or make the space larger
        last = self._promotion(state, (), least=1)
        return Done(all_tried(situation.space)) if last is None else resumed(last, self.ends)

    def _promotion(
        self, state: RungHistory, running: Sequence[Trial], least: int
    ) -> Segment | None:
        """The best of the highest rung from which fewer have gone on than may."""
        top = len(self.ends) - 1
        paused = state.paused(running, top)
        begun_at = [segment.rung for segment in state.segments]
        begun_at += [t.schedule.rung for t in running if t.schedule and t.parent is not None]
        for rung in range(top - 1, -1, -1):
            # Failed ones count: they reached for the rung, and are thrown away.
            reached = [segment for segment in state.segments if segment.rung == rung]
            gone = sum(other == rung + 1 for other in begun_at)
            ready = [segment for segment in paused if segment.rung == rung]
            if ready and gone < max(math.floor(len(reached) / self.factor), least):
                return _first_of(ready, reached)
        return None

    def _fresh(self, state: RungHistory, situation: Situation) -> dict[str, Value] | None:
        """A configuration that nobody has begun; None where the space has none left."""
        if self.sampler == "model" and enough(state):
            from afina.search.fidelity.rung_model import propose

            return propose(state, situation, self.ends, self.seed)
        return spread(state, situation, self.seed)


def _first_of(ready: Sequence[Segment], reached: Sequence[Segment]) -> Segment:
    """The best of those that are ready, ranked among all that have reached their rung."""
    numbers = [segment.number for segment in reached]
    ranks = dict(zip(numbers, pareto_ranks(reached), strict=True))
    return min(ready, key=lambda segment: (*ranks[segment.number], segment.number))


def check_sampler(sampler: str) -> None:
    """ArgumentError where there is no such sampler."""
    if sampler not in get_args(Sampler):
        raise ArgumentError(wrong("sampler", 'must be "random" or "model"', sampler))


def ends_of(max_epochs: int, factor: float, min_epochs: int | None) -> tuple[int, ...]:
    """`ladder`; without `min_epochs` it begins as low as Hyperband with a factor of 3 does."""
    if min_epochs is None:
        lowest = math.ceil(max_epochs / 27) if isinstance(max_epochs, int) else 1
        return ladder(max_epochs, factor, max(lowest, 1))
    return ladder(max_epochs, factor, min_epochs)


def spread(state: RungHistory, situation: Situation, seed: int) -> dict[str, Value] | None:
    """The next new point of the design that begins with the default configuration, else at random;
    None where the space has nothing new."""
    count = fresh_count(state, situation.running)
    values = sobol.configuration(geometry_of(situation.space), count, seed)
    rng = np.random.default_rng([seed, situation.number])
    return first_new(situation, state.tried, [values], rng)
