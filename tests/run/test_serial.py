"""The serial executor."""

import pytest

from afina.run import Serial, Signal


def test_every_job_is_run_once_in_order():
    jobs = iter([1, 2, 3, Signal.STOP])
    done = []
    Serial().run(lambda: next(jobs), done.append)
    assert done == [1, 2, 3]


def test_waiting_sleeps_longer_each_time_and_starts_over_after_a_job():
    answers = iter([Signal.WAIT, Signal.WAIT, Signal.WAIT, 7, Signal.WAIT, Signal.STOP])
    slept, done = [], []
    Serial(first_pause=0.25, longest_pause=0.5, sleep=slept.append).run(
        lambda: next(answers), done.append
    )
    assert slept == [0.25, 0.5, 0.5, 0.25]
    assert done == [7]


def test_what_a_job_raises_reaches_the_caller():
    def work(job):
        raise RuntimeError(f"job {job}")

    with pytest.raises(RuntimeError, match="job 1"):
        Serial().run(lambda: 1, work)
