import dataclasses
import itertools
import math
import statistics
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afina.errors import ArgumentError
from afina.search import (
    Done,
    Hyperband,
    ModelBasedHalving,
    Situation,
    Suggestion,
    model_halving,
)
from afina.search.fidelity.rung_model import RungModel, fidelity, warped
from afina.search.fidelity.rungs import RungHistory
from afina.space import Boolean, Choice, Constraint, Float, Parent, Space
from afina.testing import check_algorithm
from afina.testing.algorithms import snapshot
from afina.testing.toys import finite_space, run, sphere, sphere_space
from afina.trials import Decision, Schedule, Status, Trial

from ..space.strategies import spaces
from .curve_problems import EPOCHS, assert_rungs_hold, honest, misleading, space, train


@pytest.mark.first("9-16")
@pytest.mark.parametrize(("max_epochs", "trials"), [(1, 12), (9, 16), (100, 30)])
def test_keeps_what_algorithms_promise(max_epochs, trials):
    check_algorithm(
        lambda seed: ModelBasedHalving(max_epochs=max_epochs, seed=seed),
        trials=trials,
        exhausts=False,
    )


@pytest.mark.parametrize("workers", [1, 4])
def test_nobody_goes_on_twice_and_no_epoch_is_trained_twice(workers):
    search = ModelBasedHalving(max_epochs=EPOCHS, seed=1)
    done = train(search, honest, space(), 5, workers=workers)
    assert_rungs_hold(done.trials, search.ends)
    assert max(trial.end_epoch for trial in done.trials) == EPOCHS


def test_replay_is_a_straight_run_at_every_prefix():
    search = ModelBasedHalving(max_epochs=EPOCHS, seed=2)
    toy = space()
    done = train(search, honest, toy, 3)
    state = search.init()
    for trial in done.trials:
        answer = search.ask(state, Situation(number=trial.number, space=toy))
        assert (answer.values, answer.schedule) == (trial.values, trial.schedule)
        state = search.tell(state, trial, toy)
    assert snapshot(state) == snapshot(done.state)


def test_workers_that_ask_at_once_get_different_things():
    search, toy = ModelBasedHalving(max_epochs=EPOCHS, seed=3), space()
    state = train(search, honest, toy, 2).state
    number, running = 1000, []
    for _ in range(6):
        answer = search.ask(state, Situation(number=number, space=toy, running=tuple(running)))
        running.append(Trial(number=number, values=answer.values, schedule=answer.schedule))
        number += 1
    for one, other in itertools.combinations(running, 2):
        assert one.values != other.values


def families():
    """An easy family of three numbers, and one that is better where two numbers fit."""
    easy, good = [Parent("kind", "easy")], [Parent("kind", "good")]
    return Space(
        (
            Choice("kind", ["easy", "good"]),
            *(Float(name, 0.0, 1.0, conditions=easy) for name in "abc"),
            Float("depth", 0.0, 1.0, conditions=good),
            Float("width", 0.0, 1.0, conditions=good),
        )
    )


def hidden(values):
    """Flat in the easy family; the other one is better in a tenth of it. All fall alike."""
    if values["kind"] == "easy":
        low = 0.2 + 0.01 * (values["a"] - 0.7) ** 2
    else:
        far = max(abs(values["depth"] - 0.3), abs(values["width"] - 0.8))
        low = 0.1 + 0.15 * min(far / 0.15, 1.0) + 0.2 * far
    return low + 0.5 * np.exp(-np.arange(1, EPOCHS + 1) / 6)


def test_a_narrow_better_family_is_found_behind_a_flat_easy_one():
    for seed in (0, 1):
        search = ModelBasedHalving(max_epochs=EPOCHS, seed=seed)
        done = train(search, hidden, families(), 8, workers=2)
        assert_rungs_hold(done.trials, search.ends)
        assert done.best[-1] < 0.18


def test_an_explored_search_replays():
    search, toy = ModelBasedHalving(max_epochs=EPOCHS, seed=3), families()
    done = train(search, hidden, toy, 4)
    state = search.init()
    for trial in done.trials:
        answer = search.ask(state, Situation(number=trial.number, space=toy))
        assert (answer.values, answer.schedule) == (trial.values, trial.schedule)
        state = search.tell(state, trial, toy)


def test_a_family_is_explored_within_the_constraints_of_the_whole_space():
    shallow = Constraint(lambda values: values["depth"] < 0.4)
    toy = Space(tuple(families()), constraints=(shallow,))
    done = train(ModelBasedHalving(max_epochs=EPOCHS, seed=0), hidden, toy, 5, workers=3)
    assert all(trial.values.get("depth", 0.0) < 0.4 for trial in done.trials)


