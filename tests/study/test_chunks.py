"""Several trials in one turn of `Study.optimize`, where many workers wait for cheap trials."""

import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import afina
from afina.errors import (
    FatalError,
    LostLeaseError,
    ObjectiveError,
    SearchFailedError,
    StoreError,
)
from afina.search import TPE, Grid, QuasiRandom, Random
from afina.store import MemoryStore, open_store
from afina.study.chunks import TrialChunk
from afina.trials import Status
from afina.trials.trial import RAN

COMPLETED, FAILED, WAITING = Status.COMPLETED, Status.FAILED, Status.WAITING


def study(store=None, algorithm=None, **kwargs):
    hp = afina.HyperParameters()
    hp.Float("x", -1.0, 1.0)
    hp.Int("n", 1, 100)
    given = {"objective": afina.Objective("loss", "min"), "max_trials": 64, **kwargs}
    return afina.Study(hp, algorithm=algorithm or Random(seed=3), store=store, **given)


def square(trial):
    return trial.values["x"] ** 2


def found(searched):
    return [(t.number, t.values, t.status, t.score, t.attempt) for t in searched.trials.values()]


def statuses(trials):
    return [trial.status for trial in trials]


@pytest.fixture(autouse=True)
def crowd(monkeypatch):
    """As where many workers wait for their turns, and turns take longer than trials."""
    monkeypatch.setattr("afina.study.sharing.CROWDED", 0.0)
    monkeypatch.setattr("afina.study.chunks.LONGEST", 1000.0)
    monkeypatch.setattr("afina.study.chunks.PAUSE", 60.0)
    monkeypatch.setattr("afina.study.chunks.SHORT", 0.0)
    resize = TrialChunk._resize
    monkeypatch.setattr(
        TrialChunk, "_resize", lambda self, waited, count: resize(self, 999.0, count)
    )


@pytest.mark.parametrize("algorithm", [Random(seed=3), QuasiRandom(seed=3)], ids=lambda a: a.name)
def test_a_worker_waits_once_for_several_trials_and_they_are_the_same(tmp_path, waits, algorithm):
    alone = study(algorithm=algorithm)
    alone.optimize(square)
    many = study(tmp_path / "project", algorithm)
    many.begin()
    waits.clear()
    many.optimize(square)
    assert len(waits) < len(many.trials) / 3
    assert found(many) == found(alone)
    assert many.ended == alone.ended
    assert many.stop_reason == alone.stop_reason
    many.close()
    assert found(study(tmp_path / "project", algorithm)) == found(alone)


def test_a_grid_is_tried_once_and_whole(tmp_path, waits):
    hp = afina.HyperParameters()
    hp.Int("a", 1, 6)
    hp.Int("b", 1, 7)
    grid = afina.Study(hp, objective="loss", algorithm=Grid(), store=tmp_path / "project")
    grid.begin()
    waits.clear()
    grid.optimize(lambda trial: {"loss": trial.values["a"] * trial.values["b"]})
    assert len({tuple(trial.values.items()) for trial in grid.trials.values()}) == 42
    assert statuses(grid.trials.values()) == [COMPLETED] * 42
    assert len(waits) < 42 / 2


def test_each_trial_says_when_it_ran_and_how_long(tmp_path):
    many = study(tmp_path / "project", max_trials=24)
    begun, ended = [], []

    def timed(trial):
        begun.append(time.monotonic())
        time.sleep(0.002)
        ended.append(time.monotonic())
        return square(trial)

    many.optimize(timed)
    for trial in list(many.trials.values())[1:-1]:
        assert RAN in trial.notes
        # The wait for those before it does not count.
        assert 0.002 <= trial.seconds <= begun[trial.number + 1] - ended[trial.number - 1]


def test_the_last_trials_are_shared_out(tmp_path):
    """Half of an even share: of eight trials for two workers, two begin together."""
    many = study(tmp_path / "project", max_trials=8)
    many._share.workers = 2
    begun = []
    many.optimize(lambda trial: begun.append(len(many.running)) or square(trial))
    assert begun[0] == 1
    assert max(begun) == 1
    fewer = study(tmp_path / "more", max_trials=24)
    fewer._share.workers = 2
    begun.clear()
    fewer.optimize(lambda trial: begun.append(len(fewer.running)) or square(trial))
    assert 1 < max(begun) <= 24 // 4


def test_the_last_trials_are_not_shared_out_where_nobody_would_wait(tmp_path, monkeypatch):
    monkeypatch.setattr("afina.study.chunks.SHORT", 1000.0)
    many = study(tmp_path / "project", max_trials=8)
    many._share.workers = 2
    begun = []
    many.optimize(lambda trial: begun.append(len(many.running)) or square(trial))
    assert max(begun) > 1


