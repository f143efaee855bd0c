"""Projects of a `BaseTuner`: reloaded, grown by later builds, overwritten; what subclasses read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import afina as kt
from afina.engine.base_tuner import BaseTuner


def values_of(oracle: Any) -> list[dict[str, Any]]:
    return [dict(trial.hyperparameters.values) for trial in oracle.trials.values()]


@pytest.fixture
def reopened(tmp_path: Path) -> Callable[..., Any]:
    """Makes tuners on one project, whose trials only name hyperparameters."""

    class Naming(BaseTuner):
        late: tuple[str, ...] = ()

        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            hp = trial.hyperparameters
            return hp.Float("a", 0.0, 1.0) + sum(hp.Int(name, 0, 5) for name in self.late)

    def make(late: tuple[str, ...] = (), build: Any = None, max_trials: int = 3) -> Any:
        oracle = kt.oracles.RandomSearchOracle(max_trials=max_trials, seed=1)
        tuner = Naming(oracle, build, directory=tmp_path, project_name="project")
        tuner.late = late
        return tuner

    return make


def test_reload_after_a_search_that_found_more_keeps_all(reopened: Any) -> None:
    tuner = reopened(("b", "c"))
    tuner.search(verbose=0)
    before = values_of(tuner.oracle)
    tuner.reload()
    assert values_of(tuner.oracle) == before
    assert {entry.name for entry in tuner.oracle.get_space().space} == {"a", "b", "c"}
    tuner.oracle.max_trials = 5
    tuner.search(verbose=0)
    assert len(tuner.oracle.trials) == 5


def test_a_project_that_found_more_than_the_first_build_named_goes_on(reopened: Any) -> None:
    reopened(("b",)).search(verbose=0)
    again = reopened(("b", "c"), max_trials=5)
    assert {entry.name for entry in again.oracle.get_space().space} == {"a", "b"}
    again.search(verbose=0)
    assert {entry.name for entry in again.oracle.get_space().space} == {"a", "b", "c"}


def test_a_builder_that_names_more_goes_on_in_its_project(reopened: Any) -> None:
    reopened(build=lambda hp: hp.Float("a", 0.0, 1.0)).search(verbose=0)

    def more(hp: Any) -> None:
        hp.Float("a", 0.0, 1.0)
        hp.Boolean("new")

    again = reopened(build=more, max_trials=5)
    again.search(verbose=0)
    scores = [trial.score for trial in again.oracle.trials.values()]
    assert len(scores) == 5
    assert None not in scores


@pytest.mark.afina_only
def test_what_a_builder_adds_is_searched_in_its_old_project(reopened: Any) -> None:
    reopened(build=lambda hp: hp.Float("a", 0.0, 1.0)).search(verbose=0)

    def more(hp: Any) -> None:
        hp.Float("a", 0.0, 1.0)
        hp.Boolean("new")

    again = reopened(build=more, max_trials=5)
    again.search(verbose=0)
    assert ["new" in values for values in values_of(again.oracle)] == [False] * 3 + [True] * 2


@pytest.mark.afina_only
def test_a_tuner_without_a_way_to_run_says_so_when_it_searches(tmp_path: Path) -> None:
    tuner = BaseTuner(
        oracle=kt.oracles.RandomSearchOracle(max_trials=3), directory=tmp_path, project_name="p"
    )
    with pytest.raises((ValueError, NotImplementedError, RuntimeError)):
        tuner.search(verbose=0)


@pytest.mark.afina_only
def test_that_a_tuner_has_no_run_trial_is_told_before_the_first_trial(tmp_path: Path) -> None:
    tuner = BaseTuner(kt.oracles.RandomSearchOracle(max_trials=3), directory=tmp_path)
    with pytest.raises(ValueError, match="Override run_trial"):
        tuner.search(verbose=0)
    assert len(tuner.oracle.trials) == 0


@pytest.mark.parametrize("folder", [str, Path])
def test_the_project_s_folder_is_there_as_soon_as_the_tuner_is(tmp_path: Path, folder: Any) -> None:
    place = folder(tmp_path / "deep")
    tuner = BaseTuner(
        kt.oracles.RandomSearchOracle(max_trials=3), directory=place, project_name="project"
    )
    assert (tmp_path / "deep" / "project").is_dir()
    assert tuner.directory == place
    assert type(tuner.directory) is type(place)
    assert type(tuner.project_dir) is type(tuner.get_trial_dir("0")) is str
    (Path(tuner.project_dir) / "graph").write_text("mine")
    BaseTuner(kt.oracles.RandomSearchOracle(max_trials=3), directory=place, project_name="project")
    assert (Path(tuner.project_dir) / "graph").read_text() == "mine"


def test_overwriting_a_project_leaves_an_empty_folder(tmp_path: Path) -> None:
    def make(**kwargs: Any) -> Any:
        oracle = kt.oracles.RandomSearchOracle(max_trials=3)
        return BaseTuner(oracle, directory=tmp_path, project_name="project", **kwargs)

    (Path(make().project_dir) / "graph").write_text("mine")
    assert list(Path(make(overwrite=True).project_dir).iterdir()) == []


def test_tuners_have_the_attributes_that_subclasses_read(tmp_path: Path) -> None:
    class Scoring(kt.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            return 1.0

    tuner = Scoring(max_trials=1, seed=3, directory=tmp_path)
    assert (tuner.seed, tuner.logger) == (3, None)


def test_scopes_that_a_build_entered_are_listed() -> None:
    hp = kt.HyperParameters()
    hp.Boolean("on")
    with hp.conditional_scope("on", [True]):
        hp.Int("x", 1, 2)
    with hp.conditional_scope("on", [False]):
        hp.Int("y", 1, 2)
    names = [
        [[c.name for c in scope] for scope in scopes]
        for scopes in (hp.active_scopes, hp.inactive_scopes)
    ]
    assert names == [[["on"]], [["on"]]]
    assert [list(scope[0].values) for scope in hp.inactive_scopes] == [[True]]
    assert [list(scope[0].values) for scope in hp.active_scopes] == [[False]]
