"""What a study makes of wrong calls, and of calls out of order: nothing is lost by them."""

import dataclasses
import math

import numpy as np
import pytest

import afina
from afina.errors import (
    ArgumentError,
    FatalValueError,
    ObjectiveError,
    SearchFailedError,
    StoreError,
)
from afina.search import TPE, Auto, Hyperband, ParetoSearch, PopulationBasedTraining, Random
from afina.trials import FailureKind, Status

LOSS = afina.Objective("loss", "min")
TWO = [afina.Objective("a", "min"), afina.Objective("b", "min")]


def space():
    hp = afina.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    hp.Int("n", 1, 8)
    return hp


def study(storage=None, hp=None, **settings):
    settings.setdefault("algorithm", Random(seed=0))
    settings.setdefault("objective", LOSS)
    return afina.Study(hp or space(), seed=0, storage=storage, **settings)


def test_a_training_without_one_number_fails_and_the_search_goes_on(tmp_path):
    search = study(tmp_path, algorithm=Auto(max_epochs=27), max_total_epochs=40)
    while (trial := search.ask()) is not None:
        for epoch in range(trial.start_epoch, trial.end_epoch):
            loss = math.nan if trial.values["x"] > 0.5 else trial.values["x"] + 1 / (epoch + 1)
            search.report(trial, {"loss": loss}, step=epoch)
        search.tell(trial)
    kinds = {t.failure.kind for t in search.trials.values() if t.status is Status.FAILED}
    assert kinds == {FailureKind.NOT_A_NUMBER}
    assert search.best_trial.values["x"] <= 0.5
    assert search.stop_reason.startswith("max_total_epochs=40")


@pytest.mark.parametrize(
    "algorithm",
    [
        Auto(max_epochs=np.int64(4)),
        Hyperband(max_epochs=np.int32(4), iterations=np.int64(1), seed=np.int64(0)),
        PopulationBasedTraining(
            max_epochs=np.int16(4), population=np.int64(2), interval=np.int8(2)
        ),
    ],
    ids=lambda algorithm: algorithm.name,
)
def test_whole_numbers_may_be_numpys_and_are_kept_as_numbers(tmp_path, algorithm):
    for opened in range(2):
        search = study(tmp_path, algorithm=algorithm, max_trials=np.int64(4))
        trial = search.ask()
        search.report(trial, {"loss": 0.5}, step=trial.start_epoch)
        search.tell(trial)
        search.close()
        assert len(study(tmp_path, algorithm=algorithm, max_trials=4).trials) == opened + 1


@pytest.mark.parametrize("value", [True, 0, -1, 2.0, "2", math.nan, np.float64(2), None, [2]])
def test_what_is_no_whole_number_from_1_up_is_refused(value):
    with pytest.raises(
        ArgumentError, match=r"max_epochs: must be a whole number from 1 up, but got .*Try 100"
    ):
        Hyperband(max_epochs=value)
    if value is not None:
        with pytest.raises(ArgumentError, match="max_epochs: must be a whole number from 1 up"):
            Auto(max_epochs=value)


def test_a_trial_that_waits_to_be_run_again_may_be_told(tmp_path):
    search = study(tmp_path, max_retries=1)
    first = search.ask()
    assert search.tell(first, failed="flaky").status is Status.WAITING
    assert search.tell(first, 0.5).status is Status.COMPLETED
    second = search.ask()
    assert second.number == 1
    search.close()
    again = study(tmp_path, max_retries=1)
    assert again.tell(again.running[0], 0.25).status is Status.COMPLETED
    assert again.ask().number == 2
    assert again.best_trial.number == 1


def test_a_trial_that_fails_while_it_waits_is_not_handed_out_twice():
    search = study(max_retries=3, max_trials=1)
    trial = search.ask()
    search.tell(trial, failed="flaky")
    search.tell(trial, failed="flaky")
    assert search.ask().number == 0
    assert search.ask() is None
    assert search.stop_reason is None, "it is still open"


