"""`afina best`, `trials` and `advice` of several objectives, and of trainings in parts."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import afina
from afina.cli import main
from afina.search import Hyperband, Random


def run(*args: object) -> str:
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    assert result.exit_code == 0, result.output
    return result.output


def space(hp: Any) -> None:
    hp.Float("x", 0.0, 1.0)
    hp.Int("units", 1, 8)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("front") / "mine"
    objective = [afina.Objective("accuracy", "max"), afina.Objective("cost", "min")]
    study = afina.Study(space, objective=objective, algorithm=Random(0), storage=folder)
    for accuracy, cost in [(0.5, 900.0), (0.75, 400.0), (0.25, 800.0), (0.875, 600.0)]:
        study.tell(study.ask(), {"accuracy": accuracy, "cost": cost})
    study.tell(study.ask(), failed="ValueError: no")
    study.close()
    return folder


def test_best_lists_the_front_with_each_objective_in_its_column(front: Path) -> None:
    lines = [line.split()[:4] for line in run("best", front).splitlines()]
    assert lines == [
        ["trial", "status", "accuracy", "cost"],
        ["3", "completed", "0.875", "600"],
        ["1", "completed", "0.75", "400"],
    ]
    assert len(run("best", front, "--count", 1).splitlines()) == 2


def test_trials_lists_all_with_each_objective_in_its_column(front: Path) -> None:
    lines = [line.split()[:4] for line in run("trials", front).splitlines()]
    assert lines[0] == ["trial", "status", "accuracy", "cost"]
    assert lines[1] == ["0", "completed", "0.5", "900"]
    assert lines[5] == ["4", "failed", "-", "-"]


def test_programs_read_the_objectives_and_no_sum(front: Path) -> None:
    for command in ("best", "trials"):
        for row in json.loads(run(command, front, "--json")):
            assert not {"score", "loss"} & set(row)
            assert set(row["objectives"]) == {"accuracy", "cost"}
            assert row["front"] is (row["number"] in (1, 3))


def test_the_advice_speaks_of_each_objective_and_of_no_sum(front: Path) -> None:
    text = run("advice", front)
    assert "2 trials are on the Pareto front" in text
    assert "Best accuracy: 0.875 (trial 3)." in text
    assert "Best cost: 400 (trial 1)." in text
    assert "no advice on ranges" in text
    assert "599" not in text  # 600 - 0.875
    told = json.loads(run("advice", front, "--json"))
    assert [aim["name"] for aim in told["aims"]] == ["accuracy", "cost"]
    assert (told["front"], told["ranges"], told["best"]) == ([1, 3], [], None)


def test_a_model_trained_in_parts_is_one_row_with_all_its_epochs(tmp_path: Path) -> None:
    study = afina.Study(
        space,
        objective=afina.Objective("loss", "min"),
        algorithm=Hyperband(max_epochs=4, factor=2, seed=0),
        storage=tmp_path / "p",
    )
    while (trial := study.ask()) is not None:
        for epoch in range(trial.start_epoch, trial.end_epoch or 0):
            # Training on makes it worse: the best is after the first epochs.
            study.report(trial, {"loss": trial.values["x"] + 0.1 * epoch}, step=epoch)
        study.tell(trial)
    study.close()
    rows = json.loads(run("best", tmp_path / "p", "--count", 100, "--json"))
    trials = {row["number"]: row for row in json.loads(run("trials", tmp_path / "p", "--json"))}
    assert rows[0]["number"] == study.best_trial.number
    assert f"Best: {study.best_trial.score:.6g}" in run("advice", tmp_path / "p")
    continued = [row for row in rows if "parts" in row]
    assert continued
    for row in continued:
        assert row["epochs"] == sum(trials[part]["epochs"] for part in row["parts"])
        assert row["score"] == min(trials[part]["score"] for part in row["parts"])
    shown = [part for row in rows for part in row.get("parts", [row["number"]])]
    assert sorted(shown) == sorted(trials)  # each trial is in one row
