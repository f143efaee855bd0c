"""The study: budget, retries, failures, resume; over a real SQLite file."""

import math

import pytest

from afina.errors import ArgumentError, ProjectMismatchError, SearchFailedError
from afina.search import Done, Grid, Random, Wait
from afina.space import HyperParameters
from afina.store import open_store
from afina.study import SearchState, choose_seed
from afina.trials import Failure, FailureKind, Objective, Status

BROKEN = Failure(FailureKind.ERROR, "it broke")


def make_space():
    hp = HyperParameters()
    hp.Float("x", 0.0, 1.0)
    hp.Int("n", 1, 4)
    return hp


def make(folder, *, algorithm=None, hp=None, seed=0, **kwargs):
    return SearchState(
        algorithm=algorithm or Random(seed=seed),
        objective=kwargs.pop("objective", Objective("loss", "min")),
        hp=hp or make_space(),
        store=open_store(folder),
        seed=seed,
        **kwargs,
    )


def run(study, trials=100):
    for _ in range(trials):
        trial = study.next()
        if isinstance(trial, Done):
            return trial
        study.report(trial, {"loss": 9.0}, step=0)
        study.complete(trial, {"loss": (trial.values["x"] - 0.3) ** 2})
    return None


def values(study):
    return [dict(trial.values) for trial in study.trials.values()]


def test_a_study_ends_after_max_trials_and_says_so(tmp_path):
    study = make(tmp_path / "p", max_trials=5)
    assert "max_trials=5" in run(study).reason
    assert len(study.trials) == 5
    best = study.best_trials(1)[0]
    assert best.loss == min(trial.loss for trial in study.trials.values())


@pytest.mark.parametrize("stop", range(1, 8))
def test_a_study_opened_again_goes_on_as_if_it_had_never_stopped(tmp_path, stop):
    straight = make(tmp_path / "a", max_trials=8)
    run(straight)
    first = make(tmp_path / "b", max_trials=8)
    run(first, stop)
    first.next()  # its process dies while this trial runs
    first.close()
    second = make(tmp_path / "b", max_trials=8)
    run(second)
    assert values(second) == values(straight)
    assert second.ended == straight.ended


def test_a_trial_that_was_running_when_the_process_died_is_run_again_first(tmp_path):
    study = make(tmp_path / "p", max_trials=4)
    run(study, 1)
    lost = study.next()
    study.close()
    again = make(tmp_path / "p", max_trials=4)
    trial = again.next()
    assert (trial.number, trial.values, trial.attempt) == (lost.number, lost.values, 1)


def test_a_failed_trial_is_retried_and_then_counts_as_failed(tmp_path):
    study = make(tmp_path / "p", max_trials=2, max_retries=2)
    numbers = []
    for _ in range(3):
        trial = study.next()
        numbers.append(trial.number)
        ended = study.fail(trial, BROKEN)
    assert numbers == [0, 0, 0]
    assert ended.status is Status.FAILED
    assert study.next().number == 1


def test_a_retry_after_a_score_that_is_no_number_can_succeed(tmp_path):
    study = make(tmp_path / "p", max_trials=1, max_retries=1)
    first = study.complete(study.next(), {"loss": math.nan})
    assert first.status is Status.WAITING
    assert first.failure.kind is FailureKind.NOT_A_NUMBER
    assert study.complete(study.next(), {"loss": 0.5}).status is Status.COMPLETED


def test_a_trial_whose_worker_died_is_run_again_once_as_if_for_the_first_time(tmp_path):
    lost = Failure(FailureKind.LOST_WORKER, "killed by signal 9")
    study = make(tmp_path / "p", max_trials=2)
    trial = study.next()
    stream = study.stream(0)
    waiting = study.fail(trial, lost)
    assert (waiting.status, waiting.retries) == (Status.WAITING, 0)
    assert "process that trained it had died" in waiting.notes["lost_worker"]
    study.close()

    study = make(tmp_path / "p", max_trials=2)
    again = study.next()
    assert (again.number, again.values, again.attempt) == (0, trial.values, 1)
    assert (again.retries, study.stream(0)) == (0, stream), "it must train with the same draws"
    assert study.fail(again, lost, notes=again.notes).status is Status.FAILED
    assert study.next().number == 1