@pytest.mark.parametrize(
    "given",
    [
        {"algorithm": TPE(seed=3)},
        {"max_total_epochs": 1000},
        {"time_budget": 0.9},
        {"listeners": [afina.study.SearchListener()]},
    ],
    ids=lambda given: next(iter(given)),
)
def test_one_trial_begins_in_a_turn_where_more_would_change_something(tmp_path, given):
    one = study(tmp_path / "project", **{"max_trials": 20, **given})
    begun = []
    one.optimize(lambda trial: begun.append(len(one.running)) or square(trial))
    assert set(begun) == {1}


def test_one_trial_begins_in_a_turn_where_the_function_defines_the_space(tmp_path):
    one = afina.Study(
        objective="loss", store=tmp_path / "project", algorithm=Random(), max_trials=9
    )
    begun = []

    def function(trial):
        begun.append(len(one.running))
        return {"loss": trial.suggest_float("x", 0.0, 1.0)}

    one.optimize(function)
    assert set(begun) == {1}
    assert len(one.trials) == 9


def test_a_function_that_adds_to_a_given_space_ends_its_trials_one_by_one(tmp_path):
    many = study(tmp_path / "project", max_trials=30)
    many.optimize(lambda trial: trial.suggest_float("more", 0.0, 1.0) + square(trial))
    assert statuses(many.trials.values()) == [COMPLETED] * 30
    assert all("more" in trial.values for trial in many.trials.values())
    many.close()
    again = study(tmp_path / "project", max_trials=30)
    assert found(again) == found(many)
    assert again.ended == tuple(range(30))


def test_limits_of_a_call_are_exact(tmp_path):
    many = study(tmp_path / "project")
    for count in (1, 7, 23):
        calls = []
        many.optimize(lambda trial: calls.append(trial.number) or square(trial), n_trials=count)  # noqa: B023
        assert len(calls) == count
        assert many.stop_reason == f"n_trials={count} trials have been run"
    assert statuses(many.trials.values()) == [COMPLETED] * 31
    many.optimize(square)
    assert statuses(many.trials.values()) == [COMPLETED] * 64


def test_after_stop_the_function_is_not_called_again_and_what_is_ahead_is_given_back(tmp_path):
    many = study(tmp_path / "project")
    calls = []

    def stop_at_twenty(trial):
        calls.append(trial.number)
        if len(calls) == 20:
            many.stop()
        return square(trial)

    many.optimize(stop_at_twenty)
    assert len(calls) == 20
    assert many.stop_reason == "stop() was called"
    stored = open_store(tmp_path / "project").trials()
    assert statuses(stored[:20]) == [COMPLETED] * 20
    assert set(statuses(stored[20:])) == {WAITING}, "no test"
    many.optimize(square)
    alone = study()
    alone.optimize(square)
    assert [each[:4] for each in found(many)] == [each[:4] for each in found(alone)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, FatalError("no")])
def test_what_ends_the_search_leaves_all_results_written(tmp_path, error):
    many = study(tmp_path / "project")

    def end_at_twenty(trial):
        if trial.number == 20:
            raise error
        return square(trial)

    with pytest.raises(error if isinstance(error, type) else type(error)):
        many.optimize(end_at_twenty)
    stored = open_store(tmp_path / "project").trials()
    assert statuses(stored[:20]) == [COMPLETED] * 20
    assert set(statuses(stored[21:])) == {WAITING}
    many.close()
    again = study(tmp_path / "project")
    again.optimize(square)
    assert statuses(again.trials.values()) == [COMPLETED] * 64


def test_a_wrong_result_is_told_to_the_caller_and_those_before_it_are_written(tmp_path):
    many = study(tmp_path / "project")
    with pytest.raises(ObjectiveError):
        many.optimize(lambda trial: {"else": 1.0} if trial.number == 20 else square(trial))
    assert statuses(open_store(tmp_path / "project").trials()[:20]) == [COMPLETED] * 20


@pytest.mark.parametrize("how", ["an error", "not a number"])
def test_failures_come_in_the_order_in_which_trials_ended(tmp_path, how):
    """Two at a time never end a search, three in a row do."""

    def twice(trial):
        if trial.number % 7 in (1, 2):
            raise ValueError("no")
        return math.nan if trial.number % 7 == 5 else square(trial)

    many = study(tmp_path / "project")
    many.optimize(twice)
    expected = [FAILED if n % 7 in (1, 2, 5) else COMPLETED for n in range(64)]
    assert statuses(many.trials.values()) == expected
    assert many.ended == tuple(range(64))

    def from_twenty_on(trial):
        if trial.number >= 20 and how == "an error":
            raise ValueError("no")
        return math.nan if trial.number >= 20 else square(trial)

    failing = study(tmp_path / "other")
    with pytest.raises(SearchFailedError):
        failing.optimize(from_twenty_on)
    assert statuses(failing.trials.values())[:23] == [COMPLETED] * 20 + [FAILED] * 3
    assert set(statuses(failing.trials.values())[23:]) <= {WAITING}


