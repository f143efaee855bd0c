"""What lies in a project's folder: made late, told apart, never spoilt, deleted whole."""

import math
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from afina.errors import ProjectVersionError, StoreError
from afina.store import SqliteStore, TrialStore, delete_project, open_store
from afina.trials import Report, Status, Trial

CHILD = Path(__file__).with_name("child.py")


def filled(folder: Path, trials: int = 100) -> SqliteStore:
    """A closed project with some trials."""
    store = SqliteStore(folder)
    for number in range(trials):
        store.put(Trial(number=number, values={"x": number}, notes={"long": "x" * 100}))
    store.close()
    return store


def looks(store: TrialStore) -> tuple[object, ...]:
    return store.header(), store.space(), store.trials(), store.history(0), store.note("x")


def test_looking_at_a_project_makes_and_changes_nothing(tmp_path: Path) -> None:
    looks(open_store(tmp_path / "nothing"))
    assert list(tmp_path.iterdir()) == []

    store = filled(tmp_path / "project")
    before = {path.name: path.read_bytes() for path in store.folder.iterdir()}
    looks(open_store(store.folder))
    assert {path.name: path.read_bytes() for path in store.folder.iterdir()} == before


def test_the_file_can_be_queried_with_plain_sql(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    store.put(Trial(number=0, values={"units": 8}, metrics={"loss": math.nan}))
    store.close()
    with sqlite3.connect(store.file) as connection:
        query = """SELECT status, json_extract("values", '$.units'),
                          json_extract(metrics, '$.loss') FROM trials"""
        assert connection.execute(query).fetchall() == [("running", 8, "nan")]
    connection.close()


def test_a_report_is_written_by_itself_when_one_has_waited_long_enough(tmp_path: Path) -> None:
    reader = SqliteStore(tmp_path)
    patient = SqliteStore(tmp_path, report_delay=1000.0)
    patient.put(Trial(number=0, values={}))
    for step in range(3):
        patient.report(Report(trial=0, step=step, metrics={}))
    assert (len(patient.history(0)), len(reader.history(0))) == (3, 0)

    patient.report_delay = 0.0
    patient.report(Report(trial=0, step=3, metrics={}))
    assert len(reader.history(0)) == 4
    patient.close()


def test_a_change_of_any_trial_writes_all_reports(tmp_path: Path) -> None:
    reader, store = SqliteStore(tmp_path), SqliteStore(tmp_path)
    store.put(Trial(number=0, values={}))
    store.report(Report(trial=0, step=0, metrics={}))
    store.put(Trial(number=1, values={}))
    assert len(reader.history(0)) == 1
    store.close()


def test_the_newest_store_of_a_process_takes_over(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    first = SqliteStore(folder)
    first.put(Trial(number=0, values={}))
    first.report(Report(trial=0, step=0, metrics={}))
    link = tmp_path / "link"
    link.symlink_to(folder, target_is_directory=True)
    second = SqliteStore(link)
    second.put(Trial(number=1, values={}))

    for write in (first.put, first.finish):
        with pytest.raises(StoreError, match="A newer tuner in this process"):
            write(Trial(number=2, values={}, status=Status.FAILED, ended=0))
    with pytest.raises(StoreError, match="A newer tuner in this process"):
        first.report(Report(trial=0, step=1, metrics={}))
    first.close()
    assert len(first.history(0)) == 1, "what the first had buffered must be written"
    second.put(Trial(number=2, values={}))
    second.close()
    # What it does not know has happened: even now it must not write.
    with pytest.raises(StoreError, match="A newer tuner in this process"):
        first.put(Trial(number=3, values={}))
    assert [trial.number for trial in second.trials()] == [0, 1, 2]


def test_a_forgotten_store_writes_its_reports_and_frees_the_project(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    store.put(Trial(number=0, values={}))
    store.report(Report(trial=0, step=0, metrics={}))
    del store
    other = open_store(tmp_path)
    assert len(other.history(0)) == 1
    assert (tmp_path / "afina.lock").read_text() == ""


def test_a_search_goes_on_after_ctrl_c_within_a_statement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(tmp_path)
    store.put(Trial(number=0, values={}))
    store.report(Report(trial=0, step=0, metrics={}))
    dialect = store._writer._engine.dialect

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(dialect, "do_execute", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.put(Trial(number=1, values={}))
    assert [trial.number for trial in store.trials()] == [0]
    store.put(Trial(number=1, values={}))
    store.close()
    assert len(store.trials()) == 2
    assert len(store.history(0)) == 1


@pytest.fixture
def other_version(tmp_path: Path) -> SqliteStore:
    store = filled(tmp_path / "project")
    with sqlite3.connect(store.file) as connection:
        connection.execute("UPDATE meta SET format = 99, afina = '7.0'")
        connection.execute("DROP TABLE trials")
    connection.close()
    return store


def test_a_project_of_another_format_is_named_and_left_alone(other_version: SqliteStore) -> None:
    before = other_version.file.read_bytes()
    with pytest.raises(ProjectVersionError, match=r"format 99, written by Afina 7\.0"):
        other_version.trials()
    with pytest.raises(ProjectVersionError, match="reads and writes format 1"):
        other_version.put(Trial(number=0, values={}))
    assert other_version.file.read_bytes() == before


def damages() -> dict[str, bytes]:
    return {
        "a text": b"my notes\n" * 1000,
        "noise": random.Random(0).randbytes(10_000),
    }


@pytest.mark.parametrize("damage", damages().values(), ids=damages().keys())
def test_a_file_that_is_no_database_is_named_and_left_alone(damage: bytes, tmp_path: Path) -> None:
    file = tmp_path / "afina.sqlite3"
    file.write_bytes(damage)
    store = open_store(tmp_path)
    for use in (store.header, store.trials, lambda: store.put(Trial(number=0, values={}))):
        with pytest.raises(StoreError, match=r"afina\.sqlite3' is damaged.*overwrite=True"):
            use()
    assert file.read_bytes() == damage


@pytest.mark.parametrize("part", [0.03, 0.3, 0.9])
def test_a_file_cut_short_is_named_and_left_alone(part: float, tmp_path: Path) -> None:
    store = filled(tmp_path)
    cut = store.file.read_bytes()[: int(part * store.file.stat().st_size)]
    store.file.write_bytes(cut)
    with pytest.raises(StoreError, match="is damaged"):
        store.trials()
    with pytest.raises(StoreError, match="is damaged"):
        store.put(Trial(number=1000, values={}))
    assert store.file.read_bytes() == cut


def test_a_spoilt_row_is_a_damage_and_not_a_crash(tmp_path: Path) -> None:
    store = filled(tmp_path)
    for column, spoilt in (("values", "{"), ("status", "unheard of"), ("ranges", "7")):
        with sqlite3.connect(store.file) as connection:
            connection.execute(f'UPDATE trials SET "{column}" = ? WHERE number = 3', [spoilt])
        connection.close()
        with pytest.raises(StoreError, match="is damaged"):
            store.trials()


def test_a_file_locked_by_another_program_is_an_error_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path)
    monkeypatch.setattr("afina.store.writer._PATIENCE", 0.05)
    browser = sqlite3.connect(store.file, isolation_level=None)
    browser.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="Another program has locked"):
        store.put(Trial(number=1000, values={}))
    assert len(store.trials()) == 100
    browser.close()
    store.put(Trial(number=1000, values={}))
    store.close()


def test_a_folder_deleted_during_a_search_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    store = SqliteStore(folder)
    store.put(Trial(number=0, values={}))
    shutil.rmtree(folder)
    with pytest.raises(StoreError, match="was deleted or replaced"):
        store.put(Trial(number=1, values={}))
    newer = SqliteStore(folder)
    newer.put(Trial(number=7, values={}))
    assert [trial.number for trial in newer.trials()] == [7]
    newer.close()


def test_a_path_that_cannot_be_a_folder_is_an_error_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = open_store(tmp_path / "file" / "project")
    assert store.trials() == []
    with pytest.raises(StoreError, match="choose another directory"):
        store.put(Trial(number=0, values={}))


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    # pytest's own folders are closed to other users, and root must become one to be refused.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
@pytest.mark.parametrize("crashed", [False, True])
def test_a_read_only_project_can_be_read_but_not_written(crashed: bool, open_to_all: Path) -> None:
    store = SqliteStore(open_to_all / "project")
    for number in range(5):
        store.put(Trial(number=number, values={}))
    if crashed:
        files = {p.name: p.read_bytes() for p in store.folder.iterdir() if "shm" not in p.name}
    store.close()
    if crashed:  # trials are in the log only
        for name, content in files.items():
            (store.folder / name).write_bytes(content)
    command = [sys.executable, str(CHILD), "read_only", str(store.folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[0] == "reads 5"
    for line in said[1:]:
        assert line.startswith("StoreError")
        assert "Make its folder writable" in line
    assert len(said) == 3


def test_deleting_a_project_deletes_all_of_it_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    store = filled(folder)
    (folder / "oracle.json").write_text("{}")
    (folder / "trial_00").mkdir()
    (folder / "trial_00" / "checkpoint.weights.h5").touch()
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (folder / "link").symlink_to(tmp_path / "kept", target_is_directory=True)
    delete_project(folder)
    delete_project(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "file").exists()
    assert store.trials() == []


def test_a_store_whose_project_was_deleted_writes_no_more(tmp_path: Path) -> None:
    old = SqliteStore(tmp_path / "project")
    old.put(Trial(number=0, values={}))
    old.report(Report(trial=0, step=0, metrics={}))
    delete_project(old.folder)
    assert not old.folder.exists()
    new = SqliteStore(old.folder)
    new.put(Trial(number=1, values={}))
    with pytest.raises(StoreError, match="newer tuner"):
        old.put(Trial(number=2, values={}))
    old.close()
    assert [trial.number for trial in new.trials()] == [1]
    assert new.history(0) == []
    new.close()


def test_the_working_directory_and_what_holds_it_are_never_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, trials=1)
    (tmp_path / "deeper").mkdir()
    monkeypatch.chdir(tmp_path / "deeper")
    for folder in (tmp_path, Path("."), Path("..")):
        with pytest.raises(StoreError, match="working directory"):
            delete_project(folder)
    assert len(open_store(tmp_path).trials()) == 1


def test_a_store_keeps_its_place_when_the_working_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("project")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    store.put(Trial(number=0, values={}))
    store.close()
    assert (tmp_path / "project" / "afina.sqlite3").exists()


def test_a_project_of_keras_tuner_in_the_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "oracle.json").write_text('{"ongoing_trials": {}}')
    store = open_store(tmp_path)
    assert looks(store) == (None, None, [], [], None)
    store.put(Trial(number=0, values={}))
    store.close()
    assert (tmp_path / "oracle.json").read_text() == '{"ongoing_trials": {}}'


def test_the_room_loads_sqlalchemy_only_for_a_store_on_disk() -> None:
    code = "import sys, afina.store as s; s.open_store(None); sys.exit('sqlalchemy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert os.path.isabs(SqliteStore(Path("x")).folder)
