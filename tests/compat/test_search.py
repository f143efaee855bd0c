"""A search from start to end and over again: counts, results, and going on with a project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import afina as kt


def scores(tuner: Any) -> dict[str, float]:
    return {trial_id: trial.score for trial_id, trial in tuner.oracle.trials.items()}


def test_a_search_makes_max_trials_trials(parabola: Any) -> None:
    tuner = parabola(kt.RandomSearch, max_trials=4)
    assert tuner.remaining_trials == 4
    tuner.search(verbose=0)
    assert sorted(tuner.oracle.trials) == ["0", "1", "2", "3"]
    assert tuner.remaining_trials == 0
    for trial in tuner.oracle.trials.values():
        assert trial.status == "COMPLETED"
        assert trial.score == (trial.hyperparameters.get("x") - 3) ** 2
        assert trial.metrics.get_best_value("extra") == trial.hyperparameters.get("x")


def test_a_second_search_has_nothing_left_to_do(parabola: Any) -> None:
    tuner = parabola(kt.RandomSearch, max_trials=2)
    tuner.search(verbose=0)
    before = scores(tuner)
    tuner.search(verbose=0)
    assert scores(tuner) == before


def test_the_limit_can_be_raised_between_searches(parabola: Any) -> None:
    tuner = parabola(kt.RandomSearch, max_trials=2)
    tuner.search(verbose=0)
    tuner.oracle.max_trials = 3
    tuner.search(verbose=0)
    assert len(tuner.oracle.trials) == 3


def test_best_hyperparameters_come_best_first_and_as_many_as_asked(parabola: Any) -> None:
    tuner = parabola(kt.RandomSearch, max_trials=5, seed=3)
    tuner.search(verbose=0)
    found = [(hp.get("x") - 3) ** 2 for hp in tuner.get_best_hyperparameters(5)]
    assert found == sorted(scores(tuner).values())
    assert len(tuner.get_best_hyperparameters()) == 1
    assert len(tuner.get_best_hyperparameters(num_trials=3)) == 3
    assert len(tuner.get_best_hyperparameters(99)) == 5


def test_the_same_seed_makes_the_same_search(parabola: Any, tmp_path: Path) -> None:
    runs = []
    for name in ("one", "two"):
        tuner = parabola(kt.RandomSearch, max_trials=5, seed=9, project_name=name)
        tuner.search(verbose=0)
        runs.append([t.hyperparameters.get("x") for t in tuner.oracle.trials.values()])
    assert runs[0] == runs[1]


def test_the_same_values_are_not_tried_twice(parabola: Any) -> None:
    tuner = parabola(kt.RandomSearch, max_trials=8, seed=1)
    tuner.search(verbose=0)
    values = [t.hyperparameters.get("x") for t in tuner.oracle.trials.values()]
    assert len(set(values)) == 8


def test_a_project_goes_on_where_it_stopped(parabola: Any, capsys: Any) -> None:
    first = parabola(kt.RandomSearch, max_trials=2, seed=1)
    first.search(verbose=0)
    again = parabola(kt.RandomSearch, max_trials=5, seed=1)
    assert "Reloading Tuner from" in capsys.readouterr().out
    assert scores(again) == scores(first)
    assert again.remaining_trials == 3
    again.search(verbose=0)
    assert len(again.oracle.trials) == 5
    assert scores(again).items() >= scores(first).items()
    assert list(again.oracle.end_order)[:2] == list(first.oracle.end_order)


def test_a_finished_project_reloads_with_all_that_can_be_asked(parabola: Any) -> None:
    first = parabola(kt.RandomSearch, max_trials=3, seed=1)
    first.search(verbose=0)
    again = parabola(kt.RandomSearch, max_trials=3, seed=1)
    again.search(verbose=0)
    assert scores(again) == scores(first)
    assert again.get_best_hyperparameters()[0].values == first.get_best_hyperparameters()[0].values
    best = again.oracle.get_best_trials()[0]
    assert best.metrics.get_best_value("extra") == best.hyperparameters.get("x")
    assert [e.name for e in again.oracle.get_space().space] == ["x"]


def test_reload_brings_a_tuner_up_to_date(parabola: Any) -> None:
    watching = parabola(kt.RandomSearch, max_trials=2, seed=1)
    searching = parabola(kt.RandomSearch, max_trials=2, seed=1)
    searching.search(verbose=0)
    watching.reload()
    assert scores(watching) == scores(searching)


def test_overwrite_starts_anew(parabola: Any, capsys: Any) -> None:
    parabola(kt.RandomSearch, max_trials=2).search(verbose=0)
    again = parabola(kt.RandomSearch, max_trials=2, overwrite=True)
    assert "Reloading" not in capsys.readouterr().out
    assert dict(again.oracle.trials) == {}
    assert again.remaining_trials == 2


def test_two_projects_of_one_directory_do_not_meet(parabola: Any) -> None:
    one = parabola(kt.RandomSearch, max_trials=2, project_name="one")
    one.search(verbose=0)
    two = parabola(kt.RandomSearch, max_trials=2, project_name="two")
    assert dict(two.oracle.trials) == {}


def test_another_algorithm_does_not_take_a_project_over(parabola: Any) -> None:
    parabola(kt.RandomSearch, max_trials=2).search(verbose=0)
    with pytest.raises(RuntimeError, match="overwrite=True"):
        parabola(kt.Hyperband, max_epochs=4)


def test_a_builder_is_built_at_a_reload_only_to_compare_its_space(
    project: dict[str, Any], mended: bool
) -> None:
    built = []

    class Size(kt.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            return float(trial.hyperparameters.get("n"))

    def build(hp: Any) -> Any:
        built.append(hp.Int("n", 1, 9))

    Size(build, max_trials=2, **project).search(verbose=0)
    count = len(built)
    assert count >= 1
    again = Size(build, max_trials=2, **project)
    assert len(built) == count + mended  # Keras Tuner mixes two spaces in silence
    assert len(again.oracle.trials) == 2


def test_results_are_a_table_by_hand(parabola: Any) -> None:
    """The most common private report of public notebooks: a row a trial."""
    tuner = parabola(kt.RandomSearch, max_trials=3, seed=2)
    tuner.search(verbose=0)
    rows = [
        {"id": trial_id, **trial.hyperparameters.values, "score": trial.score}
        for trial_id, trial in tuner.oracle.trials.items()
    ]
    assert [sorted(row) for row in rows] == [["id", "score", "x"]] * 3
    by_state = [
        (state["trial_id"], state["hyperparameters"]["values"], state["score"])
        for state in (t.get_state() for t in tuner.oracle.get_best_trials(num_trials=3))
    ]
    assert [score for _, _, score in by_state] == sorted(row["score"] for row in rows)


def test_private_definitions_by_name_are_reachable(parabola: Any) -> None:
    tuner = parabola(kt.RandomSearch, max_trials=1)
    tuner.search(verbose=0)
    hp = tuner.get_best_hyperparameters()[0]
    assert [entry.max_value for entry in hp._hps["x"]] == [10]


def test_best_hyperparameters_build_without_the_search(project: dict[str, Any]) -> None:
    class Sum(kt.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            return float(sum(self.hypermodel.build(trial.hyperparameters)))

    def build(hp: Any) -> list[int]:
        return [hp.Int(f"n{i}", 1, 9) for i in range(hp.Int("count", 1, 3))]

    tuner = Sum(build, max_trials=5, seed=5, **project)
    tuner.search(verbose=0)
    best = tuner.get_best_hyperparameters()[0]
    assert sum(tuner.hypermodel.build(best)) == tuner.oracle.get_best_trials()[0].score
    assert sum(build(best)) == min(t.score for t in tuner.oracle.trials.values())
