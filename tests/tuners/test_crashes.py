"""A crash costs the epochs since the last interim checkpoint: real processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from afina.training.interim import INTERIM
from tests.tuners import saved_search

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]


@contextmanager
def stopped(folder: Path, executor: str) -> Iterator[tuple[Any, int]]:
    """A search whose first trial waits in the middle, and the process that trains it."""
    folder.mkdir()
    command = [sys.executable, saved_search.__file__, str(folder), executor]
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as search:
        try:
            while not (waiting := list(folder.glob("waits *"))):
                assert search.poll() is None, search.stderr.read()
                time.sleep(0.05)
            yield search, int(waiting[0].name.split()[1])
        finally:
            search.kill()


def scores(tuner: Any) -> list[Any]:
    return [(t.values, t.score, t.curve) for t in tuner.oracle.search_state.trials.values()]


def first(tuner: Any) -> Any:
    return tuner.oracle.search_state.trials[0]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return scores(saved_search.run(tmp_path_factory.mktemp("straight"), "serial", pauses=False))


@pytest.mark.filterwarnings("ignore:The process that searched here before died:UserWarning")
def test_a_search_that_is_killed_continues_in_the_middle_of_its_trial(
    tmp_path: Path, straight: list[Any]
) -> None:
    with stopped(tmp_path / "p", "serial") as (search, pid):
        assert pid == search.pid
        search.send_signal(signal.SIGKILL)
        search.wait()
    assert len(list(tmp_path.rglob(INTERIM))) == 1
    tuner = saved_search.run(tmp_path / "p", "serial", pauses=False)
    assert first(tuner).notes["resumed"].startswith("after epoch 2,")
    assert scores(tuner) == straight
    assert not list(tmp_path.rglob(INTERIM))


def test_a_worker_process_that_is_killed_is_replaced_in_the_middle_of_its_trial(
    tmp_path: Path, straight: list[Any]
) -> None:
    with stopped(tmp_path / "p", "processes") as (search, pid):
        assert pid != search.pid
        os.kill(pid, signal.SIGKILL)
        (tmp_path / "p" / "goes on").touch()
        assert search.wait(timeout=200) == 0
    tuner = saved_search.run(tmp_path / "p", "serial", pauses=False)
    assert (first(tuner).attempt, first(tuner).failure) == (1, None)
    assert first(tuner).notes["resumed"].startswith("after epoch 2,")
    assert scores(tuner) == straight


def test_sigterm_reaches_a_worker_process_as_the_end_of_its_epoch(
    tmp_path: Path, straight: list[Any]
) -> None:
    with stopped(tmp_path / "p", "processes") as (search, pid):
        for number in (pid, search.pid):  # a cluster sends it to all processes of a job
            os.kill(number, signal.SIGTERM)
        time.sleep(0.5)
        (tmp_path / "p" / "goes on").touch()
        _, said = search.communicate(timeout=200)
    assert search.returncode == 143
    assert "SIGTERM: stopping after this epoch." in said
    tuner = saved_search.run(tmp_path / "p", "serial", pauses=False)
    assert first(tuner).notes["resumed"].startswith("after epoch 4,")
    assert scores(tuner) == straight
