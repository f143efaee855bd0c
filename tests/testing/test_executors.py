"""Each check must catch an executor that breaks its promise, and pass those that keep all."""

import threading

import pytest
from tests.plugins import Pool, ReversedPairs

from afina.run import Executor, Processes, Serial, Signal, Threads
from afina.testing import EXECUTOR_CHECKS, check_executor
from afina.testing import executors as checks

OURS = {
    "serial": Serial,
    "one thread": lambda: Threads(1),
    "threads": lambda: Threads(3),
    "processes": lambda: Processes(2),
}


@pytest.mark.parametrize("make", OURS.values(), ids=OURS.keys())
@pytest.mark.parametrize("check", EXECUTOR_CHECKS, ids=lambda check: check.__name__)
def test_an_executor_keeps_its_promises(check, make):
    check(make())


@pytest.mark.parametrize("make", [ReversedPairs, Pool])
def test_an_executor_of_somebody_else_s_passes_all_checks(make):
    assert isinstance(make(), Executor)
    check_executor(make)


class Plain:
    """Keeps every promise; the base of everything broken here."""

    def run(self, next_job, work):
        while (job := next_job()) is not Signal.STOP:
            if job is not Signal.WAIT:
                work(job)


class Repeating(Plain):
    def run(self, next_job, work):
        super().run(next_job, lambda job: (work(job), work(job)))


class Deduplicating(Plain):
    def run(self, next_job, work):
        seen = []

        def once(job):
            if job not in seen:
                seen.append(job)
                work(job)

        super().run(next_job, once)


class Leaving(Plain):
    """Returns while its last job still has to run, however slow the machine is."""

    def run(self, next_job, work):
        taken = []

        def begin(job):
            taken.append(job)
            if len(taken) % 3:
                work(job)
            else:
                later = threading.Timer(5.0, work, (job,))
                later.daemon = True
                later.start()

        super().run(next_job, begin)


class AskingTogether(Plain):
    """All its threads ask as they like."""

    def run(self, next_job, work):
        begun = threading.Barrier(2, timeout=10)

        def live():
            begun.wait()
            Plain.run(self, next_job, work)

        threads = [threading.Thread(target=live, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


class Impatient(Plain):
    """Takes WAIT for STOP."""

    def run(self, next_job, work):
        while not isinstance(job := next_job(), Signal):
            work(job)


class Confused(Plain):
    """Takes WAIT for a job."""

    def run(self, next_job, work):
        while (job := next_job()) is not Signal.STOP:
            work(job)


class Endless(Plain):
    """Takes STOP for WAIT."""

    def run(self, next_job, work):
        while True:
            if not isinstance(job := next_job(), Signal):
                work(job)


class Swallowing(Plain):
    def run(self, next_job, work):
        def quietly(job):
            try:
                work(job)
            except BaseException:
                return

        super().run(next_job, quietly)


class Wrapping(Plain):
    def run(self, next_job, work):
        try:
            super().run(next_job, work)
        except Exception as error:
            raise RuntimeError("something went wrong") from error


class Late(Plain):
    """Raises at the end what a job has raised at the beginning."""

    def run(self, next_job, work):
        errors = []

        def later(job):
            try:
                work(job)
            except BaseException as error:
                errors.append(error)

        super().run(next_job, later)
        if errors:
            raise errors[0]


class Deaf(Plain):
    """Takes an exception of `next_job` for STOP."""

    def run(self, next_job, work):
        def careful():
            try:
                return next_job()
            except Exception:
                return Signal.STOP

        super().run(careful, work)


class Uninterruptible(Plain):
    def run(self, next_job, work):
        try:
            super().run(next_job, work)
        except KeyboardInterrupt:
            return


def test_the_base_of_the_broken_ones_passes():
    check_executor(Plain)


@pytest.mark.parametrize(
    ("check", "broken", "told"),
    [
        (checks.check_runs_every_job_once, Repeating, "exactly once"),
        (checks.check_runs_every_job_once, Deduplicating, "exactly once"),
        (checks.check_runs_every_job_once, Leaving, "exactly once"),
        (checks.check_asks_one_at_a_time, AskingTogether, "two threads"),
        (checks.check_waits, Impatient, "WAIT must not end a run"),
        (checks.check_waits, Confused, "is no job"),
        (checks.check_stops, Endless, "STOP ends a run"),
        (checks.check_raises_what_a_job_raises, Swallowing, "swallowed"),
        (checks.check_raises_what_a_job_raises, Wrapping, "instead of what job raised"),
        (checks.check_raises_what_a_job_raises, Late, "went on with other jobs"),
        (checks.check_raises_what_next_job_raises, Deaf, "swallowed"),
        (checks.check_raises_what_next_job_raises, Wrapping, "instead of what next_job raised"),
        (checks.check_passes_on_ctrl_c, Uninterruptible, "Ctrl-C must reach"),
        (checks.check_passes_on_ctrl_c, Late, "went on with other jobs"),
    ],
)
def test_a_broken_promise_is_told(check, broken, told):
    with pytest.raises(AssertionError, match=told):
        check(broken())


def test_outside_of_the_main_thread_ctrl_c_is_not_checked():
    told = []
    thread = threading.Thread(
        target=lambda: told.append(checks.check_passes_on_ctrl_c(Uninterruptible()))
    )
    thread.start()
    thread.join()
    assert told == [None]
