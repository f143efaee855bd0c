"""Model-based halving: a Gaussian process over all rungs decides what starts and what continues."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from afina.errors import check_flag
from afina.search.asha import ends_of, spread
from afina.search.base import Algorithm, Done, Situation, Suggestion, Wait
from afina.search.bayesian import BayesianOptimization
from afina.search.explorer import dividing, explore, leaves_best, stalled_for
from afina.search.fidelity.curves import is_hopeless
from afina.search.fidelity.repeats import repeatable
from afina.search.fidelity.rung_model import RungModel, margin
from afina.search.fidelity.rungs import (
    RungHistory,
    Segment,
    begun,
    by_loss,
    enough,
    fresh_count,
    reached_count,
    resumed,
)
from afina.search.untried import all_tried, check_seed, noted, without_priors
from afina.space import Space
from afina.surrogates.geometry import encoded, geometry_of
from afina.surrogates.prior import Prior, PriorName, check_prior, prior_of
from afina.trials import Decision, Trial

Array = NDArray[np.float64]

# Trainings that start before the model decides: as many as cost one full training, within these
# bounds.
FEWEST_FIRST = 8
MOST_FIRST = 27
# The part of new configurations that the model does not choose. They cost little, as they start
# short, and find what a wrong model would never try.
UNGUIDED = 0.2
# No branch is explored while new trainings have had more than this part of all epochs. The rest is
# for promising trainings to continue: early epochs may mislead.
MOST_NEW = 0.5


@dataclass(frozen=True, kw_only=True)
class ModelBasedHalving(Algorithm[RungHistory]):
    """Pauses every training at the end of each rung and continues the most promising one.

    After some short trainings that spread over the space, one Gaussian process over configurations
    and epochs compares everything: new configurations and paused trainings. Each proposal draws a
    horizon in epochs and a margin. Whatever is most likely to beat the best result by that margin
    within that horizon is trained to the end of its next rung. So proposals differ in boldness,
    and workers that ask at the same time do not all get the same answer.

    - *Trust in early epochs* is learnt from promoted trainings. If they change places from rung to
      rung, a good start counts for less. The process separates what decides only the first epochs,
      often the learning rate, from what lasts.
    - *Warm-up*: a rung on which all losses are still alike, compared with later gains, is skipped.
      Trainings then go straight to the next rung. As many come there first as cost one full
      training, but at least eight.
    - *Luck*: if the losses of single epochs jump up and down, a paused training is more likely to
      go on: each further epoch may be a lucky one.
    - *Equal trainings*: if configurations differ only in something without effect, their curves
      are equal to the last digit. Such a training is not continued twice, and no new configuration
      starts between them.
    - *Early stopping*: a running training is stopped if it will probably not become the best. Both
      its own curve and the gains of other trainings in as many epochs must say so.
    - *Failures*: a failed training is never continued, and its neighbourhood is avoided.
    - *Branches*: if new trainings gain next to nothing in a space with branches, some of them come
      from one branch at a time, as in `Auto`; see `afina.search.explorer`. A training is compared
      with full trainings of its own branch before it is stopped.
    - *Repeats*, with `repeats=True`: if all neighbours of a good configuration have been tried, and
      it is more likely to become the best than anything that is left, it is trained once more. It
      starts from other initial weights, so that it may be luckier. There are never more repeats
      than configurations, and a repeat that is equal to the last digit is the last one.

    Otherwise no configuration starts twice. In a finite space the search ends when everything has
    been trained in full or has failed.

    One case is out of reach: if the best trainings are the slowest from the start, as with a
    learning rate that falls late, no promoted training shows it. Use `Hyperband`, which trains some
    configurations in full whatever their first epochs, or a larger `min_epochs`.

    Args:
        max_epochs: Epochs of a full training.
        factor: How many times as long each rung is as the one below; at least 2. Rungs only say
            when a training may be paused: a smaller factor means more often.
        min_epochs: Epochs of the lowest rung. None means a 27th of `max_epochs`, as in `Hyperband`
            with a factor of 3.
        seed: Fixes every draw; a whole number from 0 up.
        prior: Which beliefs shape new configurations, until results outweigh them; see
            `BayesianOptimization`.
        repeats: Whether a configuration may be trained more than once.
        per_second: Whether chances count for each second that an epoch is expected to take: of two
            trainings that promise as much, the cheaper one is chosen. The seconds are those of
            the trials, so two searches with one seed may differ; telling the same trials again
            gives the same proposals.

    Raises:
        ArgumentError: An argument is out of range.

    Source:
        The process: see `afina.search.fidelity.rung_process`. The horizon and the margin:
        Rakotoarison et al., "In-context freeze-thaw Bayesian optimization for hyperparameter
        optimization", arXiv:2404.16795; theirs advances by single epochs and predicts with a
        network.

    Example:
        >>> from afina.space import Float
        >>> search = ModelBasedHalving(max_epochs=50, seed=1)
        >>> situation = Situation(number=0, space=Space((Float("x", 0.0, 1.0, default=0.5),)))
        >>> answer = search.ask(search.init(), situation)
        >>> answer.values, answer.schedule.end_epoch, search.ends
        ({'x': 0.5}, 2, (2, 4, 8, 16, 32, 50))
    """

    max_epochs: int = 100
    factor: float = 2
    min_epochs: int | None = None
    seed: int = 0
    prior: PriorName | None = "given"
    repeats: bool = False
    per_second: bool = False

    name: ClassVar[str] = "model-halving"
    fixed_settings: ClassVar[frozenset[str]] = frozenset({"max_epochs", "factor", "min_epochs"})

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_prior(self.prior)
        check_flag("repeats", self.repeats)
        check_flag("per_second", self.per_second)
        assert self.ends

    def settings(self) -> Mapping[str, Any]:
        """All arguments."""
        return {
            "max_epochs": int(self.max_epochs),
            "factor": self.factor,
            "min_epochs": self.ends[0],
            "seed": int(self.seed),
            "prior": self.prior,
            "repeats": self.repeats,
            "per_second": self.per_second,
        }

    @functools.cached_property
    def ends(self) -> tuple[int, ...]:
        """Epochs at the end of each rung, the lowest first."""
        return ends_of(self.max_epochs, self.factor, self.min_epochs)

    def init(self) -> RungHistory:
        """No trial yet."""
        return RungHistory()

    def tell(self, state: RungHistory, trial: Trial, space: Space) -> RungHistory:
        """Adds the trial to the history."""
        return state.add(trial, space, self.ends)

    def ask(self, state: RungHistory, situation: Situation) -> Suggestion | Wait | Done:
        """Starts a new training or continues a paused one."""
        if self.prior is None:
            situation = without_priors(situation)
        ready = enough(state, 0)
        paused = state.paused(situation.running, len(self.ends) - 1)
        lowest = state.lowest_telling()
        first = min(max(self.ends[-1] // self.ends[lowest], FEWEST_FIRST), MOST_FIRST)
        if not ready or reached_count(state, situation.running, lowest) < first:
            unguided = self._unguided(state, situation, paused, lowest)
            if unguided is not None:
                return unguided
        if ready:
            answer = self._explored(state, situation, lowest, first)
            if answer is None:
                answer = self._promising(state, situation, paused)
            if answer is not None:
                return answer
        if situation.running:
            return Wait()  # a running trial may be continued, or enlarge the space
        if paused:
            return resumed(min(paused, key=by_loss), self.ends)
        return Done(all_tried(situation.space))

    def stop_early(self, state: RungHistory, trial: Trial, curve: tuple[float, ...]) -> Decision:
        """Stops a training that will probably not become the best; see `is_hopeless`."""
        whole = (*state.curve_of(trial.parent), *curve)
        if len(whole) != trial.start_epoch + len(curve):  # some epochs are missing
            return Decision.CONTINUE
        top, best = self.ends[-1], state.best()
        hopeless = all(
            is_hopeless(whole, top, best, others) for others in state.full_curves(trial, top)
        )
        return Decision.STOP if hopeless else Decision.CONTINUE

    def _promising(
        self, state: RungHistory, situation: Situation, paused: Sequence[Segment]
    ) -> Suggestion | None:
        """What is most likely to beat the best by a margin; None if there is nothing to train."""
        rng = np.random.default_rng([self.seed, situation.number])
        prior, weight = self._prior(situation), self.influence(state, situation)
        model = RungModel(state, situation, self.ends, prior, weight, per_second=self.per_second)
        horizon = int(rng.integers(1, self.ends[-1] + 1))
        target = model.best - margin(rng)
        best, worth = None, -math.inf
        # A training that has equalled another one to the last digit will end like it.
        known = {segment.number for alike in state.twins() for segment in alike[1:]}
        paused = [segment for segment in paused if segment.number not in known]
        if paused:
            fidelities = [model.fidelity(self._reach(segment, horizon)) for segment in paused]
            chances = model.probabilities(paused, fidelities, target)
            best, worth = paused[int(chances.argmax())], float(chances.max())
        goal = model.fidelity(max(horizon, self.ends[0]))
        values, chance = model.fresh(goal, target, rng)
        if values is None and best is None:
            return None
        if self.repeats:
            full = repeatable(state, situation.running, situation.space, self.ends[-1])
            again, hope = model.again(full, goal, target)
            if again is not None and hope > max(worth, model.lucky_chance(values, goal, target)):
                return begun(dict(again.values), self.ends, model.lowest)
        if values is None or (best is not None and worth > chance):
            assert best is not None
            return resumed(best, self.ends, max(best.rung + 1, model.lowest))
        if rng.random() < UNGUIDED:
            unguided = self._unguided(state, situation, paused, model.lowest)
            if unguided is not None:
                return unguided
        begun_now = begun(values, self.ends, model.lowest)
        return _noted(begun_now, prior, weight)

    def _explored(
        self, state: RungHistory, situation: Situation, lowest: int, first: int
    ) -> Suggestion | None:
        """A new training in a branch of its own, if it is time for one; see `explorer`.

        Trainings are compared by their first results, as all of them have these. So what counts is
        how many new trainings have gained nothing, not how often an old one continued.

        Args:
            state: All trainings.
            situation: The question.
            lowest: The lowest informative rung.
            first: How many trainings reach it before the model decides.
        """
        if not dividing(situation.space):
            return None
        results = state.first_results(lowest)
        losses = [each.loss for each in results.values() if each.loss is not None]
        stalled = min(stalled_for(losses, situation.space), len(results) - first)
        new = sum(segment.epochs for segment in state.segments if segment.parent is None)
        spent = sum(segment.epochs for segment in state.latest())
        if not leaves_best(stalled, situation.number) or new > MOST_NEW * spent:
            return None
        roots = {segment.number: segment.root for segment in state.segments}
        running = tuple(
            trial
            for trial in situation.running
            if trial.parent is None or roots.get(trial.parent) not in results
        )
        process = BayesianOptimization(seed=self.seed, prior=self.prior)
        asked = replace(situation, running=running)
        found = explore(process, asked, list(results.values()), state.tried, stalled)
        if not isinstance(found, Suggestion):
            return None
        return replace(begun(dict(found.values), self.ends, lowest), notes=found.notes)

    def _unguided(
        self, state: RungHistory, situation: Situation, paused: Sequence[Segment], lowest: int
    ) -> Suggestion | None:
        """The next training for the lowest informative rung, without asking the model.

        The oldest training that is paused below it, otherwise a new one; None if there is none.
        """
        asleep = [segment for segment in paused if segment.rung < lowest]
        if asleep:
            oldest = min(asleep, key=lambda segment: segment.number)
            return resumed(oldest, self.ends, lowest)
        first = not enough(state, 0) or fresh_count(state, situation.running) < MOST_FIRST
        prior = self._prior(situation) if first else None
        started = fresh_count(state, situation.running)
        if prior is not None and not prior.leads(started, *_results(prior, state)):
            prior = None
        values = spread(state, situation, self.seed, prior)
        return None if values is None else _noted(begun(values, self.ends, lowest), prior, 1.0)

    def influence(self, state: RungHistory, situation: Situation) -> float:
        """How much the prior counts in the next new configuration, from 0 to 1."""
        prior = self._prior(situation)
        if prior is None:
            return 0.0
        started, results = fresh_count(state, situation.running), _results(prior, state)
        if not enough(state, 0):
            return float(prior.leads(started, *results))
        return prior.influence(started, *results)

    def _prior(self, situation: Situation) -> Prior | None:
        return prior_of(geometry_of(situation.space), self.prior)

    def _reach(self, segment: Segment, horizon: int) -> int:
        """Epochs that the training would have done: at least its next rung's."""
        return max(segment.epochs + horizon, self.ends[segment.rung + 1])


def _results(prior: Prior, state: RungHistory) -> tuple[Array, Array]:
    """The features and losses by which a prior is judged: of first segments of equal length."""
    first = [segment for segment in state.segments if segment.parent is None]
    rungs = [segment.rung for segment in first]
    kept = [each for each in first if each.rung == max(set(rungs), key=rungs.count)]
    features = prior.geometry.embed(encoded(prior.geometry, [each.values for each in kept]))
    losses = [math.inf if each.loss is None else each.loss for each in kept]
    return features, np.array(losses, dtype=float)


def _noted(new: Suggestion, prior: Prior | None, weight: float) -> Suggestion:
    found = noted(new, prior, weight)
    assert isinstance(found, Suggestion)
    return found
