"""`afina delete`: a search is gone, once, after a question."""

from pathlib import Path

from click.testing import CliRunner

import afina
from afina.cli import main


def searched(folder: Path) -> Path:
    hp = afina.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    objective = afina.Objective("loss", "min")
    study = afina.Study(hp, objective=objective, max_trials=2, storage=folder)
    study.optimize(lambda trial: trial.values["x"])
    study.close()
    (folder / "model.txt").write_text("")
    return folder


def test_a_search_is_deleted_after_a_question(tmp_path: Path) -> None:
    folder = searched(tmp_path / "p")
    kept = CliRunner().invoke(main, ["delete", str(folder)], input="n\n")
    assert "with 2 finished trials?" in kept.output
    assert (folder / "model.txt").exists()
    gone = CliRunner().invoke(main, ["delete", str(folder)], input="y\n")
    assert gone.exit_code == 0, gone.output
    assert not folder.exists()


def test_a_folder_without_a_search_is_not_deleted(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("")
    ran = CliRunner().invoke(main, ["delete", str(tmp_path), "--yes"])
    assert ran.exit_code == 1
    assert "There is no search in" in ran.output
    assert mine.exists()
