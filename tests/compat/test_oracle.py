"""An oracle driven by hand, without a tuner: the ask and tell of Keras Tuner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import afina as kt

ORACLES = {
    "random": lambda **kw: kt.oracles.RandomSearchOracle(max_trials=8, **kw),
    "grid": lambda **kw: kt.oracles.GridSearchOracle(max_trials=8, **kw),
    "bayesian": lambda **kw: kt.oracles.BayesianOptimizationOracle(max_trials=8, **kw),
    "hyperband": lambda **kw: kt.oracles.HyperbandOracle(max_epochs=4, factor=2, **kw),
}


@pytest.fixture(params=ORACLES)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Any]:
    def make(**kwargs: Any) -> Any:
        hp = kt.HyperParameters()
        hp.Float("a", 0.0, 1.0)
        hp.Int("b", 1, 9)
        settings = {"objective": kt.Objective("score", "max"), "hyperparameters": hp, **kwargs}
        oracle = ORACLES[request.param](**settings)
        oracle.verbose = 0
        oracle._set_project_dir(str(tmp_path), "project")
        return oracle

    return make


@pytest.fixture
def random_oracle(tmp_path: Path) -> Callable[..., Any]:
    def make(**kwargs: Any) -> Any:
        hp = kt.HyperParameters()
        hp.Float("a", 0.0, 1.0)
        settings = {"max_trials": 8, "hyperparameters": hp, **kwargs}
        settings.setdefault("objective", kt.Objective("score", "max"))
        oracle = kt.oracles.RandomSearchOracle(**settings)
        oracle.verbose = 0
        oracle._set_project_dir(str(tmp_path), "project")
        return oracle

    return make


def finish(oracle: Any, trial: Any, score: float, step: int = 0) -> None:
    oracle.update_trial(trial.trial_id, {"score": score}, step=step)
    trial.status = "COMPLETED"
    oracle.end_trial(trial)


def test_a_created_trial_runs_with_a_value_for_each_hyperparameter(make: Any) -> None:
    trial = make().create_trial("tuner0")
    assert trial.status == kt.engine.trial.TrialStatus.RUNNING
    assert {"a", "b"} <= set(trial.hyperparameters.values)
    assert 0.0 <= trial.hyperparameters.get("a") <= 1.0
    assert trial.hyperparameters.get("b") in range(1, 10)
    assert trial.score is None


def test_create_update_end_makes_a_scored_trial(make: Any) -> None:
    oracle = make()
    trial = oracle.create_trial("tuner0")
    returned = oracle.update_trial(trial.trial_id, {"score": 0.25, "other": 7}, step=3)
    assert returned.trial_id == trial.trial_id
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
    ended = oracle.get_trial(trial.trial_id)
    assert (ended.status, ended.score, ended.best_step) == ("COMPLETED", 0.25, 3)
    assert ended.metrics.get_last_value("other") == 7


def test_end_trial_takes_the_old_form_of_id_and_status(make: Any) -> None:
    oracle = make()
    first = oracle.create_trial("tuner0")
    oracle.update_trial(first.trial_id, {"score": 1.0})
    oracle.end_trial(first.trial_id, "COMPLETED")
    second = oracle.create_trial("tuner0")
    oracle.end_trial(trial_id=second.trial_id, status="INVALID")
    assert oracle.get_trial(first.trial_id).status == "COMPLETED"
    assert oracle.get_trial(second.trial_id).status == "FAILED"


def test_the_same_tuner_gets_its_ongoing_trial_again(make: Any) -> None:
    oracle = make()
    first = oracle.create_trial("worker-1")
    assert oracle.create_trial("worker-1").trial_id == first.trial_id
    assert oracle.create_trial("worker-2").trial_id != first.trial_id


def test_ongoing_trials_are_kept_by_tuner_id_until_they_end(make: Any) -> None:
    oracle = make()
    trial = oracle.create_trial("worker-1")
    assert oracle.ongoing_trials["worker-1"].trial_id == trial.trial_id
    finish(oracle, trial, 0.5)
    assert dict(oracle.ongoing_trials) == {}


def test_start_order_and_end_order_list_trial_ids(random_oracle: Any) -> None:
    oracle = random_oracle()
    first, second = oracle.create_trial("one"), oracle.create_trial("two")
    finish(oracle, second, 0.1)
    finish(oracle, first, 0.2)
    assert list(oracle.start_order) == [first.trial_id, second.trial_id]
    assert list(oracle.end_order) == [second.trial_id, first.trial_id]


def test_trials_is_a_dict_by_id_in_the_order_of_creation(random_oracle: Any) -> None:
    oracle = random_oracle()
    for score in (0.3, 0.1, 0.2):
        finish(oracle, oracle.create_trial("tuner0"), score)
    assert list(oracle.trials) == ["0", "1", "2"]
    assert [trial.score for trial in oracle.trials.values()] == [0.3, 0.1, 0.2]
    assert len(oracle.trials) == 3
    assert "1" in oracle.trials
    assert oracle.trials["1"].score == 0.1


@pytest.mark.parametrize(("max_trials", "first"), [(5, "0"), (10, "00"), (1000, "0000")])
def test_trial_ids_are_counted_with_zeros_for_the_width_of_max_trials(
    random_oracle: Any, max_trials: int, first: str
) -> None:
    assert random_oracle(max_trials=max_trials).create_trial("tuner0").trial_id == first


def test_trial_ids_without_max_trials_have_four_digits(random_oracle: Any) -> None:
    assert random_oracle(max_trials=None).create_trial("tuner0").trial_id == "0000"


@pytest.mark.parametrize(
    ("direction", "order"), [("max", [0.9, 0.5, 0.1]), ("min", [0.1, 0.5, 0.9])]
)
def test_best_trials_come_best_first(
    random_oracle: Any, direction: str, order: list[float]
) -> None:
    oracle = random_oracle(objective=kt.Objective("score", direction))
    for score in (0.5, 0.9, 0.1):
        finish(oracle, oracle.create_trial("tuner0"), score)
    assert [trial.score for trial in oracle.get_best_trials(3)] == order
    assert [trial.score for trial in oracle.get_best_trials()] == order[:1]


def test_best_trials_put_unscored_ones_behind_the_scored(random_oracle: Any) -> None:
    oracle = random_oracle()
    failed = oracle.create_trial("tuner0")
    failed.status = "FAILED"
    oracle.end_trial(failed)
    finish(oracle, oracle.create_trial("tuner0"), 0.5)
    best = oracle.get_best_trials(2)
    assert [trial.status for trial in best] == ["COMPLETED", "FAILED"]
    assert oracle.get_best_trials(1)[0].score == 0.5


def test_best_trials_of_an_oracle_without_trials_are_none(random_oracle: Any) -> None:
    assert random_oracle().get_best_trials(3) == []


def test_the_score_is_the_best_over_steps_of_the_mean_over_executions(random_oracle: Any) -> None:
    oracle = random_oracle()
    trial = oracle.create_trial("tuner0")
    for step, values in enumerate([(0.1, 0.3), (0.8, 0.4), (0.5, 0.5)]):
        for value in values:
            oracle.update_trial(trial.trial_id, {"score": value}, step=step)
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
    ended = oracle.get_trial(trial.trial_id)
    assert ended.score == pytest.approx(0.6)
    assert ended.best_step == 1


def test_remaining_trials_counts_down_and_is_none_without_a_limit(random_oracle: Any) -> None:
    oracle = random_oracle(max_trials=3)
    assert oracle.remaining_trials() == 3
    trial = oracle.create_trial("tuner0")
    assert oracle.remaining_trials() == 2
    finish(oracle, trial, 0.5)
    assert oracle.remaining_trials() == 2
    assert random_oracle(max_trials=None).remaining_trials() is None


def test_after_max_trials_a_stopped_trial_says_so(random_oracle: Any) -> None:
    oracle = random_oracle(max_trials=1)
    finish(oracle, oracle.create_trial("tuner0"), 0.5)
    stopped = oracle.create_trial("tuner0")
    assert stopped.status == kt.engine.trial.TrialStatus.STOPPED
    assert dict(stopped.hyperparameters.values) == {}
    assert list(oracle.trials) == ["0"]


def test_a_report_without_the_objective_is_refused(random_oracle: Any) -> None:
    oracle = random_oracle()
    trial = oracle.create_trial("tuner0")
    with pytest.raises(ValueError, match="score"):
        oracle.update_trial(trial.trial_id, {"loss": 0.1})


def test_metrics_get_the_direction_of_the_objective_or_of_their_name(random_oracle: Any) -> None:
    oracle = random_oracle()
    trial = oracle.create_trial("tuner0")
    oracle.update_trial(trial.trial_id, {"score": 1, "val_accuracy": 1, "loss": 1, "unheard": 1})
    metrics = oracle.get_trial(trial.trial_id).metrics
    directions = [metrics.get_direction(n) for n in ("score", "val_accuracy", "loss", "unheard")]
    assert directions == ["max", "max", "min", "min"]


def test_get_space_is_a_copy(make: Any) -> None:
    oracle = make()
    oracle.get_space().Int("c", 0, 1)
    assert [entry.name for entry in oracle.get_space().space] == ["a", "b"]


def test_update_space_adds_new_entries_only(make: Any) -> None:
    oracle = make()
    hp = oracle.get_space()
    hp.Int("c", 0, 1)
    oracle.update_space(hp)
    oracle.update_space(hp)
    assert [entry.name for entry in oracle.get_space().space] == ["a", "b", "c"]
    assert "c" in oracle.create_trial("tuner0").hyperparameters.values


def test_new_entries_met_in_a_trial_reach_the_space_when_it_ends(random_oracle: Any) -> None:
    oracle = random_oracle()
    trial = oracle.create_trial("tuner0")
    trial.hyperparameters.Choice("late", ["x", "y"])
    finish(oracle, trial, 0.1)
    assert [entry.name for entry in oracle.get_space().space] == ["a", "late"]
    assert oracle.create_trial("tuner0").hyperparameters.get("late") in ("x", "y")


def test_the_oracle_shows_its_settings(random_oracle: Any) -> None:
    oracle = random_oracle(seed=42, max_retries_per_trial=2, max_consecutive_failed_trials=5)
    assert (oracle.objective.name, oracle.objective.direction) == ("score", "max")
    assert (oracle.max_trials, oracle.seed) == (8, 42)
    assert (oracle.max_retries_per_trial, oracle.max_consecutive_failed_trials) == (2, 5)
    assert (oracle.allow_new_entries, oracle.tune_new_entries) == (True, True)


def test_seed_zero_is_a_seed(random_oracle: Any, mended: bool) -> None:
    assert (random_oracle(seed=0).seed == 0) is mended


def test_the_same_seed_proposes_the_same_values(make: Any) -> None:
    first, second = (make(seed=3).create_trial("t").hyperparameters.values for _ in range(2))
    assert dict(first) == dict(second)


def test_verbose_auto_means_one(random_oracle: Any) -> None:
    oracle = random_oracle()
    oracle.verbose = "auto"
    assert oracle.verbose == 1


@pytest.mark.parametrize("flag", ["tune_new_entries", "allow_new_entries"])
def test_closing_the_space_needs_a_given_space(flag: str) -> None:
    with pytest.raises(ValueError, match=flag):
        kt.oracles.RandomSearchOracle(objective="val_loss", **{flag: False})


def test_a_closed_space_refuses_new_entries(random_oracle: Any) -> None:
    oracle = random_oracle(allow_new_entries=False)
    hp = oracle.get_space()
    hp.Int("c", 0, 1)
    with pytest.raises(RuntimeError, match="allow_new_entries"):
        oracle.update_space(hp)


def test_an_invalid_trial_is_retried_under_its_id_and_values(random_oracle: Any) -> None:
    oracle = random_oracle(max_retries_per_trial=1)
    trial = oracle.create_trial("tuner0")
    values = dict(trial.hyperparameters.values)
    trial.status = "INVALID"
    oracle.end_trial(trial)
    again = oracle.create_trial("tuner0")
    assert (again.trial_id, again.status) == (trial.trial_id, "RUNNING")
    assert dict(again.hyperparameters.values) == values
    again.status = "INVALID"
    oracle.end_trial(again)
    assert oracle.get_trial(trial.trial_id).status == "FAILED"
    assert oracle.create_trial("tuner0").trial_id != trial.trial_id


def test_a_failed_trial_is_not_retried(random_oracle: Any) -> None:
    oracle = random_oracle(max_retries_per_trial=5)
    trial = oracle.create_trial("tuner0")
    trial.status, trial.message = "FAILED", "no memory"
    oracle.end_trial(trial)
    assert oracle.get_trial(trial.trial_id).message == "no memory"
    assert oracle.create_trial("tuner0").trial_id != trial.trial_id


def test_a_nan_objective_fails_the_trial(random_oracle: Any) -> None:
    oracle = random_oracle()
    trial = oracle.create_trial("tuner0")
    finish(oracle, trial, float("nan"))
    assert oracle.get_trial(trial.trial_id).status == "FAILED"


def test_too_many_failures_in_a_row_end_the_search(random_oracle: Any) -> None:
    oracle = random_oracle(max_consecutive_failed_trials=2)
    for score in (float("nan"), 0.5, float("nan")):
        finish(oracle, oracle.create_trial("tuner0"), score)
    with pytest.raises(RuntimeError, match="consecutive failures exceeded the limit of 2"):
        finish(oracle, oracle.create_trial("tuner0"), float("nan"))


def test_a_saved_oracle_reloads_with_its_trials(make: Any) -> None:
    oracle = make()
    for score in (0.2, 0.7):
        finish(oracle, oracle.create_trial("tuner0"), score)
    oracle.save()
    again = make()
    again.reload()
    scores = {trial_id: trial.score for trial_id, trial in oracle.trials.items()}
    assert {trial_id: trial.score for trial_id, trial in again.trials.items()} == scores
    assert list(again.start_order) == list(oracle.start_order)
    assert list(again.end_order) == list(oracle.end_order)
    assert [e.name for e in again.get_space().space] == ["a", "b"]


def test_a_finished_trial_is_not_run_again_after_a_reload(random_oracle: Any, mended: bool) -> None:
    oracle = random_oracle()
    finish(oracle, oracle.create_trial("tuner0"), 0.2)
    again = random_oracle()
    again.reload()
    assert again.create_trial("tuner0").trial_id == ("1" if mended else "0")


def test_an_interrupted_trial_is_run_again_after_a_reload(random_oracle: Any) -> None:
    oracle = random_oracle()
    trial = oracle.create_trial("tuner0")
    oracle.save()
    again = random_oracle()
    again.reload()
    repeated = again.create_trial("tuner0")
    assert repeated.trial_id == trial.trial_id
    assert dict(repeated.hyperparameters.values) == dict(trial.hyperparameters.values)


def test_the_state_is_a_dict_that_another_oracle_can_take(make: Any) -> None:
    oracle = make(seed=5)
    finish(oracle, oracle.create_trial("tuner0"), 0.2)
    state = oracle.get_state()
    assert {"ongoing_trials", "hyperparameters", "start_order", "end_order", "seed"} <= set(state)
    other = make(seed=6)
    other.set_state(state)
    assert other.seed == 5
    assert list(other.end_order) == list(oracle.end_order)
    assert other.get_space().get_config()["space"] == oracle.get_space().get_config()["space"]
