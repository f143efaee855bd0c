import dataclasses
import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afina.errors import ArgumentError
from afina.search import TPE, Done, Random, Situation, Suggestion, sobol
from afina.search.tpe import BAD_LIMIT, GOOD_LIMIT
from afina.space import Boolean, Choice, Fixed, Float, Int, Parent, Space
from afina.surrogates.geometry import Geometry
from afina.testing import check_algorithm
from afina.testing.algorithms import assert_valid, snapshot
from afina.testing.toys import (
    conditional_space,
    finite_loss,
    finite_space,
    run,
    sphere,
    sphere_space,
)
from afina.trials import Failure, FailureKind, Status, Trial

from ..space.strategies import spaces


def ended(number, values, loss):
    if loss is None:
        failure = Failure(FailureKind.ERROR, "broken")
        return Trial(number=number, values=values, status=Status.FAILED, failure=failure)
    return Trial(number=number, values=values, status=Status.COMPLETED, loss=loss)


def told(search, rows, space, state=None):
    """The state after trials of these (values, loss); loss None for a failed one."""
    state = search.init() if state is None else state
    for number, (values, loss) in enumerate(rows):
        state = search.tell(state, ended(number, values, loss), space)
    return state


def asked(search, state, space, number, running=()):
    answer = search.ask(state, Situation(number=number, space=space, running=tuple(running)))
    assert isinstance(answer, Suggestion)
    return dict(answer.values)


def mixed_space():
    """Six kinds of hyperparameters, two of them under a condition."""
    sgd = [Parent("optimizer", "sgd")]
    return Space(
        (
            Float("rate", 1e-5, 1.0, sampling="log"),
            Choice("optimizer", ["adam", "sgd", "rmsprop"]),
            Float("momentum", 0.0, 0.99, conditions=sgd),
            Boolean("nesterov", conditions=sgd),
            Int("units", 8, 512, sampling="log"),
            Float("dropout", 0.0, 0.8, step=0.1),
        )
    )


def mixed_loss(values):
    loss = (math.log10(values["rate"]) + 2.5) ** 2 + (math.log2(values["units"]) - 7) ** 2 / 4
    loss += values["dropout"]
    if values["optimizer"] == "sgd":
        return loss + (values["momentum"] - 0.8) ** 2 + 0.2 * (not values["nesterov"])
    return loss + 0.5


def test_it_keeps_what_algorithms_promise():
    check_algorithm(lambda seed: TPE(seed=seed), beats_random=True)


def test_the_first_trials_are_the_points_of_the_design():
    space = mixed_space()
    done = run(TPE(seed=3), mixed_loss, space, 8)
    geometry = Geometry(space)
    assert [dict(t.values) for t in done.trials] == [
        sobol.configuration(geometry, index, 3) for index in range(8)
    ]


@pytest.mark.parametrize(
    ("entries", "given", "points"), [(1, None, 4), (5, None, 7), (20, None, 10), (5, 3, 3)]
)
def test_the_densities_take_over_after_the_initial_points(entries, given, points):
    space = sphere_space(entries)
    search = TPE(seed=0, num_initial_points=given)
    rows = [(space.sample(np.random.default_rng(i)), float(i)) for i in range(points)]
    other = [(values, -loss) for values, loss in rows]
    for count in range(1, points + 1):
        states = [told(search, r[:count], space) for r in (rows, other)]
        # Both may happen to agree on one trial, but not on several.
        one, two = ([asked(search, state, space, count + i) for i in range(5)] for state in states)
        assert (one == two) == (count < points)


@pytest.mark.parametrize(("factor", "shift"), [(2.0**40, 0.0), (2.0**-40, 0.0), (1.0, 1024.0)])
def test_the_units_of_the_loss_change_no_proposal(factor, shift):
    space = mixed_space()
    # Losses that addition and multiplication by powers of two leave exact.
    one = run(TPE(seed=1), lambda v: round(64 * mixed_loss(v)) / 64, space, 40)
    two = run(TPE(seed=1), lambda v: factor * (round(64 * mixed_loss(v)) / 64) + shift, space, 40)
    assert [t.values for t in one.trials] == [t.values for t in two.trials]