def test_no_family_is_explored_once_half_of_the_epochs_are_those_of_new_trainings(monkeypatch):
    search, toy, rng = (
        ModelBasedHalving(max_epochs=EPOCHS, seed=1),
        families(),
        np.random.default_rng(0),
    )
    state, explored = RungHistory(), []
    monkeypatch.setattr(model_halving, "explore", lambda *asked: explored.append(asked))
    configurations = [toy.sample(rng) for _ in range(45)]
    for number, values in enumerate(configurations):
        state = told(search, state, toy, number, values, (1.0 - 0.02 * min(number, 9),))

    def asks():
        explored.clear()
        for number in range(100, 106):
            search.ask(state, Situation(number=number, space=toy))
        return len(explored)

    assert asks() == 0
    for number in range(3):
        schedule = Schedule(bracket=5, rung=5, start_epoch=1, end_epoch=EPOCHS, parent=number)
        trial = Trial(
            number=50 + number,
            values=configurations[number],
            schedule=schedule,
            status=Status.COMPLETED,
            loss=0.9,
            curve=(0.9,) * (EPOCHS - 1),
        )
        state = search.tell(state, trial, toy)
    assert asks() == 5


def test_a_space_without_families_is_never_explored(monkeypatch):
    monkeypatch.setattr(model_halving, "explore", None)
    done = train(
        ModelBasedHalving(max_epochs=EPOCHS, seed=0), lambda values: 0 * honest(values), space(), 4
    )
    assert len(done.trials) > 40


@pytest.mark.parametrize(("curve", "trainings", "part"), [(honest, 4, 0.5), (misleading, 6, 1.3)])
def test_beats_hyperband_on_honest_curves_and_keeps_up_with_it_on_misleading_ones(
    curve, trainings, part
):
    lowest = float(curve(dict.fromkeys(space().defaults(), 0.35)).min())

    def left(make, seeds):
        runs = [train(make(seed), curve, space(), trainings) for seed in range(seeds)]
        return statistics.mean(run.best[trainings * EPOCHS - 1] - lowest for run in runs)

    mine = left(lambda seed: ModelBasedHalving(max_epochs=EPOCHS, seed=seed), 3)
    theirs = left(lambda seed: Hyperband(max_epochs=EPOCHS, iterations=None, seed=seed), 12)
    assert mine < part * theirs


def asleep(values):
    """Nothing happens in the first two epochs."""
    curve = honest(values)
    rng = np.random.default_rng(int(1e9 * values["x0"]))
    return np.concatenate([2 + 1e-4 * rng.random(2), curve[:-2]])


def test_a_rung_on_which_nothing_has_happened_is_passed_over():
    search = ModelBasedHalving(max_epochs=EPOCHS, seed=1)
    done = train(search, asleep, space(), 4)
    lowest = done.state.lowest_telling()
    assert search.ends[lowest - 1] <= 2 < search.ends[lowest]
    fresh = [trial for trial in done.trials if trial.parent is None]
    assert fresh[0].end_epoch == search.ends[0]
    assert fresh[-1].end_epoch == search.ends[lowest]
    # No fewer have come to the first rung that tells something than one full training pays for.
    came = {stage.root for stage in done.state.segments if stage.rung >= lowest}
    assert len(came) >= EPOCHS // search.ends[lowest]
    assert train(search, honest, space(), 4).state.lowest_telling() == 0


def test_trainings_that_have_not_begun_to_learn_are_not_taken_for_one():
    def chance(values):
        return np.concatenate([np.full(3, 2.0), honest(values)])

    search = ModelBasedHalving(max_epochs=EPOCHS, min_epochs=2, seed=1)
    done = train(search, chance, space(), 6)
    assert search.ends[done.state.lowest_telling()] > 3
    went_on = {stage.root for stage in done.state.segments if stage.epochs > 3}
    assert len(went_on) > 10
    assert not done.state.twins()


@pytest.mark.service  # a comparison over seeds
def test_passing_over_it_finds_better_ones(monkeypatch):
    def best(seed):
        search = ModelBasedHalving(max_epochs=EPOCHS, seed=seed)
        return train(search, asleep, space(), 6).best[6 * EPOCHS - 1]

    aware = [best(seed) for seed in range(6)]
    monkeypatch.setattr(RungHistory, "lowest_telling", lambda board: 0)
    unaware = [best(seed) for seed in range(6)]
    assert statistics.mean(aware) < 0.8 * statistics.mean(unaware)


