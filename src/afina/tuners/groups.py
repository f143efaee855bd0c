"""Trials that are trained together: the models of one program, an epoch of all in one call.

A batch of trials is asked for at once. Each runs in a thread of its own, so that building, hooks,
repeated executions and failures are as ever; but the threads take turns, in the order of the
trials: one goes on until its model is to be trained, or until it ends. When all wait to be trained,
their trainings are sorted into groups of the same program and the same epochs, and trained. Nothing
runs side by side, so a batch does the same whenever it is run.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from afina import training
from afina.errors import ArgumentError, check_whole, wrong
from afina.run import Serial, Signal, Threads
from afina.training.fused import CannotFuseError
from afina.training.fused.group import WORTH, Group, alike
from afina.training.fused.member import GroupMember
from afina.trials import first_line
from afina.tuners.trial import Trial
from afina.tuners.workers import (
    accelerators,
    default_device,
    on_device,
    settings_here,
    streams_and_session_kept,
)

MOST = 8
"""Trials that "auto" trains together at most, by reasoning: each has its state several times over
in the device's memory, and all wait for the callbacks of all."""

NOTE = "group"
"""Where the notes of a trial tell whether it was trained together with others, or why not."""


def check_group_trials(group_trials: Any, workers: Any) -> None:
    """Raises ArgumentError for what is neither "auto" nor a whole number from 1 up, and for groups
    beside several workers."""
    if group_trials == "auto":
        return
    check_whole("group_trials", group_trials, rule='must be "auto" or a whole number from 1 up')
    if group_trials > 1 and workers not in ("auto", 1):
        rule = f'must be 1 or "auto" where group_trials is {group_trials}'
        raise ArgumentError(wrong("workers", rule, workers, "Groups are trained by one worker."))


def count_together(group_trials: Any, workers: Any, *, why_one: Callable[[], str | None]) -> int:
    """How many trials are asked for at once, to be trained together.

    Args:
        group_trials: As the user gave it.
        workers: As the user gave it.
        why_one: Says why "auto" means one here; None if there is no reason.
    """
    if group_trials != "auto":
        return int(group_trials)
    # On a CPU next to nothing is gained; of several GPUs each has a worker.
    if workers not in ("auto", 1) or len(accelerators()) != 1:
        return 1
    return 1 if why_one() is not None else MOST


class Groups:
    """Runs the trials of one search, batch by batch.

    Args:
        trainer: Trains those that are trained alone.
        most: How many trials are asked for at once.
        forced: Whether all are trained together that can be; else only where enough steps are seen
            for a program to be worth compiling, and a measurement tells that it pays.
        why_not: Why none can be, as far as it is known before any trial: then they run one by one.
    """

    def __init__(
        self,
        trainer: training.TrainerChooser,
        most: int,
        *,
        forced: bool,
        why_not: str | None = None,
    ) -> None:
        self.trainer = trainer
        self.most = most if why_not is None else 1
        self.forced = forced
        self.why_not = why_not or "no other trial to train it with"
        self._batch: _Batch | None = None
        self._steps: Counter[Any] = Counter()  # seen so far, of each group's program

    def run(
        self, next_trial: Callable[[], Trial | Signal], run_one: Callable[[Trial], None]
    ) -> None:
        """Returns when there are no more trials and all have ended.

        Args:
            next_trial: Hands out a trial.
            run_one: Runs a trial from its beginning to its end.
        """

        def next_batch() -> list[Trial] | Signal:
            trials: list[Trial] = []
            while len(trials) < self.most:
                answer = next_trial()
                if isinstance(answer, Signal):
                    return trials or answer
                trials.append(answer)
            return trials

        def work(trials: list[Trial]) -> None:
            if len(trials) == 1:
                trials[0].notes[NOTE] = f"alone: {self.why_not}"
                run_one(trials[0])
                return
            self._batch = _Batch(trials, self._train)
            try:
                self._batch.run(run_one)
            finally:
                self._batch = None
            training.release(programs=False)  # the first that ended could not: others were there

        with streams_and_session_kept():
            Serial().run(next_batch, work)

    def fit(
        self,
        model: Any,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        account: training.Account,
    ) -> Any:
        """Does what `TrainerChooser.fit` does, together with others of the batch if it can be."""
        seat = None if self._batch is None else self._batch.mine
        if self._batch is None or seat is None:
            return self.trainer.fit(model, args, kwargs, account)
        began = time.perf_counter()
        member = GroupMember(model, args, kwargs, account=account)
        self._batch.wait(seat, member)
        member.streams.write()
        # Not this training's: what lay between, and the others' equal parts of what was done.
        account.fit -= time.perf_counter() - began - seat.spent
        result, seat.result = seat.result, None
        if result is None:
            return self.trainer.fit(model, args, kwargs, account)
        account.path = "fused"
        if isinstance(result, Exception):
            raise result
        return result

    # -- the groups of a batch --------------------------------------------------------------------

    def _train(self, seats: Sequence[_Seat]) -> None:
        """Trains those of the batch that can be trained together; tells the others why not."""
        engine, able = self.trainer.engine, {}
        for seat in seats:
            member, seat.spent = seat.member, 0.0
            assert member is not None, "it waits to be trained"
            try:
                key = member.key(engine)
            except CannotFuseError:
                seat.tell("alone: it is not fused")
            except Exception:  # which it will raise again alone
                seat.tell("alone: its training cannot be prepared")
            else:
                able[id(member)] = seat
                if key is None:
                    seat.tell("alone: not made of Keras' own parts only, or the data do not fit")
                else:
                    seat.tell("alone: no other of its program and epochs")
        members = [seat.member for seat in able.values() if seat.member is not None]
        for sort in alike(engine, members):
            epochs: dict[Any, list[_Seat]] = {}
            for member in sort:
                own = member.training(engine)
                span = own.first_epoch, own.given["epochs"]
                epochs.setdefault(span, []).append(able[id(member)])
            for group in epochs.values():
                if len(group) > 1:
                    self._train_group(group)

    def _train_group(self, seats: Sequence[_Seat]) -> None:
        began, width = time.perf_counter(), len(seats)
        try:
            group = Group(self.trainer.engine, [s.member for s in seats if s.member is not None])
            reason = None if self.forced else self._why_apart(group)
            results = [None] * width if reason is not None else group.run()
        except Exception as error:  # it cannot be traced for so many, or there is no memory for it
            results = [None] * width
            reason = first_line(error)
        else:
            if group.failure is not None:
                reason = f"begun with {width} together, but {group.failure}"
        for seat, result in zip(seats, results, strict=True):
            seat.result = result
            seat.spent = (time.perf_counter() - began) / width
            seat.tell(f"{width} together" if reason is None else f"alone: {reason}")

    def _why_apart(self, group: Group) -> str | None:
        """Why these are better trained one by one; None if it pays to train them together."""
        first, width = group.members[0], len(group.members)
        own = first.training(group.engine)
        key = first.key(group.engine)[0], width
        left = own.given["epochs"] - own.first_epoch
        self._steps[key] += width * left * own.train.batches.steps
        if self._steps[key] < WORTH:
            return "too few steps to compile a program for several"
        if not group.pays():
            return f"together only {group.gain():.2f} times as fast"
        return None


