import math
import statistics
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afina.errors import ArgumentError
from afina.search import AsynchronousHalving, Done, Random, Situation, Suggestion
from afina.search.fidelity.rungs import RungHistory
from afina.space import Boolean, Float, Space
from afina.testing import check_algorithm
from afina.testing.algorithms import check_replay, check_same_seed_same_trials, snapshot
from afina.testing.toys import run, sphere, sphere_space
from afina.trials import Schedule, Status, Trial

from ..space.strategies import spaces
from .curve_problems import assert_rungs_hold, by_rung, honest, space, train


@pytest.mark.first("9")
@pytest.mark.parametrize("max_epochs", [1, 9, 100])
def test_keeps_what_algorithms_promise(max_epochs):
    check_algorithm(
        lambda seed: AsynchronousHalving(max_epochs=max_epochs, seed=seed),
        trials=40,
        exhausts=False,
    )


def test_with_a_model_runs_repeat_and_replay():
    def make(seed):
        return AsynchronousHalving(max_epochs=9, seed=seed, sampler="model")

    check_same_seed_same_trials(make, 16)
    check_replay(make, 16)


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize(("factor", "ends"), [(3, (1, 3, 9, 27)), (2, (1, 2, 4, 8, 16, 27))])
def test_of_each_rung_no_more_than_one_in_factor_goes_on(workers, factor, ends):
    search = AsynchronousHalving(max_epochs=27, factor=factor, seed=2)
    assert search.ends == ends
    done = train(search, honest, space(), 12, workers=workers)
    assert_rungs_hold(done.trials, ends)
    rungs = by_rung(done.trials)
    for rung in range(1, len(ends)):
        # Those of the rung were chosen while trials of the rung below had ended: at most these.
        assert len(rungs[rung]) <= len(rungs[rung - 1]) / factor
    assert len(rungs[len(ends) - 1]) > 0


def test_promotes_the_best_of_the_highest_rung_first():
    search, toy = AsynchronousHalving(max_epochs=9, seed=1), sphere_space(2)
    state = search.init()

    def told(state, number, loss, rung=0, parent=None):
        start, end = ((0, 1), (1, 3), (3, 9))[rung]
        schedule = Schedule(bracket=2, rung=rung, start_epoch=start, end_epoch=end, parent=parent)
        values = {"x0": number / 100, "x1": 0.0}
        trial = Trial(number=number, values=values, schedule=schedule, ended=number)
        return search.tell(state, replace(trial, status=Status.COMPLETED, loss=loss), toy)

    for number, loss in enumerate([0.5, 0.3, 0.4]):
        state = told(state, number, loss)
    answer = search.ask(state, Situation(number=3, space=toy))
    assert (answer.schedule.parent, answer.schedule.rung) == (1, 1)
    state = told(state, 3, 0.2, rung=1, parent=1)
    assert search.ask(state, Situation(number=4, space=toy)).schedule.parent is None
    for number, loss in enumerate([0.1, 0.35, 0.45, 0.2, 0.25, 0.28], start=4):
        state = told(state, number, loss)
    first = search.ask(state, Situation(number=10, space=toy))
    assert first.schedule.parent == 4
    going = Trial(number=10, values=first.values, schedule=first.schedule)
    second = search.ask(state, Situation(number=11, space=toy, running=(going,)))
    assert second.schedule.parent == 7, "the running promotion is not given again"
    both = (going, Trial(number=11, values=second.values, schedule=second.schedule))
    third = search.ask(state, Situation(number=12, space=toy, running=both))
    assert third.schedule.parent is None, "three of nine have gone on"


def test_with_several_objectives_the_first_front_goes_on_and_of_it_the_ends():
    search, toy = AsynchronousHalving(max_epochs=9, factor=2, seed=1), sphere_space(2)
    state = search.init()
    # The sum would take number 4 first: 0.6 is the lowest, but it lies in the middle of the front.
    pairs = [(0.1, 0.9), (0.9, 0.1), (0.8, 0.8), (0.5, 0.4), (0.3, 0.3), (0.9, 0.95)]
    for number, losses in enumerate(pairs):
        schedule = Schedule(bracket=3, rung=0, start_epoch=0, end_epoch=1)
        trial = Trial(number=number, values={"x0": number / 100, "x1": 0.0}, schedule=schedule)
        ended = replace(trial, status=Status.COMPLETED, loss=sum(losses), losses=losses)
        state = search.tell(state, ended, toy)
    running = []
    for number in range(6, 10):
        situation = Situation(number=number, space=toy, running=tuple(running))
        answer = search.ask(state, situation)
        running.append(Trial(number=number, values=answer.values, schedule=answer.schedule))
    assert [trial.parent for trial in running] == [0, 1, 4, None]