def plateaus(values):
    """Values that differ by less than a fifth of their range make no difference."""
    return honest({name: math.floor(5 * value) / 5 for name, value in values.items()})


def test_what_was_alike_to_the_last_digit_is_not_trained_twice():
    search = ModelBasedHalving(max_epochs=EPOCHS, seed=1)
    done = train(search, plateaus, space(3), 6)
    full = [trial for trial in done.trials if trial.end_epoch == EPOCHS]
    assert len({trial.curve for trial in full}) == len(full)
    model = RungModel(done.state, Situation(number=999, space=space(3)), search.ends)
    for alike in done.state.twins():
        assert len({stage.curve[:2] for stage in alike}) == 1
        points = np.array([list(dict(stage.values).values()) for stage in alike])
        middle = points[:2].mean(axis=0)
        # Where nothing else was met between them, nothing begins there.
        others = [stage for stage in done.state.latest() if stage not in alike]
        inside = [
            all(
                low <= value <= high
                for value, low, high in zip(
                    dict(stage.values).values(),
                    points[:2].min(axis=0),
                    points[:2].max(axis=0),
                    strict=True,
                )
            )
            for stage in others
        ]
        assert model._alike(middle[None])[0] or any(inside)
    assert done.state.twins()


def test_trainings_that_are_alike_by_chance_leave_what_is_between_them_open():
    """As accuracies are, of all that do not learn at once."""
    search, toy = ModelBasedHalving(max_epochs=EPOCHS, seed=2), space(1)
    state = RungHistory()
    for number, (place, losses) in enumerate({0.1: (0.9, 0.9), 0.9: (0.9, 0.9)}.items()):
        state = told(search, state, toy, number, {"x0": place}, losses)
    between = np.array([[0.5]])
    model = RungModel(state, Situation(number=3, space=toy), search.ends)
    assert model._alike(between)[0]
    state = told(search, state, toy, 2, {"x0": 0.4}, (0.7, 0.6))
    model = RungModel(state, Situation(number=3, space=toy), search.ends)
    assert not model._alike(between)[0]


def told(search, state, toy, number, values, losses):
    trial = Trial(
        number=number,
        values=values,
        schedule=Schedule(bracket=3, rung=1, start_epoch=0, end_epoch=len(losses)),
        status=Status.COMPLETED,
        loss=min(losses),
        curve=losses,
    )
    return search.tell(state, trial, toy)


def test_leaves_the_surroundings_of_failed_trainings():
    search = ModelBasedHalving(max_epochs=EPOCHS, seed=4)

    def fails(values):
        return values["x0"] > 0.6

    done = train(search, honest, space(), 4, failing=fails)
    fresh = [trial for trial in done.trials if trial.parent is None]
    early = sum(trial.status is Status.FAILED for trial in fresh[:20]) / 20
    late = sum(trial.status is Status.FAILED for trial in fresh[20:]) / max(len(fresh) - 20, 1)
    assert late < early


@pytest.mark.parametrize("workers", [1, 3])
def test_a_finite_space_is_trained_in_full_and_then_the_search_is_done(workers):
    search = ModelBasedHalving(max_epochs=4, seed=1)
    done = run(search, lambda v: float(v["depth"]), finite_space(), 200, workers)
    assert isinstance(done.done, Done)
    assert sum(trial.end_epoch == 4 for trial in done.trials) == 18
    one = run(search, lambda v: float(v["a"]), Space((Boolean("a"),)), 200, workers)
    assert isinstance(one.done, Done)


def test_the_warp_keeps_the_order_and_puts_failures_last():
    search, toy = ModelBasedHalving(max_epochs=EPOCHS, seed=5), space()
    done = train(search, honest, toy, 2, failing=lambda values: values["x1"] > 0.8)
    stages = done.state.segments
    targets = warped(stages)
    losses = [math.inf if stage.loss is None else stage.loss for stage in stages]
    order = np.argsort(targets, kind="stable")
    assert list(np.array(losses)[order]) == sorted(losses)
    assert np.isfinite(targets).all()
    assert abs(np.median(targets)) < 1


