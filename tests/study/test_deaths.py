"""A trial that kills its process is given up in the end: real processes, real deaths."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import afina
from afina.search import Random
from afina.store import open_store
from afina.study.retries import LIMIT
from afina.trials import FailureKind, Trial
from afina.trials.trial import RAN

EVERY = -2  # as in dying.py

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks and kills")

SCRIPT = Path(__file__).with_name("dying.py")
Search = Callable[..., int]


@pytest.fixture(scope="module")
def nursery() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(SCRIPT)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def search(nursery: subprocess.Popen[str], tmp_path: Path) -> Search:
    """Runs one process that searches; how it ended."""

    def run(
        bad: int, how: str, *, at_once: int = 1, max_retries: int = 0, farther: bool = False
    ) -> int:
        line = (tmp_path / "p", bad, how, at_once, max_retries, farther)
        print(*line, sep="\t", file=nursery.stdin)
        nursery.stdin.flush()
        return int(nursery.stdout.readline())

    return run


def trials(folder: Path) -> list[Trial]:
    return open_store(folder / "p").trials()


def statuses(folder: Path) -> str:
    return "".join(trial.status.value[0] for trial in trials(folder))


@pytest.mark.first("SIGKILL")
@pytest.mark.parametrize("how", ["exit", "SIGKILL", "SIGSEGV", "SIGABRT"])
def test_a_trial_that_kills_its_process_fails_in_the_end_and_the_search_goes_on(
    how: str, search: Search, tmp_path: Path
) -> None:
    codes = [search(2, how) for _ in range(LIMIT - 1)]
    assert statuses(tmp_path) == "ccr"
    codes.append(search(2, how))
    assert 0 not in codes
    assert statuses(tmp_path) == "ccrcc", "the others do not wait for its last chance"
    assert search(2, how) == 0
    assert statuses(tmp_path) == "ccfcc"
    failure = trials(tmp_path)[2].failure
    assert failure.kind is FailureKind.LOST_WORKER
    assert f"died {LIMIT} times" in failure.message


@pytest.mark.service
def test_more_retries_give_a_trial_that_kills_its_process_more_chances(
    search: Search, tmp_path: Path
) -> None:
    for _ in range(LIMIT + 2):
        assert search(1, "SIGKILL", max_retries=LIMIT + 1) == -signal.SIGKILL
    assert search(1, "SIGKILL", max_retries=LIMIT + 1) == 0
    assert statuses(tmp_path) == "cfccc"


@pytest.mark.service
def test_a_long_trial_that_comes_further_at_each_start_is_never_given_up(
    search: Search, tmp_path: Path
) -> None:
    for _ in range(3 * LIMIT):
        assert search(1, "SIGKILL", farther=True) == -signal.SIGKILL
    assert search(-1, "", farther=True) == 0
    assert statuses(tmp_path) == "ccccc"
    notes = trials(tmp_path)[1].notes
    assert (notes["deaths"], notes["died_after"]) == ("1", str(3 * LIMIT))


@pytest.mark.service
def test_deaths_without_progress_count_after_some_with_progress(
    search: Search, tmp_path: Path
) -> None:
    for farther in [True] * 4 + [False] * (LIMIT - 1):
        assert search(1, "SIGKILL", farther=farther) == -signal.SIGKILL
    assert search(1, "SIGKILL") == 0
    assert statuses(tmp_path) == "cfccc"
    assert "came no further" in trials(tmp_path)[1].failure.message


@pytest.mark.first("SIGTERM")
@pytest.mark.parametrize("how", ["SIGTERM", "SIGHUP", "SIGINT", "error"])
def test_a_process_that_is_asked_to_end_or_raises_counts_against_no_trial(
    how: str, search: Search, tmp_path: Path
) -> None:
    if how == "SIGHUP" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        pytest.skip("these tests run under nohup, and so do their processes")
    for _ in range(LIMIT + 2):
        assert search(2, how) != 0
        assert trials(tmp_path)[2].notes == {}
    assert search(-1, how) == 0
    assert statuses(tmp_path) == "ccccc"
    assert set(trials(tmp_path)[2].notes) == {RAN}


def test_of_trials_that_ran_together_only_the_one_that_dies_again_alone_is_given_up(
    search: Search, tmp_path: Path
) -> None:
    starts = 1
    while search(2, "SIGKILL", at_once=4) != 0:
        starts += 1
        assert starts < 10
    assert statuses(tmp_path) == "ccfcc"
    # Once with the others, then alone.
    assert starts == 1 + LIMIT + 1
    assert [trial.attempt for trial in trials(tmp_path)] == [1, 1, LIMIT, 1, 0]


def test_a_trial_that_died_is_run_alone_though_more_are_asked_for(
    search: Search, tmp_path: Path
) -> None:
    search(1, "SIGKILL", at_once=2)
    study = reopened(tmp_path)
    with pytest.warns(UserWarning, match=r"died while it ran trials 0 and 1\. Run again, one at"):
        first = study.ask()
    assert study.ask() is None
    assert study.stop_reason is None
    study.tell(first, {"loss": 1.0})
    second = study.ask()
    assert (first.number, second.number) == (0, 1)
    assert study.ask() is None
    study.tell(second, {"loss": 1.0})
    assert [study.ask().number, study.ask().number] == [2, 3]
    study.close()


@pytest.mark.service
def test_deaths_of_trials_that_end_well_later_are_a_reason_to_be_patient(
    search: Search, tmp_path: Path
) -> None:
    for bad in (0, 1, 2, 2, 2, 2):
        assert search(bad, "SIGKILL") != 0
    assert search(-1, "SIGKILL") == 0
    assert statuses(tmp_path) == "ccccc"


def test_a_trial_that_is_killed_from_outside_outlives_it_as_later_ones_are_killed_too(
    search: Search, tmp_path: Path
) -> None:
    for bad in (0, 0, 1, 2, 0):
        assert search(bad, "SIGKILL") != 0
    assert trials(tmp_path)[0].notes["deaths"] == str(LIMIT - 1)  # the last is not counted yet
    assert search(-1, "SIGKILL") == 0
    assert statuses(tmp_path) == "ccccc"
    assert trials(tmp_path)[0].notes["deaths"] == str(LIMIT)


def test_trials_give_the_same_however_often_their_process_died(
    search: Search, tmp_path: Path
) -> None:
    for bad in (0, 1, 1, 4):
        search(bad, "SIGKILL")
    search(-1, "")
    killed = [(trial.values, trial.score, trial.retries) for trial in trials(tmp_path)]
    straight = reopened(None)
    while (trial := straight.ask()) is not None:
        straight.tell(trial, {"loss": trial.values["x"]})
    assert killed == [(t.values, t.score, t.retries) for t in straight.trials.values()]


def test_a_second_study_of_one_process_blames_no_trial_of_the_first(tmp_path: Path) -> None:
    first = reopened(tmp_path)
    running = first.ask()
    second = reopened(tmp_path)
    assert second.ask().number == running.number
    assert second.trials[running.number].notes == {}
    second.close()


def test_a_trial_that_waited_when_the_process_died_in_another_one_is_not_blamed(
    search: Search, tmp_path: Path
) -> None:
    search(1, "error", at_once=2)  # 0 and 1 are left running, in peace
    search(0, "SIGKILL")
    assert statuses(tmp_path) == "rw"
    study = reopened(tmp_path)
    with pytest.warns(UserWarning, match=r"died while it ran trial 0\. Run again"):
        study.ask()
    assert [trial.notes for trial in study.trials.values()] == [{"deaths": "1"}, {}]
    study.close()


@pytest.mark.service
def test_a_search_in_which_every_trial_kills_its_process_ends_with_an_error(
    search: Search, tmp_path: Path
) -> None:
    deaths = 0
    while (code := search(EVERY, "SIGKILL")) == -signal.SIGKILL:
        deaths += 1
        assert deaths < 100
    assert code == 1, "it has ended in a SearchFailedError"
    assert deaths == LIMIT - 1 + 3 * LIMIT
    assert statuses(tmp_path) == "wfff"


def reopened(folder: Path | None) -> afina.Study:
    hp = afina.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    objective = afina.Objective("loss", "min")
    storage = None if folder is None else folder / "p"
    return afina.Study(
        hp, objective=objective, algorithm=Random(seed=0), storage=storage, max_trials=5
    )
