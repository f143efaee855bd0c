"""What every search algorithm promises: frozen settings, a separate state, pure steps.

- `ask` changes nothing: asked twice, it gives the same answer.
- `tell` returns the next state. Telling a fresh state the finished trials in the order in which
  they finished rebuilds the state exactly, so no algorithm is ever saved.
- Random draws come from `numpy.random.default_rng([seed, number])` with the trial's number, or
  with a place in the algorithm's plan. So there is no generator to save.
- No algorithm uses a clock, a file or Keras.

`afina.testing.check_algorithm` tests all of these promises.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from afina.errors import ArgumentError, wrong
from afina.space import Space, Value
from afina.trials import Decision, Schedule, Trial

S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What an algorithm may look at when it proposes a trial, besides its own state."""

    number: int
    """The number of the proposed trial; with the seed it fixes every draw."""

    space: Space
    """The search space as known now; builds may have discovered new entries since the last ask."""

    running: tuple[Trial, ...] = ()
    """Trials that have been proposed and have not finished: running, or waiting for a retry."""

    max_trials: int | None = None
    """How many trials the search may run in all; None if that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A configuration to try."""

    values: Mapping[str, Value]
    """A value for each active hyperparameter of the space."""

    schedule: Schedule | None = None
    """Which epochs to train and which trial to continue; None trains in full."""

    notes: Mapping[str, str] = field(default_factory=dict)
    """Why these values, for people: kept as notes of the trial."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to propose until a running trial finishes. At least one trial is running."""


@dataclass(frozen=True, slots=True)
class Planned:
    """How long a search will be if no trial fails and the space stays as it is."""

    trials: int
    """All trials of the search."""

    epochs: int | None = None
    """Epochs of all trials together; None if the algorithm does not set them."""


@dataclass(frozen=True, slots=True)
class Done:
    """The algorithm has nothing more to propose, now or later."""

    reason: str
    """Why, for people: 'all 18 combinations have been tried'."""


class Algorithm(Protocol[S]):
    """A search algorithm; the module's docstring says what it promises.

    Inherit from it: `name`, `settings`, `init`, `ask` and `tell` must be there, everything else has
    a default.

    Example:
        >>> class Defaults(Algorithm[int]):
        ...     name = "defaults"
        ...
        ...     def settings(self):
        ...         return {}
        ...
        ...     def init(self):
        ...         return 0
        ...
        ...     def ask(self, state, situation):
        ...         if state:
        ...             return Done("the defaults have been tried")
        ...         return Suggestion(values=situation.space.defaults())
        ...
        ...     def tell(self, state, trial, space):
        ...         return state + 1
        >>> Defaults().order_independent
        False
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Stable name, kept with the project: 'random', 'grid', 'hyperband' ..."""
        ...

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """The hyperparameters of the algorithm as JSON values, kept with the project.

        A project can be resumed with other settings, except for those in `fixed_settings`.
        """
        ...

    @property
    def fixed_settings(self) -> frozenset[str]:
        """Names in `settings()` that may not change when a project is resumed: `tell` and `ask`
        would contradict the trials already made. None by default."""
        return frozenset()

    @property
    def order_independent(self) -> bool:
        """Whether the trials do not depend on the order in which trials finish.

        If True, many workers try the same configurations as one worker. The default is False, which
        holds for every algorithm that learns from results. Two things do not count: entries of the
        space that trials discover, and a search that is cut short.
        """
        return False

    @abstractmethod
    def init(self) -> S:
        """The state before any trial."""
        ...

    @abstractmethod
    def ask(self, state: S, situation: Situation) -> Suggestion | Wait | Done:
        """Proposes the configuration of trial `situation.number`. Changes nothing."""
        ...

    @abstractmethod
    def tell(self, state: S, trial: Trial, space: Space) -> S:
        """The state after `trial` finished.

        Args:
            state: The state before. It is not changed.
            trial: COMPLETED with a loss, or FAILED. Lower losses are better; none is NaN.
            space: As known after that trial.
        """
        ...

    def stop_early(self, state: S, trial: Trial, curve: tuple[float, ...]) -> Decision:
        """Whether a running training goes on after its last epoch. Changes nothing.

        By default every training goes on.

        Args:
            state: After all trials that have finished by now.
            trial: A running one.
            curve: What `Trial.curve` would be if it ended here; never empty.
        """
        del state, trial, curve
        return Decision.CONTINUE

    def planned(self, space: Space) -> Planned | None:
        """How long the whole search will be; None, by default, if it has no end of its own.

        Displays show it as the total. It does not limit the search.
        """
        del space
        return None


METHODS = ("init", "ask", "tell", "settings", "stop_early")


def check_algorithm(algorithm: Any) -> None:
    """Checks that something is an algorithm.

    Raises:
        ArgumentError: It is a name, or a class in place of an instance, or something else.
    """
    missing = [name for name in METHODS if not hasattr(algorithm, name)]
    rule = "must be an algorithm, such as afina.search.TPE()"
    if isinstance(algorithm, type) or "ask" in missing:
        raise ArgumentError(wrong("algorithm", rule, algorithm))
    if missing:
        advice = f"It has no {missing[0]}: inherit from afina.search.Algorithm."
        raise ArgumentError(wrong("algorithm", rule, algorithm, advice))
