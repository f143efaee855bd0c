"""`afina export`: all trials as JSON, as a table, and as the files that Keras Tuner writes."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import afina as kt
from afina.cli import main

COLUMNS = ["number", "status", "score", "best_step", "epochs", "seconds", "failure"]


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args], prog_name="afina")


class Toy:
    """What the toy tuners do in each trial."""

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        hp = trial.hyperparameters
        units = hp.Int("units", 1, 64)
        norm = hp.Choice("norm", [None, "batch"])
        hp.Choice("width", [1, 2.5])
        hp.Boolean("bias")
        hp.Float("rate", 1e-4, 1e-1, sampling="log")
        if norm == "batch":
            with hp.conditional_scope("norm", ["batch"]):
                hp.Float("momentum", 0.5, 0.9)
        if units % 2 == 0:
            raise kt.errors.FailedTrialError("too wide, said =the test")
        return {"score": units / 7, "cost": math.inf}


def search(tmp_path: Path, base: Any = kt.RandomSearch, **kwargs: Any) -> Path:
    tuner_class = type("Searched", (Toy, base), {})
    objective = kt.Objective("score", "max")
    tuner = tuner_class(
        objective=objective, seed=2, directory=tmp_path, project_name="mine", **kwargs
    )
    tuner.search(verbose=0)
    return tmp_path / "mine"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Six trials, some of which failed."""
    return search(tmp_path, max_trials=6, max_consecutive_failed_trials=9)


def oracle_of(project: Path) -> Any:
    class Searched(Toy, kt.RandomSearch):  # type: ignore[misc]
        pass

    objective = kt.Objective("score", "max")
    return Searched(objective=objective, directory=project.parent, project_name="mine").oracle


def test_all_trials_are_written_as_json(project: Path) -> None:
    written = run("export", project)
    assert written.exit_code == 0

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    records = json.loads(written.output, parse_constant=refuse)
    trials = list(oracle_of(project).study.trials.values())
    assert [record["number"] for record in records] == list(range(6))
    assert [record["values"] for record in records] == [dict(trial.values) for trial in trials]
    assert [record["score"] for record in records] == [trial.score for trial in trials]
    assert {record["status"] for record in records} == {"completed", "failed"}
    failed = next(record for record in records if record["status"] == "failed")
    assert (failed["score"], failed["failure_kind"]) == (None, "refused")
    assert "too wide" in failed["failure"]
    assert all(r["metrics"]["cost"] is None for r in records if r["status"] == "completed")


def test_all_trials_are_written_as_a_table(project: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run("export", project, "--format", "csv").output)))
    names = ["units", "norm", "width", "bias", "rate"]
    assert [*rows[0]][: len(COLUMNS)] == COLUMNS
    assert {f"values.{name}" for name in names} | {"metrics.score"} <= set(rows[0])
    for row, trial in zip(rows, oracle_of(project).study.trials.values(), strict=True):
        assert int(row["values.units"]) == trial.values["units"]
        assert float(row["values.rate"]) == trial.values["rate"]
        assert row["score"] == ("" if trial.score is None else str(trial.score))


@pytest.mark.parametrize("form", ["json", "csv"])
def test_a_file_is_written_where_one_is_named(project: Path, tmp_path: Path, form: str) -> None:
    path = tmp_path / "new" / f"trials.{form}"
    told = run("export", project, "--format", form, "--output", path)
    assert told.output == f"Written: {path}\n"
    assert path.read_bytes().decode() == run("export", project, "--format", form).output


def test_keras_tuner_s_files_are_written_beside_the_project_s_own(project: Path) -> None:
    told = run("export", project, "--format", "keras-tuner")
    assert told.output == f"Written: {project}\n"
    oracle = oracle_of(project)  # the project opens as before
    ids = [f"{number}" for number in range(6)]
    assert [path.parent.name for path in sorted(project.glob("trial_*/trial.json"))] == [
        f"trial_{each}" for each in ids
    ]
    state = json.loads((project / "oracle.json").read_text())
    assert state["start_order"] == state["end_order"] == ids
    assert state["run_times"] == dict.fromkeys(ids, 1)
    assert [state["ongoing_trials"], state["retry_queue"], state["seed"]] == [{}, [], 2]
    assert set(state["id_to_hash"].values()) == set(state["tried_so_far"])
    assert json.loads((project / "tuner0.json").read_text()) == {}
    for each in ids:
        trial = json.loads((project / f"trial_{each}" / "trial.json").read_text())
        known = oracle.trials[each]
        assert [trial["trial_id"], trial["status"]] == [each, known.status]
        assert [trial["score"], trial["best_step"]] == [known.score, known.best_step]
        assert trial["message"] == known.message
        if known.score is not None:
            told = trial["metrics"]["metrics"]["score"]
            seen = [{"value": [known.score], "step": 0}]
            assert told == {"direction": "max", "observations": seen}


