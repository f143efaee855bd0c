"""Oracles used on their own: by several clients, with trials put in by hand, and beside a tuner."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import afina as kt
from afina.engine.base_tuner import BaseTuner
from afina.engine.trial import Trial

MAKERS: dict[str, Callable[..., Any]] = {
    "random": lambda **kw: kt.oracles.RandomSearchOracle(max_trials=12, **kw),
    "grid": lambda **kw: kt.oracles.GridSearchOracle(max_trials=12, **kw),
    "bayesian": lambda **kw: kt.oracles.BayesianOptimizationOracle(
        max_trials=12, num_initial_points=3, **kw
    ),
    "hyperband": lambda **kw: kt.oracles.HyperbandOracle(max_epochs=4, factor=2, **kw),
    "auto": lambda **kw: importlib.import_module("afina.tuners.auto_tuner").AutoOracle(
        max_trials=12, max_epochs=4, **kw
    ),
}
KINDS = [
    pytest.param(kind, marks=pytest.mark.afina_only) if kind == "auto" else kind for kind in MAKERS
]

# Keras Tuner's grid search has two trials at once in the beginning, and then waits.
SEVERAL_AT_ONCE = [
    pytest.param(kind, marks=pytest.mark.afina_only) if kind in ("auto", "grid") else kind
    for kind in MAKERS
]


def space() -> Any:
    hp = kt.HyperParameters()
    hp.Float("a", 0.0, 1.0)
    hp.Int("b", 1, 9)
    return hp


@pytest.fixture(params=["alone", "with a tuner"])
def open_oracle(request: Any, tmp_path: Path) -> Callable[..., Any]:
    """Makes an oracle on one project, by hand or by a tuner without a hypermodel."""

    def make(kind: str, **kwargs: Any) -> Any:
        settings = {
            "objective": kt.Objective("score", "max"),
            "hyperparameters": space(),
            "seed": 5,
        }
        oracle = MAKERS[kind](**{**settings, **kwargs})
        oracle.verbose = 0
        if request.param == "alone":
            oracle._set_project_dir(tmp_path, "project")
        else:
            tuner = BaseTuner(oracle=oracle, directory=tmp_path, project_name="project")
            assert tuner.oracle is oracle
        return oracle

    return make


def end(oracle: Any, trial: Any, score: float) -> None:
    oracle.update_trial(trial.trial_id, {"score": score})
    trial.status = "COMPLETED"
    oracle.end_trial(trial)


def values_of(oracle: Any) -> list[dict[str, Any]]:
    return [dict(trial.hyperparameters.values) for trial in oracle.trials.values()]


@pytest.mark.parametrize("kind", KINDS)
def test_trials_are_made_reported_ended_and_ranked_without_a_hypermodel(
    kind: str, open_oracle: Any
) -> None:
    oracle = open_oracle(kind)
    for score in range(5):
        trial = oracle.create_trial("me")
        assert trial.status == "RUNNING"
        end(oracle, trial, score)
    assert [trial.score for trial in oracle.get_best_trials(3)] == [4, 3, 2]
    assert len({str(values) for values in values_of(oracle)}) == 5


@pytest.mark.parametrize("kind", SEVERAL_AT_ONCE)
def test_each_client_has_a_trial_of_its_own_and_gets_it_again_when_it_asks_again(
    kind: str, open_oracle: Any
) -> None:
    oracle = open_oracle(kind)
    trials = [oracle.create_trial(f"client{i}") for i in range(4)]
    assert [trial.status for trial in trials] == ["RUNNING"] * 4
    assert len({trial.trial_id for trial in trials}) == 4
    assert len({str(trial.hyperparameters.values) for trial in trials}) == 4
    assert oracle.create_trial("client2").trial_id == trials[2].trial_id
    assert set(oracle.ongoing_trials) == {f"client{i}" for i in range(4)}
    assert oracle.tuner_ids == {f"client{i}" for i in range(4)}
    for trial in reversed(trials):
        end(oracle, trial, 1.0)
    assert oracle.ongoing_trials == {}


@pytest.mark.parametrize("kind", KINDS)
def test_threads_share_one_oracle(kind: str, open_oracle: Any) -> None:
    oracle = open_oracle(kind)
    done: list[str] = []
    errors: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for _ in range(2):
                trial = oracle.create_trial(name)
                while trial.status == "IDLE":  # until the others' trials have ended
                    trial = oracle.create_trial(name)
                end(oracle, trial, len(name))
                done.append(trial.trial_id)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(f"client{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(done) == len(set(done)) == len(oracle.end_order) >= 4


@pytest.mark.parametrize("kind", SEVERAL_AT_ONCE)
def test_trials_that_were_ongoing_are_run_again_when_the_project_is_opened_again(
    kind: str, open_oracle: Any
) -> None:
    oracle = open_oracle(kind)
    end(oracle, oracle.create_trial("one"), 0.5)
    lost = [oracle.create_trial(name) for name in ("one", "two")]
    oracle.save()
    again = open_oracle(kind)
    again.reload()
    assert again.ongoing_trials == {}
    rerun = [again.create_trial(name) for name in ("three", "four")]
    assert {t.trial_id for t in rerun} == {t.trial_id for t in lost}
    assert {str(t.hyperparameters.values) for t in rerun} == {
        str(t.hyperparameters.values) for t in lost
    }
    assert len(again.trials) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_an_invalid_trial_is_retried_and_a_failed_one_is_not(kind: str, open_oracle: Any) -> None:
    oracle = open_oracle(kind, max_retries_per_trial=1)
    first = oracle.create_trial("one")
    first.status, first.message = "INVALID", "it broke"
    oracle.end_trial(first)
    again = oracle.create_trial("two")
    assert (again.trial_id, again.status) == (first.trial_id, "RUNNING")
    again.status = "FAILED"
    oracle.end_trial(again)
    assert oracle.create_trial("three").trial_id != first.trial_id


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", ["RUNNING", "STOPPED", "IDLE", "COMPLETE"])
def test_a_trial_may_end_with_any_status_and_keeps_it_without_a_score(
    kind: str, status: str, open_oracle: Any
) -> None:
    oracle = open_oracle(kind, max_consecutive_failed_trials=2)
    for _ in range(3):
        trial = oracle.create_trial("one")
        trial.status = status
        oracle.end_trial(trial)
        assert (oracle.get_trial(trial.trial_id).status, trial.score) == (status, None)
    assert len(oracle.end_order) == 3
    assert oracle.ongoing_trials == {}


@pytest.mark.afina_only
def test_a_score_that_is_lost_to_a_wrong_status_is_told(open_oracle: Any) -> None:
    oracle = open_oracle("random")
    trial = oracle.create_trial("one")
    oracle.update_trial(trial.trial_id, {"score": 1.0})
    trial.status = "COMPLETE"
    with pytest.warns(UserWarning, match=r'must be "COMPLETED", but got \'COMPLETE\''):
        oracle.end_trial(trial)
    again = open_oracle("random")
    again.reload()
    assert again.trials[trial.trial_id].status == "COMPLETE"


@pytest.mark.afina_only
def test_a_trial_that_has_ended_stays_as_it_is(open_oracle: Any) -> None:
    oracle = open_oracle("random")
    trial = oracle.create_trial("one")
    end(oracle, trial, 0.5)
    oracle.end_trial(trial)  # once more, as a run_trial that ends its trial itself has it
    trial.status = "FAILED"
    with pytest.warns(UserWarning, match="has ended as COMPLETED before"):
        oracle.end_trial(trial)
    assert (trial.status, trial.score, len(oracle.end_order)) == ("COMPLETED", 0.5, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_score_that_is_no_number_makes_a_trial_invalid(kind: str, open_oracle: Any) -> None:
    oracle = open_oracle(kind, max_retries_per_trial=1)
    trial = oracle.create_trial("one")
    end(oracle, trial, float("nan"))
    assert oracle.get_trial(trial.trial_id).status == "INVALID"


@pytest.mark.parametrize("kind", KINDS)
def test_a_space_that_is_set_is_searched_and_may_be_defined_further(
    kind: str, open_oracle: Any
) -> None:
    oracle = open_oracle(kind, hyperparameters=None)
    hp = kt.HyperParameters()
    hp.Choice("c", ["x", "y", "z"])
    oracle.hyperparameters = hp
    assert set(oracle.populate_space("0")["values"]) >= {"c"}
    hp.Boolean("later")
    trial = oracle.create_trial("one")
    assert {"c", "later"} <= set(trial.hyperparameters.values)
    end(oracle, trial, 1.0)


@pytest.mark.afina_only
@pytest.mark.parametrize("kind", KINDS)
def test_a_space_that_is_set_is_there_when_the_project_is_opened_again(
    kind: str, open_oracle: Any
) -> None:
    oracle = open_oracle(kind)
    end(oracle, oracle.create_trial("one"), 0.5)
    hp = space()
    hp.Boolean("more")
    oracle.hyperparameters = hp
    end(oracle, oracle.create_trial("one"), 1.0)
    again = open_oracle(kind)
    again.reload()
    assert [entry.name for entry in again.get_space().space] == ["a", "b", "more"]
    assert "more" in again.create_trial("one").hyperparameters.values


def entered(a: float, score: float, trial_id: str | None = None) -> Any:
    trial = Trial(hyperparameters=space(), trial_id=trial_id)
    trial.hyperparameters.values["a"] = a
    trial.score, trial.status = score, "COMPLETED"
    return trial


@pytest.mark.parametrize("kind", KINDS)
def test_trials_that_are_put_in_by_hand_count_and_are_ranked(kind: str, open_oracle: Any) -> None:
    oracle = open_oracle(kind)
    for trial in (entered(0.25, 1.0, "mine"), entered(0.5, 3.0), entered(0.75, 2.0)):
        oracle.trials[trial.trial_id] = trial
    assert [trial.score for trial in oracle.get_best_trials(2)] == [3.0, 2.0]
    trial = oracle.create_trial("one")
    assert trial.status == "RUNNING"
    assert len(oracle.trials) == 4
    end(oracle, trial, 2.5)
    assert [t.score for t in oracle.get_best_trials(4)] == [3.0, 2.5, 2.0, 1.0]


@pytest.mark.afina_only
@pytest.mark.parametrize("kind", KINDS)
def test_trials_that_are_put_in_by_hand_are_kept_under_their_ids(
    kind: str, open_oracle: Any
) -> None:
    oracle = open_oracle(kind)
    oracle.trials = {"mine": entered(0.25, 1.0, "mine")}
    end(oracle, oracle.create_trial("one"), 2.5)
    again = open_oracle(kind)
    again.reload()
    assert [again.trials[each].score for each in again.start_order] == [1.0, 2.5]
    assert again.start_order[0] == "mine"
    assert again.trials["mine"].hyperparameters.get("a") == 0.25
    assert again.get_trial("mine").status == "COMPLETED"


def test_trials_that_are_put_in_by_hand_teach_the_algorithm(open_oracle: Any) -> None:
    oracle = open_oracle("bayesian")
    for index in range(5):
        for sign in (1, -1):
            trial = entered(0.5 + sign * index / 10, sign * index)
            oracle.trials[trial.trial_id] = trial
    assert oracle.create_trial("one").hyperparameters.get("a") > 0.5


@pytest.mark.afina_only
def test_trials_that_somebody_removes_are_not_lost(open_oracle: Any) -> None:
    oracle = open_oracle("random")
    end(oracle, oracle.create_trial("one"), 0.5)
    oracle.trials = {}
    assert [trial.score for trial in oracle.get_best_trials()] == [0.5]
    assert oracle.create_trial("one").trial_id == "01"


@pytest.mark.parametrize("kind", KINDS)
def test_oracles_do_not_block_each_other(kind: str, open_oracle: Any) -> None:
    held, free = threading.Event(), threading.Event()

    class Slow(type(MAKERS[kind]())):  # type: ignore[misc]
        @kt.synchronized
        def create_trial(self, tuner_id: str) -> Any:
            if tuner_id == "slow":
                held.set()
                assert free.wait(20)
            return super().create_trial(tuner_id)

    def make() -> Any:
        oracle = Slow(objective=kt.Objective("score", "max"), hyperparameters=space())
        oracle.verbose = 0
        return oracle

    slow, other = make(), open_oracle(kind)
    slow._set_project_dir(other._project_dir, "beside")
    thread = threading.Thread(target=slow.create_trial, args=("slow",))
    thread.start()
    assert held.wait(20)
    assert other.create_trial("fast").status == "RUNNING"
    free.set()
    thread.join()
    assert list(slow.ongoing_trials) == ["slow"]


# -- oracles written after Keras Tuner's own -------------------------------------------------


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
