"""`afina.Study`: for people with their own loops."""

import math
import random
import threading

import pytest

import afina
from afina.errors import ArgumentError, ObjectiveError, ProjectMismatchError
from afina.search import BayesianOptimization, Grid, Hyperband, Random, StartFrom
from afina.trials import Status

LOSS = afina.Objective("val_loss", "min")


def space():
    hp = afina.HyperParameters()
    hp.Float("rate", 1e-4, 1.0, sampling="log")
    hp.Int("units", 8, 64)
    return hp


def loss_of(values):
    return (math.log10(values["rate"]) + 2) ** 2 + abs(values["units"] - 40) / 40


def run(study, limit=100):
    told = []
    while (trial := study.ask()) is not None and len(told) < limit:
        told.append(study.tell(trial, {"val_loss": loss_of(trial.values)}))
    return told


def test_ask_and_tell_find_a_good_configuration_and_say_why_they_ended():
    study = afina.Study(space(), objective=LOSS, seed=0, max_trials=25)
    assert len(run(study)) == 25
    assert study.best_trial.score == min(trial.score for trial in study.trials.values()) < 0.2
    assert study.stop_reason == "max_trials=25 trials have been run"


def test_the_seed_of_the_study_is_the_algorithms():
    one = run(afina.Study(space(), objective=LOSS, algorithm=Random(seed=7), max_trials=4))
    two = run(afina.Study(space(), objective=LOSS, algorithm=Random(seed=0), seed=7, max_trials=4))
    other = run(afina.Study(space(), objective=LOSS, algorithm=Random(seed=0), max_trials=4))
    assert [t.values for t in one] == [t.values for t in two] != [t.values for t in other]


def test_epochs_go_on_where_the_parent_stopped_and_are_counted_once():
    algorithm = Hyperband(max_epochs=9, factor=3)
    study = afina.Study(space(), objective=LOSS, algorithm=algorithm, seed=1)
    reached = {}
    while (trial := study.ask()) is not None:
        assert trial.start_epoch == (0 if trial.parent is None else reached[trial.parent])
        for epoch in range(trial.start_epoch, trial.end_epoch):
            value = loss_of(trial.values) + 1 / (1 + epoch)
            assert study.report(trial, {"val_loss": value}, step=epoch) is afina.Decision.CONTINUE
        ended = study.tell(trial)
        reached[trial.number] = trial.end_epoch
        assert len(ended.curve) == trial.end_epoch - trial.start_epoch
        assert ended.loss == min(ended.curve) == ended.curve[-1]
        assert ended.best_step == trial.end_epoch - 1
    assert study.stop_rules.epochs == sum(len(trial.curve) for trial in study.trials.values())
    assert study.stop_reason == "all 3 brackets are finished"


def test_a_study_goes_on_from_its_folder_as_if_it_had_never_stopped(tmp_path):
    def study(place):
        return afina.Study(space(), objective=LOSS, seed=3, max_trials=12, storage=place)

    whole = run(study(tmp_path / "whole"))
    part = study(tmp_path / "part")
    run(part, limit=5)
    part.close()
    again = study(tmp_path / "part")
    assert [t.curve for t in again.trials.values() if t.status.finished] == [()] * 5
    run(again)
    assert [t.values for t in again.trials.values()] == [t.values for t in whole]
    again.close()
    with pytest.raises(ProjectMismatchError, match="objective"):
        afina.Study(space(), objective="val_accuracy", storage=tmp_path / "part")


def test_curves_come_back_from_the_folder_as_they_were(tmp_path):
    def study():
        algorithm = Hyperband(max_epochs=4, factor=2)
        return afina.Study(
            space(), objective="accuracy", algorithm=algorithm, seed=0, storage=tmp_path / "p"
        )

    first = study()
    for _ in range(4):
        trial = first.ask()
        for epoch in range(trial.start_epoch, trial.end_epoch):
            first.report(trial, {"accuracy": random.Random(epoch).random()}, step=epoch)
        first.tell(trial)
    first.close()
    second = study()
    assert second.trials == first.trials
    assert all(-1 <= loss <= 0 for trial in second.trials.values() for loss in trial.curve)


def test_a_builder_draws_and_what_it_draws_is_found_as_it_goes():
    def build(hp):
        for index in range(hp.Int("layers", 1, 3)):
            hp.Int(f"units_{index}", 4, 8)
        if hp.Choice("optimizer", ["adam", "sgd"]) == "sgd":
            with hp.conditional_scope("optimizer", "sgd"):
                hp.Float("momentum", 0.0, 0.9)

    study = afina.Study(build, objective="loss", algorithm=Random(seed=0), seed=0, max_trials=20)
    while (trial := study.ask()) is not None:
        values = trial.values
        assert all(f"units_{index}" in values for index in range(values["layers"]))
        assert ("momentum" in values) == (values["optimizer"] == "sgd")
        study.tell(trial, sum(v for v in values.values() if not isinstance(v, str)))
    names = {entry.name for entry in study.space}
    assert {"layers", "units_0", "units_1", "units_2", "optimizer", "momentum"} == names
    assert len({tuple(sorted(t.values.items())) for t in study.trials.values()}) == 20


