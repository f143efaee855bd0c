"""What a search prints, line by line."""

from __future__ import annotations

import ast
import re
from typing import Any

import pytest

import afina as kt


class Line(kt.RandomSearch):
    """The score is x; the lower the better."""

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        hp = trial.hyperparameters
        hp.Choice("a_name_that_is_rather_long", ["a_value_that_is_too_long_for_its_column"])
        return {"score": hp.Float("x", 0, 1), "loss": 1.0}


def preset() -> Any:
    hp = kt.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    hp.Choice("a_name_that_is_rather_long", ["a_value_that_is_too_long_for_its_column"])
    return hp


def line(project: dict[str, Any], **kwargs: Any) -> Any:
    settings = {
        "objective": kt.Objective("score", "min"),
        "max_trials": 2,
        "hyperparameters": preset(),
        **project,
        **kwargs,
    }
    return Line(**settings)


def second_of(mended: bool) -> int:
    """What the display calls the second trial: Afina by its id, Keras Tuner by its place."""
    return 1 if mended else 2


def test_a_trial_begins_with_its_number_and_a_table(
    project: dict[str, Any], capsys: Any, mended: bool
) -> None:
    tuner = line(project)
    capsys.readouterr()
    tuner.search()
    lines = capsys.readouterr().out.splitlines()
    first, second = (t.hyperparameters.get("x") for t in tuner.oracle.trials.values())
    head = f"Search: Running Trial #{second_of(mended)}"
    start = lines.index(head)
    assert lines[start - 1 : start + 6] == [
        "",
        head,
        "",
        "Value             |Best Value So Far |Hyperparameter",
        f"{f'{second:.5g}':18}|{f'{first:.5g}':18}|x",
        "a_value_that_is...|a_value_that_is...|a_name_that_is_rather_long",
        "",
    ]


def test_the_first_trial_has_a_table_too(project: dict[str, Any], capsys: Any) -> None:
    tuner = line(project, max_trials=1)
    tuner.search()
    x = tuner.get_best_hyperparameters()[0].get("x")
    rows = [text.split("|") for text in capsys.readouterr().out.splitlines() if "|" in text]
    assert [row[2] for row in rows] == ["Hyperparameter", "x", "a_name_that_is_rather_long"]
    assert rows[1][0] == f"{x:.5g}".ljust(18)


def test_a_trial_ends_with_its_score_and_the_best(
    project: dict[str, Any], capsys: Any, mended: bool
) -> None:
    tuner = line(project)
    tuner.search()
    scores = [t.score for t in tuner.oracle.trials.values()]
    lines = capsys.readouterr().out.splitlines()
    ends = [i for i, text in enumerate(lines) if re.match(r"Trial \d+ Complete", text)]
    assert len(ends) == 2
    at = ends[1]
    assert re.fullmatch(rf"Trial {second_of(mended)} Complete \[00h 00m \d\ds\]", lines[at])
    assert lines[at + 1 : at + 4] == [
        f"score: {scores[1]}",
        "",
        f"Best score So Far: {min(scores)}",
    ]
    assert re.fullmatch(r"Total elapsed time: 00h 00m \d\ds", lines[at + 4])