def test_an_answer_costs_little_however_many_results_there_are():
    search, toy = ModelBasedHalving(max_epochs=EPOCHS, seed=6), sphere_space(6)
    state, rng = RungHistory(), np.random.default_rng(0)
    for number in range(600):
        values = toy.sample(rng)
        answer = search.ask(RungHistory(), Situation(number=0, space=toy))
        trial = Trial(number=number, values=values, schedule=answer.schedule, ended=number)
        trial = Trial(
            number=number,
            values=values,
            schedule=answer.schedule,
            status=Status.COMPLETED,
            loss=sphere(values),
        )
        state = search.tell(state, trial, toy)
    model = RungModel(state, Situation(number=600, space=toy), search.ends)
    assert len(model.process.rows) == 300
    spent = []
    for number in range(600, 603):
        begun = time.process_time()
        search.ask(state, Situation(number=number, space=toy))
        spent.append(time.process_time() - begun)
    assert min(spent) < 1.0, "seconds; an idle core needs a tenth of that"


def test_trainings_far_behind_are_stopped_and_late_bloomers_are_not():
    search, toy = ModelBasedHalving(max_epochs=20, seed=0), sphere_space(2)
    state = RungHistory()

    def full(state, number, curve):
        trial = Trial(
            number=number,
            values={"x0": number / 10, "x1": 0.0},
            status=Status.COMPLETED,
            loss=min(curve),
            curve=tuple(curve),
        )
        return search.tell(state, trial, toy)

    quick = [1 / epoch for epoch in range(1, 21)]
    for number in range(4):
        state = full(state, number, quick)
    answer = search.ask(RungHistory(), Situation(number=4, space=toy))
    going = Trial(number=4, values=answer.values, schedule=answer.schedule)
    flat = (1.0, 0.8, 0.7, 0.66, 0.65, 0.65, 0.65, 0.65)
    assert search.stop_early(state, going, flat) is Decision.STOP
    assert search.stop_early(state, going, flat[:3]) is Decision.CONTINUE, "too early to tell"
    falling = tuple(1 - 0.09 * epoch for epoch in range(8))
    assert search.stop_early(state, going, falling) is Decision.CONTINUE
    state = full(state, 5, [0.9] * 12 + [0.04] * 8)
    assert search.stop_early(state, going, flat) is Decision.CONTINUE, "one has bloomed late"


def test_a_training_is_not_stopped_for_the_speed_of_another_family():
    search, toy = ModelBasedHalving(max_epochs=20, seed=0), families()
    easy = {"kind": "easy", "a": 0.5, "b": 0.5, "c": 0.5}
    good = {"kind": "good", "depth": 0.5, "width": 0.5}
    flat = (1.0, 0.8, 0.7, 0.66, 0.65, 0.65, 0.65, 0.65)
    quick = tuple(1 / epoch for epoch in range(1, 21))

    def decided(values, full):
        state = RungHistory()
        for number in range(4):
            trial = Trial(number=number, values=full, status=Status.COMPLETED, loss=0.05)
            state = search.tell(state, dataclasses.replace(trial, curve=quick), toy)
        schedule = Schedule(bracket=0, rung=4, start_epoch=0, end_epoch=20)
        return search.stop_early(state, Trial(number=9, values=values, schedule=schedule), flat)

    assert decided(good, easy) is Decision.CONTINUE
    assert decided(easy, good) is Decision.CONTINUE
    assert decided(good, good) is Decision.STOP


def test_a_stopped_training_does_not_go_on():
    search, toy = ModelBasedHalving(max_epochs=20, seed=0), sphere_space(2)
    answer = search.ask(RungHistory(), Situation(number=0, space=toy))
    assert isinstance(answer, Suggestion)
    assert search.ends == (1, 2, 4, 8, 20)
    assert fidelity(4, search.ends) == pytest.approx(math.log(4) / math.log(20))


@settings(max_examples=8)
@given(spaces(), st.integers(0, 99), st.integers(1, 3))
def test_in_any_space_rungs_hold_and_the_search_replays(random_space, seed, workers):
    search = ModelBasedHalving(max_epochs=4, seed=seed)
    done = run(search, lambda values: float(len(str(values))), random_space, 12, workers)
    assert_rungs_hold(done.trials, search.ends)
    state = search.init()
    for trial, known in zip(done.trials, done.spaces, strict=True):
        state = search.tell(state, trial, known)
    assert snapshot(state) == snapshot(done.state)


@pytest.mark.parametrize(
    "wrong", [{"max_epochs": 0}, {"factor": 1}, {"min_epochs": 200}, {"seed": -1}]
)
def test_arguments_out_of_range_are_refused(wrong):
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        ModelBasedHalving(**wrong)
