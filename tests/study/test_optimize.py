"""`Study.optimize`, with stores and executors of others."""

import errno
import os
import threading

import pytest
from tests.plugins import Counting, Pool, ReversedPairs, name_of

import afina
from afina.errors import ArgumentError, FatalError, ObjectiveError, SearchFailedError, StoreError
from afina.run import Processes, Serial, Threads, call
from afina.search import Hyperband, Random
from afina.trials import FailureKind, Status

LOSS = afina.Objective("loss", "min")


def space():
    hp = afina.HyperParameters()
    hp.Float("x", -1.0, 1.0)
    return hp


def study(**kwargs):
    given = {"objective": LOSS, "algorithm": Random(seed=3), "max_trials": 8, **kwargs}
    return afina.Study(space(), **given)


def square(trial):
    return trial.values["x"] ** 2


def found(searched):
    return [(t.number, t.values, t.status, t.score) for t in searched.trials.values()]


WAYS = ["serial", "threads", "processes", Threads(3), Pool()]


@pytest.mark.first("serial", "threads", "Threads", "Pool")
@pytest.mark.parametrize("executor", WAYS, ids=name_of)
def test_every_executor_finds_the_same_trials(executor):
    plain = study()
    while (trial := plain.ask()) is not None:
        plain.tell(trial, square(trial))
    run = study(executor=executor)
    run.optimize(square)
    assert found(run) == found(plain)
    assert run.stop_reason == "max_trials=8 trials have been run"


def test_an_executor_for_one_call_comes_before_the_study_s_own():
    threads = set()
    run = study(executor=Threads(3))
    run.optimize(lambda trial: threads.add(threading.current_thread()) or 1.0, executor="serial")
    assert threads == {threading.main_thread()}


def test_an_executor_of_somebody_else_s_decides_the_order():
    run = study(executor=ReversedPairs(), max_trials=5)
    run.optimize(square)
    assert run.ended == (1, 0, 3, 2, 4)


def test_processes_run_the_function_elsewhere():
    run = study(executor=Processes(2))
    run.optimize(lambda trial: {"loss": 1.0, "pid": float(os.getpid())})
    pids = {trial.metrics["pid"] for trial in run.trials.values()}
    assert 1 <= len(pids) <= 2
    assert os.getpid() not in pids
    assert call(os.getpid) == os.getpid(), "outside of a worker it is a plain call"


def test_what_cannot_travel_to_a_process_is_named():
    lock = threading.Lock()
    run = study(executor=Processes(1), max_trials=1)
    run.optimize(lambda trial: lock)
    told = run.trials[0].failure.message
    assert "function > lock: must be able to travel to a worker process" in told


def test_a_process_that_dies_fails_its_trial_which_is_run_again(tmp_path):
    mark = tmp_path / "died"

    def once(trial):
        if trial.number == 1 and not mark.exists():
            mark.touch()
            os._exit(3)
        return 1.0

    run = study(executor=Processes(1), max_trials=3)
    run.optimize(once)
    assert [t.status for t in run.trials.values()] == [Status.COMPLETED] * 3
    assert run.trials[1].attempt == 1


@pytest.mark.parametrize("executor", ["serial", Threads(2), ReversedPairs(), Pool()], ids=name_of)
def test_epochs_may_be_reported_and_promotions_wait_for_them(executor):
    run = study(algorithm=Hyperband(max_epochs=4, factor=2), max_trials=None, executor=executor)

    def train(trial):
        for epoch in range(trial.start_epoch, trial.end_epoch):
            run.report(trial, {"loss": trial.values["x"] ** 2 + 1 / (1 + epoch)}, step=epoch)

    run.optimize(train)
    assert run.stop_reason
    assert {trial.status for trial in run.trials.values()} == {Status.COMPLETED}
    assert any(trial.parent is not None for trial in run.trials.values())


