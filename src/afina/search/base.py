"""What every search algorithm is: frozen settings, a separate state, pure steps.

`ask` changes nothing: asked twice it answers the same. `tell` returns the next state. Telling a
fresh state the finished trials in the order in which they ended rebuilds the state exactly, so
no algorithm is ever saved. Random draws come from `numpy.random.default_rng([seed, number])`, or
from a place in the algorithm's plan instead of the number, so there is no generator to save either.
No clock, no files, no Keras in this room.
`afina.testing.check_algorithm` tests all of these promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from afina.errors import ArgumentError, wrong
from afina.space import Space, Value
from afina.trials import Decision, Schedule, Trial

S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What an algorithm may look at when it proposes a trial, besides its own state."""

    number: int
    """The number that the proposed trial will bear; with the seed it fixes every draw."""

    space: Space
    """The search space as known now; builds may have discovered new entries since the last ask."""

    running: tuple[Trial, ...] = ()
    """Trials proposed and not finished yet (running, or waiting to be run again)."""

    max_trials: int | None = None
    """How many trials the search may make in all, as far as that is known now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A configuration to try."""

    values: Mapping[str, Value]
    """A value for each active hyperparameter of the space."""

    schedule: Schedule | None = None
    """For multi-fidelity algorithms: what part of the training to run."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to propose until a running trial finishes. Never answered when none runs."""


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing will ever be proposed again."""

    reason: str
    """A sentence for people: 'all 18 combinations have been tried'."""


class Algorithm(Protocol[S]):
    """A search algorithm; see the module's text for what it promises."""

    @property
    def name(self) -> str:
        """Stable name, kept with the project: 'random', 'grid', 'hyperband' ..."""
        ...

    def settings(self) -> Mapping[str, Any]:
        """The hyperparameters of the algorithm as JSON values, kept with the project.

        Resuming a project with other settings is allowed only where `tell` and `ask` stay
        consistent with the trials already made; `fixed_settings` names those that may not change.
        """
        ...

    @property
    def fixed_settings(self) -> frozenset[str]:
        """Names in `settings()` that may not change when a project is resumed."""
        ...

    @property
    def order_free(self) -> bool:
        """Whether many workers try the same configurations as one, whoever of them ends first.

        False where each proposal learns from the results before it. What trials discover about the
        space, and a search that is cut short, need not keep to it.
        """
        ...

    def init(self) -> S:
        """The state before any trial."""
        ...

    def ask(self, state: S, situation: Situation) -> Suggestion | Wait | Done:
        """Proposes the configuration of trial `situation.number`. Changes nothing."""
        ...

    def tell(self, state: S, trial: Trial, space: Space) -> S:
        """The state after `trial` finished (COMPLETED with a loss, or FAILED); `space` as known
        after that trial. `trial.loss`: lower is better, never NaN."""
        ...


def check_algorithm(algorithm: Any) -> None:
    """Refuses what is no algorithm.

    Raises:
        ArgumentError: It is a name, or a class in place of an instance, or something else.
    """
    methods = ("init", "ask", "tell", "settings")
    if isinstance(algorithm, type) or not all(hasattr(algorithm, name) for name in methods):
        rule = "must be an algorithm, such as afina.search.TPE(seed=0)"
        raise ArgumentError(wrong("algorithm", rule, algorithm))


@runtime_checkable
class Judge(Protocol):
    """An algorithm that also looks at trainings while they run."""

    def judge(self, state: Any, trial: Trial, curve: tuple[float, ...]) -> Decision:
        """Whether the trial is to go on after the last epoch of `curve`. Changes nothing.

        Args:
            state: After all trials that have finished by now.
            trial: A running one.
            curve: What `Trial.curve` would be if it ended here; never empty.
        """
        ...