def test_what_keras_tuner_cannot_hold_is_written_as_what_comes_nearest(project: Path) -> None:
    run("export", project, "--format", "keras-tuner")
    for path in [project / "oracle.json", *project.glob("trial_*/trial.json")]:
        hp = json.loads(path.read_text())["hyperparameters"]
        assert set(hp) == {"space", "values"}
        space = {entry["config"]["name"]: entry["config"] for entry in hp["space"]}
        assert space["norm"]["values"] == ["None", "batch"]
        assert hp["values"]["norm"] in ("None", "batch")
        assert [type(value) for value in space["width"]["values"]] == [float, float]
        assert type(hp["values"]["width"]) is float
        assert type(hp["values"]["bias"]) is bool


def test_a_hyperband_trial_keeps_its_place_among_its_values(tmp_path: Path) -> None:
    project = search(tmp_path, kt.Hyperband, max_epochs=3, max_consecutive_failed_trials=99)
    run("export", project, "--format", "keras-tuner")
    state = json.loads((project / "oracle.json").read_text())
    assert [state["max_epochs"], state["factor"], state["current_bracket"]] == [3, 3, 1]
    trials = [json.loads(path.read_text()) for path in project.glob("trial_*/trial.json")]
    values = [trial["hyperparameters"]["values"] for trial in trials]
    assert all({"tuner/epochs", "tuner/bracket", "tuner/round"} <= set(each) for each in values)
    parents = {each["tuner/trial_id"] for each in values if "tuner/trial_id" in each}
    assert parents
    assert parents <= {trial["trial_id"] for trial in trials}


def test_writing_again_renews_the_files_but_not_those_of_keras_tuner_itself(
    project: Path, tmp_path: Path
) -> None:
    assert run("export", project, "--format", "keras-tuner").exit_code == 0
    assert run("export", project, "--format", "keras-tuner").exit_code == 0
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "oracle.json").write_text('{"seed": 3}')
    refused = run("export", project, "--format", "keras-tuner", "--output", theirs)
    assert refused.exit_code == 1
    assert "must not hold a search that Keras Tuner has made" in refused.output
    assert [path.name for path in theirs.iterdir()] == ["oracle.json"]


@pytest.mark.parametrize("form", ["json", "csv", "keras-tuner"])
def test_a_folder_without_a_search_is_answered_in_a_sentence(tmp_path: Path, form: str) -> None:
    refused = run("export", tmp_path, "--format", form)
    assert refused.exit_code == 1
    assert "must hold a search" in refused.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["json", "keras-tuner"])
def test_what_cannot_be_written_is_answered_in_a_sentence(project: Path, form: str) -> None:
    file = project.parent / "file"
    file.touch()
    refused = run("export", project, "--format", form, "--output", file / "below")
    assert refused.exit_code == 1
    assert "must be writable" in refused.output
    assert "Give another --output" in refused.output


def test_an_unknown_format_and_the_help_name_the_formats(project: Path) -> None:
    for told in (run("export", project, "--format", "xml"), run("export", "--help")):
        assert "keras-tuner" in told.output
    assert "export" in run("--help").output


OPENS = """
import glob, json, sys
import keras_tuner
from keras_tuner.src.engine.trial import Trial

class Searched(keras_tuner.RandomSearch):
    def run_trial(self, trial, *args, **kwargs):
        return {"score": 99.0}

folder, name = sys.argv[1:]
objective = keras_tuner.Objective("score", "max")
tuner = Searched(objective=objective, max_trials=7, directory=folder, project_name=name)
files = sorted(glob.glob(f"{folder}/{name}/trial_*/trial.json"))
told = {
    "ids": list(tuner.oracle.trials),
    "best": tuner.oracle.get_best_trials(1)[0].score,
    "values": [Trial.load(file).hyperparameters.values for file in files],
}
tuner.search(verbose=0)
told["then"] = len(tuner.oracle.trials)
print(json.dumps(told))
"""


@pytest.mark.skipif(
    "KERAS_TUNER_PYTHON" not in os.environ,
    reason="KERAS_TUNER_PYTHON names no Python that has Keras Tuner 1.4.8",
)
def test_keras_tuner_itself_opens_what_was_written_and_goes_on(project: Path) -> None:
    run("export", project, "--format", "keras-tuner")
    python = os.environ["KERAS_TUNER_PYTHON"]
    ran = subprocess.run(
        [python, "-c", OPENS, str(project.parent), project.name],
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(ran.stdout.splitlines()[-1])
    oracle = oracle_of(project)
    assert sorted(told["ids"]) == list(oracle.trials)
    assert told["best"] == oracle.get_best_trials(1)[0].score
    assert [values["units"] for values in told["values"]] == [
        trial.hyperparameters.values["units"] for trial in oracle.trials.values()
    ]
    assert told["then"] == 7
