import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afina.errors import ArgumentError
from afina.search import Done, PopulationBasedTraining, Random, Situation
from afina.search.population import perturbed
from afina.space import Boolean, Choice, Float, Int, Parent, Space
from afina.testing.algorithms import (
    assert_valid,
    check_ask_is_pure,
    check_failures,
    check_growing_space,
    check_parallel,
    check_replay,
    check_same_seed_same_trials,
    check_seeds_differ,
    check_settings,
)
from afina.testing.toys import conditional_loss, conditional_space, run, sphere, sphere_space
from afina.trials import Status

from ..space.strategies import spaces


def make(seed, **changes):
    settings = {"population": 6, "interval": 2, "max_epochs": 10, **changes}
    return PopulationBasedTraining(seed=seed, **settings)


@pytest.mark.parametrize(
    "check",
    [
        check_settings,
        check_ask_is_pure,
        check_same_seed_same_trials,
        check_seeds_differ,
        check_replay,
        check_parallel,
        check_failures,
        lambda make: check_growing_space(make, exhausts=False),
    ],
)
def test_keeps_what_algorithms_promise(check):
    check(make)


def test_a_copy_goes_on_from_its_parents_model_with_changed_numbers_alone():
    space = Space((*sphere_space(2).entries, Choice("units", [16, 32, 64]), Int("layers", 1, 4)))
    done = run(make(1), lambda v: float(v["x0"]) ** 2 + float(v["x1"]) ** 2, space, 200, 3)
    known = {trial.number: trial for trial in done.trials}
    copies = 0
    for trial in done.trials:
        if trial.parent is None:
            continue
        parent = known[trial.parent]
        assert trial.start_epoch == parent.end_epoch
        assert trial.end_epoch == trial.start_epoch + 2
        assert trial.values["units"] == parent.values["units"], "weights have shapes"
        assert trial.values["layers"] == parent.values["layers"]
        copied = trial.schedule.bracket != parent.schedule.bracket
        assert copied or trial.values == parent.values
        copies += copied and trial.values != parent.values
    assert copies > 2


@pytest.mark.parametrize("workers", [1, 4, 6])
def test_every_member_trains_to_the_end_and_then_the_search_is_done(workers):
    done = run(make(2), sphere, sphere_space(2), 500, workers)
    assert isinstance(done.done, Done)
    last = {trial.schedule.bracket: trial for trial in done.trials}
    assert sorted(last) == list(range(6))
    assert {trial.end_epoch for trial in last.values()} == {10}


def test_one_worker_trains_generation_by_generation():
    done = run(make(3), sphere, sphere_space(2), 30)
    generations = [trial.schedule.rung for trial in done.trials]
    assert generations == sorted(generations)


def test_with_as_many_workers_as_members_nobody_waits():
    def watch(state, situation, answer):
        if len(situation.running) < 6 and situation.number < 20:
            busy = {trial.schedule.bracket for trial in situation.running}
            assert answer.schedule.bracket not in busy

    run(make(4), sphere, sphere_space(2), 30, 6, watch=watch)


def test_members_that_fail_are_replaced_by_copies_of_good_ones():
    def fails(values):
        if values["x0"] < 0:
            raise RuntimeError("negative")
        return sphere(values)

    done = run(make(5), fails, sphere_space(2), 500, 2)
    assert isinstance(done.done, Done)
    assert any(trial.status is Status.FAILED for trial in done.trials)
    last = {trial.schedule.bracket: trial for trial in done.trials}
    assert sum(trial.loss is not None and trial.end_epoch == 10 for trial in last.values()) >= 5


def test_named_hyperparameters_alone_are_changed():
    search = make(6, explore=("optimizer",), population=8)
    done = run(search, conditional_loss, conditional_space(), 60)
    known = {trial.number: trial for trial in done.trials}
    pairs = [(t, known[t.parent]) for t in done.trials if t.parent is not None]
    assert all(t.values["layers"] == p.values["layers"] for t, p in pairs)
    assert any(t.values["optimizer"] != p.values["optimizer"] for t, p in pairs)
    for trial in done.trials:
        assert_valid(trial.values, conditional_space())


def test_finds_a_better_point_than_random_search_with_as_many_trials():
    pairs = [
        (
            run(make(seed, max_epochs=16), sphere, sphere_space(3), 48).best,
            run(Random(seed), sphere, sphere_space(3), 48).best,
        )
        for seed in range(7)
    ]
    assert sum(mine < chance for mine, chance in pairs) >= 4


@pytest.mark.parametrize(
    ("entry", "value", "near"),
    [
        (Float("rate", 1e-4, 1e-1, sampling="log"), 1e-2, {0.008, 0.012}),
        (Float("dropout", 0.0, 0.5), 0.0, {0.0, 0.05}),
        (Float("steps", 0.1, 0.9, step=0.4), 0.5, {0.1, 0.9}),
        (Int("units", 2, 9), 2, {2, 3}),
        (Choice("width", [16, 32, 64]), 32, {16, 64}),
    ],
)
def test_values_move_to_near_ones(entry, value, near):
    rng = np.random.default_rng(0)
    moved = [perturbed(entry, value, rng) for _ in range(200)]
    close = sum(any(abs(m - n) < 1e-9 for n in near) for m in moved)
    assert close / 200 > 0.65
    assert all(entry.contains(m) for m in moved)
    assert len(set(moved)) > 2


def test_choices_without_an_order_are_drawn_anew():
    rng = np.random.default_rng(0)
    entry = Choice("activation", ["relu", "tanh", "gelu"])
    assert {perturbed(entry, "relu", rng) for _ in range(50)} == {"relu", "tanh", "gelu"}
    assert {perturbed(Boolean("bias"), True, rng) for _ in range(50)} == {True, False}


@settings(max_examples=20)
@given(spaces(), st.integers(0, 99), st.integers(1, 4))
def test_in_any_space_proposals_are_valid(space, seed, workers):
    search = make(seed, population=4, explore=tuple(e.name for e in space))

    def watch(state, situation, answer):
        if not isinstance(answer, Done) and hasattr(answer, "values"):
            assert_valid(answer.values, situation.space)

    run(search, lambda v: float(len(str(v))), space, 25, workers, watch=watch)


def test_children_of_a_changed_choice_are_given_values():
    sgd = Parent("optimizer", ["sgd"])
    space = Space(
        (Choice("optimizer", ["adam", "sgd"]), Float("momentum", 0.0, 0.9, conditions=[sgd]))
    )
    search = make(0, explore=("optimizer",))
    done = run(search, lambda v: {"adam": 1.0, "sgd": 0.5}[v["optimizer"]], space, 40)
    assert all(("momentum" in t.values) == (t.values["optimizer"] == "sgd") for t in done.trials)


@pytest.mark.parametrize(
    "wrong",
    [{"population": 1}, {"interval": 0}, {"max_epochs": 0}, {"seed": -1}, {"explore": "rate"}],
)
def test_arguments_out_of_range_are_refused(wrong):
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        PopulationBasedTraining(**wrong)


def test_trials_of_others_are_passed_over():
    search = make(1)
    stranger = run(Random(0), sphere, sphere_space(2), 1).trials[0]
    assert search.tell(search.init(), stranger, sphere_space(2)) == search.init()
    numbers = itertools.count()
    answer = search.ask(search.init(), Situation(number=next(numbers), space=sphere_space(2)))
    assert answer.values == sphere_space(2).defaults()
