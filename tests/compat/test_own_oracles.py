"""Oracles after Keras Tuner's own: with hashes, seeds, populations, ids and states of their own."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import afina as kt
from afina.engine.base_tuner import BaseTuner
from afina.engine.trial import Trial


def space() -> Any:
    hp = kt.HyperParameters()
    hp.Float("a", 0.0, 1.0)
    hp.Int("b", 1, 9)
    return hp


def end(oracle: Any, trial: Any, score: float) -> None:
    oracle.update_trial(trial.trial_id, {"score": score})
    trial.status = "COMPLETED"
    oracle.end_trial(trial)


class Own(kt.Oracle):
    """Chooses as older oracles do: with hashes, and a number that it counts up."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        for _ in range(self._max_collisions):
            values = {}
            for hp in self.hyperparameters.space:
                values[hp.name] = hp.random_sample(self._seed_state)
                self._seed_state += 1
            known = self._compute_values_hash(values)
            if known not in self._tried_so_far:
                self._tried_so_far.add(known)
                return {"status": "RUNNING", "values": values}
        return {"status": "STOPPED"}


def own(cls: Any, folder: Path, hp: Any = None, **kwargs: Any) -> Any:
    settings = {"objective": kt.Objective("score", "max"), "seed": 7, **kwargs}
    oracle = cls(hyperparameters=hp or space(), **settings)
    oracle.verbose = 0
    oracle._set_project_dir(str(folder), "project")
    return oracle


def run(oracle: Any, most: int = 99) -> list[Any]:
    found = []
    for _ in range(most):
        trial = oracle.create_trial("one")
        if trial.status != "RUNNING":
            return found
        end(oracle, trial, 1.0)
        found.append(dict(trial.hyperparameters.values))
    return found


def test_an_oracle_that_keeps_its_own_hashes_and_seed_tries_nothing_twice(tmp_path: Path) -> None:
    hp = kt.HyperParameters()
    hp.Boolean("x")
    hp.Choice("y", [1, 2])
    values = run(own(Own, tmp_path, hp))
    assert len(values) == len({str(each) for each in values}) == 4


@pytest.mark.afina_only
def test_an_oracle_s_own_seed_goes_on_counting_when_the_project_is_opened_again(
    tmp_path: Path,
) -> None:
    straight = run(own(Own, tmp_path / "straight"), 6)
    first = run(own(Own, tmp_path / "cut"), 3)
    again = own(Own, tmp_path / "cut")
    again.reload()
    assert first + run(again, 3) == straight


def test_the_seed_is_a_number_from_the_beginning(tmp_path: Path) -> None:
    oracle = own(Own, tmp_path, seed=None)
    assert isinstance(oracle.seed, int)
    assert oracle._seed_state == oracle.seed
    before = oracle.seed
    oracle.create_trial("one")
    assert oracle.seed == before


def test_values_are_duplicates_once_a_trial_has_them(tmp_path: Path) -> None:
    class Fixed(kt.Oracle):
        def populate_space(self, trial_id: str) -> dict[str, Any]:
            return {"status": "RUNNING", "values": {"a": 0.5, "b": 3}}

    oracle = own(Fixed, tmp_path)
    assert not oracle._duplicate({"a": 0.5, "b": 3})
    trial = oracle.create_trial("one")
    assert oracle._duplicate({"b": 3, "a": 0.5})
    trial.hyperparameters.values["c"] = 1
    end(oracle, trial, 1.0)
    assert not oracle._duplicate({"a": 0.5, "b": 3})
    assert oracle._duplicate({"a": 0.5, "b": 3, "c": 1})


class Population(kt.Oracle):
    """Begins with a population that it draws at once."""

    size = 8

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.population: list[Any] = []

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if not self.population:
            self.population = [self._random_values() for _ in range(self.size)]
        if len(self.trials) >= self.size:
            return {"status": "STOPPED"}
        return {"status": "RUNNING", "values": self.population[len(self.trials)]}


def test_the_members_of_a_population_differ(tmp_path: Path) -> None:
    values = run(own(Population, tmp_path))
    assert len({str(each) for each in values}) == Population.size


def test_a_population_larger_than_the_space_still_has_values(tmp_path: Path) -> None:
    hp = kt.HyperParameters()
    hp.Boolean("x")
    oracle = own(Population, tmp_path, hp)
    oracle.create_trial("one")
    assert [set(each) for each in oracle.population] == [{"x"}] * Population.size
    assert {each["x"] for each in oracle.population} == {True, False}


