"""Several jobs at a time, each in a Python thread of this process.

Python code of the jobs takes turns. Code that releases the interpreter's lock (compiled programs,
files, waiting for another process) runs side by side.
"""

from __future__ import annotations

import contextvars
import math
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from afina.errors import check_whole
from afina.run import worker
from afina.run.base import Signal
from afina.run.serial import Serial
from afina.run.stop_request import stop_request
from afina.trials import add_note, failure_message, first_line

Job = TypeVar("Job")

# A wait without end could not be interrupted on every system.
_LONGEST_SLEEP = 0.5  # seconds


def no_surroundings(index: int) -> AbstractContextManager[Any]:
    """Puts nothing around a worker."""
    del index
    return nullcontext()


@dataclass(frozen=True)
class Threads:
    """Runs up to `workers` jobs side by side; one worker is `Serial` in the caller's own thread.

    After the first exception of a job or of `next_job`, it takes no more jobs and lets the running
    ones end. Then it raises the exception in the caller, with a note on each further one. At Ctrl-C
    it stops the running jobs: it calls `stop`, and `stopping()` is true in them. It raises
    KeyboardInterrupt when they have ended, and after `patience` seconds at the latest.

    Args:
        workers: How many jobs run at a time, from 1 up.
        around: Entered by each worker, with its index from 0, for its whole life.
        stop: Called at Ctrl-C: makes running jobs end soon. Their exceptions are ignored.
        first_pause: Seconds to sleep on WAIT while no job of this run is running; it doubles each
            time, as in `Serial`.
        longest_pause: Seconds, upper bound of a pause.
        patience: Seconds that running jobs are given at Ctrl-C.

    Raises:
        ArgumentError: `workers` is less than one.

    Example:
        >>> jobs, done = iter([1, 2, 3]), []
        >>> Threads(2).run(lambda: next(jobs, Signal.STOP), done.append)
        >>> sorted(done)
        [1, 2, 3]
    """

    workers: int
    around: Callable[[int], AbstractContextManager[Any]] = no_surroundings
    stop: Callable[[], None] | None = None
    first_pause: float = 0.01
    longest_pause: float = 1.0
    patience: float = 5.0

    def __post_init__(self) -> None:
        check_whole("workers", self.workers)

    def run(self, next_job: Callable[[], Job | Signal], work: Callable[[Job], None]) -> None:
        """Returns when every worker was answered `Signal.STOP` and has ended its job.

        A worker that gets STOP ends. The others ask again after their jobs: a job that has ended
        may have to be run again.
        """
        if self.workers == 1:
            with self.around(0):
                Serial(self.first_pause, self.longest_pause).run(next_job, work)
            return
        shift = _Shift(self, next_job, work)
        try:
            for index in range(self.workers):
                shift.start(index)
            shift.wait(math.inf)
        except BaseException:  # Ctrl-C, most likely
            shift.interrupt()
            if self.stop is not None:
                self.stop()
            shift.wait(self.patience)
            raise
        shift.raise_first_error()


def worker_index() -> int:
    """The index of the worker that the caller runs in, from 0; 0 outside of all workers."""
    here = _here.get()
    return 0 if here is None else here[1]


def stopping() -> bool:
    """Whether the search of the calling worker was interrupted. If so, end the job by raising
    `KeyboardInterrupt` and not an error: the job has not failed."""
    if worker.is_worker():
        return bool(worker.remote(worker.STOPPING))
    here = _here.get()
    return stop_request.number is not None or (here is not None and here[0].interrupted)


class _Shift(Generic[Job]):
    """One call of `run`: what its workers share."""

    def __init__(
        self,
        plan: Threads,
        next_job: Callable[[], Job | Signal],
        work: Callable[[Job], None],
    ) -> None:
        self.plan = plan
        self.next_job = next_job
        self.work = work
        self.interrupted = False
        self._turn = threading.Lock()  # held by whoever asks for a job
        self._change = threading.Condition()  # guards what follows
        self._alive = 0  # workers
        self._running = 0  # jobs
        self._ended = 0
        self._errors: list[BaseException] = []

    def start(self, index: int) -> None:
        """Lets a worker begin."""
        thread = threading.Thread(
            target=contextvars.copy_context().run,
            args=(self._serve, index),
            name=f"afina-worker-{index}",
            daemon=True,  # after Ctrl-C a job that will not end does not hold up the process
        )
        with self._change:
            self._alive += 1
        try:
            thread.start()
        except BaseException:
            if thread.ident is None:
                self._leave()
            raise

    def wait(self, seconds: float) -> None:
        """Returns when all workers have ended, or the time is up."""
        # Not `Thread.join`: broken off by Ctrl-C it takes a thread that runs on for ended.
        deadline = time.monotonic() + seconds
        with self._change:
            while self._alive and (left := deadline - time.monotonic()) > 0:
                self._change.wait(min(left, _LONGEST_SLEEP))

    def _serve(self, index: int) -> None:
        """The life of a worker."""
        _here.set((self, index))
        try:
            with self.plan.around(index):
                while not isinstance(job := self._take(), Signal):
                    try:
                        self.work(job)
                    finally:
                        del job  # a waiting worker holds on to nothing
                        self._end_job()
        except BaseException as error:
            with self._change:
                self._errors.append(error)
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._change:
            self._alive -= 1
            self._change.notify_all()

    def _end_job(self) -> None:
        with self._change:
            self._running -= 1
            self._ended += 1
            self._change.notify_all()

    @property
    def _over(self) -> bool:
        return self.interrupted or bool(self._errors)

    def _take(self) -> Job | Signal:
        """The next job; STOP when this worker gets no more."""
        pause = self.plan.first_pause
        while True:
            with self._turn:
                with self._change:
                    if self._over:
                        return Signal.STOP
                    ended = self._ended
                answer = self.next_job()
                if not isinstance(answer, Signal):
                    with self._change:
                        if self.interrupted:
                            return Signal.STOP
                        self._running += 1
                    return answer
            if answer is Signal.STOP:
                return answer
            with self._change:
                if self._running:
                    self._change.wait_for(lambda: self._over or self._ended != ended)  # noqa: B023
                elif self._ended == ended and not self._over:
                    self._change.wait(pause)
                    pause = min(2 * pause, self.plan.longest_pause)

    def interrupt(self) -> None:
        """Hands out nothing more, and makes `stopping()` true in the workers."""
        with self._change:
            self.interrupted = True
            self._change.notify_all()

    def raise_first_error(self) -> None:
        """Raises what ended the run before its time, if anything did."""
        if not self._errors:
            return
        first, *others = self._errors
        for other in others:
            if type(other) is type(first) and first_line(other) == first_line(first):
                continue  # one cause, met by each
            text = failure_message(other).rstrip()
            add_note(first, f"\nAnother worker failed, too:\n{text}")
        raise first


_here: contextvars.ContextVar[tuple[_Shift[Any], int] | None] = contextvars.ContextVar(
    "afina_worker", default=None
)
