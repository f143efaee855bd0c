"""A database that was cut off from its log, emptied, or put back, is no new project."""

import contextlib
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from afina.cli import main
from afina.errors import StoreError
from afina.store import Header, SqliteStore, delete_project, open_store
from afina.store.completeness import check_file, log_of
from afina.trials import Status, Trial

HEADER = Header(algorithm="random", settings={}, objective={}, seed=1, space={})


def finish(store: SqliteStore, numbers: range) -> None:
    for number in numbers:
        trial = Trial(number=number, values={"x": number})
        store.put(trial)
        store.finish(replace(trial, status=Status.COMPLETED, score=1.0, loss=1.0, ended=number))


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """A project with 5 finished trials, as a killed process leaves it: all still in the log."""
    store = SqliteStore(tmp_path / "searched")
    store.begin(HEADER)
    finish(store, range(5))
    folder = Path(shutil.copytree(store.folder, tmp_path / "crashed"))
    store.close()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Of the files that hold something, not only a lock or an index."""
    files = [folder / f"afina.{end}" for end in ("sqlite3", "sqlite3-wal", "count")]
    return {file.name: file.read_bytes() for file in files if file.exists()}


def refuses(folder: Path, match: str) -> None:
    """Every look and every write says so, and changes nothing."""
    files = contents(folder)
    for use in (
        lambda store: store.header(),
        lambda store: store.trials(),
        lambda store: store.put(Trial(number=9, values={})),
    ):
        with pytest.raises(StoreError, match=match):
            use(open_store(folder))
    assert contents(folder) == files


def test_a_project_of_a_killed_process_is_whole_with_its_log(crashed: Path) -> None:
    assert len(open_store(crashed).trials()) == 5


def test_a_database_copied_without_its_log_is_noticed(crashed: Path) -> None:
    (crashed / "afina.sqlite3-wal").unlink()
    refuses(crashed, r"5 trials are missing: .*holds 0 .* says 5.*afina recover")


def test_a_database_copied_alone_is_noticed(crashed: Path, tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    shutil.copy(crashed / "afina.sqlite3", tmp_path / "alone")
    refuses(tmp_path / "alone", r"Trials may be missing: .*holds 0 .*without its log")


def test_an_emptied_database_is_noticed_and_its_log_is_left_alone(crashed: Path) -> None:
    (crashed / "afina.sqlite3").write_bytes(b"")
    refuses(crashed, "5 trials are missing: .* is empty")


def test_a_database_that_is_gone_is_noticed(crashed: Path) -> None:
    (crashed / "afina.sqlite3").unlink()
    refuses(crashed, "5 trials are missing: .* is gone")
    (crashed / "afina.sqlite3-wal").unlink()
    refuses(crashed, "5 trials are missing: .* is gone")
    (crashed / "afina.count").unlink()
    (crashed / "trial_0000").mkdir()
    refuses(crashed, "1 trial is missing: .* is gone")


def test_an_older_copy_of_the_database_is_noticed(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "p")
    store.begin(HEADER)
    finish(store, range(2))
    store.close()
    old = (tmp_path / "p" / "afina.sqlite3").read_bytes()
    finish(store, range(2, 5))
    store.close()
    store.file.write_bytes(old)
    refuses(tmp_path / "p", "3 trials are missing: .*holds 2 .*says 5")


def test_recover_goes_on_with_the_trials_that_are_there(tmp_path: Path) -> None:
    test_an_older_copy_of_the_database_is_noticed(tmp_path)
    result = CliRunner().invoke(main, ["recover", str(tmp_path / "p")])
    assert result.output == "The search can continue with 2 finished trials.\n"
    store = SqliteStore(tmp_path / "p")
    finish(store, range(2, 4))
    store.close()
    assert len(open_store(tmp_path / "p").trials()) == 4


@pytest.mark.parametrize("left", ["alone", "empty", "gone"])
def test_recover_and_overwrite_make_a_cut_project_usable(left: str, crashed: Path) -> None:
    (crashed / "afina.sqlite3-wal").unlink()
    if left == "empty":
        (crashed / "afina.sqlite3").write_bytes(b"")
    if left == "gone":
        (crashed / "afina.sqlite3").unlink()
    again = Path(shutil.copytree(crashed, crashed.with_name("again")))
    result = CliRunner().invoke(main, ["recover", str(crashed)])
    assert result.output == "The search can continue with 0 finished trials.\n"
    delete_project(again)
    for folder in (crashed, again):
        store = SqliteStore(folder)
        finish(store, range(1))
        store.close()
        assert len(open_store(folder).trials()) == 1


def test_a_closed_project_is_whole_in_one_file(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "p")
    store.begin(HEADER)
    finish(store, range(5))
    reader = open_store(tmp_path / "p")
    assert len(reader.trials()) == 5
    store.close()
    (tmp_path / "copy").mkdir()
    shutil.copy(store.file, tmp_path / "copy")
    assert len(open_store(tmp_path / "copy").trials()) == 5


def test_a_long_log_is_moved_into_the_file_and_a_cut_is_noticed_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afina.store.writer._LONGEST_LOG", 60_000)
    store = SqliteStore(tmp_path / "p")
    store.begin(HEADER)
    finish(store, range(38))
    assert (tmp_path / "p" / "afina.sqlite3-wal").stat().st_size < 120_000
    (tmp_path / "alone").mkdir()
    shutil.copy(store.file, tmp_path / "alone")
    store.close()
    refuses(tmp_path / "alone", r"holds [1-3]?\d finished trials, but was copied")


def test_a_log_that_begins_while_another_process_looks_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(tmp_path / "p")
    store.begin(HEADER)
    with contextlib.closing(sqlite3.connect(store.file)) as other, other:
        other.execute("UPDATE notes SET value = '\"beside\"' WHERE key = '_log'")
    (store.folder / "afina.count").unlink()
    looks = []

    def not_yet(file: Path) -> Path:
        looks.append(file)
        return log_of(file) if len(looks) > 1 else file.with_name("no-log-yet")

    monkeypatch.setattr("afina.store.reader.log_of", not_yet)
    assert SqliteStore(tmp_path / "p").header() == HEADER
    assert len(looks) == 2
    store.close()


def test_a_database_that_another_process_begins_during_the_look_is_not_called_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "afina.sqlite3"

    def begun_meanwhile(folder: Path) -> None:
        file.write_bytes(b"a database")
        log_of(file).write_bytes(b"its log")

    monkeypatch.setattr("afina.store.completeness.read_count", begun_meanwhile)
    check_file(file)
    file.unlink()
    monkeypatch.undo()
    with pytest.raises(StoreError, match="is gone"):
        check_file(file)
