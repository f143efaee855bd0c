import itertools
import math
import statistics

import numpy as np
import pytest

from afina.errors import ArgumentError
from afina.search import CMAES, Done, Random, Situation, Suggestion, sobol
from afina.space import Boolean, Choice, Fixed, Float, Int, Space
from afina.surrogates.geometry import Geometry
from afina.testing import check_algorithm
from afina.testing.toys import run, sphere, sphere_space
from afina.trials import Failure, FailureKind, Status, Trial

pytest.importorskip("cmaes")


def told(search, rows, space):
    """The state after trials of these (values, loss); loss None for a failed one."""
    state = search.init()
    for number, (values, loss) in enumerate(rows):
        if loss is None:
            failure = Failure(FailureKind.ERROR, "broken")
            trial = Trial(number=number, values=values, status=Status.FAILED, failure=failure)
        else:
            trial = Trial(number=number, values=values, status=Status.COMPLETED, loss=loss)
        state = search.tell(state, trial, space)
    return state


def valley(values):
    """A narrow valley across the axes, best at 0.5 everywhere."""
    x = np.array([values[f"x{i}"] - 0.5 for i in range(4)])
    return float(np.square(x.sum()) + 100 * np.square(np.diff(x)).sum())


def valley_space():
    return Space(tuple(Float(f"x{i}", -2.0, 2.0) for i in range(4)))


def test_it_keeps_what_algorithms_promise():
    check_algorithm(lambda seed: CMAES(seed=seed))


def test_in_a_long_search_it_finds_the_end_of_a_valley():
    mine, chance = (
        statistics.median(run(kind(seed=s), valley, valley_space(), 300).best for s in range(3))
        for kind in (CMAES, Random)
    )
    assert mine < chance / 20


def test_whole_numbers_keep_their_margin_and_choices_their_chance():
    space = Space(
        (
            Float("x", 0.0, 1.0),
            Int("n", 0, 10, default=0),
            Choice("c", list("abcd")),
            Boolean("b"),
        )
    )

    def loss(values):
        kind = {"a": 1.0, "b": 0.7, "c": 0.0, "d": 2.0}[values["c"]]
        return (values["x"] - 0.3) ** 2 + abs(values["n"] - 7) / 5 + kind + values["b"]

    bests = [run(CMAES(seed=s), loss, space, 200).best for s in range(5)]
    assert statistics.median(bests) < 0.01


def test_monotone_changes_of_the_loss_change_no_proposal():
    space = valley_space()
    one = run(CMAES(seed=2), lambda v: valley(v) + 1, space, 60, 2)
    two = run(CMAES(seed=2), lambda v: -1e6 / (valley(v) + 1), space, 60, 2)
    assert [t.values for t in one.trials] == [t.values for t in two.trials]


def test_the_first_trials_are_the_design_and_the_distribution_starts_at_the_best_of_them():
    space = sphere_space(4)
    search = CMAES(seed=1, num_initial_points=8)
    done = run(search, sphere, space, 40)
    geometry = Geometry(space)
    assert [dict(t.values) for t in done.trials[:8]] == [
        sobol.configuration(geometry, index, 1) for index in range(8)
    ]
    best = min(done.trials[:8], key=lambda t: t.loss)
    cloud = np.array([[t.values[f"x{i}"] for i in range(4)] for t in done.trials[8:16]])
    centre = [best.values[f"x{i}"] for i in range(4)]
    assert np.abs(np.median(cloud, axis=0) - centre).max() < 0.5  # of a range of 2


def test_many_trials_to_begin_with_give_it_their_shape():
    space = sphere_space(5)
    rng = np.random.default_rng(0)
    rows = [(v := space.sample(rng), sphere(v)) for _ in range(200)]
    state = told(CMAES(seed=0, num_initial_points=200), rows, space)
    search = CMAES(seed=0)
    losses = []
    for number in range(200, 230):
        answer = search.ask(state, Situation(number=number, space=space))
        assert isinstance(answer, Suggestion)
        losses.append(sphere(answer.values))
    assert statistics.median(losses) < np.quantile([loss for _, loss in rows], 0.1)