def test_start_points_come_first_for_any_algorithm_that_draws():
    points = [{"units": 40}, {"rate": 0.01, "units": 8}]
    for algorithm in (Random(seed=0), Hyperband(max_epochs=9), BayesianOptimization(seed=0)):
        study = afina.Study(space(), objective=LOSS, algorithm=algorithm, start_from=points)
        asked = [study.ask() for _ in range(4)]
        assert asked[0].values == {"rate": 1e-4, "units": 40}
        assert asked[1].values == points[1]
        assert asked[2].values not in points


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"unitz": 8}, r"start_from\[0\]: must name hyperparameters of the space \(rate, units\)"),
        ({"units": 640}, r"start_from\[0\]\['units'\]: must be a value of"),
    ],
)
def test_start_points_outside_of_the_space_are_refused(point, message):
    with pytest.raises(ArgumentError, match=message):
        afina.Study(space(), objective=LOSS, start_from=[point])


def test_a_grid_takes_no_start_points():
    with pytest.raises(ArgumentError, match="Grid"):
        afina.Study(space(), objective=LOSS, algorithm=Grid(), start_from=[{"units": 8}])


def test_failures_are_kept_with_their_reason_and_may_be_tried_again():
    study = afina.Study(space(), objective=LOSS, algorithm=Random(seed=0), max_retries=1)
    trial = study.ask()
    assert study.tell(trial, failed="out of memory").status is Status.WAITING
    again = study.ask()
    assert (again.number, again.values) == (trial.number, trial.values)
    ended = study.tell(again, failed=ValueError("no luck"))
    assert (ended.status, ended.failure.headline) == (Status.FAILED, "ValueError: no luck")
    assert study.tell(study.ask(), math.nan).status is Status.WAITING
    with pytest.raises(
        ArgumentError, match=r"No trial has completed: 1 has failed.\n- ValueError: no luck"
    ):
        _ = study.best_trial


def test_what_cannot_be_told_is_refused_with_a_sentence():
    study = afina.Study(space(), objective=LOSS, algorithm=Random(seed=0))
    trial = study.ask()
    with pytest.raises(ArgumentError, match="needs metrics, or epochs reported"):
        study.tell(trial)
    with pytest.raises(ObjectiveError, match="must hold the objective val_loss"):
        study.tell(trial, {"loss": 1.0})
    study.tell(trial, 0.5)
    with pytest.raises(ArgumentError, match="trial 0, which has been told already"):
        study.tell(trial, 0.5)
    with pytest.raises(ArgumentError, match=r"build\(hp\)"):
        afina.Study({"units": [1, 2]}, objective=LOSS)
    with pytest.raises(ArgumentError, match="time_budget"):
        afina.Study(space(), objective=LOSS, time_budget=0)


def test_epochs_in_all_end_a_search_and_do_not_count_parents_twice():
    study = afina.Study(
        space(), objective=LOSS, algorithm=Hyperband(max_epochs=9), seed=0, max_total_epochs=15
    )
    while (trial := study.ask()) is not None:
        for epoch in range(trial.start_epoch, trial.end_epoch):
            study.report(trial, {"val_loss": loss_of(trial.values)}, step=epoch)
        study.tell(trial)
    assert 15 <= study.stop_rules.epochs < 15 + 9
    assert study.stop_reason == "max_total_epochs=15 epochs have been trained"


def test_when_the_time_is_over_running_trainings_are_stopped():
    study = afina.Study(space(), objective=LOSS, algorithm=Random(seed=0), time_budget=1e-9)
    assert study.ask() is None
    assert study.stop_reason == "time_budget=1e-09 seconds are over"
    study = afina.Study(space(), objective=LOSS, algorithm=Random(seed=0), time_budget=1e6)
    trial = study.ask()
    study.stop_rules._began -= 1e6
    assert study.report(trial, {"val_loss": 0.4}, step=0) is afina.Decision.STOP
    assert study.tell(trial).score == 0.4


def test_many_threads_share_a_study_without_repeating_anything():
    study = afina.Study(space(), objective=LOSS, algorithm=Random(seed=0), max_trials=40)

    def work():
        while (trial := study.ask()) is not None:
            study.tell(trial, {"val_loss": loss_of(trial.values)})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({tuple(trial.values.items()) for trial in study.trials.values()}) == 40
    assert sorted(study.ended) == list(range(40))


def test_several_objectives_give_a_pareto_front():
    goals = [afina.Objective("error", "min"), afina.Objective("speed", "max")]
    study = afina.Study(space(), objective=goals, seed=0, max_trials=15)
    assert study.algorithm.name == "pareto"
    while (trial := study.ask()) is not None:
        units = trial.values["units"]
        study.tell(trial, {"error": loss_of(trial.values), "speed": 100.0 - units})
    front = study.get_pareto_front()
    rows = [trial.losses for trial in study.trials.values()]
    for trial in front:
        assert not any(
            row != trial.losses and all(a <= b for a, b in zip(row, trial.losses, strict=True))
            for row in rows
        )
    assert len(front) >= 3
    assert front[0].losses == (front[0].metrics["error"], -front[0].metrics["speed"])


def test_the_front_of_one_objective_is_its_best_trial():
    study = afina.Study(space(), objective=LOSS, algorithm=Random(seed=0), max_trials=6)
    run(study)
    assert study.get_pareto_front() == [study.best_trial]
    assert "at least 10 are needed" in str(study.advice())


def test_the_seed_of_a_study_reaches_an_algorithm_inside_a_wrapper():
    points = [{"units": 9}]
    wrapped = StartFrom(Random(seed=1), points)
    inside = afina.Study(space(), objective=LOSS, algorithm=wrapped, seed=4)
    outside = afina.Study(space(), objective=LOSS, algorithm=Random(seed=4), start_from=points)
    assert inside.algorithm == StartFrom(Random(seed=4), points)
    assert inside.algorithm.settings() == outside.algorithm.settings()
