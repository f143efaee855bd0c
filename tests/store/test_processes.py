"""Processes write in a project together; a fork is another process."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from afina.errors import LostLeaseError, ProjectLockedError
from afina.store import SqliteStore, delete_project, open_store
from afina.store.presence import _began, is_gone, process_mark
from afina.trials import Trial

CHILD = Path(__file__).with_name("child.py")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks and kills")


def child(role: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CHILD), role, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def facts(role: str, folder: Path) -> list[str]:
    with child(role, folder) as process:
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return said.splitlines()


def test_two_processes_write_one_project_and_neither_takes_the_other_ones_trial(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "project"
    with child("hold", folder) as holder:
        assert holder.stdout.readline() == "ready\n"
        store = open_store(folder)
        assert [trial.number for trial in store.trials()] == [0]
        store.put(Trial(number=1, values={}))
        with pytest.raises(LostLeaseError, match=f"run by another worker, process {holder.pid}"):
            store.put(Trial(number=0, values={}))
        with pytest.raises(ProjectLockedError, match="leave out overwrite=True"):
            delete_project(folder)
        assert [trial.number for trial in store.trials()] == [0, 1]

        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert store.claims()[0].died, "the system says at once that a process is dead"
        store.put(Trial(number=0, values={}, attempt=1))
        assert [trial.attempt for trial in store.trials()] == [1, 0]
        delete_project(folder)
        store.close()


def test_a_process_that_keeps_the_project_for_itself_is_waited_for_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afina.store.lock._PATIENCE", 0.05)
    with (tmp_path / "afina.lock").open("w") as file:  # as an Afina of one writer does
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write('{"pid": 7, "host": "mine"}')
        file.flush()
        store = open_store(tmp_path)
        with pytest.raises(ProjectLockedError, match=r"process 7 on mine.*project_name"):
            store.put(Trial(number=0, values={}))
        fcntl.flock(file, fcntl.LOCK_UN)
        store.put(Trial(number=0, values={}))
        store.close()


def test_a_process_of_another_machine_is_sent_to_a_database(tmp_path: Path) -> None:
    first = SqliteStore(tmp_path, worker="a")
    first.put(Trial(number=0, values={}))
    [sign] = tmp_path.glob("afina.worker.*")
    known = {**json.loads(sign.read_text()), "machine": "another", "host": "node7"}
    sign.write_text(json.dumps(known))
    second = SqliteStore(tmp_path, worker="b")
    with pytest.raises(ProjectLockedError, match=r"process on node7.*storage=.postgresql://"):
        second.put(Trial(number=1, values={}))
    first.close()
    second.put(Trial(number=1, values={}))
    second.close()


def test_a_process_that_ends_in_peace_writes_its_reports_and_frees_the_project(
    tmp_path: Path,
) -> None:
    store = open_store(tmp_path / "project")
    said = facts("fork", tmp_path / "project")
    assert said[0] == "child reads 1 0", "a fork must not see what its parent has buffered"
    assert said[1:] == ["written", "written", "parent reads 3 1"]
    assert [trial.number for trial in store.trials()] == [0, 1, 2]
    store.put(Trial(number=3, values={}))
    store.close()


def test_the_project_is_free_when_its_owner_is_dead_though_its_fork_lives(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    with child("fork_and_die", folder) as owner:
        assert owner.stdout.readline() == "child lives\n"
        owner.wait()
        assert owner.returncode == -signal.SIGKILL
        store = open_store(folder)
        store.put(Trial(number=5, values={}))
        owner.stdin.close()
        assert owner.stdout.readline() == "written\n", "a fork is a worker like any other"
        assert [trial.number for trial in store.trials()] == [0, 1, 5]
        store.close()


def test_a_lock_file_left_by_a_dead_process_locks_nothing(tmp_path: Path) -> None:
    (tmp_path / "afina.lock").write_text(f'{{"pid": {os.getpid()}, "host": "elsewhere"}}')
    store = open_store(tmp_path)
    store.put(Trial(number=0, values={}))
    store.close()
    assert (tmp_path / "afina.lock").read_text() == ""


def test_a_full_disk_loses_no_finished_trial_and_the_search_goes_on_with_room(
    tmp_path: Path,
) -> None:
    said = facts("full_disk", tmp_path / "project")
    finished = sum(line.startswith("finish") for line in said)
    assert finished > 5
    assert said[finished].startswith("StoreError")
    assert "Make room and search again" in said[finished]
    # The report that could not be written still waits, and is written with the trial.
    assert said[finished + 1 :] == [f"still {finished} 1", "written", f"now [{finished + 1}, 1]"]
    assert len(open_store(tmp_path / "project").trials()) == finished + 1


def test_a_process_that_has_just_been_seen_alive_is_known_to_be_dead_at_once() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        mark = f"{process_mark().partition('.')[0]}.{_began(process.pid)}"
        assert not is_gone(process.pid, mark)
        assert is_gone(process.pid, f"{mark}1"), "its number belonged to another process before"
        process.kill()
        process.wait()
        assert is_gone(process.pid, mark)
    assert not is_gone(process.pid, "elsewhere.1"), "of another machine nothing is known"
