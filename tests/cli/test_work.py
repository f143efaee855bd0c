"""`afina work`: a script in several processes that share one search."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import afina
from afina.cli import main
from afina.store import open_store

SCRIPT = """
import sys, time
import afina
from afina.search import Random

hp = afina.HyperParameters()
hp.Float("x", 0.0, 1.0)
study = afina.Study(hp, objective="loss", algorithm=Random(seed=0), max_trials=6)

def objective(trial):
    time.sleep(float(sys.argv[1]))
    return trial.values["x"]

study.optimize(objective)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    file = tmp_path / "train.py"
    file.write_text(SCRIPT)
    return file


def test_without_a_script_it_says_what_is_missing(tmp_path: Path) -> None:
    ran = CliRunner().invoke(main, ["work", str(tmp_path)])
    assert ran.exit_code == 1
    assert "A store keeps trials, not code: pass --script train.py." in ran.output


def test_a_study_without_a_store_takes_that_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFINA_STORAGE", str(tmp_path / "p"))
    hp = afina.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    study = afina.Study(hp, objective=afina.Objective("loss", "min"), max_trials=1)
    study.optimize(lambda trial: trial.values["x"])
    study.close()
    assert len(open_store(tmp_path / "p").trials()) == 1
    named = afina.Study(hp, objective="loss", store="memory:")
    assert not named.trials


def started(script: Path, storage: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "afina", "work", str(storage), "--script", str(script)]
    return subprocess.Popen([*command, "--workers", "2", *arguments])


@pytest.mark.service
def test_a_script_searches_in_several_processes(script: Path, tmp_path: Path) -> None:
    process = started(script, tmp_path / "p", "0")
    assert process.wait(timeout=200) == 0
    assert [trial.ended is not None for trial in open_store(tmp_path / "p").trials()] == [True] * 6


@pytest.mark.service
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_all_processes_and_the_search_can_go_on(script: Path, tmp_path: Path) -> None:
    process = started(script, tmp_path / "p", "60")
    while len(open_store(tmp_path / "p").trials()) < 2:
        time.sleep(0.2)
        assert process.poll() is None
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) != 0
    store = open_store(tmp_path / "p")
    assert not store.claims(), "a process that was asked to end must give its trial back"
    assert started(script, tmp_path / "p", "0").wait(timeout=200) == 0
    assert {trial.status.value for trial in store.trials()} == {"completed"}