def test_a_trial_without_hyperparameters_is_the_default_configuration(
    project: dict[str, Any], capsys: Any
) -> None:
    class Nothing(kt.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            return 1.0

    Nothing(max_trials=1, **project).search()
    out = capsys.readouterr().out
    assert "default configuration" in out
    assert "default_objective: 1.0" in out


def test_verbose_zero_prints_nothing(project: dict[str, Any], capsys: Any) -> None:
    line(project).search(verbose=0)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("verbose", [1, 2, "auto"])
def test_other_verbosities_print(project: dict[str, Any], capsys: Any, verbose: Any) -> None:
    line(project, max_trials=1).search(verbose=verbose)
    assert "Search: Running Trial #" in capsys.readouterr().out


def test_the_search_space_summary(project: dict[str, Any], capsys: Any) -> None:
    hp = kt.HyperParameters()
    hp.Int("units", 32, 64, step=16)
    hp.Choice("act", ["relu", "tanh"])
    hp.Boolean("bias")
    hp.Fixed("classes", 3)
    hp.Float("rate", 0.5, 1.0, sampling="log", parent_name="bias", parent_values=[True])
    tuner = line(project, hyperparameters=hp)
    capsys.readouterr()
    tuner.search_space_summary()
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["Search space summary", "Default search space size: 5"]
    assert lines[2::2] == [
        *("units (Int)", "act (Choice)", "bias (Boolean)", "classes (Fixed)", "rate (Float)")
    ]
    units, act, bias, classes, rate = (ast.literal_eval(text) for text in lines[3::2])
    bounds = {"min_value": 32, "max_value": 64, "step": 16, "sampling": "linear"}
    assert units.items() >= {**bounds, "conditions": []}.items()
    assert act == {
        "default": "relu",
        "conditions": [],
        "values": ["relu", "tanh"],
        "ordered": False,
    }
    assert bias == {"default": False, "conditions": []}
    assert classes == {"conditions": [], "value": 3}
    assert rate["conditions"] == [
        {"class_name": "Parent", "config": {"name": "bias", "values": [True]}}
    ]
    tuner.search_space_summary(extended=True)
    assert capsys.readouterr().out.splitlines() == lines


def test_the_results_summary(project: dict[str, Any], capsys: Any) -> None:
    tuner = line(project, max_trials=3)
    tuner.search(verbose=0)
    capsys.readouterr()
    tuner.results_summary(num_trials=2)
    lines = capsys.readouterr().out.splitlines()
    expected = [
        "Results summary",
        f"Results in {tuner.project_dir}",
        "Showing 2 best trials",
        'Objective(name="score", direction="min")',
    ]
    for trial in tuner.oracle.get_best_trials(2):
        expected += ["", f"Trial {trial.trial_id} summary", "Hyperparameters:"]
        expected += [f"{name}: {value}" for name, value in trial.hyperparameters.values.items()]
        expected += [f"Score: {trial.score}"]
    assert lines == expected


def test_the_results_summary_shows_ten_trials_unless_told(
    project: dict[str, Any], capsys: Any
) -> None:
    tuner = line(project, max_trials=12)
    tuner.search(verbose=0)
    tuner.results_summary()
    out = capsys.readouterr().out
    assert "Showing 10 best trials" in out
    assert len(re.findall(r"^Trial \d\d summary$", out, re.M)) == 10


@pytest.mark.filterwarnings("ignore:search. No trial has completed:UserWarning")
def test_the_results_summary_shows_why_a_trial_failed(project: dict[str, Any], capsys: Any) -> None:
    class Broken(kt.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            raise ArithmeticError("the moon was wrong")

    tuner = Broken(max_trials=1, **project)
    tuner.search(verbose=0)
    capsys.readouterr()
    tuner.results_summary()
    out = capsys.readouterr().out
    assert "Trial 0 summary" in out
    assert "ArithmeticError: the moon was wrong" in out
    assert "Score" not in out


def test_a_retry_is_announced(project: dict[str, Any], capsys: Any) -> None:
    class Flaky(kt.RandomSearch):
        tries = 0

        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            self.tries += 1
            if self.tries == 1:
                raise ArithmeticError("not yet")
            return 0.5

    tuner = Flaky(max_trials=1, max_retries_per_trial=2, **project)
    tuner.search()
    assert "Trial 0 failed 1 times. 2 retries left." in capsys.readouterr().out
    assert tuner.oracle.get_best_trials()[0].score == 0.5


def test_the_results_summary_names_each_of_several_objectives(
    project: dict[str, Any], capsys: Any
) -> None:
    class Line(kt.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
            x = trial.hyperparameters.Float("x", 0.0, 1.0)
            return {"error": 1.0 - x, "quality": x / 2}

    several = [kt.Objective("error", "min"), kt.Objective("quality", "max")]
    tuner = Line(max_trials=2, **{**project, "objective": several})
    tuner.search(verbose=0)
    capsys.readouterr()
    tuner.results_summary()
    lines = capsys.readouterr().out.splitlines()
    parts = [line for line in lines if line.startswith("Objectives: ")]
    xs = [trial.hyperparameters.get("x") for trial in tuner.oracle.get_best_trials(2)]
    assert parts == [f"Objectives: error: {1.0 - x}, quality: {x / 2}" for x in xs]