def test_an_error_of_the_algorithm_leaves_results_and_those_that_have_begun(tmp_path):
    class Broken(Random):
        def ask(self, state, situation):
            if situation.number == 20:
                raise ZeroDivisionError
            return super().ask(state, situation)

    broken = study(tmp_path / "project", Broken(seed=3))
    with pytest.raises(ZeroDivisionError):
        broken.optimize(square)
    broken.close()
    stored = open_store(tmp_path / "project").trials()
    assert [trial.number for trial in stored] == list(range(20))
    assert set(statuses(stored)) == {COMPLETED, WAITING}


def test_a_long_trial_keeps_neither_results_nor_trials_from_others(tmp_path, monkeypatch):
    """While it runs, the results before it are written, and the trials behind it are given back."""
    monkeypatch.setattr("afina.study.chunks.PAUSE", 0.01)
    many = study(tmp_path / "project")
    seen = []

    def look():
        trials = open_store(tmp_path / "project").trials()
        counts = statuses(trials)
        return counts if WAITING in counts and counts.count(Status.RUNNING) == 1 else None

    def long_at_twenty(trial):
        if trial.number == 20:
            until = time.monotonic() + 60
            while not (now := look()) and time.monotonic() < until:
                time.sleep(0.01)
            seen.extend(now)
        return square(trial)

    many.optimize(long_at_twenty)
    assert seen[:20] == [COMPLETED] * 20
    assert seen[20] is Status.RUNNING
    assert set(seen[21:]) == {WAITING}
    assert statuses(many.trials.values()) == [COMPLETED] * 64
    alone = study()
    alone.optimize(square)
    assert [each[:4] for each in found(many)] == [each[:4] for each in found(alone)]
    assert "afina-chunk" not in {each.name for each in threading.enumerate() if each.is_alive()}


def test_results_that_wait_are_those_of_little_training(tmp_path, monkeypatch):
    many = study(tmp_path / "project")
    wait = []

    def count(trial):
        if trial.number == 20:
            monkeypatch.setattr("afina.study.chunks.LONGEST", 0.0)
        done = statuses(open_store(tmp_path / "project").trials()).count(COMPLETED)
        wait.append(trial.number - done)
        return square(trial)

    many.optimize(count)
    assert max(wait[:20]) > 0, "no test"
    assert max(wait[21:]) == 0


def test_a_trial_that_another_worker_has_taken_over_is_left_to_it(tmp_path, monkeypatch):
    many = study(tmp_path / "project")
    write, refused = many._write_end, []

    def taken(trial, behind=0):
        if behind == 2 and not refused:
            refused.append(trial.number)
            raise LostLeaseError("taken")
        return write(trial, behind)

    monkeypatch.setattr(many, "_write_end", taken)
    many.optimize(square)
    assert refused, "no test"
    assert statuses(many.trials.values()) == [COMPLETED] * 64
    assert sorted(many.ended) == list(range(64))
    many.close()
    assert statuses(open_store(tmp_path / "project").trials()) == [COMPLETED] * 64


def test_an_error_while_trials_are_ended_one_by_one_loses_none_and_ends_none_twice(
    tmp_path, monkeypatch
):
    many = study(tmp_path / "project")
    write, keep = many._write_end, many._keep
    refused, kept = [], []

    def taken(trial, behind=0):
        if behind == 2 and not refused:
            refused.append(trial.number)
            raise LostLeaseError("taken")
        return write(trial, behind)

    def kept_once(trial):
        if refused and kept == [1]:
            kept.append(2)
            raise StoreError("the disk is full")
        kept[:] = [*kept, 1] if refused else kept
        return keep(trial)

    monkeypatch.setattr(many, "_write_end", taken)
    monkeypatch.setattr(many, "_keep", kept_once)
    with pytest.raises(StoreError, match="disk"):
        many.optimize(square)
    ended = statuses(open_store(tmp_path / "project").trials()).count(COMPLETED)
    assert ended == len(many.ended) > refused[0]
    many.optimize(square)
    assert sorted(many.ended) == list(range(64))


