"""Whatever is damaged, one sentence says so, and the trials that can be read are listed."""

import json
import random
import shutil
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import afina
from afina.cli import main
from afina.errors import StoreError
from afina.search import Random
from afina.store import open_store
from afina.store.salvage import read_project

TRIALS = 12


def study(folder: Path) -> afina.Study:
    hp = afina.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    hp.Choice("kind", ["a", "b"])
    return afina.Study(
        hp,
        objective=afina.Objective("loss", "min"),
        algorithm=Random(seed=0),
        storage=folder,
        max_trials=TRIALS + 3,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with finished trials, one of them failed."""
    folder = tmp_path_factory.mktemp("whole")
    search = study(folder)
    for number in range(TRIALS):
        trial = search.ask()
        for step in range(3):
            search.report(trial, {"loss": trial.values["x"] + step}, step)
        if number == 4:
            search.tell(trial, failed="no such layer: ünï")
        else:
            search.tell(trial, {"loss": trial.values["x"]}, notes={"long": "x" * 900})
    search.close()
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def change(folder: Path, query: str, *values: object) -> None:
    with sqlite3.connect(folder / "afina.sqlite3") as connection:
        connection.execute(query, values)
    connection.close()


def listed(folder: Path) -> Result:
    result = CliRunner().invoke(main, ["trials", str(folder), "--json"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def go_on(folder: Path) -> str | None:
    """Opens the search and asks for a trial; the error, if it is one of Afina's own."""
    try:
        search = study(folder)
        search.ask()
        search.close()
    except StoreError as error:
        return str(error)
    return None


WRONG = {
    "status": ["unheard of", None, 7],
    "values": ["{", "[1]", None, b"\xff\xfe", "7"],
    "score": [None, "much", b"\x00"],
    "loss": [None, "much"],
    "best_step": ["first", 1.5],
    "metrics": ["[]", '{"loss": "much"}', '{"loss": {}}'],
    "bracket": ["a"],
    "ranges": ["7", "{}", "[1]"],
    "known": ["a", 0.5],
    "attempt": ["a"],
    "ended": [None, "last", 40],
    "seconds": ["long"],
    "notes": ["[]", '{"a": 1}', "null"],
    "number": [77],
}


@pytest.mark.parametrize("sums", [True, False], ids=["with-checksums", "without"])
@pytest.mark.parametrize("column", WRONG)
def test_a_wrong_value_in_any_column_is_named_and_the_other_trials_are_listed(
    column: str, sums: bool, copy: Path, tmp_path: Path
) -> None:
    for at, value in enumerate(WRONG[column]):
        folder = Path(shutil.copytree(copy, tmp_path / str(at)))
        if not sums:
            change(folder, "UPDATE trials SET crc = NULL")
        try:
            change(folder, f'UPDATE trials SET "{column}" = ? WHERE number = 3', value)
        except sqlite3.IntegrityError:  # the database itself refuses it
            continue
        message = go_on(folder)
        assert message is not None, (column, value)
        assert "damaged" in message
        result = listed(folder)
        assert result.exit_code == 1, (column, value)
        numbers = {trial["number"] for trial in json.loads(result.stdout)}
        assert numbers >= set(range(TRIALS)) - {3}, (column, value, result.stderr)


WRONG_REPORTS = {
    "metrics": ["{", "[1]", b"\xff\xfe", '{"loss": "much"}', '{"loss": {}}', '{"loss": null}'],
    "trial": ["a", 3.5],
    "attempt": ["a", 7.5],
    "execution": [b"\x00"],
    "step": ["first", 1.5],
}


@pytest.mark.parametrize("column", WRONG_REPORTS)
def test_a_damaged_report_of_an_epoch_is_named_and_costs_no_trial(
    column: str, copy: Path, tmp_path: Path
) -> None:
    for at, value in enumerate(WRONG_REPORTS[column]):
        folder = Path(shutil.copytree(copy, tmp_path / str(at)))
        change(folder, f'UPDATE reports SET "{column}" = ? WHERE trial = 3 AND step = 1', value)
        with pytest.raises(StoreError, match=r"damaged.*a report of trial"):
            open_store(folder).history()
        result = listed(folder)
        assert result.exit_code == 1, (column, value)
        assert len(json.loads(result.stdout)) == TRIALS
        assert "1 report of an epoch cannot be read." in result.stderr, (column, value)


def test_counting_the_reports_and_reading_them_come_to_the_same(copy: Path) -> None:
    odd = ['{"loss": "nan"}', '{"a: b": 1.5}', '{"loss":2}', '{"loss": "much"}', '{"a\\"b": -1e-9}']
    for step, text in enumerate([*odd, "{"]):
        query = "INSERT INTO reports VALUES (?, 0, 0, ?, ?)"
        change(copy, query, 5 + step % 2, 10 + step, text)
    read, counted = read_project(copy), read_project(copy, count_reports=True)
    assert counted.epochs() == read.epochs()
    assert counted.faults == read.faults == ["2 reports of epochs cannot be read."]
    assert sum(read.epochs().values()) == 3 * TRIALS + 4


def test_a_failed_trials_reason_of_a_wrong_kind_is_damage(copy: Path) -> None:
    change(copy, "UPDATE trials SET failure_kind = 'bad luck' WHERE number = 4")
    assert "trial 4" in go_on(copy)


def test_a_changed_digit_is_noticed(copy: Path) -> None:
    change(copy, "UPDATE trials SET score = score + 0.001 WHERE number = 3")
    assert "trial 3: its checksum does not match" in go_on(copy)
    assert "Trial 3 cannot be read" in listed(copy).stderr


def test_a_changed_header_is_noticed(copy: Path) -> None:
    change(copy, "UPDATE meta SET header = replace(header, '\"seed\": 0', '\"seed\": 1')")
    assert "header: its checksum does not match" in go_on(copy)
    assert len(json.loads(listed(copy).stdout)) == TRIALS


@pytest.mark.parametrize("number", [0, 5, TRIALS - 1])
def test_a_deleted_trial_is_named_and_the_others_are_listed(number: int, copy: Path) -> None:
    change(copy, "DELETE FROM trials WHERE number = ?", number)
    message = go_on(copy)
    assert "missing" in message
    assert "overwrite=True" in message
    result = listed(copy)
    assert result.exit_code == 1
    assert len(json.loads(result.stdout)) == TRIALS - 1
    if number == 5:
        (copy / "afina.count").unlink()
        assert "Trial 5 is missing" in go_on(copy)


@pytest.mark.parametrize("table", ["meta", "trials", "reports", "notes"])
def test_a_dropped_table_is_named(table: str, copy: Path) -> None:
    change(copy, f"DROP TABLE {table}")
    assert f"its table '{table}' is missing" in go_on(copy)
    result = listed(copy)
    assert result.exit_code == 1
    if table != "trials":
        assert len(json.loads(result.stdout)) == TRIALS


def test_two_rows_of_meta_are_damage(copy: Path) -> None:
    change(copy, "INSERT INTO meta (id, format, afina) VALUES (1, 1, 'x')")
    assert "must hold one row" in go_on(copy)
    change(copy, "DELETE FROM meta")
    assert "must hold one row" in go_on(copy)


@pytest.mark.parametrize("seed", range(60))
def test_flipped_bytes_and_cuts_end_in_a_sentence_and_never_in_another_result(
    seed: int, copy: Path, whole: Path
) -> None:
    rng = random.Random(seed)
    file = copy / "afina.sqlite3"
    content = bytearray(file.read_bytes())
    if seed % 4 == 0:
        del content[rng.randrange(len(content)) :]
    for _ in range(rng.choice([1, 1, 4, 60]) if content else 0):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)
    true = {trial.number: trial for trial in open_store(whole).trials()}

    result = listed(copy)
    if result.exit_code == 0:
        assert len(json.loads(result.stdout)) == TRIALS
    try:
        found = read_project(copy).trials
    except StoreError:
        found = []
    for trial in found:
        assert trial == true[trial.number]
    message = go_on(copy)
    if message is None:
        assert open_store(copy).trials()[:TRIALS] == list(true.values())


def test_a_project_without_checksums_opens_and_gets_them(copy: Path) -> None:
    change(copy, "ALTER TABLE trials DROP COLUMN crc")
    change(copy, "ALTER TABLE meta DROP COLUMN crc")
    (copy / "afina.count").unlink()
    assert listed(copy).exit_code == 0
    search = study(copy)
    assert len(search.trials) == TRIALS
    search.tell(search.ask(), {"loss": 0.5})
    search.close()
    assert json.loads((copy / "afina.count").read_text()) == {"finished": TRIALS + 1}
    change(copy, "UPDATE trials SET score = 0.25 WHERE number = ?", TRIALS)
    assert "checksum" in go_on(copy)
