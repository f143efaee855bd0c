"""A search that knows what was advised: a preference that fades and forbids nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from afina.errors import check_whole
from afina.search import Algorithm, Done, Situation, Suggestion, Wait, Wrapper
from afina.search.untried import TriedKeys, default_of, key_of, keys_of
from afina.space import HyperParameter, Space, Value
from afina.trials import Trial

FADES = 10
"""So many proposals follow the advice; then every second one does, and later every third."""


@dataclass(frozen=True, slots=True)
class PreferringState:
    """What `Preferring` remembers."""

    inner: Any
    """The state of the algorithm inside."""

    tried: TriedKeys
    """Keys of the configurations that it was told of."""


@dataclass(frozen=True)
class Preferring(Wrapper[PreferringState]):
    """Draws proposals of an algorithm into a preferred space, less and less often.

    The algorithm inside knows all trials and searches the whole space. At first, values of its
    proposals that lie outside of the preferred space are drawn anew inside, later those of every
    second proposal, then of every third. So a preference that is wrong costs a few trials only.

    Args:
        inner: The algorithm; required.
        space: The preferred space: a part of the whole one. An entry with a single value stands for
            a hyperparameter without effect; required.
        fades: After how many trials fewer proposals are moved.

    Example:
        >>> from afina.search import Random
        >>> from afina.space import Float
        >>> whole, part = Space((Float("rate", 0, 1),)), Space((Float("rate", 0.8, 1),))
        >>> search = Preferring(Random(seed=1), part)
        >>> search.ask(search.init(), Situation(number=0, space=whole)).values["rate"] >= 0.8
        True
    """

    inner: Algorithm[Any]
    space: Space
    fades: int = FADES

    def __post_init__(self) -> None:
        check_whole("fades", self.fades)

    def own_settings(self) -> Mapping[str, Any]:
        """The preferred space."""
        return {"preferred_space": self.space.get_config(), "preference_fades": self.fades}

    def inner_state(self, state: PreferringState) -> Any:
        """See `Wrapper`."""
        return state.inner

    @property
    def order_independent(self) -> bool:
        """False: what was tried already is not proposed again."""
        return False

    def init(self) -> PreferringState:
        """Nothing tried."""
        return PreferringState(self.inner.init(), TriedKeys())

    def tell(self, state: PreferringState, trial: Trial, space: Space) -> PreferringState:
        """Tells the algorithm inside, and notes the configuration."""
        inner = self.inner.tell(state.inner, trial, space)
        return PreferringState(inner, state.tried.add(keys_of(trial, space)))

    def ask(self, state: PreferringState, situation: Situation) -> Suggestion | Wait | Done:
        """What the algorithm inside proposes, moved if it is the preference's turn."""
        answer = self.inner.ask(state.inner, situation)
        number = situation.number
        turn = number % (1 + number // self.fades) == 0
        if not isinstance(answer, Suggestion) or not turn:
            return answer
        if answer.schedule is not None and answer.schedule.parent is not None:
            return answer  # it continues a training, whose configuration is given
        space = situation.space
        values = moved(answer.values, space, self.space, np.random.default_rng(number))
        if not space.allows(values):
            return answer
        running = [key_of(space.complete(t.values, default_of), space) for t in situation.running]
        key = key_of(values, space)
        if key in running or key in state.tried:
            return answer
        return replace(answer, values=values)


def moved(
    values: Mapping[str, Value], whole: Space, preferred: Space, rng: np.random.Generator
) -> Mapping[str, Value]:
    """The configuration with other values in place of those outside of the preferred space.

    Args:
        values: A configuration of the whole space.
        whole: The whole space.
        preferred: Entries of the same names and conditions; what it lacks is left as it is.
        rng: Draws the other values.
    """
    known = {(entry.name, entry.conditions): entry for entry in preferred}

    def choose(index: int, entry: HyperParameter) -> Value:
        del index
        value = values.get(entry.name, entry.default)
        liked = known.get((entry.name, entry.conditions))
        if liked is None or liked.contains(value):
            return value
        drawn = liked.default if liked.count == 1 else liked.prob_to_value(rng.random())
        return entry.clip(drawn) if entry.contains(drawn) else value

    return whole.walk(choose)