def test_a_trial_that_another_worker_has_taken_and_ended_does_not_end_the_search(monkeypatch):
    """The thread learns of it while the trial is still running here."""
    monkeypatch.setattr("afina.study.chunks.PAUSE", 0.01)
    store = MemoryStore()
    many, other = study(store), study(MemoryStore(beside=store))
    taken = []

    def hung(trial):
        if trial.number == 20 and not taken:
            for number, (owner, _) in list(store._kept.claims.items()):
                store._kept.claims[number] = (owner, -1e9)
            while not taken or taken[-1] != 20:
                got = other.ask()
                taken.append(got.number)
                other.tell(got, 9.0)
            until = time.monotonic() + 60
            while many.trials[20].score is None and time.monotonic() < until:
                time.sleep(0.01)
            trial.set_user_attr("late", 1)
        return square(trial)

    with pytest.warns(UserWarning, match="was given to another worker|died while it ran"):
        many.optimize(hung)
    assert taken[-1] == 20, "no test"
    assert many.trials[20].score == 9.0
    assert statuses(many.trials.values()) == [COMPLETED] * 64
    assert sorted(many.ended) == list(range(64))


def test_ctrl_c_as_the_thread_starts_ends_the_search(tmp_path, monkeypatch):
    start = threading.Thread.start

    def interrupted(self):
        if self.name == "afina-chunk":
            raise KeyboardInterrupt
        start(self)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study(tmp_path / "project").optimize(square)


@pytest.mark.parametrize("how", ["before", "within", "after"])
def test_after_ctrl_c_as_results_are_taken_in_the_next_call_knows_them(tmp_path, monkeypatch, how):
    many = study(tmp_path / "project")
    take_in, learn = TrialChunk._take_in, many._learn
    state = []

    def interrupted(self, done, before):
        if len(done.ended) < 3 or state:
            return take_in(self, done, before)
        state.append(how)
        if how == "after":
            take_in(self, done, before)
        if how != "within":
            raise KeyboardInterrupt
        return take_in(self, done, before)

    def learn_two(trial):
        if state and state[-1] != "over" and how == "within":
            state.append(trial.number)
            if len(state) == 3:
                state.append("over")
                raise KeyboardInterrupt
        learn(trial)

    monkeypatch.setattr(TrialChunk, "_take_in", interrupted)
    monkeypatch.setattr(many, "_learn", learn_two)
    with pytest.raises(KeyboardInterrupt):
        many.optimize(square)
    many.optimize(square)
    assert statuses(many.trials.values()) == [COMPLETED] * 64
    assert sorted(many.ended) == list(range(64))
    many.close()
    again = study(tmp_path / "project")
    assert [each[:4] for each in found(again)] == [each[:4] for each in found(many)]


def test_trials_that_end_together_keep_the_notes_that_others_keep(tmp_path, monkeypatch):
    def notes(folder):
        noting = study(folder, max_trials=20)

        def function(trial):
            noting.note(trial, {"fact": "only while it runs"})
            trial.set_user_attr("kept", trial.number)
            return square(trial)

        noting.optimize(function)
        return [set(trial.notes) for trial in noting.trials.values()]

    together = notes(tmp_path / "project")
    monkeypatch.setattr("afina.study.sharing.CROWDED", math.inf)
    assert together == notes(tmp_path / "other")


KILLED = """
    import os, signal, sys
    import afina
    from afina.search import Random
    from afina.study import chunks, sharing

    sharing.CROWDED, chunks.LONGEST, chunks.PAUSE = 0.0, 1000.0, 60.0
    resize = chunks.TrialChunk._resize
    chunks.TrialChunk._resize = lambda self, waited, count: resize(self, 999.0, count)
    hp = afina.HyperParameters()
    hp.Float("x", -1.0, 1.0)
    hp.Int("n", 1, 100)
    given = {"objective": afina.Objective("loss", "min"), "max_trials": 64}
    study = afina.Study(hp, algorithm=Random(seed=3), store=sys.argv[1], **given)

    def function(trial):
        if trial.number == 20:
            os.kill(os.getpid(), signal.SIGKILL)
        return trial.values["x"] ** 2

    study.optimize(function)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills")
def test_the_trials_of_a_killed_worker_are_run_again(tmp_path):
    child = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path / "project")]
    assert subprocess.run(child, env=os.environ, check=False).returncode == -signal.SIGKILL
    left = open_store(tmp_path / "project").trials()
    written = [trial.number for trial in left if trial.status is COMPLETED]
    assert written == list(range(len(written)))
    assert len(left) - len(written) > 2, "no test"
    again = study(tmp_path / "project")
    with pytest.warns(UserWarning, match="died while it ran"):
        again.optimize(square)
    alone = study()
    alone.optimize(square)
    assert [each[:4] for each in found(again)] == [each[:4] for each in found(alone)]
    assert sorted(again.ended) == list(range(64))
