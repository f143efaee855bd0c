"""Hyperband: many configurations on few epochs, the best of them on more and more."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from afina.errors import check_whole
from afina.search.asha import Sampler, check_sampler
from afina.search.base import Algorithm, Done, Planned, Situation, Suggestion, Wait
from afina.search.fidelity.brackets import Bracket, plan, scaled_sizes
from afina.search.fidelity.pareto_rank import pareto_ranks, several_objectives
from afina.search.fidelity.rungs import EMPTY, RungHistory, enough
from afina.search.untried import (
    NOTHING_TRIED,
    TriedKeys,
    all_tried,
    check_seed,
    draw_untried,
    keys_of,
    running_keys,
)
from afina.space import Space, Value
from afina.trials import Schedule, Status, Trial

Rungs = tuple[tuple[Trial, ...], ...]


@dataclass(frozen=True, slots=True)
class HyperbandState:
    """What Hyperband remembers."""

    tried: TriedKeys = NOTHING_TRIED
    """Keys of the configurations of all finished trials."""

    first: int = 0
    """How many of the first brackets are complete and have been dropped."""

    brackets: tuple[Rungs, ...] = ()
    """The finished trials of the brackets from `first` on, by rung, in the order they finished."""

    history: RungHistory = EMPTY
    """What the sampler "model" learns from; empty for "random"."""


@dataclass(frozen=True, kw_only=True)
class Hyperband(Algorithm[HyperbandState]):
    """Runs all brackets of Hyperband one after another, overlapping them for parallel workers.

    The oldest bracket goes first: new random configurations until its first rung is full, then
    promotions. A trial is promoted as soon as it is certainly among the best of its rung, whatever
    the results of running trials. A failed trial is never promoted. If no bracket can start a
    trial, the next bracket begins. With several objectives, `pareto_ranks` orders the trials of
    a rung once all of them have finished.

    Any number of workers runs the same trials as one worker, in another order. Promotions are
    certain, and a new configuration depends on its place in the plan, not on the order in which
    trials finish. There is one exception: entries that builds discover, and ranges that they
    narrow.

    No configuration is drawn twice while the space has new ones. After that, a configuration may
    come again in another bracket, with other epochs. If the space is too small to fill a rung, the
    bracket shrinks.

    Args:
        max_epochs: Epochs of a full training.
        factor: One in `factor` trials is promoted to the next rung; at least 2.
        iterations: How often to run all brackets; None or 0 means without end.
        seed: Fixes every draw; a whole number from 0 up.
        sampler: "random" draws new configurations independently of results. "model" takes them
            from a Gaussian process over all rungs once there are enough results; which trials are
            tried then depends on the order in which trials finish.

    Raises:
        ArgumentError: An argument is out of range.

    Source:
        Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization",
        JMLR 18 (2018); rung sizes as in Keras Tuner, see `afina.search.fidelity.brackets.plan`.
        The sampler "model": Falkner, Klein & Hutter, "BOHB", arXiv:1807.01774, whose model is
        another one.

    Example:
        >>> from afina.space import Boolean, Space
        >>> search = Hyperband(max_epochs=9, seed=1)
        >>> situation = Situation(number=0, space=Space((Boolean("a"),)))
        >>> schedule = search.ask(search.init(), situation).schedule
        >>> schedule.bracket, schedule.rung, schedule.start_epoch, schedule.end_epoch
        (2, 0, 0, 1)
    """

    max_epochs: int = 100
    factor: float = 3
    iterations: int | None = 1
    seed: int = 0
    sampler: Sampler = "random"

    name: ClassVar[str] = "hyperband"
    fixed_settings: ClassVar[frozenset[str]] = frozenset({"max_epochs", "factor"})

    def __post_init__(self) -> None:
        plan(self.max_epochs, self.factor)
        check_seed(self.seed)
        check_sampler(self.sampler)
        if self.iterations is not None:
            rule = "must be a whole number from 1 up, or None"
            check_whole("iterations", self.iterations, least=0, rule=rule)

    def settings(self) -> Mapping[str, Any]:
        """All arguments; 0 iterations read None."""
        return {
            "max_epochs": int(self.max_epochs),
            "factor": self.factor,
            "iterations": self.iterations or None,
            "seed": int(self.seed),
            "sampler": self.sampler,
        }

    @property
    def order_independent(self) -> bool:
        """True unless a model draws."""
        return self.sampler == "random"

    def init(self) -> HyperbandState:
        """No trial yet."""
        return HyperbandState()

    def ask(self, state: HyperbandState, situation: Situation) -> Suggestion | Wait | Done:
        """Fills the oldest bracket or promotes in it; otherwise opens the next bracket."""
        brackets = self._with_running(state, situation.running)
        for place, rungs in enumerate(brackets):
            bracket = self._bracket(state.first + place)
            # Something was promoted, or a later bracket has begun, only if the first rung was full.
            full = len(rungs[0]) >= bracket.sizes[0]
            full = full or any(rungs[1:]) or place + 1 < len(brackets)
            if not full:
                answer = self._fresh(state, situation, state.first + place, rungs[0])
                if answer is not None:
                    return answer
                if any(_is_fresh(trial) for trial in situation.running):
                    return Wait()  # a running build may still enlarge the space
            promoted = self._promotion(state.first + place, rungs)
            if promoted is not None:
                return promoted
        place = state.first + len(brackets)
        if self.iterations and place >= self.iterations * len(self._plan):
            return Wait() if situation.running else Done(self._farewell(place))
        answer = self._fresh(state, situation, place, ())
        if answer is None:  # the rung is empty, so any allowed configuration would do
            return Wait() if situation.running else Done(all_tried(situation.space))
        return answer

    def tell(self, state: HyperbandState, trial: Trial, space: Space) -> HyperbandState:
        """Puts the trial on its rung, and drops the first brackets if they are complete."""
        tried = state.tried.add(keys_of(trial, space))
        history = state.history
        if self.sampler == "model":
            history = history.add(trial, space, self._ends)
        spot = self._spot(trial)
        if spot is None or spot[0] < state.first:  # not one of Hyperband's own
            return HyperbandState(tried, state.first, state.brackets, history)
        place, rung = spot[0] - state.first, spot[1]
        brackets = self._padded(state.first, state.brackets, place + 1)
        brackets[place] = _with_trial(brackets[place], rung, trial)
        through = 0
        while through < len(brackets) and self._is_through(
            state.first + through, brackets[through]
        ):
            through += 1
        return HyperbandState(tried, state.first + through, tuple(brackets[through:]), history)

    def planned(self, space: Space) -> Planned | None:
        """The trials and epochs of all brackets; None if they are repeated without end."""
        if not self.iterations:
            return None
        most = space.size(limit=max(bracket.sizes[0] for bracket in self._plan))
        trials = epochs = 0
        for bracket in self._plan:
            started = bracket.sizes[0] if most is None else min(bracket.sizes[0], most)
            for rung, size in zip(
                bracket.rungs, scaled_sizes(bracket, started, self.factor), strict=True
            ):
                trials += size
                epochs += size * (rung.end_epoch - rung.start_epoch)
        return Planned(self.iterations * trials, self.iterations * epochs)

    # -- one bracket -----------------------------------------------------------------------------

    def _fresh(
        self, state: HyperbandState, situation: Situation, place: int, rung: Sequence[Trial]
    ) -> Suggestion | None:
        """A new configuration for a bracket's first rung; None if the space has none left."""
        values = self._draw(state, situation, self._turn(place) + len(rung), rung)
        if values is None:
            return None
        first = self._bracket(place).rungs[0]
        return Suggestion(
            values=values,
            schedule=Schedule(
                bracket=first.bracket,
                rung=0,
                start_epoch=0,
                end_epoch=first.end_epoch,
                iteration=place // len(self._plan),
            ),
        )

    def _draw(
        self, state: HyperbandState, situation: Situation, turn: int, rung: Sequence[Trial]
    ) -> dict[str, Value] | None:
        """A configuration that was not tried; if there is none, one that is not on this rung."""
        space = situation.space
        if self.sampler == "model" and enough(state.history):
            from afina.search.fidelity.rung_model import propose

            promising = propose(state.history, situation, self._ends, self.seed)
            if promising is not None:
                return promising
        rng = np.random.default_rng([self.seed, turn])
        running = running_keys(situation)
        new = draw_untried(space, rng, lambda key: key in running or key in state.tried)
        if new is not None:
            return new
        present = {key for trial in rung for key in keys_of(trial, space)}
        return draw_untried(space, rng, present.__contains__)

    def _promotion(self, place: int, rungs: Rungs) -> Suggestion | None:
        """The best trial, on the lowest rung, that is certain to be promoted; or None."""
        bracket = self._bracket(place)
        ranks = _ranks(rungs)
        sizes = scaled_sizes(bracket, len(rungs[0]), self.factor)
        expected = sizes[0]  # trials that the rung below will have in the end
        for index in range(1, len(rungs)):
            below, size = rungs[index - 1], sizes[index]
            failed = sum(trial.status is Status.FAILED for trial in below)
            lost = failed + sizes[index - 1] - expected
            ended = sum(trial.status.finished for trial in below) >= expected
            expected = min(size, expected - failed)
            if len(rungs[index]) >= expected:
                continue
            promoted = {trial.schedule.parent for trial in rungs[index] if trial.schedule}
            ready = [
                trial
                for trial in below
                if trial.status is Status.COMPLETED and trial.number not in promoted
            ]
            # One more point may reorder the others on fronts: promotions wait for the whole rung.
            sure = ended or not several_objectives(below)
            if sure and ready and len(ready) + lost > sizes[index - 1] - size:
                best = min(ready, key=lambda trial: ranks[trial.number])
                return self._promoted(best, bracket, index)
        return None

    def _promoted(self, parent: Trial, bracket: Bracket, index: int) -> Suggestion:
        rung = bracket.rungs[index]
        iteration = parent.schedule.iteration if parent.schedule else 0
        return Suggestion(
            values=dict(parent.values),
            schedule=Schedule(
                bracket=bracket.number,
                rung=index,
                start_epoch=rung.start_epoch,
                end_epoch=rung.end_epoch,
                parent=parent.number,
                iteration=iteration,
            ),
        )

    def _is_through(self, place: int, rungs: Rungs) -> bool:
        """Whether all trials of a bracket have finished; False if that cannot be known."""
        sizes = self._bracket(place).sizes
        if len(rungs[0]) < sizes[0]:
            return False
        return all(
            len(rung) == min(size, sum(t.status is Status.COMPLETED for t in below))
            for rung, below, size in zip(rungs[1:], rungs, sizes[1:], strict=False)
        )

    # -- brackets in a row -----------------------------------------------------------------------

    @functools.cached_property
    def _plan(self) -> tuple[Bracket, ...]:
        return plan(self.max_epochs, self.factor)

    @functools.cached_property
    def _ends(self) -> tuple[int, ...]:
        """The epochs at which trials of any bracket stop."""
        return tuple(sorted({rung.end_epoch for b in self._plan for rung in b.rungs}))

    def _bracket(self, place: int) -> Bracket:
        return self._plan[place % len(self._plan)]

    def _turn(self, place: int) -> int:
        """How many trials one worker starts before the bracket, if none of them fails."""
        count = len(self._plan)
        iterations, before = place // count, self._plan[: place % count]
        whole = sum(bracket.trials for bracket in self._plan)
        return iterations * whole + sum(bracket.trials for bracket in before)

    def _spot(self, trial: Trial) -> tuple[int, int] | None:
        """The place of the trial's bracket among all brackets, and its rung; or None."""
        schedule = trial.schedule
        count = len(self._plan)
        if schedule is None or not 0 <= schedule.rung <= schedule.bracket < count:
            return None
        return schedule.iteration * count + count - 1 - schedule.bracket, schedule.rung

    def _padded(self, first: int, brackets: Sequence[Rungs], length: int) -> list[Rungs]:
        """The brackets, with empty ones behind them up to `length`."""
        empty = range(first + len(brackets), first + length)
        return [*brackets, *(((),) * len(self._bracket(place).rungs) for place in empty)]

    def _with_running(self, state: HyperbandState, running: Sequence[Trial]) -> list[Rungs]:
        """The brackets that have begun, with the running trials on their rungs."""
        brackets = list(state.brackets)
        for trial in running:
            spot = self._spot(trial)
            if spot is not None and spot[0] >= state.first:
                place = spot[0] - state.first
                brackets = self._padded(state.first, brackets, place + 1)
                brackets[place] = _with_trial(brackets[place], spot[1], trial)
        return brackets

    def _farewell(self, count: int) -> str:
        return (
            "the only bracket is finished" if count == 1 else f"all {count} brackets are finished"
        )


def _with_trial(rungs: Rungs, index: int, trial: Trial) -> Rungs:
    return (*rungs[:index], (*rungs[index], trial), *rungs[index + 1 :])


def _is_fresh(trial: Trial) -> bool:
    """Whether its build may discover new entries: it is no promotion."""
    return trial.schedule is None or trial.schedule.parent is None


def _ranks(rungs: Rungs) -> dict[int, tuple[float, ...]]:
    """Ranks by the trials' numbers: a lower rank is promoted first.

    Of equals the one that was better on the rung before; in the end the lower number on the first
    rung. Numbers on later rungs depend on the order in which trials finish.
    """
    ranks: dict[int, tuple[float, ...]] = {}
    for rung in rungs:
        for trial, here in zip(rung, pareto_ranks(rung), strict=True):
            parent = trial.schedule.parent if trial.schedule else None
            before = (float(trial.number),) if parent is None else ranks.get(parent, ())
            ranks[trial.number] = (*here, *before)
    return ranks