@settings(max_examples=12)
@given(spaces(max_entries=4), st.integers(0, 10**6))
def test_on_any_space_proposals_are_valid_and_new_whoever_fails(space, seed):
    def loss(values):
        draw = np.random.default_rng([seed, len(repr(sorted(values.items())))]).random()
        return math.nan if draw < 0.2 else draw

    def watch(state, situation, answer):
        if isinstance(answer, Suggestion):
            assert_valid(answer.values, situation.space)

    done = run(TPE(seed=seed, num_initial_points=4), loss, space, 14, 2, watch=watch)
    keys = [space.key(trial.values) for trial in done.trials]
    assert len(set(keys)) == len(keys)
    assert done.done is not None or len(keys) == 14


def test_a_search_rebuilt_from_any_prefix_goes_on_as_the_straight_one():
    space = mixed_space()
    straight = run(TPE(seed=5), mixed_loss, space, 30)
    state = TPE(seed=5).init()
    for prefix, trial in enumerate(straight.trials):
        assert asked(TPE(seed=5), state, space, prefix) == trial.values
        state = TPE(seed=5).tell(state, dataclasses.replace(trial), space)


def test_branches_of_one_state_do_not_disturb_each_other():
    space = mixed_space()
    search = TPE(seed=0)
    rng = np.random.default_rng(0)
    rows = [(v := space.sample(rng), mixed_loss(v)) for _ in range(60)]
    stem = told(search, rows[:30], space)
    before, proposal = snapshot(stem), asked(search, stem, space, 30)
    left = told(search, rows[30:], space, stem)
    right = told(search, [(v, -loss) for v, loss in rows[30:]], space, stem)
    assert snapshot(left) != snapshot(right)
    assert snapshot(stem) == before
    assert asked(search, stem, space, 30) == proposal
    assert snapshot(told(search, rows, space)) == snapshot(
        dataclasses.replace(left)  # told at other numbers, which do not matter
    )


def test_what_it_keeps_does_not_grow_for_ever_and_holds_the_best_and_all_times_evenly():
    space = sphere_space(2)
    search = TPE(seed=0)
    rng = np.random.default_rng(0)
    losses = rng.random(2000)
    rows = [(space.sample(rng), float(loss)) for loss in losses]
    state = told(search, rows, space)
    assert [t.loss for t in state.best.observations] == sorted(losses)[: GOOD_LIMIT + 1]
    places = np.array([t.order for t in state.sample.observations])
    assert len(places) == BAD_LIMIT + GOOD_LIMIT
    assert np.ptp(np.histogram(places, bins=10, range=(0, 2000))[0]) <= 3
    assert places.tolist() == state.sample.orders.tolist()
    fresh = Geometry(space).encode([dict(t.values) for t in state.sample.observations])
    assert np.array_equal(state.sample.rows, fresh)


def test_of_many_trials_most_leave_what_it_keeps_as_it_is():
    search, space = TPE(seed=0), sphere_space(2)
    rng = np.random.default_rng(1)
    rows = [(values := space.sample(rng), sphere(values)) for _ in range(1000)]
    before = told(search, rows, space)
    kept = 0
    for number in range(1000, 1100):
        values = space.sample(rng)
        after = search.tell(before, ended(number, values, sphere(values)), space)
        # Densities are made anew only where these are others.
        kept += after.best is before.best and after.sample is before.sample
        before = after
    assert kept > 70


def test_workers_that_ask_at_the_same_time_get_proposals_that_lie_apart():
    space = sphere_space(2)
    search = TPE(seed=0)
    rng = np.random.default_rng(0)
    rows = [(v := space.sample(rng), sphere(v)) for _ in range(20)]
    state = told(search, rows, space)

    def spread(liar):
        points = []
        for number in range(20, 36):
            open_now = [Trial(number=20 + i, values=p) for i, p in enumerate(points)]
            points.append(asked(search, state, space, number, open_now if liar else ()))
        cloud = np.array([[p["x0"], p["x1"]] for p in points])
        gaps = np.linalg.norm(cloud[:, None] - cloud[None], axis=2)
        return float(np.median(gaps + 9 * np.eye(16), axis=None)), gaps[np.triu_indices(16, 1)]

    assert spread(True)[1].min() > 1e-4
    assert spread(True)[0] > spread(False)[0]


