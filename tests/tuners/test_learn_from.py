"""`learn_from=`: a new search begins with what an earlier one taught."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import afina as kt
from afina.errors import ArgumentError, ObjectiveError, StoreError


class Valley:
    """Its score is lowest at x = 0.3."""

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        return {"score": (trial.hyperparameters.Float("x", 0.0, 1.0) - 0.3) ** 2}


class Bayesian(Valley, kt.BayesianOptimization):
    pass


class Grid(Valley, kt.GridSearch):
    pass


def tuner(folder: Path, name: str, base: Any = Bayesian, **kwargs: Any) -> Any:
    hp = kt.HyperParameters()
    hp.Float("x", kwargs.pop("low", 0.0), 1.0)
    settings: dict[str, Any] = {"objective": kt.Objective("score", "min"), "max_trials": 6}
    settings.update(hyperparameters=hp, seed=1, directory=folder, project_name=name, **kwargs)
    return base(**settings)


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    first = tuner(tmp_path, "first", max_trials=12)
    first.search(verbose=0)
    return tmp_path / "first"


def test_a_search_that_learns_starts_where_the_earlier_one_stood(
    tmp_path: Path, earlier: Path
) -> None:
    taught = tuner(tmp_path, "taught", learn_from=earlier, max_trials=2)
    taught.search(verbose=0)
    blind = tuner(tmp_path, "blind", max_trials=2)
    blind.search(verbose=0)
    assert len(taught.oracle.trials) == 2, "earlier trials do not count"
    assert taught.oracle.get_best_trials()[0].score < 1e-3 < blind.oracle.get_best_trials()[0].score


def test_a_search_that_learns_is_continued_with_the_same_trials(
    tmp_path: Path, earlier: Path
) -> None:
    whole = tuner(tmp_path, "whole", learn_from=[earlier], max_trials=4)
    whole.search(verbose=0)
    tuner(tmp_path, "parts", learn_from=[earlier], max_trials=2).search(verbose=0)
    rest = tuner(tmp_path, "parts", learn_from=[earlier], max_trials=4)
    rest.search(verbose=0)
    values = [
        [t.hyperparameters.values for t in each.oracle.trials.values()] for each in (whole, rest)
    ]
    assert values[0] == values[1]


def test_trials_out_of_the_new_range_do_not_teach(tmp_path: Path, earlier: Path) -> None:
    with pytest.warns(UserWarning, match=r"none of the 12 trials in .* fits"):
        tuner(tmp_path, "far", learn_from=earlier, low=0.999999)


@pytest.mark.parametrize("wrong", [3, {"a": 1}, [None]])
def test_what_is_no_folder_is_refused(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(ArgumentError, match="learn_from: must be the folder of a project"):
        tuner(tmp_path, "new", learn_from=wrong)


def test_a_folder_without_a_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="must hold a search"):
        tuner(tmp_path, "new", learn_from=tmp_path)


def test_another_objective_is_refused(tmp_path: Path, earlier: Path) -> None:
    with pytest.raises(ObjectiveError, match="learn_from: must hold a search for"):
        tuner(tmp_path, "new", learn_from=earlier, objective=kt.Objective("cost", "min"))
