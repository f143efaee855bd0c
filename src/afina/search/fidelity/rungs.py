"""What happened on the rungs of a single bracket: who was trained how far, and who may go on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from afina.search.base import Suggestion
from afina.search.untried import NOTHING_TRIED, Tried, keys_of
from afina.space import Space, Value
from afina.surrogates.geometry import Values
from afina.trials import Schedule, Status, Trial

# Trainings that are drawn without a model before one takes over.
MODEL_FROM = 10
# A rung where the middle half of the losses differs by less than this part of what a later rung
# brings has seen nothing but chance: a warm-up, or results from before any training. Of so many
# trainings at least.
ASLEEP = 0.01
FEWEST_ASLEEP = 4
# Epochs that are alike to the last digit by more than chance.
ALIKE = 2


@dataclass(frozen=True, slots=True)
class Segment:
    """One finished part of a training."""

    number: int
    """Of the trial."""

    root: int
    """Of the trial that began the training; the same in all its parts."""

    parent: int | None
    """Of the trial that it went on from; None where it began."""

    rung: int
    """The rung that it was meant to reach; -1 below the lowest."""

    epochs: int
    """Done in all when it ended."""

    values: Values
    """In the trial's order."""

    loss: float | None
    """The lowest since the training began; None where this part failed."""

    losses: tuple[float, ...]
    """Of this part, one for each objective where there are several; else empty."""

    curve: tuple[float, ...]
    """The loss after each epoch since the training began, as far as it is known."""

    whole: bool
    """Whether it was trained as far as it was meant to; False where it failed or was stopped."""


@dataclass(frozen=True, slots=True)
class RungHistory:
    """All finished parts of trainings; never changed."""

    segments: tuple[Segment, ...] = ()
    """In the order in which they ended."""

    tried: Tried = NOTHING_TRIED
    """Keys of their configurations."""

    def add(self, trial: Trial, space: Space, ends: Sequence[int]) -> RungHistory:
        """With one more finished trial.

        Args:
            trial: Completed or failed. One without a schedule was trained in full.
            space: As known after it.
            ends: Epochs at the end of each rung.
        """
        before = self._segment(trial.parent)
        planned = ends[-1] if trial.end_epoch is None else trial.end_epoch
        done = min(trial.start_epoch + len(trial.curve), planned) if trial.curve else planned
        # Where only every other epoch is validated, the last report comes before the end.
        stopped = trial.schedule is not None and planned - done >= _interval(trial.curve)
        done = done if stopped else planned
        loss = trial.loss
        if loss is not None and before is not None and before.loss is not None:
            loss = min(loss, before.loss)
        known = self.curve_of(trial.parent)
        segment = Segment(
            number=trial.number,
            root=trial.number if before is None else before.root,
            parent=trial.parent,
            rung=sum(end <= planned for end in ends) - 1,
            epochs=done,
            values=tuple(trial.values.items()),
            loss=loss,
            losses=trial.losses,
            curve=(*known, *trial.curve) if len(known) == trial.start_epoch else trial.curve,
            whole=trial.status is Status.COMPLETED and not stopped,
        )
        return RungHistory((*self.segments, segment), self.tried.add(keys_of(trial, space)))

    def _segment(self, number: int | None) -> Segment | None:
        if number is None:
            return None
        return next((s for s in reversed(self.segments) if s.number == number), None)

    def curve_of(self, number: int | None) -> tuple[float, ...]:
        """All that is known of the curve of a training at the end of a trial."""
        segment = self._segment(number)
        return () if segment is None else segment.curve

    def latest(self) -> list[Segment]:
        """The last part of each training, in the order in which the trainings first ended."""
        last: dict[int, Segment] = {}
        for segment in self.segments:
            last[segment.root] = segment
        return list(last.values())

    def paused(self, running: Sequence[Trial], top: int) -> list[Segment]:
        """The trainings below rung `top` that can go on: not failed, not stopped, not running."""
        continued = {trial.parent for trial in running}
        return [
            segment
            for segment in self.latest()
            if segment.whole and 0 <= segment.rung < top and segment.number not in continued
        ]

    def twins(self) -> list[list[Segment]]:
        """Trainings that were alike to the last digit, over all epochs that both have and two at
        least; the one that came farthest first, then the older ones. While nothing has happened
        yet all are alike, and it means nothing."""
        lowest = self.lowest_telling()
        groups: dict[tuple[float, ...], list[Segment]] = {}
        for segment in sorted(self.latest(), key=lambda segment: (-segment.epochs, segment.number)):
            if len(segment.curve) >= ALIKE and tells(segment, lowest):
                groups.setdefault(segment.curve[:ALIKE], []).append(segment)
        found = []
        for group in groups.values():
            while len(group) > 1:
                first, rest = group[0], group[1:]
                alike = [s for s in rest if first.curve[: len(s.curve)] == s.curve]
                if alike:
                    found.append([first, *alike])
                group = [segment for segment in rest if segment not in alike]
        return found

    def lowest_telling(self) -> int:
        """The lowest rung whose results tell configurations apart, as far as is known."""
        losses: dict[int, dict[int, float]] = {}
        for segment in self.segments:
            if segment.whole and segment.loss is not None and math.isfinite(segment.loss):
                losses.setdefault(segment.rung, {})[segment.root] = segment.loss
        gains: dict[int, float] = {}
        for rung, here in losses.items():
            above = losses.get(rung + 1, {})
            gone = [here[root] - loss for root, loss in above.items() if root in here]
            if gone:
                gains[rung] = float(np.median(gone))
        rung = 0
        while rung in gains and len(losses[rung]) >= FEWEST_ASLEEP:
            low, high = np.quantile(list(losses[rung].values()), [0.25, 0.75])
            if high - low >= ASLEEP * max(gain for other, gain in gains.items() if other >= rung):
                break
            rung += 1
        return rung

    def best(self) -> float:
        """The lowest loss of all; infinite where there is none."""
        return min((s.loss for s in self.segments if s.loss is not None), default=math.inf)


