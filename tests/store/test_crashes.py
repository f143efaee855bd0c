"""A project survives what kills processes and machines: nothing acknowledged is lost."""

import functools
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from afina.errors import StoreError
from afina.store import Header, SqliteStore, open_store
from afina.store.writer import SqliteWriter
from afina.trials import Report, Status, Trial

CHILD = Path(__file__).with_name("child.py")
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="forks and kills")


@pytest.fixture
def searches(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(CHILD), "searches", str(tmp_path / "project")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.stdin.close()


def killed_search(searches: subprocess.Popen[str], changes: int, after: float) -> list[str]:
    """Starts a search, kills it `after` seconds after so many changes; what it acknowledged."""
    searches.stdin.write("go\n")
    searches.stdin.flush()
    lines = []
    while not (line := searches.stdout.readline()).startswith("pid"):
        lines.append(line)
        assert line, "the child failed"
    lines += [searches.stdout.readline() for _ in range(changes)]
    time.sleep(after)
    os.kill(int(line.split()[1]), signal.SIGKILL)
    while (line := searches.stdout.readline()) != "dead\n":
        lines.append(line)
        assert line, "the child failed"
    return [line.strip() for line in lines]


@pytest.mark.service  # real kills
@posix_only
def test_a_search_killed_at_any_moment_loses_nothing_that_was_acknowledged(
    searches: subprocess.Popen[str], tmp_path: Path
) -> None:
    rng = random.Random(0)
    folder = tmp_path / "project"
    said: set[str] = set()
    for kill in range(40):
        # The first ones hit the making of the file.
        changes = rng.randrange(8) if kill >= 10 else 0
        said.update(killed_search(searches, changes, after=rng.uniform(0.0, 0.03)))
        store = open_store(folder)
        trials = store.trials()
        finished = [trial.number for trial in trials if trial.status.finished]
        last = store.space()["last"] if store.space() else -1

        assert "begun" not in said or store.header() is not None
        assert {int(s.split()[1]) for s in said if s[:3] == "put"} <= {t.number for t in trials}
        assert {int(s.split()[1]) for s in said if s[:6] == "finish"} <= set(finished)
        noted = store.note("last")
        assert {int(s.split()[1]) for s in said if s[:4] == "note"} <= set(
            range(0 if noted is None else noted + 1)
        )
        # A finish is whole: the trial, its reports and the space of one and the same trial.
        assert finished == list(range(len(finished)))
        assert last == len(finished) - 1
        for number in finished[-5:]:
            latest = [r for r in store.history(number) if r.step == 2]
            assert latest, f"trial {number} finished without its last report"
    assert len(finished) > 20, "the children hardly searched: the test proves nothing"


def states_of_a_search(store: SqliteStore) -> Iterator[str]:
    """Makes every kind of change; what can be read after each."""

    def seen() -> str:
        histories = [store.history(number) for number in range(6)]
        return repr((store.header(), store.space(), store.trials(), store.note("n"), histories))

    yield seen()
    store.begin(Header(algorithm="a", settings={}, objective={}, seed=0, space={}))
    yield seen()
    for number in range(6):
        trial = Trial(number=number, values={"x": number / 3}, notes={"long": "x" * 300})
        store.put(trial)
        yield seen()
        store.set_note("n", number)
        yield seen()
        store.report(Report(trial=number, step=0, metrics={"loss": 1.0}))
        store.report(Report(trial=number, step=1, metrics={"loss": 0.5}))
        store.finish(replace(trial, status=Status.FAILED, ended=number), {"last": number})
        yield seen()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A project as a crash leaves it, all changes still in the log, and its states in order."""
    folder = tmp_path_factory.mktemp("log")
    store = SqliteStore(folder / "searched")
    states = list(states_of_a_search(store))
    (folder / "crashed").mkdir()
    for name in ("afina.sqlite3", "afina.sqlite3-wal"):
        shutil.copy(store.folder / name, folder / "crashed" / name)
    store.close()
    return folder / "crashed", states


def open_with_log(crashed: Path, folder: Path, log: bytes) -> tuple[SqliteStore, str]:
    folder.mkdir()
    shutil.copy(crashed / "afina.sqlite3", folder)
    (folder / "afina.sqlite3-wal").write_bytes(log)
    store = SqliteStore(folder)
    histories = [store.history(number) for number in range(6)]
    return store, repr((store.header(), store.space(), store.trials(), store.note("n"), histories))


def test_a_log_cut_off_anywhere_leaves_the_changes_up_to_a_moment(
    log: tuple[Path, list[str]], tmp_path: Path
) -> None:
    crashed, states = log
    whole = (crashed / "afina.sqlite3-wal").read_bytes()
    frame = 24 + 4096
    cuts = {*range(0, len(whole), 4_999), *range(32, len(whole), 5 * frame), 1, 31, len(whole)}
    moments = []
    for cut in sorted(cuts):
        store, seen = open_with_log(crashed, tmp_path / str(cut), whole[:cut])
        assert seen in states, f"cut at byte {cut} shows a state that never was"
        moments.append(states.index(seen))
        if cut % 7 == 0:  # the search goes on from there
            store.set_note("after", cut)
            store.close()
            assert store.note("after") == cut
            assert repr(store.trials()) in states[moments[-1]]
    assert moments == sorted(moments), "more of the log showed less"
    assert moments[0] == 0
    assert moments[-1] == len(states) - 1
    assert len(set(moments)) > 12


def test_a_spoilt_byte_in_the_log_leaves_the_changes_before_it(
    log: tuple[Path, list[str]], tmp_path: Path
) -> None:
    crashed, states = log
    whole = (crashed / "afina.sqlite3-wal").read_bytes()
    rng = random.Random(1)
    for place in sorted(rng.sample(range(len(whole)), 30)):
        spoilt = bytearray(whole)
        spoilt[place] ^= 0xFF
        _, seen = open_with_log(crashed, tmp_path / str(place), bytes(spoilt))
        assert seen in states, f"a spoilt byte {place} shows a state that never was"


def test_a_database_without_tables_is_no_new_project(tmp_path: Path) -> None:
    (tmp_path / "afina.sqlite3").touch()
    other = tmp_path / "without-tables"
    other.mkdir()
    with sqlite3.connect(other / "afina.sqlite3") as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    for folder in (tmp_path, other):
        before = (folder / "afina.sqlite3").read_bytes()
        store = open_store(folder)
        put = functools.partial(store.put, Trial(number=0, values={}))
        for use in (store.header, store.trials, put):
            with pytest.raises(StoreError, match=r"trials are missing: .*afina\.sqlite3' is empty"):
                use()
        assert (folder / "afina.sqlite3").read_bytes() == before


def test_a_crash_while_the_database_is_made_leaves_nothing_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "afina.sqlite3.new").write_bytes(b"half of it")
    store = open_store(tmp_path)
    assert (store.header(), store.trials(), store.note("x")) == (None, [], None)
    store.put(Trial(number=0, values={}))
    assert len(open_store(tmp_path).trials()) == 1
    store.close()
    assert not (tmp_path / "afina.sqlite3.new").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_each_result_is_synced_once_and_readers_never_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(tmp_path)
    store.put(Trial(number=0, values={}))
    writer = store._writer
    assert isinstance(writer, SqliteWriter)
    pragma = writer.connection.exec_driver_sql
    assert pragma("PRAGMA journal_mode").scalar_one() == "wal"
    assert pragma("PRAGMA synchronous").scalar_one() == 1  # NORMAL: the store syncs by itself
    writer.connection.rollback()
    synced, fsync = [], os.fsync

    def count(file: int) -> None:
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{file}")))
        fsync(file)

    monkeypatch.setattr(os, "fsync", count)
    log = "afina.sqlite3-wal"
    store.put(Trial(number=1, values={}))
    store.report(Report(trial=1, step=0, metrics={"loss": 1.0}))
    store.beat()
    assert synced == []
    store.finish(Trial(number=0, values={}, status=Status.FAILED, ended=0))
    assert synced == [log]
    store.set_note("n", 1)
    store.set_space({"space": []})
    assert synced == [log] * 3
    store.close()
