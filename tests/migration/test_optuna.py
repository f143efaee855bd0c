"""A study of Optuna's becomes a project: conditions, pruned and failed trials, several values.

Optuna is installed in an environment of `make test-services` only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from afina.cli import main
from afina.errors import ArgumentError, StoreError
from afina.migration import read_optuna
from afina.report import read_facts
from afina.space import Choice, Float, Int
from afina.trials import Status

optuna = pytest.importorskip("optuna", reason="Optuna is not installed")


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args], prog_name="afina")


def objective(trial: Any) -> float:
    rate = trial.suggest_float("rate", 1e-5, 1e-1, log=True)
    layers = trial.suggest_int("layers", 1, 3)
    for layer in range(layers):
        trial.suggest_int(f"units_{layer}", 16, 128, step=16)
    if trial.suggest_categorical("optimizer", ["sgd", "adam", None]) == "sgd":
        trial.suggest_float("momentum", 0, 0.9)
    trial.suggest_categorical("mixed", [1, "two", None])
    if rate > 2e-2:
        raise ValueError("too hot")
    for epoch in range(4):
        trial.report(-layers * (epoch + 1) * rate, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return layers - rate


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    url = f"sqlite:///{tmp_path_factory.mktemp('optuna')}/study.db"
    one = optuna.create_study(
        storage=url,
        study_name="one",
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3),
    )
    one.optimize(objective, n_trials=40, catch=(ValueError,))
    one.ask()
    two = optuna.create_study(storage=url, study_name="two", directions=["minimize", "maximize"])
    two.optimize(lambda trial: (trial.suggest_float("x", 0, 1), trial.params["x"] ** 2), n_trials=6)
    return url


def test_every_finished_trial_is_there_with_its_score(storage: str, tmp_path: Path) -> None:
    output = tmp_path / "new"
    result = run("import", "optuna", storage, "--study", "one", "--output", output)
    assert result.exit_code == 0, result.output
    assert "1 trial had not finished" in result.output
    study = optuna.load_study(study_name="one", storage=storage)
    facts = read_facts(output)
    for mine, theirs in zip(facts.trials, study.trials, strict=False):
        if theirs.state.name == "COMPLETE":
            assert mine.score == theirs.value
        elif theirs.state.name == "PRUNED":
            assert mine.score == theirs.intermediate_values[max(theirs.intermediate_values)]
        else:
            assert mine.status is Status.FAILED
    assert len(facts.trials) == 40
    assert {each.state.name for each in study.trials} >= {"COMPLETE", "PRUNED", "FAIL"}
    for command in ("best", "trials", "advice", "doctor"):
        assert run(command, output).exit_code == 0


def test_the_space_has_the_ranges_and_the_conditions(storage: str) -> None:
    found = read_optuna(storage, "one")
    entries = {entry.name: entry for entry in found.hp.space}
    assert isinstance(entries["rate"], Float)
    assert (entries["rate"].sampling, entries["rate"].max_value) == ("log", 1e-1)
    assert isinstance(entries["units_0"], Int)
    assert entries["units_0"].step == 16
    assert isinstance(entries["optimizer"], Choice)
    assert set(entries["optimizer"].values) == {"sgd", "adam", None}
    assert set(entries["mixed"].values) == {"1", "two", "None"}, "texts, as they differ in kind"
    [condition] = entries["momentum"].conditions
    assert (condition.name, condition.values) == ("optimizer", ("sgd",))
    [condition] = entries["units_2"].conditions
    assert (condition.name, condition.values) == ("layers", (3,))


def test_several_values_become_several_objectives(storage: str) -> None:
    found = read_optuna(storage, "two")
    assert found.objective.describe() == [
        {"name": "value_0", "direction": "min"},
        {"name": "value_1", "direction": "max"},
    ]
    assert len(found.trials[0].losses) == 2


def test_several_studies_need_a_name(storage: str) -> None:
    with pytest.raises(
        ArgumentError, match=r"several in the storage: one, two\. Pass --study NAME"
    ):
        read_optuna(storage)
    with pytest.raises(ArgumentError, match="must be one of those in the storage: one, two"):
        read_optuna(storage, "three")


def test_a_storage_can_be_given_as_the_path_of_its_file(storage: str) -> None:
    assert len(read_optuna(storage.removeprefix("sqlite:///"), "two").trials)


def test_a_storage_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(StoreError, match="The storage cannot be read by Optuna"):
        read_optuna("postgres-with-a-typo://nowhere/at/all.db")


@pytest.mark.parametrize("form", ["sqlite:///{}", "{}"])
def test_a_file_that_is_not_there_is_not_made(form: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There is no such file"):
        read_optuna(form.format(tmp_path / "typo.db"))
    assert not any(tmp_path.iterdir())
