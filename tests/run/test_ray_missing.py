"""What is said of Ray where it is not there, and that nothing imports it unasked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.tuners import models

import afina
from afina.errors import ArgumentError
from afina.run import RayExecutor, create_executor
from afina.tuners.execution import runs_side_by_side


def test_nothing_of_ray_is_imported_until_a_search_runs_on_it() -> None:
    code = (
        "import sys, afina, afina.run; afina.run.create_executor('ray'); "
        "sys.exit('ray' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    hp = afina.HyperParameters()
    hp.Float("x", 0, 1)
    study = afina.Study(hp, objective=afina.Objective("loss", "min"), max_trials=1)
    with pytest.raises(ArgumentError, match=r"pip install 'afina\[ray\]'"):
        study.optimize(lambda trial: 0.0, executor="ray")


def test_ray_is_named_by_its_name_or_by_an_address() -> None:
    assert create_executor("ray") == RayExecutor()
    assert create_executor("auto", 3) == RayExecutor("auto", workers=3)
    assert create_executor("ray://head:10001") == RayExecutor("ray://head:10001")
    with pytest.raises(ArgumentError, match=r"pass RayExecutor\('head:6379'\)"):
        create_executor("head:6379")


def test_a_tuner_on_ray_gets_as_far_as_the_missing_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many workers there are is not known before the cluster is."""
    monkeypatch.setitem(sys.modules, "ray", None)
    tuner = afina.RandomSearch(
        models.build, "val_loss", max_trials=1, executor="ray", directory=tmp_path
    )
    with pytest.raises(ArgumentError, match=r"pip install 'afina\[ray\]'"):
        tuner.search(*models.data(), validation_split=0.25, verbose=0)
    assert runs_side_by_side(RayExecutor())
    assert not runs_side_by_side(RayExecutor(workers=1))


@pytest.mark.parametrize(
    "options",
    [
        {"cpus": 0},
        {"gpus": -1},
        {"workers": 0},
        {"workers": "many"},
        {"checkpoint_dir": "bucket9://bucket/models"},
        {"checkpoint_dir": Path("s3://bucket/models")},
    ],
)
def test_what_no_cluster_can_do_is_refused_at_once(options: dict[str, object]) -> None:
    [name] = options
    with pytest.raises(ArgumentError, match=name):
        RayExecutor(**options)  # type: ignore[arg-type]
