"""An algorithm that knows the trials of an earlier search before its own begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from afina.search.base import Algorithm, Done, Judge, Situation, Suggestion, Wait
from afina.space import Space
from afina.trials import Decision, Trial


@dataclass(frozen=True)
class Informed:
    """Tells an algorithm the trials of an earlier search first, as if it had made them itself.

    What the earlier trials were of a multi-fidelity search's plan does not count here, for this
    search has a plan of its own: they are trials at their own epochs, which no one goes on with.

    Args:
        inner: The algorithm.
        trials: Of the earlier search, as they are in the new space; see `afina.advice.carry_over`.
        space: The new space.

    Example:
        >>> from afina.search import Random
        >>> from afina.space import Choice
        >>> from afina.trials import Status
        >>> space = Space((Choice("units", [8, 16]),))
        >>> old = Trial(number=0, values={"units": 8}, status=Status.COMPLETED, score=1.0, loss=1.0)
        >>> search = Informed(Random(seed=0), (old,), space)
        >>> search.ask(search.init(), Situation(number=0, space=space)).values
        {'units': 16}
    """

    inner: Algorithm[Any]
    trials: tuple[Trial, ...]
    space: Space

    @property
    def name(self) -> str:
        """That of the algorithm behind."""
        return self.inner.name

    @property
    def fixed_settings(self) -> frozenset[str]:
        """Those of the algorithm behind, and how many trials it was told before."""
        return self.inner.fixed_settings | {"known_trials"}

    @property
    def order_free(self) -> bool:
        """As the algorithm behind."""
        return self.inner.order_free

    def settings(self) -> Mapping[str, Any]:
        """Those of the algorithm behind, and how many trials it was told before."""
        return {**self.inner.settings(), "known_trials": len(self.trials)}

    def init(self) -> Any:
        """The state of the algorithm behind, after the earlier trials."""
        state = self.inner.init()
        for trial in self.trials:
            state = self.inner.tell(state, trial, self.space)
        return state

    def ask(self, state: Any, situation: Situation) -> Suggestion | Wait | Done:
        """As the algorithm behind."""
        return self.inner.ask(state, situation)

    def tell(self, state: Any, trial: Trial, space: Space) -> Any:
        """Tells the algorithm behind."""
        return self.inner.tell(state, trial, space)

    def judge(self, state: Any, trial: Trial, curve: tuple[float, ...]) -> Decision:
        """As the algorithm behind; without one that judges, trainings go on."""
        inner = self.inner
        return inner.judge(state, trial, curve) if isinstance(inner, Judge) else Decision.CONTINUE
