"""`afina doctor`: names what is wrong with a project, and writes what is left as a new one."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner, Result

import afina as kt
from afina.cli import main
from afina.report import read_facts


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args], prog_name="afina")


class Toy(kt.RandomSearch):
    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        return trial.hyperparameters.Float("x", 0.0, 1.0)


def tuner(folder: Path, name: str = "mine", trials: int = 5) -> Toy:
    return Toy(seed=3, max_trials=trials, directory=folder, project_name=name)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    tuner(tmp_path).search(verbose=0)
    return tmp_path / "mine"


def edit(project: Path, statement: str) -> None:
    with sqlite3.connect(project / "afina.sqlite3") as connection:
        connection.execute(statement)
    connection.close()


def test_a_healthy_project_is_called_healthy(project: Path) -> None:
    result = run("doctor", project)
    assert result.exit_code == 0
    assert result.output == "5 finished trials can be read.\nThe project is healthy.\n"


def test_a_missing_trial_is_named_with_what_to_do(project: Path) -> None:
    edit(project, "DELETE FROM trials WHERE number = 2")
    result = run("doctor", project)
    assert result.exit_code == 1
    assert "Trial 2 is missing." in result.output
    assert "--repair NEW_FOLDER" in result.output


def test_a_damaged_project_is_repaired_into_one_that_a_tuner_continues(
    project: Path, tmp_path: Path
) -> None:
    whole = read_facts(project)
    edit(project, "DELETE FROM trials WHERE number = 1")
    edit(project, "UPDATE trials SET score = 'seven' WHERE number = 3")
    result = run("doctor", project, "--repair", tmp_path / "new")
    assert result.exit_code == 0, result.output
    repaired = read_facts(tmp_path / "new")
    kept = [whole.trials[number] for number in (0, 2, 4)]
    assert [t.score for t in repaired.trials] == [t.score for t in kept]
    assert [t.number for t in repaired.trials] == [0, 1, 2]
    assert repaired.trials[1].notes["repaired"] == "was trial 2"
    assert run("doctor", tmp_path / "new").exit_code == 0
    continued = tuner(tmp_path, "new", trials=6)
    continued.search(verbose=0)
    assert len(continued.oracle.trials) == 6


def test_models_move_with_their_trials_and_broken_ones_stay_behind(
    project: Path, tmp_path: Path
) -> None:
    import h5py

    for number in (0, 2, 3):
        folder = project / f"trial_{number}"
        folder.mkdir(exist_ok=True)
        with h5py.File(folder / "checkpoint.weights.h5", "w") as file:
            file.attrs["number"] = number
    (project / "trial_3" / "checkpoint.weights.h5").write_bytes(b"no model")
    edit(project, "DELETE FROM trials WHERE number = 1")
    result = run("doctor", project, "--repair", tmp_path / "new")
    assert "The model of trial_3 cannot be read" in result.output
    with h5py.File(tmp_path / "new" / "trial_1" / "checkpoint.weights.h5") as file:
        assert file.attrs["number"] == 2
    assert not (tmp_path / "new" / "trial_2" / "checkpoint.weights.h5").exists()


def test_a_lost_model_is_named_and_one_that_the_search_has_deleted_is_not(
    tmp_path: Path,
) -> None:
    """The search keeps the models of the ten best trials."""

    def build(hp: kt.HyperParameters) -> keras.Model:
        units = hp.Int("units", 1, 40)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units)])
        model.compile("sgd", "mse")
        return model

    x = np.ones((8, 2), "float32")
    search = kt.RandomSearch(build, "loss", max_trials=12, directory=tmp_path, project_name="m")
    search.search(x, x[:, :1], epochs=1, verbose=0)
    project = tmp_path / "m"
    assert run("doctor", project).exit_code == 0
    best, second = search.oracle.get_best_trials(2)
    Path(project / f"trial_{best.trial_id}" / "checkpoint.weights.h5").unlink()
    shutil.rmtree(project / f"trial_{second.trial_id}")
    result = run("doctor", project, "--repair", tmp_path / "new")
    numbers = sorted([int(best.trial_id), int(second.trial_id)])
    assert f"The models of trials {numbers[0]}, {numbers[1]} cannot be found." in result.output
    assert run("doctor", project).exit_code == 1


def test_what_is_left_of_a_truncated_database_is_read_and_repaired(tmp_path: Path) -> None:
    tuner(tmp_path, trials=400).search(verbose=0)
    file = tmp_path / "mine" / "afina.sqlite3"
    os.truncate(file, file.stat().st_size // 2)
    assert run("doctor", tmp_path / "mine").exit_code == 1
    result = run("doctor", tmp_path / "mine", "--repair", tmp_path / "new")
    assert result.exit_code == 0, result.output
    assert len(read_facts(tmp_path / "new").finished) > 50


def test_a_project_without_its_header_cannot_be_repaired_but_exported(project: Path) -> None:
    edit(project, "UPDATE meta SET header = NULL")
    result = run("doctor", project, "--repair", project.parent / "new")
    assert result.exit_code == 1
    assert "afina export" in result.output


def test_a_folder_without_a_search_is_one_sentence(tmp_path: Path) -> None:
    result = run("doctor", tmp_path)
    assert result.exit_code == 1
    assert "must hold a search" in result.output
