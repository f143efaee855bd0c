"""Executors by name, and the hand-out between a search and its executor."""

import pytest

from afina.errors import ArgumentError
from afina.run import Handout, Processes, Serial, Signal, Threads, create_executor, processors


def test_a_name_gives_one_worker_for_each_processor_unless_told_otherwise():
    assert create_executor("serial") == Serial()
    assert create_executor("threads") == Threads(processors())
    assert create_executor("threads", 3) == Threads(3)
    assert create_executor("processes", 2) == Processes(2)


def test_an_executor_is_taken_as_it_is():
    own = Threads(5)
    assert create_executor(own, 2) is own


@pytest.mark.parametrize("executor", ["", "Serial", b"serial", 2, None, [], Threads])
def test_what_is_no_executor_is_refused(executor):
    with pytest.raises(ArgumentError, match='executor: must be "serial", "threads", "processes"'):
        create_executor(executor)


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, None])
def test_processes_need_at_least_one_worker(workers):
    with pytest.raises(ArgumentError, match="workers"):
        Processes(workers)


def test_each_open_job_has_the_lowest_place_that_is_free():
    asked = []

    def next_job(place):
        asked.append(place)
        return [place]

    handout = Handout(next_job, lambda job: None)
    jobs = [handout.take() for _ in range(3)]
    handout.work(jobs[1])
    handout.take()
    handout.work(jobs[0])
    handout.work(jobs[2])
    handout.take()
    assert asked == [0, 1, 2, 1, 0]


def test_stop_becomes_wait_while_a_job_is_open_that_may_have_to_be_run_again():
    answers = iter(["job", Signal.STOP, "job", Signal.WAIT, Signal.STOP])
    handout = Handout(lambda place: next(answers), lambda job: None)
    job = handout.take()
    assert handout.take() is Signal.WAIT
    handout.work(job)
    assert handout.take() == "job", "it is handed out once more"
    assert handout.take() is Signal.WAIT
    handout.work("job")
    assert handout.take() is Signal.STOP


@pytest.mark.parametrize("culprit", ["job", "executor"])
def test_after_an_exception_nothing_more_is_handed_out(culprit):
    def work(job):
        raise ValueError("job")

    class Broken:
        def run(self, next_job, work):
            job = next_job()
            if culprit == "job":
                work(job)
            raise ValueError("executor")

    handout = Handout(lambda place: "job", work)
    with pytest.raises(ValueError, match=culprit):
        handout.run(Broken())
    assert handout.take() is Signal.STOP
