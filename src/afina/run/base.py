"""What an executor promises, and how jobs are handed to one."""

from __future__ import annotations

import enum
import itertools
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar, runtime_checkable

Job = TypeVar("Job")


class Signal(enum.Enum):
    """What `next_job` answers when it has no job."""

    WAIT = "wait"
    """No job now: ask again when a running job has ended, or after a pause if none is running."""

    STOP = "stop"
    """No more jobs will come."""


@runtime_checkable
class Executor(Protocol):
    """Runs jobs until there are none. `afina.testing.check_executor` tests each promise.

    **Every job once.** Each job that `next_job` hands out is passed to `work` exactly once. Jobs
    need not be hashable, and two of them may be equal, or even the same object.
    **One asks at a time.** `next_job` is never called by two threads at once, but `work` may be.
    **WAIT means ask again.** A job that was taken before is run meanwhile: it may be the one that
    is waited for.
    **STOP ends the run,** as soon as the jobs that were taken have ended.
    **Nothing is swallowed.** An exception from `work` or `next_job`, Ctrl-C among them, reaches the
    caller of `run`, and no new jobs are taken after it.
    """

    def run(self, next_job: Callable[[], Job | Signal], work: Callable[[Job], None]) -> None:
        """Returns when `next_job` has answered `Signal.STOP` and every job has ended."""
        ...


class JobExecutor(Protocol[Job]):
    """An `Executor`, or one that runs a single kind of job."""

    def run(self, next_job: Callable[[], Job | Signal], work: Callable[[Job], None], /) -> None:
        """See `Executor.run`."""
        ...


class Handout(Generic[Job]):
    """Stands between a search and its executor, and keeps count of the open jobs.

    It answers WAIT instead of STOP while a job is open: that job may fail, and then be run again.
    After an exception it hands out nothing more.

    Args:
        next_job: Called with the lowest number from 0 that no open job has: the job's place.
        work: Runs a job.

    Example:
        >>> from afina.run import Serial
        >>> jobs, done = iter("ab"), []
        >>> Handout(lambda place: next(jobs, Signal.STOP), done.append).run(Serial())
        >>> done
        ['a', 'b']
    """

    def __init__(
        self, next_job: Callable[[int], Job | Signal], work: Callable[[Job], None]
    ) -> None:
        self._next_job = next_job
        self._work = work
        self._lock = threading.Lock()
        self._places: dict[int, int] = {}  # of the open jobs, by identity
        self._over = False

    def run(self, executor: JobExecutor[Job]) -> None:
        """Returns when all jobs have ended."""
        try:
            executor.run(self.take, self.work)
        finally:
            self._over = True  # for threads that the executor may have left behind

    def take(self) -> Job | Signal:
        """The next job."""
        with self._lock:
            if self._over:
                return Signal.STOP
            taken = set(self._places.values())
            place = next(number for number in itertools.count() if number not in taken)
            answer = self._next_job(place)
            if not isinstance(answer, Signal):
                self._places[id(answer)] = place
            elif answer is Signal.STOP and taken:
                return Signal.WAIT
            return answer

    def work(self, job: Job) -> None:
        """Runs a job from its beginning to its end."""
        try:
            self._work(job)
        except BaseException:
            self._over = True
            raise
        with self._lock:
            self._places.pop(id(job), None)
