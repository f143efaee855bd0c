"""The executor of threads."""

import contextvars
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from afina.errors import ArgumentError
from afina.run import Signal, Threads, stopping, worker_index


def hand_out(jobs):
    """A `next_job` that refuses to be called by two threads at once."""
    waiting, asking = iter(jobs), threading.Lock()

    def next_job():
        assert asking.acquire(blocking=False), "two threads ask at once"
        try:
            time.sleep(0.0001)
            return next(waiting, Signal.STOP)
        finally:
            asking.release()

    return next_job


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_job_is_run_once(workers):
    done = []
    Threads(workers).run(hand_out(range(100)), done.append)
    assert sorted(done) == list(range(100))


def test_as_many_jobs_run_at_a_time_as_there_are_workers():
    together = threading.Barrier(4, timeout=10)
    Threads(4).run(hand_out(range(8)), lambda job: together.wait())


def test_one_worker_is_the_caller_s_own_thread():
    seen = []
    Threads(1).run(hand_out([1]), lambda job: seen.append(threading.current_thread()))
    assert seen == [threading.current_thread()]


def test_each_worker_has_an_index_and_surroundings_for_its_whole_life():
    events, meet = [], threading.Barrier(3, timeout=10)

    @contextmanager
    def around(index):
        events.append(("enters", index, threading.get_ident()))
        yield
        events.append(("leaves", index, threading.get_ident()))

    def work(job):
        events.append(("works", worker_index(), threading.get_ident()))
        meet.wait()

    Threads(3, around=around).run(hand_out(range(6)), work)
    for index in range(3):
        mine = [(what, thread) for what, of, thread in events if of == index]
        assert [what for what, _ in mine] == ["enters", "works", "works", "leaves"]
        assert len({thread for _, thread in mine}) == 1
    assert worker_index() == 0
    assert not stopping()


def test_workers_see_what_the_caller_had_set_for_its_context():
    variable = contextvars.ContextVar("variable", default="nothing")
    token = variable.set("set")
    seen = []
    Threads(2).run(hand_out([1, 2]), lambda job: seen.append(variable.get()))
    variable.reset(token)
    assert seen == ["set", "set"]


def test_whoever_must_wait_asks_again_when_a_job_ends():
    asked, ended = [], threading.Event()

    def next_job():
        asked.append(worker_index())
        if len(asked) == 1:
            return "first"
        return Signal.STOP if ended.is_set() else Signal.WAIT

    def work(job):
        while asked.count(1 - worker_index()) == 0:  # until the other one is told to wait
            time.sleep(0.001)
        time.sleep(0.05)
        ended.set()

    Threads(2, first_pause=60.0, longest_pause=60.0).run(next_job, work)
    assert len(asked) == 4, "it asked without a reason, or not at all"


def test_while_nothing_runs_it_asks_again_after_a_pause():
    answers = iter([Signal.WAIT] * 6)
    Threads(2, first_pause=0.001, longest_pause=0.002).run(
        lambda: next(answers, Signal.STOP), lambda job: None
    )
    assert next(answers, None) is None


def test_a_job_that_must_be_run_again_is_run_although_others_were_told_to_stop():
    jobs, done = ["fails"], []
    stopped = threading.Event()

    def next_job():
        if jobs:
            return jobs.pop()
        stopped.set()
        return Signal.STOP

    def work(job):
        if job == "fails":
            assert stopped.wait(10)
            jobs.append("again")
        done.append(job)

    Threads(2).run(next_job, work)
    assert done == ["fails", "again"]


@pytest.mark.parametrize("culprit", ["job", "next_job"])
def test_an_error_ends_the_handing_out_lets_others_end_and_reaches_the_caller(culprit):
    raised, done = threading.Event(), []
    count = iter(range(1000))

    def fail():
        raised.set()
        raise RuntimeError(f"from {culprit}")

    def next_job():
        job = next(count)
        if job == 2:
            return fail() if culprit == "next_job" else "culprit"
        return "long" if job < 2 else "late"

    def work(job):
        if job == "culprit":
            fail()
        assert raised.wait(10)
        time.sleep(0.02)
        done.append(job)

    with pytest.raises(RuntimeError, match=f"from {culprit}"):
        Threads(3).run(next_job, work)
    assert done == ["long", "long"]


def test_further_errors_are_told_with_the_first():
    meet = threading.Barrier(2, timeout=10)

    def work(job):
        meet.wait()
        time.sleep(0.05 * job)
        raise ValueError(f"job {job}")

    with pytest.raises(ValueError, match="job 0") as caught:
        Threads(2).run(hand_out(range(2)), work)
    assert "ValueError: job 1" in "".join(caught.value.__notes__)


def test_the_same_error_of_several_workers_is_told_once():
    meet = threading.Barrier(2, timeout=10)

    def work(job):
        meet.wait()
        raise ValueError("the objective is unknown")

    with pytest.raises(ValueError, match="unknown") as caught:
        Threads(2).run(hand_out(range(2)), work)
    assert not getattr(caught.value, "__notes__", [])


def test_an_error_of_the_surroundings_reaches_the_caller():
    @contextmanager
    def around(index):
        raise RuntimeError("no place")
        yield

    with pytest.raises(RuntimeError, match="no place"):
        Threads(2, around=around).run(hand_out(range(9)), lambda job: None)


def test_what_is_no_exception_but_ends_a_process_reaches_the_caller_too():
    def work(job):
        sys.exit(3)

    with pytest.raises(SystemExit):
        Threads(2).run(hand_out(range(9)), work)


def test_many_workers_on_many_short_jobs_lose_none():
    rng, lock = random.Random(1), threading.Lock()
    left, running, done = list(range(300)), set(), []

    def next_job():
        with lock:
            if left and (rng.random() < 0.5 or not running):
                running.add(left[-1])
                return left.pop()
            return Signal.WAIT if running else Signal.STOP

    def work(job):
        time.sleep(0.0001)
        with lock:
            running.discard(job)
            done.append(job)

    Threads(16).run(next_job, work)
    assert sorted(done) == list(range(300))


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, None])
def test_a_number_of_workers_below_one_is_refused(workers):
    with pytest.raises(ArgumentError, match="workers"):
        Threads(workers)


INTERRUPTED = """
import os, threading, time
from afina.run import Threads, stopping

begun = threading.Barrier(3)

def say(word):
    os.write(1, word.encode() + b"\\n")  # whole lines, whoever says something else meanwhile

def work(job):
    begun.wait()
    say("begun")
    if {stubborn}:
        time.sleep(60)
    while not stopping():
        time.sleep(0.01)
    say("stopped")
    raise KeyboardInterrupt

executor = Threads(3, stop=lambda: say("told"), patience={patience})
try:
    executor.run(lambda: 1, work)
except KeyboardInterrupt:
    say("raised")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("stubborn", "patience", "said"),
    [(False, 30.0, ["told", "stopped", "stopped", "stopped", "raised"]), (True, 0.1, None)],
)
def test_ctrl_c_stops_the_jobs_and_reaches_the_caller_soon(stubborn, patience, said):
    code = INTERRUPTED.format(stubborn=stubborn, patience=patience)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            begun = [child.stdout.readline() for _ in range(3)]
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=20)
        finally:
            child.kill()
    assert begun == ["begun\n"] * 3
    assert out.split() == (said or ["told", "raised"])
    assert (child.returncode, err) == (0, "")