@pytest.mark.afina_only
def test_random_values_are_the_same_when_the_trial_is_chosen_again(tmp_path: Path) -> None:
    class Three(kt.Oracle):
        seen: dict[str, list[Any]]

        def populate_space(self, trial_id: str) -> dict[str, Any]:
            drawn = [self._random_values() for _ in range(3)]
            vars(self).setdefault("seen", {})[trial_id] = drawn
            return {"status": "RUNNING", "values": drawn[-1]}

    straight, cut = own(Three, tmp_path / "straight"), own(Three, tmp_path / "cut")
    run(straight, 4)
    run(cut, 2)
    again = own(Three, tmp_path / "cut")
    run(again, 2)
    assert {**cut.seen, **again.seen} == straight.seen
    everything = [str(each) for drawn in straight.seen.values() for each in drawn]
    assert len(set(everything)) == len(everything)
    # The first draw is the one that random search makes.
    other = own(kt.oracles.RandomSearchOracle, tmp_path / "random")
    assert run(other, 1) == [straight.seen["0000"][0]]


def test_random_values_outside_of_a_choice_differ_too(tmp_path: Path) -> None:
    oracle = own(Own, tmp_path)
    drawn = [str(oracle._random_values()) for _ in range(4)]
    assert len(set(drawn)) == 4


class Named(kt.Oracle):
    """Gives its trials names, as one does who writes `create_trial` anew."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        return {"status": "RUNNING", "values": {"a": 0.5, "b": 1 + len(self.trials)}}

    def create_trial(self, tuner_id: str) -> Any:
        if len(self.trials) >= 3:
            return Trial(hyperparameters=self.get_space(), status="STOPPED")
        hp = self.get_space()
        hp.values = self.populate_space("x")["values"]
        trial = Trial(hyperparameters=hp, trial_id=f"generation-{len(self.trials)}")
        self.trials[trial.trial_id] = self.ongoing_trials[tuner_id] = trial
        self._record_values(trial)
        self._save_trial(trial)
        self.save()
        return trial


@pytest.mark.parametrize("verbose", [0, pytest.param(1, marks=pytest.mark.afina_only)])
def test_trial_ids_need_be_no_numbers(tmp_path: Path, verbose: int, capsys: Any) -> None:
    class Scoring(BaseTuner):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            assert "generation" in self.get_trial_dir(trial.trial_id)
            return float(trial.hyperparameters.get("b"))

    tuner = Scoring(Named(hyperparameters=space()), directory=tmp_path, project_name="project")
    tuner.search(verbose=verbose)
    assert list(tuner.oracle.trials) == [f"generation-{i}" for i in range(3)]
    assert [trial.score for trial in tuner.oracle.get_best_trials(3)] == [1.0, 2.0, 3.0]
    assert list(tuner.oracle.end_order) == list(tuner.oracle.trials)
    tuner.results_summary()
    assert "Trial generation-2 summary" in capsys.readouterr().out


@pytest.mark.afina_only
def test_one_trial_has_one_name_in_all_that_is_printed(tmp_path: Path, capsys: Any) -> None:
    class Failing(BaseTuner):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            if trial.trial_id == "generation-1":
                raise ArithmeticError("no")
            return 1.0

    oracle = Named(hyperparameters=space(), max_retries_per_trial=1)
    tuner = Failing(oracle, directory=tmp_path, project_name="project")
    tuner.search(verbose=1)
    out = capsys.readouterr().out
    for text in ("Running Trial #generation-0", "Trial generation-0 Complete"):
        assert text in out
    assert "Trial generation-1 failed 1 times" in out
    assert "Trial 1 " not in out


def test_an_oracle_knows_its_project(tmp_path: Path) -> None:
    oracle = own(Own, tmp_path)
    assert Path(oracle._project_dir) == tmp_path / "project"
    assert Path(oracle._project_dir).is_dir()
    assert Path(oracle._get_trial_dir("3")) == tmp_path / "project" / "trial_3"


@pytest.mark.parametrize("old", ["_populate_space", "_score_trial"])
def test_the_old_private_names_warn_and_do_the_same(old: str, tmp_path: Path) -> None:
    oracle = own(Own, tmp_path)
    trial = oracle.create_trial("one")
    oracle.update_trial(trial.trial_id, {"score": 0.5})
    argument = trial if old == "_score_trial" else "99"
    with pytest.warns(DeprecationWarning, match=old.removeprefix("_")):
        getattr(oracle, old)(argument)
    if old == "_score_trial":
        assert trial.score == 0.5


def test_an_old_form_of_end_trial_reaches_an_override_as_a_trial(tmp_path: Path) -> None:
    ended: list[Any] = []

    class Watching(Own):
        @kt.synchronized
        def end_trial(self, trial: Any) -> None:
            ended.append((trial.trial_id, trial.status))
            super().end_trial(trial)

    oracle = own(Watching, tmp_path)
    trial = oracle.create_trial("one")
    oracle.update_trial(trial.trial_id, {"score": 1.0})
    oracle.end_trial(trial.trial_id, "COMPLETED")
    assert ended == [(trial.trial_id, "COMPLETED")]
    assert oracle.get_best_trials()[0].score == 1.0


class Remembering(Own):
    """Adds to the state, as oracles do that keep a population."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.remembered: list[str] = []
        self.seen_seed = 0

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        self.remembered = [trial_id]
        return super().populate_space(trial_id)

    def get_state(self) -> dict[str, Any]:
        state = super().get_state()
        state["remembered"] = self.remembered
        state["seen_seed"] = state["seed"]  # what the base class has may be read
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self.remembered = state["remembered"]
        self.seen_seed = state["seen_seed"]
        assert state["start_order"] == ["0000", "0001", "0002"]
        assert state["hyperparameters"]["space"]