def test_it_leaves_a_region_where_trials_fail():
    def loss(values):
        if values["x0"] > 0.5:  # the best is at 0.3
            raise RuntimeError("out of memory")
        return sphere(values)

    done = [run(TPE(seed=s), loss, sphere_space(2), 60) for s in range(4)]
    late = [t.status is Status.FAILED for d in done for t in d.trials[30:]]
    assert sum(late) < 0.15 * len(late)  # a random draw fails with 0.25
    assert max(d.best for d in done) < 0.02


@pytest.mark.parametrize("wild", [math.inf, -1.7e308, 1.7e308, 1e9])
def test_wild_losses_do_not_stop_it(wild):
    space = sphere_space(2)
    search = TPE(seed=0)
    state = search.init()
    for number in range(30):
        values = asked(search, state, space, number)
        loss = wild if values["x0"] > 0.5 else sphere(values)
        state = search.tell(state, ended(number, values, loss), space)


def test_when_all_trials_failed_it_draws_on():
    space = sphere_space(2)
    search = TPE(seed=0)
    rows = [(space.sample(np.random.default_rng(i)), None) for i in range(12)]
    state = told(search, rows, space)
    assert asked(search, state, space, 12) != asked(search, state, space, 13)


def test_on_a_space_of_many_kinds_it_beats_random_search():
    mine, chance = (
        statistics.median(run(kind(seed=s), mixed_loss, mixed_space(), 60).best for s in range(7))
        for kind in (TPE, Random)
    )
    assert mine < chance / 2


def test_it_finds_the_best_of_a_finite_space_early_and_all_of_it_at_last():
    done = [run(TPE(seed=s), finite_loss, finite_space(), 30) for s in range(9)]
    found = [
        min(range(18), key=lambda i, t=d.trials: t[i].loss) for d in done if len(d.trials) == 18
    ]
    assert len(found) == 9
    assert statistics.median(found) < 9  # what chance needs


def test_a_space_that_grows_is_searched_on_with_what_was_learnt_before():
    small = sphere_space(2)
    large = Space((*small.entries, Float("late", 0.0, 1.0, default=0.5)))
    search = TPE(seed=0)
    rng = np.random.default_rng(0)
    rows = [(v := small.sample(rng), sphere(v)) for _ in range(40)]
    grown = told(search, rows, small)
    values = asked(search, grown, large, 40)
    assert set(values) == {"x0", "x1", "late"}
    # the same trials, told in the larger space: what they had no value for stood at its default
    known = told(search, rows, large)
    assert asked(search, known, large, 40) == values


def test_values_that_the_space_no_longer_allows_are_read_as_its_nearest():
    space = Space((Int("units", 1, 8), Float("rate", 0.0, 1.0)))
    search = TPE(seed=0, num_initial_points=1)
    rows = [({"units": 64, "rate": 0.5, "gone": "x"}, 1.0), ({"units": 2}, 0.5)]
    assert set(asked(search, told(search, rows, space), space, 2)) == {"units", "rate"}


@pytest.mark.parametrize("space", [Space(()), Space((Fixed("a", 1),))])
def test_a_space_without_a_choice_has_one_combination(space):
    search = TPE(seed=0)
    first = asked(search, search.init(), space, 0)
    for count in (1, 5):
        state = told(search, [(first, float(i)) for i in range(count)], space)
        answer = search.ask(state, Situation(number=count, space=space))
        assert answer == Done("the only combination has been tried")


def test_conditions_on_conditions_are_no_trouble():
    done = run(TPE(seed=0), lambda v: len(v) + v["layers"], conditional_space(), 14)
    assert len(done.trials) == 14


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_initial_points": 0},
        {"num_initial_points": True},
        {"candidates": 0},
        {"candidates": True},
        {"seed": -1},
    ],
)
def test_arguments_out_of_range_are_refused(wrong):
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        TPE(**{"seed": 0, **wrong})
