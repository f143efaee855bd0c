"""What to do next: the one action that most likely improves on the best known result."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from afina.advice.belief import Belief
from afina.advice.claims import better_inside
from afina.advice.effects import LEVEL, Effects, Visibility
from afina.advice.evidence import Evidence
from afina.advice.failing import FailingRegion
from afina.advice.failing_pairs import FailingPair
from afina.advice.importance import Importances
from afina.advice.ranges import RangeAdvice, Verdict
from afina.advice.sample import Sample

LITTLE_LEFT = 0.15  # with a smaller chance of a better result, a search may end
MOSTLY = 0.4  # the share of unexplained failures from which on failures come first
FEW, SOME = 3, 0.1  # so many unexplained failures are worth a sentence, and such a share of all
EQUAL = 0.25  # if so many trials share the best result, it is a plateau
BY_CHANCE = 20  # from so many trials on, results without any effect are taken for chance


class Action(enum.Enum):
    """What to do next."""

    SEARCH_MORE = "search more"
    """There are too few trials to say more."""

    MEND = "mend the failures"
    """Most trainings fail, and no hyperparameter explains it."""

    GO_ON = "go on"
    """Go on searching in the same space, with a model that knows all trials."""

    WIDEN = "widen"
    """Widen some ranges, then go on with a model that knows all trials."""

    REPEAT = "repeat"
    """The results look like chance: repeat the best configurations with other seeds."""

    RESCALE = "log scale"
    """Search some ranges on a logarithmic scale, then go on with a model that knows all trials."""

    FINISH = "finish"
    """The space holds little more."""

    CHECK = "check the objective"
    """All results are equal."""

    CHOOSE = "choose from the front"
    """There are several objectives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What to do next, and why."""

    action: Action

    names: tuple[str, ...] = ()
    """The hyperparameters that the action is about."""

    idle: tuple[str, ...] = ()
    """Hyperparameters without a visible effect: one value of each is enough."""

    avoid: tuple[FailingRegion, ...] = ()
    """Values with which nearly all trainings fail."""

    avoid_together: tuple[FailingPair, ...] = ()
    """Values of two hyperparameters with which nearly all trainings fail if both hold."""

    unexplained: int = 0
    """How many trainings failed without a visible cause, if these are many."""

    tied: int = 0
    """How many trials share the best result, if so many that the search is on a plateau."""

    unclear: bool = False
    """Whether the trials are too few to tell effects from chance."""

    chance: float | None = None
    """The probability that the space holds a clearly better result, by the model; None where
    that was not asked."""


def recommend(
    evidence: Evidence,
    sample: Sample,
    belief: Belief,
    effects: Effects,
    failing: Sequence[FailingRegion],
    pairs: Sequence[FailingPair],
    ranges: Sequence[RangeAdvice],
    seed: int,
) -> Recommendation:
    """Chooses the action.

    Args:
        evidence: The trials.
        sample: The same as arrays.
        belief: Functions that fit them.
        effects: What the hyperparameters do.
        failing: Where trainings fail.
        pairs: Where two values together make them fail.
        ranges: The advice on each range.
        seed: Fixes the draws.
    """
    idle = tuple(dict.fromkeys(e.name for e in effects.single if e.visibility is Visibility.NONE))
    avoid = tuple(each for each in failing if each.useless)
    wider = tuple(dict.fromkeys(e.name for e in ranges if e.widen))
    mattering = effects.mattering()
    rows = evidence.rows
    chance = better_inside(sample, belief, np.random.default_rng([seed, 6]))
    scaled = tuple(dict.fromkeys(e.name for e in ranges if e.verdict is Verdict.RESCALE))
    tied, unclear = _tied(evidence), False
    caused = sum(each.failed for each in failing) + sum(each.failed for each in pairs)
    unexplained = evidence.counts.failed - caused
    if wider:
        action, names = Action.WIDEN, wider
    elif scaled:
        action, names = Action.RESCALE, scaled
    elif unexplained >= MOSTLY * len(rows):
        action, names = Action.MEND, ()
    elif tied:
        action, names = Action.FINISH, ()
    elif not mattering and effects.chance > LEVEL and len(rows) >= BY_CHANCE:
        action, names = Action.REPEAT, ()
    elif not mattering and effects.chance > LEVEL:
        action, names, unclear = Action.GO_ON, (), True
    elif chance < LITTLE_LEFT:
        action, names = Action.FINISH, ()
    else:
        action, names = Action.GO_ON, ()
    if action is Action.REPEAT:
        idle = ()  # of nothing but chance no single one stands out
    return Recommendation(
        action=action,
        names=names,
        idle=idle,
        avoid=avoid,
        avoid_together=tuple(pairs),
        unexplained=unexplained if unexplained >= max(FEW, SOME * len(rows)) else 0,
        tied=tied if action is Action.FINISH else 0,
        chance=chance,
        unclear=unclear,
    )


def without_result(found: Importances) -> Recommendation:
    """What to do where the trials say nothing of the hyperparameters."""
    action = {
        "all-failed": Action.MEND,
        "constant": Action.CHECK,
        "several-objectives": Action.CHOOSE,
        "nothing-varies": Action.FINISH,
    }.get(found.shortage or "", Action.SEARCH_MORE)
    return Recommendation(action=action)


def _tied(evidence: Evidence) -> int:
    """How many trials share the best result; 0 if these are few."""
    losses = [row.loss for row in evidence.rows if row.loss is not None]
    count = losses.count(min(losses)) if losses else 0
    return count if count >= max(3, EQUAL * len(losses)) else 0
