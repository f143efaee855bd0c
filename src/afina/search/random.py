"""Random search without repeats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from afina.search.base import Algorithm, Done, Situation, Suggestion, Wait
from afina.search.untried import TriedState, answer, check_seed, first_new, keys_of
from afina.space import Space
from afina.trials import Trial


@dataclass(frozen=True)
class Random(Algorithm[TriedState]):
    """Draws every trial at random; no configuration is tried twice.

    In a finite space every configuration is tried in the end. When draws repeat what was tried, the
    configurations that are left are listed, and one of them is drawn.

    Args:
        seed: Fixes every draw; a whole number from 0 up. Different seeds give unrelated draws.

    Raises:
        ArgumentError: The seed is not a whole number from 0 up.

    Example:
        >>> from afina.space import Boolean, Space
        >>> space = Space((Boolean("a"),))
        >>> search = Random(seed=1)
        >>> search.ask(search.init(), Situation(number=0, space=space)).values
        {'a': True}
    """

    seed: int = 0

    name: ClassVar[str] = "random"
    order_independent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_seed(self.seed)

    def settings(self) -> Mapping[str, Any]:
        """The seed."""
        return {"seed": int(self.seed)}

    def init(self) -> TriedState:
        """Nothing tried."""
        return TriedState()

    def ask(self, state: TriedState, situation: Situation) -> Suggestion | Wait | Done:
        """Draws a configuration that no finished or running trial has."""
        rng = np.random.default_rng([self.seed, situation.number])
        return answer(first_new(situation, state.tried, (), rng), situation)

    def tell(self, state: TriedState, trial: Trial, space: Space) -> TriedState:
        """Remembers that the trial's configuration was tried, whatever its result."""
        return TriedState(state.tried.add(keys_of(trial, space)))