def test_what_a_subclass_adds_to_the_state_comes_back(tmp_path: Path) -> None:
    oracle = own(Remembering, tmp_path)
    run(oracle, 3)
    oracle.save()
    again = own(Remembering, tmp_path)
    again.reload()
    assert (again.remembered, again.seen_seed) == (["0002"], oracle.seed)


@pytest.mark.afina_only
def test_only_what_a_subclass_adds_to_the_state_is_written(tmp_path: Path) -> None:
    oracle = own(Remembering, tmp_path)
    run(oracle, 3)
    written = oracle.study.store.note("oracle_state")
    assert written == {"remembered": ["0002"], "seen_seed": 7}
    assert {"trials", "start_order", "remembered"} <= set(oracle.get_state())


@pytest.mark.afina_only
def test_the_cost_of_a_state_does_not_grow_with_the_trials(tmp_path: Path) -> None:
    lengths: list[int] = []

    class Measured(Remembering):
        def set_state(self, state: dict[str, Any]) -> None:
            """Nothing to do."""

    oracle = own(Measured, tmp_path)
    store = oracle.study.store
    written = store.set_note

    def watched(key: str, value: Any) -> None:
        if key == "oracle_state":
            lengths.append(len(str(value)))
        written(key, value)

    store.set_note = watched
    run(oracle, 30)
    assert max(lengths) < 2 * min(lengths) + 40


@pytest.mark.afina_only
def test_a_state_that_holds_all_trials_is_still_read(tmp_path: Path) -> None:
    oracle = own(Remembering, tmp_path)
    run(oracle, 3)
    oracle.study.store.set_note("oracle_state", oracle.get_state())  # as it was written before
    oracle.study.close()
    again = own(Remembering, tmp_path)
    assert len(again.trials or again.get_best_trials(3)) == 3
    assert again.remembered == ["0002"]


class OneTrial(kt.oracles.RandomSearchOracle):
    """Hands out one trial of given values, by a copy of what `create_trial` does in Keras Tuner."""

    def create_trial(self, tuner_id: str) -> Any:
        if tuner_id in self.ongoing_trials:
            return self.ongoing_trials[tuner_id]
        self.tuner_ids.add(tuner_id)
        assert "mine" not in self._retry_queue
        hp = self.hyperparameters.copy()
        if self.end_order and self.end_order[-1] == "mine":
            self.tuner_ids.remove(tuner_id)
            return Trial(hp, trial_id="mine", status="STOPPED")
        trial = Trial(hp, trial_id="mine", status="RUNNING")
        self._record_values(trial)
        self.ongoing_trials[tuner_id] = self.trials["mine"] = trial
        self.start_order.append("mine")
        self._save_trial(trial)
        self.save()
        self._display.on_trial_begin(trial)
        return trial


def test_a_copied_create_trial_hands_out_its_trial_once(tmp_path: Path) -> None:
    def build(hp: Any) -> Any:
        units = hp.Int("b", 1, 9)
        model = keras.Sequential(
            [keras.Input((2,)), keras.layers.Dense(units), keras.layers.Dense(1)]
        )
        model.compile("sgd", "mse")
        return model

    oracle = OneTrial("loss", hyperparameters=space(), tune_new_entries=False, max_trials=1)
    tuner = kt.Tuner(oracle, build, directory=str(tmp_path), project_name="project")
    x = np.ones((8, 2), "float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # the trial would end twice
        tuner.search(x, x[:, :1], epochs=1, verbose=0)
    assert [(trial.trial_id, trial.status) for trial in oracle.trials.values()] == [
        ("mine", "COMPLETED")
    ]
    assert oracle.trials["mine"].hyperparameters.values == space().values


@pytest.mark.afina_only  # 1.4.8 keeps these times only where it prints
def test_an_oracle_knows_when_its_trials_began(tmp_path: Path) -> None:
    oracle = own(kt.oracles.RandomSearchOracle, tmp_path, max_trials=2)
    run(oracle)
    begun = list(oracle._display.trial_start.values())
    assert len(begun) == 2
    assert begun[0] <= begun[1]
