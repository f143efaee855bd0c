"""A job that runs for too long is ended: here by raising in its thread, else with its process."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable

import pytest

import afina
from afina.errors import ArgumentError, TrialTimeoutError
from afina.run import Threads, TimeLimit, current_limit
from afina.trials import FailureKind, Status


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afina.run.time_limit.GRACE", 0.05)


def loop_in_python() -> None:
    while True:
        pass


def sleep() -> None:
    time.sleep(60)


def swallow_errors() -> None:
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            continue


def turn_it_into_another_error() -> None:
    try:
        time.sleep(60)
    except Exception:
        raise KeyError("from the user's own cleaning up") from None


def timed_out(job: Callable[[], None], seconds: float = 0.1) -> TrialTimeoutError:
    with pytest.raises(TrialTimeoutError) as caught, TimeLimit(seconds, "Trial 7").running():
        job()
    return caught.value


@pytest.mark.parametrize("job", [loop_in_python, sleep, turn_it_into_another_error])
def test_a_job_of_the_main_thread_is_interrupted_wherever_it_is(job: Callable[[], None]) -> None:
    if job is not loop_in_python and sys.platform == "win32":
        pytest.skip("only a signal ends a sleep")
    message = str(timed_out(job))
    assert message.startswith("Trial 7 ran for ")
    assert "longer than trial_timeout=0.1 allows" in message


def test_a_job_of_another_thread_is_interrupted_between_two_steps_of_python() -> None:
    errors: list[BaseException] = []

    def run() -> None:
        errors.append(timed_out(loop_in_python))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "It was interrupted." in str(errors[0])


def test_a_job_that_catches_the_interruption_gets_another_one() -> None:
    tries: list[float] = []

    def stubborn() -> None:
        while True:
            try:
                loop_in_python()
            except Exception:
                tries.append(time.monotonic())
                if len(tries) == 2:
                    raise

    timed_out(stubborn)
    assert len(tries) == 2


def test_a_job_may_ask_at_a_moment_that_suits_it() -> None:

    def ask() -> None:
        while True:
            current_limit().check()

    assert "after an epoch" in str(timed_out(ask, 0.01))
    current_limit().check()  # outside of all jobs there is no limit


def test_nothing_is_raised_while_a_job_is_shielded_nor_after_it_has_ended() -> None:
    done = []

    def write() -> None:
        with current_limit().shielded():
            time.sleep(0.3)
            done.append("a file is written")
        loop_in_python()

    timed_out(write, 0.01)
    assert done
    # A watcher that is quick ends the job within; what must not be is an error after it.
    with contextlib.suppress(TrialTimeoutError), TimeLimit(0.01).running():
        time.sleep(0.02)
    time.sleep(0.2)


def test_a_study_ends_hanging_trials_as_failed_ones_and_goes_on() -> None:
    hp = afina.HyperParameters()
    hp.Int("x", 0, 9)
    study = afina.Study(hp, objective=afina.Objective("loss", "min"), max_trials=4, seed=0)

    def function(trial: afina.Trial) -> float:
        if trial.number in (1, 2):
            loop_in_python()
        return float(trial.values["x"])

    study.optimize(function, executor=Threads(2), trial_timeout=0.1)
    failed = {n: t for n, t in study.trials.items() if t.status is Status.FAILED}
    assert sorted(failed) == [1, 2]
    assert {trial.failure.kind for trial in failed.values()} == {FailureKind.TIMEOUT}
    assert {trial.attempt for trial in failed.values()} == {0}, "they are not run again"
    assert study.best_trial.number in (0, 3)


@pytest.mark.parametrize("seconds", [0, -1, "long", float("nan"), True])
def test_a_limit_must_be_a_number_of_seconds(seconds: object) -> None:
    hp = afina.HyperParameters()
    study = afina.Study(hp, objective=afina.Objective("loss", "min"), max_trials=1)
    with pytest.raises(ArgumentError, match="trial_timeout"):
        study.optimize(lambda trial: 0.0, trial_timeout=seconds)  # type: ignore[arg-type]


@pytest.mark.service
def test_a_worker_process_that_hangs_in_compiled_code_is_ended_and_replaced() -> None:
    hp = afina.HyperParameters()
    hp.Int("x", 0, 99)
    study = afina.Study(hp, objective=afina.Objective("loss", "min"), max_trials=4, seed=0)

    def function(trial: afina.Trial) -> float:
        import ctypes
        import os

        if trial.number == 1:
            ctypes.PyDLL(None).sleep(60)  # the interpreter's lock is held meanwhile
        return float(os.getpid())

    study.optimize(function, executor=afina.run.Processes(1), trial_timeout=0.2)
    ended = study.trials
    assert [ended[n].status.value for n in range(4)] == [
        *["completed", "failed"],
        *["completed"] * 2,
    ]
    assert ended[1].failure is not None
    assert ended[1].failure.kind is FailureKind.TIMEOUT
    assert "Its process was ended." in ended[1].failure.message
    assert ended[0].score != ended[2].score == ended[3].score


def test_a_thread_that_waits_for_the_python_turn_is_interrupted_once_it_has_it() -> None:
    from afina.training.python_turn import PythonTurn

    turn, errors = PythonTurn(), list[BaseException]()
    turn.undisturbed = lambda: afina.run.current_limit().shielded()
    others, waits = threading.Event(), threading.Event()

    def job() -> None:
        with turn.held():
            with turn.released():
                others.set()
                waits.wait()
            loop_in_python()

    def run() -> None:
        errors.append(timed_out(job, 0.01))

    thread = threading.Thread(target=run)
    thread.start()
    others.wait()
    with turn.held():
        waits.set()
        time.sleep(0.4)  # several tries of the watch
        assert not errors
    thread.join()
    assert errors
    with turn.held():  # nobody holds it any more
        pass
