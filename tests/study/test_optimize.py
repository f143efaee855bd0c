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
    assert [trial.status for trial in run.trials.values()] == [Status.WAITING]


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


def crowd(monkeypatch):
    """As where many workers wait for their turns."""
    monkeypatch.setattr("afina.study.sharing.CROWDED", 0.0)


def test_in_a_crowd_a_worker_waits_once_for_each_trial(tmp_path, monkeypatch, waits):
    alone = study()
    alone.optimize(square)
    crowd(monkeypatch)
    many = study(store=tmp_path / "project")
    many.begin()
    waits.clear()
    many.optimize(square)
    assert found(many) == found(alone)
    assert len(waits) < 1.5 * len(many.trials)
    many.close()
    again = study(store=tmp_path / "project")
    assert found(again) == found(alone)
    assert again.ended == alone.ended


def test_in_a_crowd_the_limits_of_a_call_hold(tmp_path, monkeypatch):
    crowd(monkeypatch)
    some = study(store=tmp_path / "project")
    some.optimize(square, n_trials=3)
    assert [trial.status for trial in some.trials.values()] == [Status.COMPLETED] * 3
    assert some.stop_reason == "n_trials=3 trials have been run"

    def stop_it(searched, trial):
        if len(searched.trials) == 5:
            searched.stop()

    some.optimize(square, callbacks=[stop_it])
    assert [trial.status for trial in some.trials.values()] == [Status.COMPLETED] * 5
    some.optimize(square)
    assert some.stop_reason == "max_trials=8 trials have been run"
    assert len(some.trials) == 8


def test_in_a_crowd_failures_end_a_search_as_elsewhere(tmp_path, monkeypatch):
    crowd(monkeypatch)
    failing = study(store=tmp_path / "project")

    def fail_from_the_third_on(trial):
        if trial.number >= 2:
            raise ValueError("no")
        return square(trial)

    with pytest.raises(SearchFailedError, match="no"):
        failing.optimize(fail_from_the_third_on)
    states = [trial.status for trial in failing.trials.values()]
    assert states[:5] == [Status.COMPLETED] * 2 + [Status.FAILED] * 3
    assert set(states[5:]) <= {Status.WAITING}  # begun in the same turn, and given back


def test_in_a_crowd_what_the_user_adds_runs_between_two_trials(tmp_path, monkeypatch, waits):
    """A listener or callback may take its time, so that others have their turns meanwhile."""
    crowd(monkeypatch)
    seen = []
    with_callback = study(store=tmp_path / "project")
    with_callback.begin()
    waits.clear()
    with_callback.optimize(
        square, callbacks=[lambda searched, trial: seen.append(len(searched.trials))]
    )
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8]  # no trial has begun before the callback
    assert len(waits) > 2 * len(seen)


def test_in_a_crowd_an_error_of_the_next_question_leaves_the_result(tmp_path, monkeypatch):
    class Broken(Random):
        def ask(self, state, situation):
            if situation.number == 2:
                raise ZeroDivisionError
            return super().ask(state, situation)

    crowd(monkeypatch)
    broken = study(algorithm=Broken(seed=3), store=tmp_path / "project")
    with pytest.raises(ZeroDivisionError):
        broken.optimize(square)
    broken.close()
    again = study(store=tmp_path / "project", algorithm=Broken(seed=3))
    assert [trial.status for trial in again.trials.values()] == [Status.COMPLETED] * 2
