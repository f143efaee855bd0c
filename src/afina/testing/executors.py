"""What every executor must keep, as checks that anybody can run on their own.

    from afina.testing import check_executor

    def test_my_executor_keeps_what_executors_promise():
        check_executor(MyExecutor)

Each check is a function of its own, takes an executor, and fails with a sentence;
`EXECUTOR_CHECKS` lists them, `check_executor` runs them all.

The jobs of the checks need no other job beside them, so that an executor may run one at a time. An
executor that never returns makes a check hang: give such tests a time limit.
"""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from afina.run import Executor, Signal, stopping

Check = Callable[[Executor], None]

_JOBS = 12
_PATIENCE = 200  # questions that a check answers before it takes the executor for an endless loop


def check_executor(make_executor: Callable[[], Executor]) -> None:
    """Runs every check of this file.

    Args:
        make_executor: Makes a new executor at each call.

    Raises:
        AssertionError: A promise is broken; the message says which.
    """
    for check in EXECUTOR_CHECKS:
        check(make_executor())


class _Supply:
    """A `next_job` that hands out jobs and notes what the executor does wrong.

    Args:
        jobs: In this order. A `Signal` among them is the answer to one question.
        endless: Whether STOP comes only when the executor has asked `_PATIENCE` times.
    """

    def __init__(self, jobs: Sequence[Any], *, endless: bool = False) -> None:
        self.jobs = list(jobs)
        self.endless = endless
        self.asked = 0
        self.overlapped = False
        self._asking = threading.Lock()

    def __call__(self) -> Any:
        if not self._asking.acquire(blocking=False):
            self.overlapped = True
            return Signal.STOP
        try:
            self.asked += 1
            time.sleep(0.001)  # long enough for another thread to ask meanwhile
            if self.jobs:
                return self.jobs.pop(0)
            if self.endless and self.asked < _PATIENCE:
                return self.asked
            return self._stop()
        finally:
            self._asking.release()

    def _stop(self) -> Signal:
        if self.asked > _PATIENCE + 10:
            raise AssertionError("STOP ends a run, but it goes on asking for jobs")
        return Signal.STOP


def check_runs_every_job_once(executor: Executor) -> None:
    """Each job is run once and has ended when `run` returns, equal and unhashable jobs too."""
    jobs: list[Any] = [[number] for number in range(_JOBS)]
    jobs += [jobs[0], [0], None]
    wanted = sorted(map(repr, jobs))
    done: list[str] = []

    def work(job: Any) -> None:
        time.sleep(0.01)
        done.append(repr(job))

    executor.run(_Supply(jobs), work)
    ended = sorted(done)
    assert ended == wanted, f"each job must be run exactly once: got {ended} instead of {wanted}"


def check_asks_one_at_a_time(executor: Executor) -> None:
    """`next_job` is called by one thread at a time."""
    supply = _Supply(range(_JOBS))
    executor.run(supply, lambda job: None)
    assert not supply.overlapped, "two threads have called next_job at the same time"


def check_waits(executor: Executor) -> None:
    """After WAIT it asks again, and meanwhile runs the jobs that it has taken."""
    done: list[int] = []
    answers = [Signal.WAIT, Signal.WAIT]  # somebody else's job is waited for
    asked, given = [0], [0]

    def next_job() -> Any:
        asked[0] += 1
        assert asked[0] < _PATIENCE, "WAIT means to wait, but it keeps asking"
        if answers:
            return answers.pop()
        if len(done) == 3:
            return Signal.STOP
        if len(done) < given[0]:  # each job becomes possible when the one before has ended
            return Signal.WAIT
        given[0] += 1
        return given[0]

    def work(job: Any) -> None:
        assert not isinstance(job, Signal), f"{job} is no job, but was passed to work"
        time.sleep(0.01)
        done.append(job)

    executor.run(next_job, work)
    assert done == [1, 2, 3], f"WAIT must not end a run: got jobs {done} instead of [1, 2, 3]"


def check_stops(executor: Executor) -> None:
    """STOP ends the run, also if it is the first answer."""
    for jobs in ([], [1, 2]):
        supply, done = _Supply(jobs), list[Any]()
        executor.run(supply, done.append)
        assert sorted(map(repr, done)) == [repr(job) for job in jobs], (
            f"STOP ends a run after the jobs before it, but got {done} instead of {jobs}"
        )


def check_raises_what_a_job_raises(executor: Executor) -> None:
    """The exception of a job reaches the caller, and ends the run."""
    for error in (_CheckError("job"), SystemExit("job")):
        supply = _Supply([1], endless=True)

        def work(job: Any, error: BaseException = error) -> None:
            if job == 1:
                raise error

        _must_raise(error, executor, supply, work)
        assert supply.asked < _PATIENCE, "a job has raised, but the run went on with other jobs"


def check_raises_what_next_job_raises(executor: Executor) -> None:
    """The exception of `next_job` reaches the caller, and ends the run."""
    error, supply, asked = _CheckError("next_job"), _Supply([], endless=True), [0]

    def next_job() -> Any:
        asked[0] += 1
        if asked[0] == 2:
            raise error
        return supply()

    _must_raise(error, executor, next_job, lambda job: None)
    assert supply.asked < _PATIENCE, "next_job has raised, but the run went on with other jobs"


def check_passes_on_ctrl_c(executor: Executor) -> None:
    """Ctrl-C raises KeyboardInterrupt in the caller, and ends the run.

    It can be checked in the main thread only, where Python handles signals; elsewhere this check
    does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    supply = _Supply([1], endless=True)

    def work(job: Any) -> None:
        if job == 1:
            _press_ctrl_c()
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:  # until the caller has heard of it
            if stopping():
                raise KeyboardInterrupt
            time.sleep(0.005)

    supply.asked = _PATIENCE - 8  # a few jobs at most, as each takes its time
    with _python_handles_ctrl_c():
        try:
            executor.run(supply, work)
        except KeyboardInterrupt:
            assert supply.asked < _PATIENCE, "after Ctrl-C the run went on with other jobs"
            return
    raise AssertionError("Ctrl-C must reach the caller of run, but was swallowed")


class _CheckError(Exception):
    """Raised by the checks alone."""


def _must_raise(
    error: BaseException, executor: Executor, next_job: Callable[[], Any], work: Callable[..., None]
) -> None:
    origin = error.args[0]
    raised: BaseException | None = None
    try:
        executor.run(next_job, work)
    except (type(error), Exception) as reached:
        raised = reached
    assert raised is not None, f"what {origin} raises must reach the caller, but was swallowed"
    same = type(raised) is type(error) and raised.args == error.args
    assert same, f"got {raised!r} instead of what {origin} raised"


def _press_ctrl_c() -> None:
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, signal.SIGINT)
    else:
        _thread.interrupt_main()


@contextmanager
def _python_handles_ctrl_c() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


EXECUTOR_CHECKS: Sequence[Check] = (
    check_runs_every_job_once,
    check_asks_one_at_a_time,
    check_waits,
    check_stops,
    check_raises_what_a_job_raises,
    check_raises_what_next_job_raises,
    check_passes_on_ctrl_c,
)
"""The promises of an executor, one check each."""
