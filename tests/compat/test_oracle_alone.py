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