@dataclass(eq=False)
class _Seat:
    """A trial of a batch."""

    trial: Trial
    state: Literal["ready", "waits", "ended"] = "ready"
    """Whether it can go on, waits to be trained, or is through."""

    member: GroupMember | None = None
    """What is to be trained."""

    result: Any = None
    """What training it together with others gave; None if it is to be trained alone."""

    spent: float = 0.0
    """Seconds, its part of what the group took."""

    def tell(self, note: str) -> None:
        """Puts it into the trial's notes."""
        self.trial.notes[NOTE] = note


class _Batch:
    """Trials in threads that take turns.

    Args:
        trials: At least two.
        train: Called when all that have not ended wait to be trained.
    """

    def __init__(self, trials: Sequence[Trial], train: Callable[[Sequence[_Seat]], None]) -> None:
        self._seats = [_Seat(trial) for trial in trials]
        self._train = train
        self._here = threading.local()
        self._change = threading.Condition()  # guards and tells of what follows
        self._taken = 0  # seats that have a thread
        self._turn: _Seat | None = None
        self._stopped = False

    @property
    def mine(self) -> _Seat | None:
        """The seat of the calling thread; None for other threads than the batch's."""
        return getattr(self._here, "seat", None)

    def run(self, run_one: Callable[[Trial], None]) -> None:
        """Returns when all trials have ended; raises what the first raised that ended the search.

        Args:
            run_one: Runs a trial from its beginning to its end.
        """
        seats, take_settings, device = iter(self._seats), settings_here(), default_device()

        def work(seat: _Seat) -> None:
            self._here.seat = seat
            try:
                self._sit_down(seat)
                take_settings()
                with on_device(device):
                    run_one(seat.trial)
            except Exception:  # the others come to their ends
                raise
            except BaseException:
                self._stop()
                raise
            finally:
                self._pass_on(seat, "ended")

        Threads(len(self._seats), stop=self._stop).run(lambda: next(seats, Signal.STOP), work)

    def wait(self, seat: _Seat, member: GroupMember) -> None:
        """Returns when the training has been done, or is to be done alone."""
        seat.member = member
        try:
            self._pass_on(seat, "waits")
            self._wait_for_turn(seat)
        finally:
            seat.member = None

    def _sit_down(self, seat: _Seat) -> None:
        # Nobody begins before all threads are there: an error would keep the others from coming.
        with self._change:
            self._taken += 1
            if self._taken == len(self._seats):
                self._give_turn()
        self._wait_for_turn(seat)

    def _wait_for_turn(self, seat: _Seat) -> None:
        with self._change:
            self._change.wait_for(lambda: self._turn is seat or self._stopped)
            if self._stopped:
                raise KeyboardInterrupt

    def _pass_on(self, seat: _Seat, state: Literal["waits", "ended"]) -> None:
        """Lets the next go on; if none can, trains them first."""
        with self._change:
            seat.state = state
            if self._stopped or self._give_turn():
                return
            waiting = [seat for seat in self._seats if seat.state == "waits"]
        if not waiting:
            return
        try:
            self._train(waiting)
        except BaseException:  # Ctrl-C, most likely
            self._stop()
            raise
        with self._change:
            for each in waiting:
                each.state = "ready"
            self._give_turn()

    def _give_turn(self) -> bool:
        """Gives the turn to the first that can go on; whether there is one."""
        self._turn = next((seat for seat in self._seats if seat.state == "ready"), None)
        self._change.notify_all()
        return self._turn is not None

    def _stop(self) -> None:
        """Ends all that wait."""
        with self._change:
            self._stopped = True
            self._change.notify_all()
