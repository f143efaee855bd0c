"""One search in several processes: real processes, real deaths, every trial exactly once."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from afina.search import Situation
from afina.store import open_store
from afina.trials import Status, Trial
from afina.trials.trial import RAN
from tests.postgres import Server, running_server
from tests.services import keras_worker
from tests.services.worker import ALGORITHMS, study

HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(sys.platform == "win32", reason="kills and shared locks"),
]

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a worker; those that are left at the end are killed."""
    started = []

    def start(*arguments: Any, script: str = "worker.py", **variables: str) -> Any:
        process = subprocess.Popen(
            [sys.executable, str(HERE / script), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "default", **variables},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def finish(*processes: subprocess.Popen[str]) -> list[str]:
    """What each has said, once all have ended well."""
    said = [process.communicate(timeout=250)[0] for process in processes]
    for process, text in zip(processes, said, strict=True):
        assert process.returncode == 0, text
    return said


def check_whole(trials: list[Trial], count: int) -> None:
    """Each trial is there, once, with a result."""
    assert [trial.number for trial in trials] == list(range(count))
    assert sorted(trial.ended for trial in trials) == list(range(count))
    assert {trial.status for trial in trials} == {Status.COMPLETED}


def alone(algorithm: str, count: int) -> list[Trial]:
    """The trials of one worker."""
    search = study(None, algorithm, count)
    search.optimize(lambda trial: trial.values["x"] ** 2 + trial.values["n"] / 100)
    return list(search.trials.values())


def values(trials: list[Trial]) -> list[Any]:
    return [trial.values for trial in trials]


@pytest.mark.parametrize("algorithm", ["random", "quasi-random"])
def test_eight_processes_try_what_one_process_tries_and_each_trial_once(
    algorithm: str, start: Start, tmp_path: Path
) -> None:
    # Trials of 0.1 s: else the first process may end them all before the others have started.
    said = finish(*[start(tmp_path / "p", algorithm, 60, 0.1) for _ in range(8)])
    trials = open_store(tmp_path / "p").trials()
    check_whole(trials, 60)
    assert values(trials) == values(alone(algorithm, 60))
    begun = re.findall(r"^trial (\d+) 0$", "".join(said), re.M)
    assert sorted(map(int, begun)) == list(range(60)), "a trial was run twice, or not at all"
    ended = [int(re.search(r"^done (\d+) ", text, re.M)[1]) for text in said]
    assert sum(ended) == 60
    assert sum(count > 0 for count in ended) > 1, "one process did everything: no test"
    assert all("max_trials=60 trials have been run" in text for text in said)
    left = sorted(path.name for path in (tmp_path / "p").iterdir())
    assert left == ["afina.count", "afina.lock", "afina.sqlite3"]


def check_replay(algorithm: str, trials: list[Trial]) -> None:
    """Each trial is the one that follows from the results that were there, in their order."""
    search = study(None, algorithm, len(trials))
    chooser, space = ALGORITHMS[algorithm](seed=3), search.space
    order = sorted(trials, key=lambda trial: trial.ended)
    states = [chooser.init()]
    for trial in order:
        states.append(chooser.tell(states[-1], trial, space))
    for trial in trials:
        known = {each.number for each in order[: trial.known]}
        running = [each for each in trials[: trial.number] if each.number not in known]
        asked = Situation(
            number=trial.number, space=space, running=tuple(running), max_trials=len(trials)
        )
        assert chooser.ask(states[trial.known], asked).values == trial.values


def test_what_a_search_that_learns_tries_follows_from_the_order_of_its_results(
    start: Start, tmp_path: Path
) -> None:
    finish(*[start(tmp_path / "p", "tpe", 40, 0.02) for _ in range(4)])
    trials = open_store(tmp_path / "p").trials()
    check_whole(trials, 40)
    assert any(trial.known < trial.number for trial in trials), "no two ran at once: no test"
    check_replay("tpe", trials)


def test_the_trial_of_a_killed_process_is_finished_by_another(start: Start, tmp_path: Path) -> None:
    victim = start(tmp_path / "p", "random", 12, 60)
    number, attempt = victim.stdout.readline().split()[1:]
    other = start(tmp_path / "p", "random", 12, 0.1)
    assert other.stdout.readline().startswith("trial 1 ")
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    [said] = finish(other)
    assert (number, attempt) == ("0", "0")
    assert "trial 0 1\n" in said
    assert re.search(r"died while it ran trial 0\. Run again", said)
    trials = open_store(tmp_path / "p").trials()
    check_whole(trials, 12)
    assert trials[0].notes["deaths"] == "1"


def test_a_process_that_is_asked_to_end_gives_its_trial_back_unblamed(
    start: Start, tmp_path: Path
) -> None:
    victim = start(tmp_path / "p", "random", 6, 60)
    victim.stdout.readline()
    victim.send_signal(signal.SIGINT)
    victim.communicate()
    [said] = finish(start(tmp_path / "p", "random", 6))
    assert "trial 0 1\n" in said
    trials = open_store(tmp_path / "p").trials()
    check_whole(trials, 6)
    assert set(trials[0].notes) == {RAN}


def test_a_process_that_hangs_loses_its_trial_and_its_result_is_dropped(
    start: Start, tmp_path: Path
) -> None:
    lease = 2.0
    hanging = start(tmp_path / "p", "random", 8, 0.5, lease)
    hanging.stdout.readline()
    hanging.send_signal(signal.SIGSTOP)
    [said] = finish(start(tmp_path / "p", "random", 8, 0.1, lease))
    assert "trial 0 1\n" in said
    before = open_store(tmp_path / "p").trials()
    check_whole(before, 8)
    hanging.send_signal(signal.SIGCONT)
    [said] = finish(hanging)
    assert "Trial 0 was given to another worker, which has ended it" in said
    assert open_store(tmp_path / "p").trials() == before


def test_workers_join_and_leave_at_any_time(start: Start, tmp_path: Path) -> None:
    running = [start(tmp_path / "p", "random", 50, 0.1)]
    for _ in range(3):
        running[-1].stdout.readline()
        running.append(start(tmp_path / "p", "random", 50, 0.1))
        running[0].send_signal(signal.SIGINT)
        running.pop(0).communicate()
    running += [start(tmp_path / "p", "random", 50, 0.05) for _ in range(2)]
    finish(*running)
    check_whole(open_store(tmp_path / "p").trials(), 50)


def test_two_processes_share_a_keras_search_and_continue_each_others_models(
    start: Start, tmp_path: Path
) -> None:
    said = finish(*[start(tmp_path, script="keras_worker.py") for _ in range(2)])
    tuner = keras_worker.tuner(tmp_path)
    trials = list(tuner.oracle.search_state.trials.values())
    check_whole(trials, len(trials))
    promoted = [trial for trial in trials if trial.parent is not None]
    assert promoted
    assert not any("promotion" in trial.notes for trial in promoted), "a model was not there"
    ended = {f"seed {tuner.oracle.seed} trials {len(trials)}" in text for text in said}
    assert ended == {True}, said


def test_eight_processes_share_a_search_in_a_database(start: Start, server: Server) -> None:
    url = f"{server.url}&project=eight"
    said = finish(*[start(url, "random", 40) for _ in range(8)])
    trials = open_store(url).trials()
    check_whole(trials, 40)
    assert values(trials) == values(alone("random", 40))
    begun = re.findall(r"^trial (\d+) 0$", "".join(said), re.M)
    assert sorted(map(int, begun)) == list(range(40))


@pytest.mark.parametrize("place", ["file", "database"])
def test_cheap_trials_of_killed_processes_are_run_again_and_none_is_lost(
    place: str, start: Start, server: Server, tmp_path: Path
) -> None:
    """Trials of a millisecond, of which a process begins several in one turn."""
    storage = tmp_path / "p" if place == "file" else f"{server.url}&project=cheap"
    workers = [start(storage, "random", 800, 0.001) for _ in range(6)]
    ended: set[int] = set()
    for victim in workers[:3]:
        victim.stdout.readline()
        time.sleep(0.3)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        now = {trial.number for trial in open_store(storage).trials() if trial.status.finished}
        assert now >= ended
        ended = now
    finish(*workers[3:])
    trials = open_store(storage).trials()
    check_whole(trials, 800)
    assert values(trials) == values(alone("random", 800))


def test_a_restart_of_the_database_in_mid_search_loses_nothing(
    start: Start, server: Server
) -> None:
    url = f"{server.url}&project=restarted"
    workers = [start(url, "random", 30, 0.2) for _ in range(3)]
    workers[0].stdout.readline()
    for _ in range(2):
        time.sleep(1.0)
        server.stop()
        again = threading.Timer(1.0, server.start)
        again.start()
        again.join()
    finish(*workers)
    trials = open_store(url).trials()
    check_whole(trials, 30)
    assert values(trials) == values(alone("random", 30))
