"""A project's folder is private, and opening a project runs nothing that lies in it."""

from __future__ import annotations

import os
import pickle
import stat
from pathlib import Path
from typing import Any

import pytest

import afina as kt
from afina.report import write_report


class Toy(kt.RandomSearch):
    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        return trial.hyperparameters.Float("x", 0.0, 1.0)


def search(folder: Path) -> None:
    Toy(seed=0, max_trials=2, directory=folder, project_name="mine").search(verbose=0)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_only_its_owner_may_look_into_a_new_project(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        search(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "mine").stat().st_mode) == 0o700


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_a_folder_that_was_made_to_be_shared_stays_shared(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine").chmod(0o750)
    search(tmp_path)
    assert stat.S_IMODE((tmp_path / "mine").stat().st_mode) == 0o750


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


def test_nothing_that_lies_in_a_project_is_executed(tmp_path: Path) -> None:
    search(tmp_path)
    project, mark = tmp_path / "mine", tmp_path / "mark"
    bomb = pickle.dumps(Trap(mark))
    pickle.loads(bomb)
    assert mark.exists(), "the trap works"
    mark.unlink()
    for name in ("afina.lock", "tuner.pkl", "trial_0/checkpoint.weights.h5", "trial_0/model.pkl"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_bytes(bomb)
    tuner = Toy(seed=0, max_trials=3, directory=tmp_path, project_name="mine")
    tuner.search(verbose=0)
    write_report(project, tmp_path / "page.html")
    assert not mark.exists()
