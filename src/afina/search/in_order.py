"""Several trials at once, the same ones however long each of them takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from afina.errors import check_whole
from afina.search.base import Algorithm, Done, Situation, Suggestion, Wait, check_algorithm
from afina.search.wrappers import Wrapper
from afina.space import Space
from afina.trials import Decision, Status, Trial


@dataclass(frozen=True, slots=True)
class InOrderState:
    """What `InOrder` remembers."""

    states: tuple[Any, ...]
    """States of the algorithm inside: before each of the last few trials, and after all of them."""

    told: int = 0
    """How many trials it has been told of: those with the numbers below."""

    recent: tuple[Trial, ...] = ()
    """The last trials that it was told of, as they were while they ran."""

    early: tuple[tuple[Trial, Space], ...] = ()
    """Finished trials that follow on one that has not finished."""


@dataclass(frozen=True)
class InOrder(Wrapper[InOrderState]):
    """Chooses each trial from the results of the same earlier trials, whichever ended first.

    Trial n is chosen as soon as the trials up to n - `ahead` have ended, and from their results
    alone. The trials between are taken as running, even if some have ended. So up to `ahead` trials
    run side by side, and their number and speed do not change which trials are tried. The price is
    that each choice knows a few results less, and that a worker may wait for a long training.

    More workers than that, as of several processes that share a search, need not wait: each of them
    gets a choice from all results that are there.

    Args:
        inner: The algorithm; required.
        ahead: How many trials may be open at once; 1 changes nothing.

    Raises:
        ArgumentError: `inner` is not an algorithm, or `ahead` is not a whole number from 1 up.

    Example:
        >>> from afina.search import Auto
        >>> InOrder(Auto(max_epochs=27), ahead=4).order_independent
        True
    """

    inner: Algorithm[Any]
    ahead: int = 2

    order_independent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_algorithm(self.inner)
        check_whole("ahead", self.ahead)

    def own_settings(self) -> Mapping[str, Any]:
        """How many trials may be open at once."""
        return {"ahead": int(self.ahead)}

    @property
    def fixed_settings(self) -> frozenset[str]:
        """Those of the algorithm inside: a project may go on with another number of workers."""
        return self.inner.fixed_settings

    def inner_state(self, state: InOrderState) -> Any:
        """The state after all trials that the algorithm inside was told of."""
        return state.states[-1]

    def init(self) -> InOrderState:
        """No trial yet."""
        return InOrderState((self.inner.init(),))

    def tell(self, state: InOrderState, trial: Trial, space: Space) -> InOrderState:
        """Tells of the trial when all before it have ended."""
        early = {each.number: (each, where) for each, where in (*state.early, (trial, space))}
        states, told, recent = list(state.states), state.told, list(state.recent)
        while told in early:
            ended, where = early.pop(told)
            states.append(self.inner.tell(states[-1], ended, where))
            recent.append(_as_running(ended))
            told += 1
        return InOrderState(
            states=tuple(states[-self.ahead :]),
            told=told,
            recent=tuple(recent[len(recent) - self.ahead + 1 :]) if self.ahead > 1 else (),
            early=tuple(each for _, each in sorted(early.items())),
        )

    def ask(self, state: InOrderState, situation: Situation) -> Suggestion | Wait | Done:
        """Asks the algorithm inside as if the last few trials were all running."""
        number = situation.number
        known = max(number - self.ahead + 1, 0)
        running = {trial.number: trial for trial in situation.running}
        if len(running) >= self.ahead > 1:
            return self.inner.ask(self._state_after(state, number), situation)
        early = {trial.number: trial for trial, _ in state.early}
        open_ones = {trial.number: trial for trial in state.recent}
        open_ones |= {other: _as_running(trial) for other, trial in early.items()} | running
        for count in range(known, number + 1):
            if any(other < count for other in running):
                break
            seen = tuple(open_ones[other] for other in range(count, number) if other in open_ones)
            question = replace(situation, running=seen)
            answer = self.inner.ask(self._state_after(state, count), question)
            if not isinstance(answer, Wait):
                return answer  # else it waits for the next one, which may have ended
        return Wait()

    def stop_early(self, state: InOrderState, trial: Trial, curve: tuple[float, ...]) -> Decision:
        """As the algorithm inside decides from what it knew when it chose the trial."""
        known = max(trial.number - self.ahead + 1, 0)
        return self.inner.stop_early(self._state_after(state, known), trial, curve)

    def _state_after(self, state: InOrderState, known: int) -> Any:
        """The state of the algorithm inside after the first `known` trials."""
        if known <= state.told:
            back = min(state.told - known, len(state.states) - 1)
            return state.states[len(state.states) - 1 - back]
        inner = state.states[-1]
        for trial, space in state.early:  # some number before it is missing
            if trial.number < known:
                inner = self.inner.tell(inner, trial, space)
        return inner


def _as_running(trial: Trial) -> Trial:
    return replace(
        trial,
        status=Status.RUNNING,
        score=None,
        loss=None,
        best_step=None,
        metrics={},
        losses=(),
        curve=(),
        failure=None,
        ended=None,
    )
