"""What is known of a running search: a frozen picture, and the picture after one more event.

Displays draw boards. A board is replaced, never changed, so that a thread may draw one while
another thread makes the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from afina.progress.events import (
    EpochEnded,
    Event,
    SearchEnded,
    SearchStarted,
    TrialEnded,
    TrialStarted,
)
from afina.space import Value
from afina.trials import MultiObjective, Objective, Status, Trial


@dataclass(frozen=True, slots=True)
class Running:
    """A trial that is trained now."""

    start: TrialStarted

    began: float
    """On the board's clock, in seconds."""

    epoch: EpochEnded | None = None
    """The last epoch that it reported."""

    epochs_seen: int = 0
    """How many it reported, over all executions."""

    @property
    def epochs(self) -> int | None:
        """Epochs of one execution, where known."""
        said = self.epoch.epochs if self.epoch is not None else None
        return said if said is not None else self.start.epochs

    @property
    def values(self) -> Mapping[str, Value]:
        """The hyperparameters alone, without the keys that an owner adds to them."""
        return self.start.trial.values or self.start.values


@dataclass(frozen=True, slots=True)
class Ended:
    """A trial that has just ended, with what it meant for the search."""

    trial: Trial
    label: str
    seconds: float
    """From its start on the board's clock to its end."""

    is_best: bool
    """Whether it beat all before it."""


@dataclass(frozen=True, slots=True)
class Board:
    """All that displays show."""

    objective: Objective
    began: float = 0.0
    """When the search started, on the board's clock, in seconds."""

    before: float = 0.0
    """Seconds that earlier calls of `search` took."""

    total: int | None = None
    done: int = 0
    """Trials finished, by earlier calls too."""

    here: int = 0
    """Trials finished by this call."""

    failed: int = 0
    """Trials failed in this call."""

    trial_seconds: float = 0.0
    """What the trials of this call took together."""

    best: float | None = None
    best_label: str | None = None
    """Of the trial that has the best score; None where an earlier call made it."""

    best_values: Mapping[str, Value] | None = None
    front: tuple[Ended, ...] = ()
    """With several objectives, the trials that no other one beats in every objective; there is no
    best one then."""

    running: Mapping[int, Running] = field(default_factory=dict)
    """By the trial's number, in the order in which they began."""

    last: Ended | None = None
    reason: str | None = None
    """Why the search ended; None while it goes on."""

    def after(self, event: Event, now: float) -> Board:
        """The board after one more event that happened at `now`."""
        match event:
            case SearchStarted():
                return Board(
                    front=self._front_of(event.front),
                    objective=self.objective,
                    began=now,
                    before=event.elapsed,
                    total=event.total,
                    done=event.done,
                    best=None if self.several else event.best,
                )
            case TrialStarted():
                running = dict(self.running)
                running.pop(event.trial.number, None)  # a rerun begins anew, as the newest
                running[event.trial.number] = Running(event, now)
                best = self.best_values if event.best_values is None else event.best_values
                best = None if self.several else best
                return replace(self, running=running, best_values=best)
            case EpochEnded():
                return self._after_epoch(event)
            case TrialEnded():
                return self._after_trial(event, now)
            case SearchEnded():
                known = event.best is None or self.several
                best_score = self.best if known else event.best
                return replace(self, reason=event.reason, best=best_score)
            case _:
                return self

    def _after_epoch(self, event: EpochEnded) -> Board:
        mine = self.running.get(event.number)
        if mine is None:
            return self
        mine = replace(mine, epoch=event, epochs_seen=mine.epochs_seen + 1)
        return replace(self, running={**self.running, event.number: mine})

    def _after_trial(self, event: TrialEnded, now: float) -> Board:
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
        board = replace(self, running=rest, last=last, front=front)
        if is_best and not self.several:
            board = replace(board, best=score, best_label=label, best_values=trial.values)
        if not trial.status.finished:
            return board
        return replace(
            board,
            done=self.done + 1,
            here=self.here + 1,
            failed=self.failed + (trial.status is Status.FAILED),
            trial_seconds=self.trial_seconds + seconds,
        )

    @property
    def several(self) -> bool:
        """Whether there are several objectives: a front then, and no best trial."""
        return isinstance(self.objective, MultiObjective)

    def losses_of(self, trial: Trial) -> tuple[float, ...]:
        """What the trial reached in each of several objectives, lower is better."""
        done = trial.status is Status.COMPLETED
        return self.objective.losses(trial.metrics) if done else ()

    def _front_of(self, trials: tuple[Trial, ...]) -> tuple[Ended, ...]:
        """Those that earlier calls left, under the numbers that they have in the store."""
        known = [trial for trial in trials if self.several and self.losses_of(trial)]
        return tuple(Ended(trial, str(trial.number), trial.seconds, True) for trial in known)

    def _joined(self, ended: Ended) -> tuple[Ended, ...]:
        """The front with one more trial; the very same where another trial beats it."""
        mine = self.losses_of(ended.trial)
        if not mine:
            return self.front
        rows = [(each, self.losses_of(each.trial)) for each in self.front]
        if any(_dominates(losses, mine) for _, losses in rows):
            return self.front
        return (*(each for each, losses in rows if not _dominates(mine, losses)), ended)

    def elapsed(self, now: float) -> float:
        """Seconds since the search started, earlier calls included."""
        return self.before + now - self.began

    def seconds_left(self, now: float) -> float | None:
        """An estimate from the mean time of this call's trials; None before one has ended, or
        where nobody knows how many there will be."""
        if self.total is None or not self.here:
            return None
        mean = self.trial_seconds / self.here
        spent = sum(min(now - mine.began, mean) for mine in self.running.values())
        left = mean * max(self.total - self.done, 0) - spent
        return max(left, 0.0) / max(len(self.running), 1)

    def newest(self, count: int) -> list[Running]:
        """The running trials that began last, up to `count`, in the order in which they began."""
        return list(self.running.values())[-count:] if count > 0 else []


def _dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    """Whether losses are nowhere worse and somewhere better."""
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))
