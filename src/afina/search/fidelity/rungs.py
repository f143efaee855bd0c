"""The rungs of a single bracket: how far each training has come, and which ones may continue."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from afina.search.base import Suggestion
from afina.search.explorer import dividing
from afina.search.observation import Observation
from afina.search.untried import NOTHING_TRIED, TriedKeys, keys_of
from afina.space import Space, Value
from afina.surrogates.geometry import Values
from afina.trials import Schedule, Status, Trial

# How many trainings are drawn without a model before the model takes over.
MODEL_FROM = 10
# A rung shows nothing but chance, as in a warm-up, if the middle half of its losses differs by less
# than this part of what a later rung gains. At least so many trainings are needed to see it.
ASLEEP = 0.01
FEWEST_ASLEEP = 4
# So many epochs that are equal to the last digit are no coincidence.
ALIKE = 2


@dataclass(frozen=True, slots=True)
class Segment:
    """One finished part of a training, from one rung to another: the work of one trial."""

    number: int
    """The trial's number."""

    root: int
    """The number of the trial that started the training; the same in all its segments."""

    parent: int | None
    """The number of the trial that it continued; None for the first segment."""

    rung: int
    """The rung that it was meant to reach; -1 below the lowest."""

    epochs: int
    """How many epochs the training had done in all when the segment ended."""

    values: Values
    """The trial's values, in its order."""

    loss: float | None
    """The lowest loss since the training started; None if this segment failed."""

    losses: tuple[float, ...]
    """This segment's losses of several objectives; empty if there is one objective."""

    curve: tuple[float, ...]
    """The loss after each epoch since the training started, as far as it is known."""

    whole: bool
    """Whether it was trained as far as planned; False if it failed or was stopped early."""

    seconds: float = 0.0
    """Wall time of this segment; 0 if it is not known."""


@dataclass(frozen=True, slots=True)
class RungHistory:
    """All finished segments of trainings; immutable."""

    segments: tuple[Segment, ...] = ()
    """In the order in which they finished."""

    tried: TriedKeys = NOTHING_TRIED
    """Keys of their configurations."""

    roots: tuple[str, ...] = ()
    """Names of the choices whose values are branches; see `afina.search.explorer`."""

    def add(self, trial: Trial, space: Space, ends: Sequence[int]) -> RungHistory:
        """With one more finished trial.

        Args:
            trial: Completed or failed. A trial without a schedule was trained in full.
            space: As known after the trial.
            ends: Epochs at the end of each rung.
        """
        before = self._segment(trial.parent)
        planned = ends[-1] if trial.end_epoch is None else trial.end_epoch
        done = min(trial.start_epoch + len(trial.curve), planned) if trial.curve else planned
        # If only every other epoch is validated, the last report comes before the end.
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
            seconds=trial.seconds,
        )
        tried, roots = self.tried.add(keys_of(trial, space)), dividing(space)
        return RungHistory((*self.segments, segment), tried, tuple(root.name for root in roots))

    def _segment(self, number: int | None) -> Segment | None:
        if number is None:
            return None
        return next((s for s in reversed(self.segments) if s.number == number), None)

    def curve_of(self, number: int | None) -> tuple[float, ...]:
        """The curve of a training at the end of a trial, as far as it is known."""
        segment = self._segment(number)
        return () if segment is None else segment.curve

    def latest(self) -> list[Segment]:
        """The last segment of each training, in the order of their first segments."""
        last: dict[int, Segment] = {}
        for segment in self.segments:
            last[segment.root] = segment
        return list(last.values())

    def full_curves(self, trial: Trial, epochs: int) -> list[list[tuple[float, ...]]]:
        """Curves of full trainings by which a trial's training may be judged.

        Trainings of one branch may be faster than those of another. So there is a list for each
        root, of the trainings in the trial's branch; a space without branches has one list of all.
        """
        full = [each for each in self.segments if each.whole and each.epochs == epochs]
        if not self.roots:
            return [[segment.curve for segment in full]]
        return [
            [each.curve for each in full if dict(each.values).get(root) == trial.values.get(root)]
            for root in self.roots
        ]

    def paused(self, running: Sequence[Trial], top: int) -> list[Segment]:
        """The trainings below rung `top` that can continue: not failed, stopped or running."""
        continued = {trial.parent for trial in running}
        return [
            segment
            for segment in self.latest()
            if segment.whole and 0 <= segment.rung < top and segment.number not in continued
        ]

    def twins(self) -> list[list[Segment]]:
        """Groups of trainings whose curves are equal to the last digit.

        At least two epochs are compared, and all that both trainings have. In each group the
        training with the most epochs comes first, then the oldest. Rungs below `lowest_telling` do
        not count: there all trainings may be alike.
        """
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
        """The lowest rung whose results distinguish configurations, as far as is known."""
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

    def first_results(self, lowest: int) -> dict[int, Observation]:
        """What each training showed first, by the number of the trial that started it.

        Args:
            lowest: From `lowest_telling`; what was trained less has not shown anything.
        """
        found: dict[int, Observation] = {}
        for segment in self.segments:
            if segment.root not in found and tells(segment, lowest):
                found[segment.root] = Observation(
                    segment.values, segment.loss, segment.losses, len(found)
                )
        return found

    def best(self) -> float:
        """The lowest loss of all; infinite if there is none."""
        return min((s.loss for s in self.segments if s.loss is not None), default=math.inf)