def test_a_search_rebuilt_from_any_prefix_goes_on_as_the_straight_one():
    space = sphere_space(3)
    straight = run(CMAES(seed=5), sphere, space, 60)
    state = CMAES(seed=5).init()
    for prefix, trial in enumerate(straight.trials):
        answer = CMAES(seed=5).ask(state, Situation(number=prefix, space=space))
        assert answer.values == trial.values
        state = CMAES(seed=5).tell(state, trial, space)
    assert state == straight.state


def test_branches_of_one_state_do_not_disturb_each_other():
    space = sphere_space(3)
    search = CMAES(seed=0)
    stem = run(search, sphere, space, 30).state
    before = search.ask(stem, Situation(number=30, space=space))
    states = []
    for sign in (1, -1):
        state = stem
        for number in range(30, 50):
            values = space.sample(np.random.default_rng(number))
            trial = Trial(
                number=number, values=values, status=Status.COMPLETED, loss=sign * sphere(values)
            )
            state = search.tell(state, trial, space)
        states.append(state)
    assert states[0] != states[1]
    assert search.ask(stem, Situation(number=30, space=space)) == before


def test_where_a_region_fails_it_goes_elsewhere():
    def loss(values):
        return math.nan if values["x0"] > 0 else sphere(values)

    done = run(CMAES(seed=1), loss, sphere_space(2), 120)
    late = [t.status for t in done.trials[60:]]
    assert done.best < 0.12  # the best there is without the region: 0.09
    assert late.count(Status.FAILED) < 45


def test_a_distribution_that_has_shrunk_to_a_point_is_replaced_by_a_larger_one():
    space = sphere_space(1)
    search = CMAES(seed=0)
    done = run(search, sphere, space, 900)
    populations = {g.distribution.population for g in done.state.generations}
    assert max(populations) > 4


def test_a_distribution_that_grows_beyond_all_numbers_is_replaced():
    """Where choices decide next to everything, the steps of numbers may grow without bounds."""
    space = Space(
        (
            Int("a", 1, 6),
            Choice("b", list("pqr")),
            Boolean("c"),
            Float("d", 0.0, 1.0, step=0.1),
        )
    )
    calls = itertools.count()

    def loss(values):
        if next(calls) % 11 == 5:
            return math.nan
        numbers = (values["a"] / 50 - 0.2) ** 2 + (values["d"] / 50 - 0.2) ** 2
        return 0.3 * values["c"] + "pqr".index(values["b"]) / 7 + numbers

    done = run(CMAES(seed=1), loss, space, 400)
    assert len(done.trials) == 396  # all there are


def test_a_space_that_grows_starts_a_new_distribution_at_the_best_trial():
    small = sphere_space(2)
    large = Space((*small.entries, Float("late", 0.0, 1.0)))
    search = CMAES(seed=0)
    state = run(search, sphere, small, 60).state
    trial = Trial(number=60, values={"x0": 0.5, "x1": 0.5, "late": 0.0}, loss=9.0)
    state = search.tell(state, trial, large)
    answer = search.ask(state, Situation(number=61, space=large))
    assert set(answer.values) == {"x0", "x1", "late"}
    assert len(state.generations) == 1


@pytest.mark.parametrize("space", [Space(()), Space((Fixed("a", 1),))])
def test_a_space_without_a_choice_has_one_combination(space):
    search = CMAES(seed=0)
    values = dict(search.ask(search.init(), Situation(number=0, space=space)).values)
    state = told(search, [(values, 1.0)] * 5, space)
    answer = search.ask(state, Situation(number=5, space=space))
    assert answer == Done("the only combination has been tried")


@pytest.mark.parametrize(
    "wrong", [{"num_initial_points": 0}, {"population": 3}, {"population": True}, {"seed": -1}]
)
def test_arguments_out_of_range_are_refused(wrong):
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        CMAES(**{"seed": 0, **wrong})
