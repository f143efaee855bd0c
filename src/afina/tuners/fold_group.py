"""Folds of one trial that are trained together: one program, an epoch of all in one call.

    train_folds ──▶ FoldGroups.rounds     which folds are trained before the next look
         └────────▶ FoldGroups.train      builds their models, then trains them as a `Group`

Each fold has its own model, data, seed, callbacks and history, and comes to the same as alone.
Folds of the same number of rows make a group; others are trained alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from afina import training
from afina.training import keras_parts
from afina.training.fused import CannotFuseError
from afina.training.fused.group import WORTH, Group, alike
from afina.training.fused.member import GroupMember
from afina.trials import first_line
from afina.tuners.groups import MOST
from afina.tuners.overrides import AROUND, first_overridden
from afina.tuners.workers import accelerators

CPU_WORTH = 60_000
"""Fewest training steps of one program, over all trials so far, for which folds are grouped on a
CPU: a group saves about 0.1 ms a step of a small model, and its program takes 2 to 3 s to compile
and to measure. It is grouped if that time is less than half of what was spent without."""

LOOKS_AFTER = 2
"""Folds that are trained before a trial is first compared with the best one."""


@dataclass
class FoldTraining:
    """One fold that is to be trained: what makes its model and what watches it."""

    fold: int
    seed: int
    watch: training.ExecutionWatch
    member: Callable[[list[Any]], GroupMember]
    """Builds the model; gets the callbacks. It is called with the seeds of the fold."""

    alone: Callable[[GroupMember], Any]
    """Trains the model by itself."""


class FoldGroups:
    """Decides which folds of a search are trained together, and trains them."""

    def __init__(self) -> None:
        self._steps: Counter[Any] = Counter()  # seen so far, of each group's program

    def width(self, tuner: Any) -> int:
        """How many folds of a trial are trained together at most; 1 for one after the other.

        Args:
            tuner: Its options decide, and what the user has overridden.
        """
        asked = tuner.group_trials
        if asked == 1 or tuner.executor is not None or tuner.workers not in ("auto", 1):
            return 1
        if keras.backend.backend() != "jax" or tuner._why_not_threads() is not None:
            return 1
        if tuner._whose_training() is not None:
            return 1
        if asked != "auto":
            return int(asked)
        # Of several GPUs each has a worker; and callbacks of folds would take turns.
        return 1 if len(accelerators()) > 1 or first_overridden(tuner, AROUND) else MOST

    @staticmethod
    def rounds(count: int, width: int, *, compared: bool) -> list[list[int]]:
        """The folds, as they are trained between two looks at the trial.

        Args:
            count: How many folds there are.
            width: How many are trained together at most.
            compared: Whether there are looks.

        Example:
            >>> FoldGroups.rounds(5, 8, compared=True)
            [[0, 1], [2, 3, 4]]
            >>> FoldGroups.rounds(3, 1, compared=True)
            [[0], [1], [2]]
        """
        first = min(width, LOOKS_AFTER) if compared else 0
        rest = range(first, count)
        chunks = [list(rest[at : at + width]) for at in range(0, len(rest), width)]
        return [list(range(first)), *chunks] if first else chunks

    def train(
        self, tuner: Any, folds: Sequence[FoldTraining], account: training.Account
    ) -> tuple[list[Any], str]:
        """Trains some folds, together where that can be and pays.

        Args:
            tuner: Whose trial.
            folds: At least two.
            account: Gets the seconds.

        Returns:
            What `fit` returned for each, and how they were trained.

        Raises:
            Exception: What ended the first of the trainings that failed.
        """
        members = []
        for each in folds:
            training.fresh_session()
            with tuner._folds.training(each.fold), training.seeded(each.seed):
                members.append(each.member(each.watch.callbacks))
        found: dict[int, Any] = {}
        with account.counted("fit"):
            notes = [
                self._train_sort(tuner, sort, found)
                for sort in self._sorts(tuner._trainer.engine, members)
            ]
            results = []
            for each, member in zip(folds, members, strict=True):
                if id(member) not in found:
                    found[id(member)] = _outcome(each, member)
                else:
                    account.path = "fused"
                results.append(found[id(member)])
        return [_checked(*pair) for pair in zip(folds, results, strict=True)], "; ".join(
            dict.fromkeys(notes)
        )

    @staticmethod
    def _sorts(engine: Any, members: Sequence[GroupMember]) -> list[list[GroupMember]]:
        try:
            return alike(engine, members, own_data=True)
        except Exception:  # which each will raise again alone
            return [[member] for member in members]

    def _train_sort(self, tuner: Any, members: Sequence[GroupMember], found: dict[int, Any]) -> str:
        """Trains members of one program together; they are missing in `found` if that does not
        pay."""
        width = len(members)
        if width == 1:
            return "alone: no other fold of its size and program"
        try:
            group = Group(tuner._trainer.engine, members, own_data=True)
            why = self._why_apart(group, forced=tuner.group_trials != "auto")
            if why is not None:
                return f"alone: {why}"
            results = group.run()
        except CannotFuseError as error:
            return f"alone: {first_line(error)}"
        found.update(zip(map(id, members), results, strict=True))
        if group.failure is not None:
            return f"begun with {width} folds together, but {group.failure}"
        return f"{width} folds together"

    def _why_apart(self, group: Group, *, forced: bool) -> str | None:
        """Why these are better trained one by one; None if it pays to train them together."""
        if not group.has_room():
            return "the data of all folds do not fit on the device a second time"
        if forced:
            return None
        first, width = group.members[0], len(group.members)
        own = first.training(group.engine)
        on_cpu = own.device.platform == "cpu"
        if on_cpu and any("Conv" in type(e).__name__ for e in keras_parts.layers_of(first.model)):
            return "convolutions of several models are slow on a CPU"
        key = first.key(group.engine)[0], width
        left = own.given["epochs"] - own.first_epoch
        self._steps[key] += width * left * own.train.batches.steps
        if self._steps[key] < (CPU_WORTH if on_cpu else WORTH):
            return "too few steps to compile a program for several"
        if not group.pays():
            return f"together only {group.gain():.2f} times as fast"
        return None


def _outcome(fold: FoldTraining, member: GroupMember) -> Any:
    """What a training by itself came to: its result, or the exception that ended it."""
    with member.streams.inside():
        try:
            return fold.alone(member)
        except Exception as error:
            return error


def _checked(fold: FoldTraining, result: Any) -> Any:
    if not isinstance(result, Exception):
        return fold.watch.checked(result)
    if (reason := fold.watch.reason(result)) is not result:
        raise reason from result
    raise result
