"""What a worker knows of the trials of its search: which are open, which run here, which are best.

handed out ──▶ mine ──▶ ended, ranked
                │  ╲
                │   └─▶ taken: its lease was over, and another worker took it
                ▼
waits for a retry ◀── lost: its worker is gone
"""

from __future__ import annotations

import bisect
import os
import socket
import time
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from afina.errors import ArgumentError, wrong
from afina.search import Done, Wait
from afina.study.retries import comes_last, must_run_alone
from afina.study.sharing import Loss
from afina.trials import Status, Trial
from afina.trials.trial import BOOSTED, IN_QUEUE, QUEUED, RAN, WORKER, ran_text


def is_queued(trial: Trial) -> bool:
    """Whether a trial waits in the queue for its first run; see `study.queue`."""
    return (
        trial.status is Status.WAITING
        and trial.attempt == 0
        and trial.notes.get(QUEUED) == IN_QUEUE
    )


class KnownTrials:
    """The trials of a search, as one worker knows them."""

    def __init__(self) -> None:
        self.all: dict[int, Trial] = {}
        """All by number."""
        self.open: dict[int, Trial] = {}
        """Those that have not ended, of all workers."""
        self.ended: list[int] = []
        """Numbers in the order in which the trials ended."""
        self.lost: dict[int, Loss] = {}
        """Those that are running in the store, but whose worker is gone."""
        self.taken: set[int] = set()
        """Those that ran here until another worker took them over."""
        self._ranked: list[tuple[float, int]] = []  # loss and number, best first
        self._retry: list[int] = []  # last in, first out
        self._mine: set[int] = set()  # handed out here, and not ended
        self._started: dict[int, float] = {}
        self._in_order = True
        self._boosted: set[int] = set()
        self._changes = 0  # of `open`
        self._running: tuple[int, tuple[Trial, ...]] | None = None  # as of so many changes

    def best(self, count: int) -> list[Trial]:
        """The completed trials, best first."""
        return [self.all[number] for _, number in self._ranked[:count]]

    @property
    def running(self) -> tuple[Trial, ...]:
        """Those that were handed out, by any worker, and have not ended."""
        # Whoever shows a search asks without its lock, so that it may change meanwhile.
        changes, known = self._changes, self._running
        if known is None or known[0] != changes:
            trials = (self.open[number] for number in sorted(self.open))
            known = changes, tuple(trial for trial in trials if not is_queued(trial))
            self._running = known
        return known[1]

    @property
    def running_by_plan(self) -> tuple[Trial, ...]:
        """Those of `running` that do not train others for longer: what the algorithm knows of."""
        if not self._boosted:
            return self.running
        return tuple(trial for trial in self.running if trial.number not in self._boosted)

    @property
    def others(self) -> dict[int, Trial]:
        """Those that run elsewhere, as far as it is known here."""
        here = self._mine | set(self.lost)
        return {
            number: trial
            for number, trial in self.open.items()
            if trial.status is Status.RUNNING and number not in here
        }

    @property
    def mine(self) -> frozenset[int]:
        """Numbers of those that were handed out here and have not ended."""
        return frozenset(self._mine)

    def waiting(self, paused: Collection[int] = ()) -> Trial | None:
        """The next trial to run again; None if no trial waits but that of `last_chance`.

        Args:
            paused: Numbers of those that people have paused: nobody takes them.
        """
        last = self.last_chance(paused)
        for number in reversed(self._retry):
            if number in paused or is_queued(self.all[number]):
                continue
            if last is None or number != last.number:
                return self.all[number]
        return None

    @property
    def some_wait(self) -> bool:
        """Whether trials wait, to be run again or for their first run."""
        return bool(self._retry)

    @property
    def queued(self) -> list[Trial]:
        """Those that wait in the queue for their first run, in their order."""
        return [self.all[n] for n in sorted(self._retry) if is_queued(self.all[n])]

    def last_chance(self, paused: Collection[int] = ()) -> Trial | None:
        """A trial that waits until there is nothing else to do; see `study.retries`."""
        free = (self.all[number] for number in self._retry if number not in paused)
        return min(filter(comes_last, free), key=lambda trial: trial.number, default=None)

    def has_ended(self, number: int) -> bool:
        """Whether a trial is known to have ended."""
        return number in self.all and number not in self.open

    @property
    def by_plan(self) -> int:
        """How many trials have begun, without those that train others for longer."""
        return len(self.all) - len(self._boosted) - len(self.queued)

    def over(self, reason: str, paused: Collection[int]) -> Wait | Done:
        """The answer of a turn when a limit lets no trial begin.

        Args:
            reason: The limit, as a sentence's end.
            paused: Numbers of the trials that people have paused.
        """
        at_work = any(not self._rests(number, paused) for number in self.open)
        return Wait() if at_work else self.without_paused(Done(reason), paused)

    def without_paused(self, answer: Wait | Done, paused: Collection[int]) -> Wait | Done:
        """The answer of a turn without a trial: a search does not wait for paused trials alone,
        nor for those that a limit keeps in the queue.

        Args:
            answer: As it would be otherwise.
            paused: Numbers of the trials that people have paused.
        """
        resting = [number for number in sorted(self.open) if self._rests(number, paused)]
        if not resting or (isinstance(answer, Wait) and len(resting) < len(self.open)):
            return answer
        queued = [number for number in resting if is_queued(self.open[number])]
        held = [number for number in resting if number not in queued]
        left = f"; still in the queue: {_named(queued)}" if queued else ""
        if isinstance(answer, Done):
            return Done(answer.reason + (f"; paused: {_named(held)}" if held else "") + left)
        return Done(f"only paused trials are left: {_named(held)}{left}")

    def _rests(self, number: int, paused: Collection[int]) -> bool:
        trial = self.open[number]
        return is_queued(trial) or (number in paused and trial.status is Status.WAITING)

    def open_trial(self, what: str, trial: Any) -> Trial:
        """An open trial as it stands now.

        Args:
            what: The method that got it, for the message.
            trial: As it was handed out.

        Raises:
            ArgumentError: It was not handed out, or has ended.
        """
        rule = "must get a trial that was handed out and has not ended"
        if not isinstance(trial, Trial):
            raise ArgumentError(wrong(what, rule, trial))
        if trial.number not in self.open:
            known = trial.number in self.all
            got = f"trial {trial.number}, which has been told already" if known else trial
            raise ArgumentError(wrong(what, rule, got))
        return self.open[trial.number]

    def must_wait(self) -> bool:
        """Whether the next trial, or one that runs here, must run alone; see `study.retries`."""
        mine = [self.open[number] for number in self._mine if number in self.open]
        running = [trial for trial in mine if trial.status is Status.RUNNING]
        if not running:
            return False
        following = self.waiting()
        return any(map(must_run_alone, running if following is None else [*running, following]))

    def seconds(self, number: int) -> float:
        """How long a trial has been running here, by now."""
        begun = self._started.get(number)
        return 0.0 if begun is None else time.monotonic() - begun

    def ran(self, trial: Trial) -> dict[str, str]:
        """The note of a trial that ends now: when and where it ran; nothing where that was not
        here."""
        if trial.number not in self._started:
            return {}
        now, where = time.time(), trial.notes.get(WORKER) or this_process()
        return {RAN: ran_text(now - self.seconds(trial.number), now, where)}

    # -- changing -----------------------------------------------------------------------------

    def take_on(self, trial: Trial) -> Trial:
        """Remembers that a trial runs here."""
        self._leave_queue(trial.number)
        self.taken.discard(trial.number)
        self._mine.add(trial.number)
        self.start_clock(trial.number)
        return self.write(trial)

    def start_clock(self, number: int) -> None:
        """Counts the seconds of a trial that runs here from now on."""
        self._started[number] = time.monotonic()

    def write(self, trial: Trial) -> Trial:
        """Remembers an open trial in another form."""
        self._put(trial)
        self.open[trial.number] = trial
        self._changes += 1
        return trial

    def _put(self, trial: Trial) -> None:
        if trial.number not in self.all and self.all:
            self._in_order &= trial.number > next(reversed(self.all))
        self.all[trial.number] = trial
        if BOOSTED in trial.notes:
            self._boosted.add(trial.number)

    def put_back(self, trial: Trial) -> None:
        """Remembers that a trial waits to be run again."""
        self.write(trial)
        self.forget(trial.number)
        if trial.number not in self._retry:
            self._retry.append(trial.number)

    def end(self, trial: Trial) -> None:
        """Remembers that a trial has ended."""
        number = trial.number
        self._leave_queue(number)  # where its result has come from elsewhere
        self._put(trial)
        self.open.pop(number, None)
        self._changes += 1
        self.ended.append(number)
        self.forget(number)
        if trial.loss is not None:
            bisect.insort(self._ranked, (trial.loss, number))

    def forget(self, number: int) -> None:
        """Remembers that a trial does not run here any more."""
        self._started.pop(number, None)
        self._mine.discard(number)

    def lose(self, trial: Trial, loss: Loss) -> None:
        """Remembers that a trial's worker is gone: its number and values stay."""
        self._leave_queue(trial.number)
        self.write(replace(trial, status=Status.WAITING))
        self._retry.insert(0, trial.number)
        self.lost[trial.number] = loss

    def found(self, number: int) -> None:
        """Remembers that the worker of a lost trial runs it after all."""
        self._leave_queue(number)
        self.write(replace(self.open[number], status=Status.RUNNING))

    def wait(self, trial: Trial) -> None:
        """Remembers a trial that waited when the search was opened."""
        self.write(trial)
        self._retry.insert(0, trial.number)

    def see(self, trial: Trial, *, mine: bool) -> bool:
        """Takes in what a worker has written; an ended trial is taken in by `end` besides.

        Args:
            trial: As it is in the store.
            mine: Whether this worker is said to run it.

        Returns:
            Whether that was new.
        """
        number = trial.number
        if number in self._mine:
            if mine:
                return False
            self.taken.add(number)
            self._mine.discard(number)
        self._leave_queue(number)
        if trial.status.finished:
            self._put(trial)
            return True
        self.write(trial)
        if trial.status is Status.WAITING:
            self._retry.append(number)
        elif mine:  # its writing ended in an error after all
            self.lose(trial, Loss("", died=False))
        return True

    def sort(self) -> None:
        """Puts the trials into the order of their numbers, unless they are in it."""
        if not self._in_order:
            self.all = dict(sorted(self.all.items()))
            self._in_order = True

    def _leave_queue(self, number: int) -> None:
        self.lost.pop(number, None)
        if number in self._retry:
            self._retry.remove(number)


def this_process() -> str:
    """What people call this process."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def _named(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:8])) + (" ..." if len(numbers) > 8 else "")
    return f"trial{'s' * (len(numbers) > 1)} {shown}"