@pytest.mark.parametrize("step", [1.0, np.float32(1), "0", None, True, -1, 2**63])
def test_a_step_that_is_no_epoch_leaves_nothing_behind(tmp_path, step):
    search = study(tmp_path, algorithm=Auto(max_epochs=27))
    trial = search.ask()
    with pytest.raises(ArgumentError, match="step must be the number of an epoch"):
        search.report(trial, {"loss": 0.5}, step=step)
    search.report(trial, {"loss": 0.5}, step=np.int64(0))
    assert search.tell(trial).curve == (0.5,)
    search.close()


@pytest.mark.parametrize("value", ["0.5", b"1", None, [0.5], {}, 1j, 10**400, object()])
def test_metrics_that_are_no_numbers_leave_nothing_behind(tmp_path, value):
    search = study(tmp_path)
    trial = search.ask()
    search.report(trial, {"loss": 0.5}, step=0)
    with pytest.raises(ArgumentError, match="report: 'other' must be a number"):
        search.report(trial, {"loss": 0.4, "other": value}, step=1)
    with pytest.raises(ArgumentError, match="tell: 'other' must be a number"):
        search.tell(trial, {"loss": 0.4, "other": value})
    if value is not None and not isinstance(value, dict):
        with pytest.raises(ArgumentError, match="tell: 'loss' must be a number"):
            search.tell(trial, value)
    assert search.tell(trial).curve == (0.5,)
    search.close()


def test_what_is_no_mapping_is_no_metrics():
    search = study()
    with pytest.raises(ArgumentError, match="metrics must be a mapping of names to numbers"):
        search.report(search.ask(), 0.5, step=0)


def test_numbers_of_any_kind_are_metrics():
    search = study()
    trial = search.ask()
    search.report(trial, {"loss": np.float32(0.5), "rows": np.array(3)}, step=0)
    assert search.tell(trial).metrics == {"loss": 0.5, "rows": 3.0}


def test_only_open_trials_are_reported_and_told(tmp_path):
    search = study(tmp_path, max_total_epochs=4)
    trial = search.ask()
    search.report(trial, {"loss": 0.5}, step=0)
    search.tell(trial)
    never = dataclasses.replace(trial, number=7)
    for wrong, told in ((trial, "told already"), (never, "number=7"), (0, "0"), (None, "None")):
        with pytest.raises(ArgumentError, match=f"report: must get a trial.*{told}"):
            search.report(wrong, {"loss": 0.4}, step=9)
        with pytest.raises(ArgumentError, match=f"tell: must get a trial.*{told}"):
            search.tell(wrong, 0.4)
    search.close()
    again = study(tmp_path, max_total_epochs=4)
    assert again.trials[0].curve == search.trials[0].curve == (0.5,)
    assert again.stop_rules.epochs == search.stop_rules.epochs == 1


def test_a_tell_that_the_store_refuses_may_be_made_again(tmp_path):
    search = study(tmp_path)
    trial = search.ask()
    search.report(trial, {"loss": 0.5}, step=0)
    with pytest.raises(StoreError, match="notes: must be made of JSON values"):
        search.tell(trial, notes={"model": object()})
    told = search.tell(trial)
    assert (told.score, told.curve) == (0.5, (0.5,))
    search.close()
    assert study(tmp_path).trials[0].curve == (0.5,)


def test_what_a_builder_discovered_outlives_a_tell_that_failed():
    def build(hp):
        for layer in range(hp.Int("layers", 5, 9)):
            hp.Float(f"rate_{layer}", 0.0, 1.0)

    search = study(hp=build)
    trial = search.ask()
    with pytest.raises(ArgumentError, match="'note' must be a number"):
        search.tell(trial, {"loss": 1.0, "note": "good"})
    with pytest.raises(ObjectiveError, match="must hold the objective loss"):
        search.tell(trial, {"accuracy": 1.0})
    search.tell(trial, 1.0)
    assert len(search.space) == 1 + trial.values["layers"]


