"""Where a running search stands: a frozen value, replaced after each event.

Displays draw it. Because it never changes, one thread may draw it while another computes the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from afina.progress.events import (
    EpochEnded,
    Event,
    OthersEnded,
    SearchEnded,
    SearchStarted,
    TrialEnded,
    TrialStarted,
)
from afina.progress.pace import Pace, planned_epochs
from afina.space import Value
from afina.trials import MultiObjective, Objective, Status, Trial


@dataclass(frozen=True, slots=True)
class Running:
    """A trial that is being trained."""

    start: TrialStarted

    began: float
    """On the display's clock, in seconds."""

    epoch: EpochEnded | None = None
    """The last epoch that it reported."""

    epochs_seen: int = 0
    """How many epochs it reported, over all executions."""

    @property
    def epochs(self) -> int | None:
        """Epochs of one execution; None if unknown."""
        said = self.epoch.epochs if self.epoch is not None else None
        return said if said is not None else self.start.epochs

    @property
    def values(self) -> Mapping[str, Value]:
        """The hyperparameters, without the keys that Keras Tuner's users see among them."""
        return self.start.trial.values or self.start.values


@dataclass(frozen=True, slots=True)
class Ended:
    """A trial that has just ended."""

    trial: Trial
    label: str
    seconds: float
    """Time from its start to its end, on the display's clock."""

    is_best: bool
    """Whether it beat all trials before it."""


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """Everything that displays show."""

    objective: Objective
    began: float = 0.0
    """When the search started, on the display's clock, in seconds."""

    before: float = 0.0
    """Seconds that earlier calls of `search` took."""

    total: int | None = None
    """How many trials there will be; None if unknown."""

    done: int = 0
    """Finished trials, including those of earlier calls."""

    here: int = 0
    """Finished trials of this call."""

    failed: int = 0
    """Failed trials of this call."""

    pace: Pace = field(default_factory=Pace)
    """How long the trials of this call took."""

    total_epochs: int | None = None
    """Epochs that all trials will train together; None if the algorithm does not set them."""

    done_epochs: int = 0
    """Those that finished trials trained, including trials of earlier calls."""

    best: float | None = None
    best_label: str | None = None
    """Label of the trial with the best score; None if an earlier call ran it."""

    best_values: Mapping[str, Value] | None = None
    front: tuple[Ended, ...] = ()
    """The Pareto front, if there are several objectives. Then there is no best trial."""

    running: Mapping[int, Running] = field(default_factory=dict)
    """By the trial's number, in the order in which they started."""

    last: Ended | None = None
    reason: str | None = None
    """Why the search ended; None while it runs."""

    def after(self, event: Event, now: float) -> SearchProgress:
        """The progress after an event that happens at `now`, on the display's clock."""
        match event:
            case SearchStarted():
                return SearchProgress(
                    front=self._front_of(event.front),
                    objective=self.objective,
                    began=now,
                    before=event.elapsed,
                    total=event.total,
                    done=event.done,
                    total_epochs=event.total_epochs,
                    done_epochs=event.done_epochs,
                    best=None if self.several else event.best,
                )
            case TrialStarted():
                running = dict(self.running)
                running.pop(event.trial.number, None)  # a retry becomes the newest one
                running[event.trial.number] = Running(event, now)
                best = self.best_values if event.best_values is None else event.best_values
                best = None if self.several else best
                total = self.total
                if total is not None and event.total is not None:
                    total = max(total, event.total)  # a grid grows with its space
                return replace(self, running=running, best_values=best, total=total)
            case EpochEnded():
                return self._after_epoch(event)
            case TrialEnded():
                return self._after_trial(event, now)
            case OthersEnded():
                return self._after_others(event)
            case SearchEnded():
                known = event.best is None or self.several
                best_score = self.best if known else event.best
                return replace(self, reason=event.reason, best=best_score)
            case _:
                return self

    def _after_epoch(self, event: EpochEnded) -> SearchProgress:
        mine = self.running.get(event.number)
        if mine is None:
            return self
        mine = replace(mine, epoch=event, epochs_seen=mine.epochs_seen + 1)
        return replace(self, running={**self.running, event.number: mine})

    def _after_trial(self, event: TrialEnded, now: float) -> SearchProgress:
        trial = event.trial
        mine = self.running.get(trial.number)
        seconds = trial.seconds if mine is None else now - mine.began
        label = str(trial.number) if event.label is None else event.label
        if mine is not None:
            label = mine.start.label
        score = trial.score if trial.status is Status.COMPLETED else None
        if self.several:
            front = self._joined(Ended(trial, label, seconds, True))
            is_best = front is not self.front
        else:
            front = self.front
            is_best = score is not None and (
                self.best is None or self.objective.better_than(score, self.best)
            )
        rest = {number: other for number, other in self.running.items() if number != trial.number}
        last = Ended(trial, label, seconds, is_best)
        progress = replace(self, running=rest, last=last, front=front)
        if is_best and not self.several:
            progress = replace(progress, best=score, best_label=label, best_values=trial.values)
        if not trial.status.finished:
            return progress
        return replace(
            progress,
            done=self.done + 1,
            here=self.here + 1,
            failed=self.failed + (trial.status is Status.FAILED),
            pace=self.pace.after(planned_epochs(trial), seconds),
            done_epochs=self.done_epochs + planned_epochs(trial),
        )

    def _after_others(self, event: OthersEnded) -> SearchProgress:
        progress = replace(self, done=event.done)
        if self.several:
            return replace(progress, front=self._front_of(event.front))
        if event.best is None:
            return progress
        label = str(event.best.number) if event.label is None else event.label
        return replace(
            progress, best=event.best.score, best_label=label, best_values=event.best.values
        )

    @property
    def several(self) -> bool:
        """Whether there are several objectives: then there is a front, and no best trial."""
        return isinstance(self.objective, MultiObjective)

    def losses_of(self, trial: Trial) -> tuple[float, ...]:
        """The trial's loss in each of several objectives; lower is better."""
        done = trial.status is Status.COMPLETED
        return self.objective.losses(trial.metrics) if done else ()

    def _front_of(self, trials: tuple[Trial, ...]) -> tuple[Ended, ...]:
        """The front of earlier calls, labelled by the trials' numbers in the store."""
        known = [trial for trial in trials if self.several and self.losses_of(trial)]
        return tuple(Ended(trial, str(trial.number), trial.seconds, True) for trial in known)

    def _joined(self, ended: Ended) -> tuple[Ended, ...]:
        """The front with one more trial; the same object if another trial dominates it."""
        mine = self.losses_of(ended.trial)
        if not mine:
            return self.front
        rows = [(each, self.losses_of(each.trial)) for each in self.front]
        if any(_dominates(losses, mine) for _, losses in rows):
            return self.front
        return (*(each for each, losses in rows if not _dominates(mine, losses)), ended)

    def elapsed(self, now: float) -> float:
        """Seconds since the search started, including earlier calls."""
        return self.before + now - self.began

    def seconds_left(self, now: float) -> float | None:
        """An estimate from the times of this call's trials.

        None before the first trial has ended, or if the number of trials is unknown.
        """
        if self.total is None or not self.here:
            return None
        epochs = 0 if self.total_epochs is None else self.total_epochs - self.done_epochs
        left = self.pace.left(self.total - self.done, epochs)
        if self.total_epochs is None:  # trials differ in nothing that is known
            left = self.pace.seconds / self.here * max(self.total - self.done, 0)
        for mine in self.running.values():
            whole = self.pace.of_one(planned_epochs(mine.start.trial))
            left -= min(now - mine.began, whole)
        return max(left, 0.0) / max(len(self.running), 1)

    def newest(self, count: int) -> list[Running]:
        """The `count` running trials that started last, in the order in which they started."""
        return list(self.running.values())[-count:] if count > 0 else []


def _dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    """Whether the losses `a` are nowhere worse than `b`, and somewhere better."""
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))