def _interval(curve: Sequence[float]) -> int:
    """The most epochs from one report to the next."""
    reported = [-1, *(epoch for epoch, loss in enumerate(curve) if not math.isnan(loss))]
    return max((b - a for a, b in itertools.pairwise(reported)), default=1)


EMPTY = RungHistory()


def by_loss(segment: Segment) -> tuple[float, int]:
    """Sorts the best first, and failed ones last."""
    return math.inf if segment.loss is None else segment.loss, segment.number


def is_fresh(trial: Trial) -> bool:
    """Whether it begins a training; its build may meet what no build before it has met."""
    return trial.parent is None


def fresh_count(history: RungHistory, running: Sequence[Trial]) -> int:
    """How many trainings have begun."""
    return len({segment.root for segment in history.segments}) + sum(map(is_fresh, running))


def enough(history: RungHistory, trainings: int = MODEL_FROM) -> bool:
    """Whether a model can learn from the results: so many trainings begun, two results at least."""
    results = sum(segment.loss is not None for segment in history.segments)
    return fresh_count(history, ()) >= trainings and results >= 2


def tells(segment: Segment, lowest: int) -> bool:
    """Whether something is to be learnt from it where the rungs below `lowest` tell nothing but
    that a training has failed."""
    return lowest == 0 or segment.rung >= lowest or segment.loss is None


def reached_count(history: RungHistory, running: Sequence[Trial], rung: int) -> int:
    """How many trainings have come to a rung, have failed on the way, or are about to reach it."""
    roots = {segment.number: segment.root for segment in history.segments}
    reached = {segment.root for segment in history.segments if tells(segment, rung)}
    soon = [t for t in running if t.schedule is None or t.schedule.rung >= rung]
    parents = [t.number if t.parent is None else t.parent for t in soon]
    return len(reached | {roots.get(number, number) for number in parents})


def begun(values: dict[str, Value], ends: Sequence[int], rung: int = 0) -> Suggestion:
    """A fresh training up to the end of a rung."""
    schedule = Schedule(bracket=len(ends) - 1, rung=rung, start_epoch=0, end_epoch=ends[rung])
    return Suggestion(values=values, schedule=schedule)


def resumed(segment: Segment, ends: Sequence[int], rung: int | None = None) -> Suggestion:
    """A paused training, on to the end of a rung; None takes the next one."""
    target = segment.rung + 1 if rung is None else rung
    schedule = Schedule(
        bracket=len(ends) - 1,
        rung=target,
        start_epoch=segment.epochs,
        end_epoch=ends[target],
        parent=segment.number,
    )
    return Suggestion(values=dict(segment.values), schedule=schedule)
