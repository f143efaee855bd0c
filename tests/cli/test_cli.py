import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import afina
from afina.cli import main
from afina.space import HyperParameters
from afina.store import Header, open_store
from afina.trials import Failure, FailureKind, Report, Status, Trial


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args], prog_name="afina")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A search with three finished trials, the last one failed."""
    folder = tmp_path / "searches" / "mine"
    store = open_store(folder)
    store.begin(
        Header(
            algorithm="random",
            settings={},
            objective={"name": "val_accuracy", "direction": "max"},
            seed=0,
            space=HyperParameters().get_config(),
        )
    )
    for number, score in enumerate((0.75, 0.875)):
        done = Trial(
            number=number,
            values={"units": 32 * (number + 1)},
            status=Status.COMPLETED,
            score=score,
            loss=-score,
            ended=number,
            seconds=1.5,
        )
        store.put(Trial(number=number, values=done.values))
        store.report(Report(trial=number, step=0, metrics={"val_accuracy": score}))
        store.finish(done)
    reason = Failure(FailureKind.ERROR, "Traceback ...\nValueError: no such layer")
    store.finish(
        Trial(number=2, values={"units": 96}, status=Status.FAILED, failure=reason, ended=2)
    )
    store.close()
    return folder


def test_the_version_is_the_packages() -> None:
    assert run("--version").output.splitlines()[0] == f"afina, version {afina.__version__}"


def test_best_lists_scored_trials_best_first(project: Path) -> None:
    lines = run("best", project).output.splitlines()
    assert lines[0].split() == ["trial", "status", "score", "epochs", "seconds", "values"]
    assert [line.split() for line in lines[1:]] == [
        ["1", "completed", "0.875", "1", "1.5", "units=64"],
        ["0", "completed", "0.75", "1", "1.5", "units=32"],
    ]
    assert len(run("best", project, "--count", 1).output.splitlines()) == 2


def test_trials_lists_all_with_the_reasons_of_failures(project: Path) -> None:
    lines = run("trials", project).output.splitlines()
    assert len(lines) == 4
    assert lines[3].endswith("units=96  (ValueError: no such layer)")


def test_trials_can_be_read_by_programs(project: Path) -> None:
    listed = json.loads(run("trials", project, "--json").output)
    assert [trial["number"] for trial in listed] == [0, 1, 2]
    assert listed[1]["values"] == {"units": 64}
    assert listed[2]["failure"].startswith("Traceback")


def test_a_folder_above_the_project_is_answered_with_the_projects_name(project: Path) -> None:
    result = run("best", project.parent)
    assert result.exit_code == 1
    assert "must hold a search" in result.output
    assert str(project) in result.output
    assert "Traceback" not in result.output


def test_an_empty_folder_is_answered_in_one_line(tmp_path: Path) -> None:
    result = run("trials", tmp_path)
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1


def test_a_bug_keeps_its_traceback(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(folder: Path, **options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("afina.store.salvage.read_project", broken)
    assert isinstance(run("best", project).exception, ZeroDivisionError)


def test_an_unknown_case_study_is_answered_with_the_known_ones() -> None:
    result = run("demo", "imagenet")
    assert result.exit_code == 2
    assert "'reuters', 'fashion-mnist'" in result.output


def test_a_data_folder_that_is_not_there_ends_the_demo_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFINA_DATA", str(tmp_path / "nowhere"))
    result = run("demo", "reuters", "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert result.output.startswith("Error: AFINA_DATA: must name a folder")


def test_control_characters_in_names_values_and_reasons_are_escaped(tmp_path: Path) -> None:
    evil = "\x1b[2Jx\u202e\nforged line"
    store = open_store(tmp_path)
    store.begin(Header(algorithm="random", settings={}, objective={}, seed=0, space={}))
    values = {evil: evil}
    store.finish(
        Trial(number=0, values=values, status=Status.COMPLETED, score=1.0, loss=1.0, ended=0)
    )
    reason = Failure(FailureKind.ERROR, f"ValueError: {evil}")
    store.finish(Trial(number=1, values=values, status=Status.FAILED, failure=reason, ended=1))
    store.close()
    for command in ("trials", "best"):
        lines = run(command, tmp_path).output.splitlines()
        assert len(lines) == (3 if command == "trials" else 2)
        assert all(line.isprintable() for line in lines)
        assert "\\x1b[2Jx\\u202e\\nforged line" in lines[1]


def test_the_database_is_opened_a_few_times_whatever_the_number_of_trials(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from afina.store import reader

    opened = []
    connect = reader.connect

    def counting(*args: object, **kwargs: object) -> object:
        opened.append(args)
        return connect(*args, **kwargs)

    monkeypatch.setattr(reader, "connect", counting)
    assert len(run("trials", project).output.splitlines()) == 4
    assert len(opened) <= 2


@pytest.mark.parametrize("url", ["mysql://me:se/cret@host/db", "postgresql:/me:secret@host/db"])
@pytest.mark.parametrize(
    "command",
    ["status", "best", "trials", "advice", "report", "doctor", "delete", "recover", "mcp"],
)
def test_a_place_that_is_no_store_is_named_without_its_password(command: str, url: str) -> None:
    done = run(command, url)
    assert done.exit_code != 0
    assert "must be a folder" in done.output
    assert "cret" not in done.output