def test_values_that_the_builder_refuses_fail_and_the_next_come(tmp_path):
    def build(hp):
        if hp.Float("x", 0.0, 1.0) > 0.5:
            raise ValueError("too large")

    search = study(tmp_path, hp=build, max_trials=8)
    told = []
    while (trial := search.ask()) is not None:
        told.append(search.tell(trial, 1.0).number)
    failed = [t for t in search.trials.values() if t.status is Status.FAILED]
    assert 0 < len(failed) == 8 - len(told)
    assert all("ValueError: too large" in t.failure.message for t in failed)
    assert search.stop_reason == "max_trials=8 trials have been run"
    search.close()
    assert study(tmp_path, hp=build, max_trials=8).running == ()


def test_a_builder_that_always_fails_ends_the_search():
    calls = []

    def build(hp, error=ValueError):
        hp.Float("x", 0.0, 1.0)
        calls.append(error)
        if len(calls) > 1:  # the first is that of the study itself
            raise error("never")

    with pytest.raises(SearchFailedError, match=r"limit of 3[\s\S]*ValueError: never"):
        study(hp=build).ask()
    assert len(calls) == 4
    calls.clear()
    search = study(hp=lambda hp: build(hp, FatalValueError))
    with pytest.raises(FatalValueError, match="never"):
        search.ask()
    assert search.trials[0].status is Status.FAILED


def test_steps_beyond_any_training_void_the_curve_but_not_the_result():
    search = study()
    trial = search.ask()
    search.report(trial, {"loss": 0.5}, step=0)
    search.report(trial, {"loss": 0.4}, step=20_000)
    told = search.tell(trial)
    assert (told.score, told.best_step, told.curve) == (0.4, 20_000, ())


def test_who_counts_a_promoted_training_from_its_own_start_is_told_where_that_is():
    search = study(algorithm=Auto(max_epochs=27))
    while not (trial := search.ask()).start_epoch:
        search.tell(trial, trial.values["x"])
    search.report(trial, {"loss": 0.5}, step=0)
    with pytest.raises(ArgumentError, match=f"first epoch on, which is {trial.start_epoch}"):
        search.tell(trial)


@pytest.mark.parametrize("algorithm", ["tpe", TPE, 3])
def test_what_is_no_algorithm_is_refused(algorithm, tmp_path):
    with pytest.raises(ArgumentError, match=r"algorithm: must be an algorithm"):
        study(tmp_path, algorithm=algorithm)
    with pytest.raises(ArgumentError, match=r"algorithm: must be an algorithm"):
        afina.AutoTuner(lambda hp: None, "val_loss", algorithm=algorithm, directory=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("points", [[3], {"x": 0.5}, 3, "x"])
def test_what_is_no_list_of_configurations_is_no_start(points):
    with pytest.raises(ArgumentError, match="start_from: must be a list of mappings"):
        study(start_from=points)


def test_points_to_start_from_get_the_form_that_the_space_gives_its_values():
    hp = afina.HyperParameters()
    hp.Int("n", 1, 3)
    search = study(hp=hp, start_from=[{"n": 2.0}])
    tried = []
    while (trial := search.ask()) is not None:
        tried.append(search.tell(trial, 1.0).values["n"])
    assert (type(tried[0]), sorted(tried)) == (int, [1, 2, 3])


def test_one_number_is_no_result_for_two_objectives():
    search = study(objective=TWO, algorithm=ParetoSearch(seed=0))
    with pytest.raises(ObjectiveError, match="mapping that holds the objectives a and b"):
        search.tell(search.ask(), 0.5)


def test_trials_and_the_front_are_in_the_order_of_numbers_also_when_opened_again(tmp_path):
    search = study(tmp_path, objective=TWO, algorithm=ParetoSearch(seed=0))
    trials = [search.ask() for _ in range(4)]
    for place in (3, 1, 2, 0):
        search.tell(trials[place], {"a": place, "b": -place})
    search.close()
    for each in (search, study(tmp_path, objective=TWO, algorithm=ParetoSearch(seed=0))):
        assert list(each.trials) == [t.number for t in each.get_pareto_front()] == [0, 1, 2, 3]
