"""What the trials of a search taught: plain data, from which sentences and pages are drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from afina.advice.effects import Effects
from afina.advice.evidence import Counts, Row
from afina.advice.failing import FailingRegion
from afina.advice.failing_pairs import FailingPair
from afina.advice.importance import Importances
from afina.advice.ranges import RangeAdvice, Verdict
from afina.advice.recommendation import Recommendation
from afina.space import Space


@dataclass(frozen=True)
class Aim:
    """What a search with several objectives taught about one of them."""

    name: str
    """The objective's name."""

    direction: Literal["min", "max"]
    """The objective's direction. Losses are lower-is-better in either case."""

    top: Row | None
    """The best result in this objective; None if no trial has one."""

    importances: Importances
    """Which hyperparameters matter for it."""


@dataclass(frozen=True)
class Findings:
    """What a search taught, as data."""

    counts: Counts
    """How many configurations were tried, and what became of them."""

    best: Row | None
    """The best configuration among the longest trainings; its values become the defaults. None if
    no trial has a loss, or if there are several objectives."""

    direction: Literal["min", "max"]
    """The objective's direction. Losses are lower-is-better in either case."""

    importances: Importances
    """Which hyperparameters matter. Empty if there are several objectives: see `aims`."""

    ranges: tuple[RangeAdvice, ...]
    """What to do about each hyperparameter that varies, in the order of the space. Empty if there
    are several objectives: what is good for one may be bad for another."""

    before: Space
    """The space that was searched."""

    after: Space
    """The space to search next. Each default is the best known value. It lacks entries that can
    no longer become active."""

    recommendation: Recommendation
    """The one thing to do next."""

    effects: Effects = field(default_factory=Effects)
    """What each hyperparameter does, as far as the trials show it. Empty if they are too few, or if
    there are several objectives."""

    failing: tuple[FailingRegion, ...] = ()
    """Values with which trainings fail."""

    failing_pairs: tuple[FailingPair, ...] = ()
    """Values of two hyperparameters with which trainings fail if both hold."""

    top: Row | None = None
    """The best result of all, as the search itself ranks them, after any number of epochs."""

    aims: tuple[Aim, ...] = ()
    """What is known about each of several objectives, in their order."""

    front: tuple[int, ...] = ()
    """The Pareto front of several objectives: the numbers of its trials."""

    @property
    def changes(self) -> bool:
        """Whether the space to search next differs from the one that was searched."""
        return any(each.verdict is not Verdict.KEEP for each in self.ranges)