@pytest.mark.parametrize("executor", ["serial", Threads(2), ReversedPairs()], ids=name_of)
def test_what_the_function_raises_fails_the_trial_and_the_search_goes_on(executor):
    def sometimes(trial):
        if trial.number in (1, 4):
            raise MemoryError("too large")
        return float("nan") if trial.number == 6 else 1.0

    run = study(executor=executor)
    run.optimize(sometimes)
    failed = {t.number: t.failure.kind for t in run.trials.values() if t.failure}
    assert failed == {
        1: FailureKind.OUT_OF_MEMORY,
        4: FailureKind.OUT_OF_MEMORY,
        6: FailureKind.NOT_A_NUMBER,
    }
    assert "sometimes" in run.trials[1].failure.message


@pytest.mark.parametrize("executor", ["serial", Threads(2), ReversedPairs(), Pool()], ids=name_of)
def test_a_failed_trial_that_is_the_last_one_is_run_again(executor):
    seen = []

    def second_time(trial):
        seen.append(trial.number)
        if trial.number == 1 and seen.count(1) == 1:
            raise ValueError("once")
        return 1.0

    run = study(executor=executor, max_trials=2, max_retries=1)
    run.optimize(second_time)
    assert sorted(seen) == [0, 1, 1]
    assert {trial.status for trial in run.trials.values()} == {Status.COMPLETED}


def test_three_failures_in_a_row_end_the_search():
    def fail(trial):
        raise ValueError("nothing works")

    run = study()
    with pytest.raises(SearchFailedError, match="nothing works"):
        run.optimize(fail)
    assert len(run.trials) == 3


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (FatalError("stop"), FatalError),
        (StoreError("no store"), StoreError),
        (OSError(errno.ENOSPC, "No space left on device"), StoreError),
    ],
)
def test_what_is_not_the_trial_s_fault_ends_the_search(error, raised):
    def fail(trial):
        raise error

    run = study()
    with pytest.raises(raised):
        run.optimize(fail)
    assert [trial.status for trial in run.trials.values()] == [Status.RUNNING]


def test_a_result_that_is_none_is_told_to_the_caller():
    with pytest.raises(ObjectiveError, match="must hold the objective loss"):
        study().optimize(lambda trial: {"accuracy": 1.0})
    with pytest.raises(ArgumentError, match="needs metrics, or epochs reported"):
        study().optimize(lambda trial: None)


def test_a_study_goes_on_where_the_last_call_stopped(tmp_path):
    def until_four(trial):
        if trial.number == 4:
            raise FatalError("enough")
        return square(trial)

    whole = study()
    whole.optimize(square)
    first = study(store=tmp_path)
    with pytest.raises(FatalError):
        first.optimize(until_four)
    first.close()
    second = study(store=f"sqlite:///{tmp_path}")
    second.optimize(square)
    assert found(second) == found(whole)


def test_a_store_of_somebody_else_s_gets_every_trial():
    store = Counting()
    run = study(store=store, executor=Threads(2))
    run.optimize(square)
    assert store.finished == len(store.trials()) == 8
    assert found(study(store=store)) == found(run), "another study on it has the trials"


@pytest.mark.parametrize("name", ["store", "storage"])
def test_store_has_two_names(tmp_path, name):
    run = study(**{name: tmp_path / name})
    run.optimize(square)
    run.close()
    assert len(study(**{name: str(tmp_path / name)}).trials) == 8
    assert len(study(**{name: "memory:"}).trials) == 0


def test_only_one_of_the_two_names_may_be_given():
    with pytest.raises(ArgumentError, match="storage: must be None where store is given"):
        study(store="memory:", storage="memory:")


@pytest.mark.parametrize("executor", ["thread", "dask", 4, None, Serial, object()])
def test_what_is_no_executor_is_refused_when_the_study_is_made(executor):
    with pytest.raises(ArgumentError, match='executor: must be "serial", "threads", "processes"'):
        study(executor=executor)


def test_the_executor_of_one_call_is_checked_too():
    with pytest.raises(ArgumentError, match="executor"):
        study().optimize(square, executor="dask")