def test_failed_trainings_count_as_thrown_away():
    search = AsynchronousHalving(max_epochs=27, seed=3)
    done = train(search, honest, space(), 8, failing=lambda values: values["x0"] < 0.5)
    assert_rungs_hold(done.trials, search.ends)
    assert any(trial.status is Status.FAILED for trial in done.trials)
    assert max(trial.end_epoch for trial in done.trials) == 27


def test_begins_with_the_default_configuration_and_never_repeats_one():
    done = run(AsynchronousHalving(max_epochs=9, seed=4), sphere, sphere_space(2), 60, 3)
    fresh = [tuple(t.values.values()) for t in done.trials if t.parent is None]
    first = next(t for t in done.trials if t.number == 0)
    assert first.values == sphere_space(2).defaults()
    assert len(fresh) == len(set(fresh))


@pytest.mark.parametrize("workers", [1, 4])
def test_a_tiny_space_is_tried_and_its_best_trained_in_full(workers):
    search = AsynchronousHalving(max_epochs=9, seed=1)
    toy = Space((Boolean("a"),))
    done = run(search, lambda values: float(values["a"]), toy, 100, workers)
    assert isinstance(done.done, Done)
    assert [t.values["a"] for t in done.trials if t.end_epoch == 9] == [False]


def test_when_everything_fails_the_search_still_ends():
    def broken(values):
        raise RuntimeError("always")

    done = run(AsynchronousHalving(max_epochs=9, seed=1), broken, Space((Boolean("a"),)), 100, 3)
    assert isinstance(done.done, Done)
    assert len(done.trials) == 2


def test_reaches_with_a_third_of_the_epochs_what_random_search_has_at_the_end():
    seeds = range(6)
    chance = [train(Random(seed), honest, space(), 12).best[-1] for seed in seeds]
    mine = [
        train(AsynchronousHalving(max_epochs=27, seed=seed), honest, space(), 4).best[-1]
        for seed in seeds
    ]
    assert statistics.mean(mine) < statistics.mean(chance)


@settings(max_examples=15)
@given(spaces(), st.integers(0, 99), st.integers(1, 5))
def test_in_any_space_rungs_hold_and_the_search_replays(random_space, seed, workers):
    search = AsynchronousHalving(max_epochs=4, factor=2, seed=seed)
    done = run(search, lambda values: float(len(str(values))), random_space, 25, workers)
    assert_rungs_hold(done.trials, search.ends)
    state = search.init()
    for trial, known in zip(done.trials, done.spaces, strict=True):
        state = search.tell(state, trial, known)
    assert snapshot(state) == snapshot(done.state)


def test_a_training_that_was_stopped_early_does_not_go_on():
    board = RungHistory()
    schedule = Schedule(bracket=2, rung=1, start_epoch=0, end_epoch=6)
    values = {"x": 0.5}
    trial = Trial(number=0, values=values, schedule=schedule, status=Status.COMPLETED, loss=0.4)
    toy = Space((Float("x", 0.0, 1.0),))
    ends = (2, 6, 18)

    def after(curve):
        return board.add(replace(trial, curve=curve), toy, ends).paused((), 2)

    assert after((0.7, 0.5, 0.4)) == []
    assert len(after((0.7, 0.6, 0.5, 0.5, 0.4, 0.4))) == 1
    nan = math.nan
    assert len(after((nan, nan, nan, 0.4))) == 1, "validated every fourth epoch alone"
    assert len(after(())) == 1, "no curve is known"


@pytest.mark.parametrize(
    "wrong",
    [{"max_epochs": 0}, {"factor": 1}, {"min_epochs": 0}, {"seed": -1}, {"sampler": "best"}],
)
def test_arguments_out_of_range_are_refused(wrong):
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        AsynchronousHalving(**wrong)


def test_settings_are_kept():
    search = AsynchronousHalving(max_epochs=81, seed=5)
    assert search.settings()["min_epochs"] == 3
    assert AsynchronousHalving(**search.settings()).ends == search.ends
    answer = search.ask(search.init(), Situation(number=0, space=sphere_space(2)))
    assert isinstance(answer, Suggestion)