def _interval(curve: Sequence[float]) -> int:
    """The largest number of epochs between two reports."""
    reported = [-1, *(epoch for epoch, loss in enumerate(curve) if not math.isnan(loss))]
    return max((b - a for a, b in itertools.pairwise(reported)), default=1)


EMPTY = RungHistory()


def by_loss(segment: Segment) -> tuple[float, int]:
    """Sorts the best first and failed segments last."""
    return math.inf if segment.loss is None else segment.loss, segment.number


def is_fresh(trial: Trial) -> bool:
    """Whether the trial starts a training; its build may then discover new entries."""
    return trial.parent is None


def fresh_count(history: RungHistory, running: Sequence[Trial]) -> int:
    """How many trainings have started."""
    return len({segment.root for segment in history.segments}) + sum(map(is_fresh, running))


def enough(history: RungHistory, trainings: int = MODEL_FROM) -> bool:
    """Whether a model can learn from the results: so many trainings, and at least two results."""
    results = sum(segment.loss is not None for segment in history.segments)
    return fresh_count(history, ()) >= trainings and results >= 2


def tells(segment: Segment, lowest: int) -> bool:
    """Whether a segment is informative, if rungs below `lowest` only show failures."""
    return lowest == 0 or segment.rung >= lowest or segment.loss is None


def reached_count(history: RungHistory, running: Sequence[Trial], rung: int) -> int:
    """How many trainings have reached a rung, have failed before it, or are about to reach it."""
    roots = {segment.number: segment.root for segment in history.segments}
    reached = {segment.root for segment in history.segments if tells(segment, rung)}
    soon = [t for t in running if t.schedule is None or t.schedule.rung >= rung]
    parents = [t.number if t.parent is None else t.parent for t in soon]
    return len(reached | {roots.get(number, number) for number in parents})


def begun(values: dict[str, Value], ends: Sequence[int], rung: int = 0) -> Suggestion:
    """A new training up to the end of a rung."""
    schedule = Schedule(bracket=len(ends) - 1, rung=rung, start_epoch=0, end_epoch=ends[rung])
    return Suggestion(values=values, schedule=schedule)


def resumed(segment: Segment, ends: Sequence[int], rung: int | None = None) -> Suggestion:
    """The continuation of a paused training up to the end of a rung; None means the next rung."""
    target = segment.rung + 1 if rung is None else rung
    schedule = Schedule(
        bracket=len(ends) - 1,
        rung=target,
        start_epoch=segment.epochs,
        end_epoch=ends[target],
        parent=segment.number,
    )
    return Suggestion(values=dict(segment.values), schedule=schedule)