def test_a_lost_worker_takes_none_of_the_retries(tmp_path):
    lost = Failure(FailureKind.LOST_WORKER, "killed by signal 9")
    study = make(tmp_path / "p", max_trials=1, max_retries=1)
    left = [study.fail(study.next(), why).retries for why in (lost, BROKEN)]
    assert left == [0, 1]
    assert study.fail(study.next(), lost).status is Status.FAILED


def test_a_lost_worker_is_no_excuse_for_what_cannot_be_helped(tmp_path):
    study = make(tmp_path / "p", max_retries=3)
    lost = Failure(FailureKind.LOST_WORKER, "killed by signal 9")
    assert study.fail(study.next(), lost, retry=False).status is Status.FAILED


def test_failures_in_a_row_end_the_search_with_the_last_reason(tmp_path):
    study = make(tmp_path / "p", max_consecutive_failed=3)
    for count in range(3):
        study.fail(study.next(), BROKEN)
        if count < 2:
            study.check_failures()
    with pytest.raises(SearchFailedError, match=r"limit of 3[\s\S]*it broke"):
        study.check_failures()


def test_what_a_build_discovers_joins_the_space_in_a_replay_too(tmp_path):
    study = make(tmp_path / "p", algorithm=Grid(), max_trials=200)
    for _ in range(6):
        trial = study.next()
        hp = HyperParameters.for_trial(study.hp, trial.values)
        hp.start_build()
        hp.Float("x", 0.0, 1.0)
        if hp.Int("n", 1, 4) == 2:
            hp.Choice("kind", ["a", "b"])
        study.complete(trial, {"loss": 0.5}, hp=hp)
    expected = study.algorithm.ask(study.algorithm_state, study.situation()).values
    study.close()
    again = make(tmp_path / "p", algorithm=Grid(), max_trials=200)
    assert again.space == study.space
    assert [entry.name for entry in again.space] == ["x", "n", "kind"]
    assert again.next().values == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"algorithm": Grid()}, "algorithm: was 'random', is now 'grid'"),
        ({"objective": Objective("loss", "max")}, "objective"),
        ({"hp": HyperParameters()}, "hyperparameter 'x' is gone"),
    ],
)
def test_another_search_in_the_same_project_is_refused_and_changes_nothing(
    tmp_path, change, message
):
    study = make(tmp_path / "p", max_trials=3)
    run(study)
    study.close()
    with pytest.raises(ProjectMismatchError, match=message):
        make(tmp_path / "p", **change)
    assert values(make(tmp_path / "p")) == values(study)


def test_bounds_that_leave_a_trial_outside_are_named_with_the_trial(tmp_path):
    run(make(tmp_path / "p", max_trials=1))
    hp = HyperParameters()
    hp.Float("x", 2.0, 3.0)
    hp.Int("n", 1, 4)
    rule = (
        r"'x':.*max_value was 1.0, is now 3.0, min_value was 0.0, is now 2.0, but trial 0 has 0\."
    )
    with pytest.raises(ProjectMismatchError, match=rule):
        make(tmp_path / "p", hp=hp)


def test_the_project_keeps_its_seed(tmp_path):
    store = open_store(tmp_path / "p")
    assert choose_seed(store, 0) == 0
    run(make(tmp_path / "p", seed=5, max_trials=1))
    again = open_store(tmp_path / "p")
    assert choose_seed(again, None) == 5
    with pytest.warns(UserWarning, match="seed 5"):
        assert choose_seed(again, 6) == 5


def test_two_open_trials_are_two_configurations_and_the_budget_waits_for_them(tmp_path):
    study = make(tmp_path / "p", max_trials=2)
    first, second = study.next(), study.next()
    assert first.values != second.values
    assert study.next() == Wait()
    study.complete(first, {"loss": 1.0})
    study.complete(second, {"loss": 2.0})
    assert isinstance(study.next(), Done)


@pytest.mark.parametrize("bad", [{"max_trials": 0}, {"max_trials": 2.5}, {"max_retries": -1}])
def test_wrong_counts_are_refused(tmp_path, bad):
    with pytest.raises(ArgumentError, match="whole number"):
        make(tmp_path / "p", **bad)
