"""A project of Keras Tuner's becomes one of Afina's: values, scores, order, rungs, failures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import afina as kt
from afina.cli import main
from afina.errors import ObjectiveError, StoreError
from afina.migration import read_keras_tuner
from afina.report import read_facts
from afina.tuners.exported import export_keras_tuner


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args], prog_name="afina")


class Toy:
    """What the toy tuners do in each trial."""

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        hp = trial.hyperparameters
        units = hp.Int("units", 1, 64)
        norm = hp.Choice("norm", ["none", "batch"])
        if norm == "batch":
            with hp.conditional_scope("norm", ["batch"]):
                hp.Float("momentum", 0.5, 0.9)
        if units % 5 == 0:
            raise kt.errors.FailedTrialError("too wide")
        return {"score": units / 7, "cost": -units}


def searched(tmp_path: Path, base: Any = kt.RandomSearch, **kwargs: Any) -> Path:
    tuner_class = type("Searched", (Toy, base), {})
    objective = kt.Objective("score", "max")
    tuner = tuner_class(
        objective=objective,
        seed=2,
        directory=tmp_path,
        project_name="mine",
        max_consecutive_failed_trials=9,
        **kwargs,
    )
    tuner.search(verbose=0)
    return tmp_path / "mine"


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """The files that Keras Tuner 1.4 writes, of twelve trials."""
    return export_keras_tuner(searched(tmp_path, max_trials=12), tmp_path / "foreign")


def test_an_imported_project_has_the_same_trials(foreign: Path, tmp_path: Path) -> None:
    result = run("import", "keras-tuner", foreign, "--output", tmp_path / "new")
    assert result.exit_code == 0, result.output
    old, new = read_facts(tmp_path / "mine"), read_facts(tmp_path / "new")
    assert [t.values for t in new.trials] == [t.values for t in old.trials]
    assert [t.score for t in new.trials] == [t.score for t in old.trials]
    assert [t.status for t in new.trials] == [t.status for t in old.trials]
    assert [t.ended for t in new.trials] == [t.ended for t in old.trials]
    assert [t.metrics for t in new.trials] == [t.metrics for t in old.trials]
    assert new.objective.describe() == {"name": "score", "direction": "max"}
    assert new.best is not None
    assert old.best is not None
    assert new.best.values == old.best.values


def test_rungs_and_parents_of_hyperband_are_imported(tmp_path: Path) -> None:
    mine = searched(tmp_path, kt.Hyperband, max_epochs=4, factor=2)
    found = read_keras_tuner(export_keras_tuner(mine, tmp_path / "foreign"))
    old = read_facts(mine)
    assert any(trial.parent is not None for trial in found.trials)
    assert [t.schedule for t in found.trials] == [t.schedule for t in old.trials]
    assert not any(entry.name.startswith("tuner/") for entry in found.hp.space)


def test_an_imported_project_can_be_advised_on_reported_and_listed(
    foreign: Path, tmp_path: Path
) -> None:
    run("import", "keras-tuner", foreign, "--output", tmp_path / "new")
    for command in ("best", "trials", "advice", "doctor"):
        assert run(command, tmp_path / "new").exit_code == 0
    page = tmp_path / "page.html"
    assert run("report", tmp_path / "new", "--output", page).exit_code == 0
    assert "units" in page.read_text(encoding="utf-8")


def test_trials_that_had_not_finished_are_left_out_and_named(foreign: Path) -> None:
    file = foreign / "trial_03" / "trial.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"status": "RUNNING"}))
    (foreign / "trial_05" / "trial.json").write_text("{")
    found = read_keras_tuner(foreign)
    assert len(found.trials) == 10
    assert [trial.number for trial in found.trials] == list(range(10))
    assert "'05' cannot be read" in found.skipped[0]
    assert found.skipped[1] == "1 trial had not finished: 03."


def with_several(foreign: Path) -> None:
    """As Keras Tuner writes a search of several objectives: the score is their sum."""
    for number, file in enumerate(sorted(foreign.glob("trial_*/trial.json"))):
        state = json.loads(file.read_text())
        if state["score"] is not None:
            loss, accuracy = 0.1 * number + 0.3, 0.9 - 0.01 * number**2
            score = loss - accuracy
            metrics = {"loss": 2 * loss, "val_loss": loss, "val_accuracy": accuracy}
            trackers = {
                name: {
                    "direction": "max" if "accuracy" in name else "min",
                    "observations": [{"value": [value], "step": state["best_step"] or 0}],
                }
                for name, value in {**metrics, "multi_objective": score}.items()
            }
            file.write_text(json.dumps(state | {"score": score, "metrics": {"metrics": trackers}}))


def test_several_objectives_are_those_whose_sum_is_the_score(foreign: Path, tmp_path: Path) -> None:
    with_several(foreign)
    found = read_keras_tuner(foreign)
    assert found.objective.describe() == [
        {"name": "val_loss", "direction": "min"},
        {"name": "val_accuracy", "direction": "max"},
    ]
    assert run("import", "keras-tuner", foreign, "--output", tmp_path / "new").exit_code == 0
    facts = read_facts(tmp_path / "new")
    assert facts.several
    assert facts.front


def test_several_objectives_can_be_named(foreign: Path, tmp_path: Path) -> None:
    with_several(foreign)
    named = "val_loss,val_accuracy:max"
    done = run("import", "keras-tuner", foreign, "--output", tmp_path / "new", "--objective", named)
    assert done.exit_code == 0, done.output
    assert read_facts(tmp_path / "new").several


def test_an_objective_that_the_scores_do_not_show_must_be_named(foreign: Path) -> None:
    for file in foreign.glob("trial_*/trial.json"):
        state = json.loads(file.read_text())
        if state["score"] is not None:
            metrics = state["metrics"]["metrics"]
            file.write_text(
                json.dumps(state | {"metrics": {"metrics": metrics | {"same": metrics["score"]}}})
            )
    with pytest.raises(ObjectiveError, match=r"2 metrics that equal the scores: \['score', 'same"):
        read_keras_tuner(foreign)
    assert read_keras_tuner(foreign, kt.Objective("same", "max")).objective.name == "same"


def test_a_folder_without_a_project_names_the_one_below(foreign: Path) -> None:
    with pytest.raises(StoreError, match=r"Did you mean '.*foreign'\?"):
        read_keras_tuner(foreign.parent)


@pytest.mark.parametrize("text", ["", "[]", '{"hyperparameters": 3}', "null"])
def test_a_damaged_oracle_file_is_one_sentence(foreign: Path, text: str) -> None:
    (foreign / "oracle.json").write_text(text)
    with pytest.raises(StoreError, match=r"cannot be read as a file of Keras Tuner's"):
        read_keras_tuner(foreign)


def test_a_project_is_never_imported_over_another(foreign: Path, tmp_path: Path) -> None:
    result = run("import", "keras-tuner", foreign, "--output", tmp_path / "mine")
    assert result.exit_code == 1
    assert "must hold no search yet" in result.output
