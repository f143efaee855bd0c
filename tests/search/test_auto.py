"""The automatic choice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afina.errors import ArgumentError
from afina.search import Auto, Done, Random, Situation, Suggestion
from afina.search.auto import MANY
from afina.space import Choice, Float, Int, Parent, Space
from afina.testing import check_algorithm
from afina.testing.algorithms import assert_valid
from afina.testing.toys import (
    conditional_loss,
    conditional_space,
    finite_loss,
    finite_space,
    run,
    sphere,
    sphere_space,
)
from afina.trials import Status, Trial

from ..space.strategies import spaces


def test_it_keeps_the_promises_of_every_algorithm():
    check_algorithm(lambda seed: Auto(seed=seed), trials=16)


def test_with_epochs_it_begins_with_short_trainings():
    search = Auto(max_epochs=27, seed=0)
    situation = Situation(number=0, space=sphere_space(2))
    first = search.ask(search.init(), situation)
    assert first.schedule.start_epoch == 0
    assert first.schedule.end_epoch < 27
    assert "up to 27 epochs" in search.explain(search.init(), situation)


def test_trainings_too_short_to_cut_are_planned_whole():
    search = Auto(max_epochs=3, seed=0)
    done = run(search, sphere, sphere_space(2), 6)
    assert {(t.schedule.start_epoch, t.schedule.end_epoch) for t in done.trials} == {(0, 3)}


@pytest.mark.parametrize("choices", [False, True])
def test_where_distances_say_nothing_another_takes_turns(choices):
    search = Auto(seed=0)
    names = Space(tuple(Choice(f"c{i}", ["x", "y", "z"]) for i in range(5)))
    space = names if choices else sphere_space(5)
    turns = 0
    for seed in range(5):  # chance alone looks like skill at times
        noise = iter(np.random.default_rng(seed).standard_normal(40))
        state = run(search, lambda values, noise=noise: float(next(noise)), space, 24).state
        for number in (26, 27):
            explained = search.explain(state, Situation(number=number, space=space))
            turns += explained.startswith("tpe")
    assert (turns >= 2) == choices


def test_where_a_process_predicts_choices_it_has_all_turns():
    search = Auto(seed=0)
    space = Space(tuple(Choice(f"c{i}", ["x", "y", "z"]) for i in range(5)))

    def loss(values):
        return float(sum((i + 1) * "xyz".index(v) for i, v in enumerate(values.values())))

    state = run(search, loss, space, 16).state
    for number in (16, 18, 19):
        explained = search.explain(state, Situation(number=number, space=space))
        assert explained.startswith("bayesian: ")
        assert "predicts them" in explained


def test_of_a_process_that_has_stalled_another_takes_every_fourth_trial():
    search = Auto(seed=0)
    space = Space((Float("x", 0.0, 1.0), Float("y", 0.0, 1.0)))
    for losses, stalled in ((range(16, 0, -1), False), ([1.0, 0.5, *[0.9] * 14], True)):
        given = iter(losses)
        state = run(search, lambda values, given=given: float(next(given)), space, 16).state
        chosen = [
            search.explain(state, Situation(number=number, space=space)).split(":")[0]
            for number in range(16, 24)
        ]
        assert chosen.count("tpe") == (2 if stalled else 0)


def test_it_goes_on_while_the_model_expects_a_gain():
    # The first is the best for long, by luck. All others lie in one half of the space, and show
    # the way into the other.
    space = Space((Float("x", 0.0, 1.0), Float("y", 0.0, 1.0)))
    search, rng = Auto(seed=0, stop_when_unlikely=True), np.random.default_rng(0)
    state = search.init()
    for number in range(31):
        values = {"x": rng.random() / 2, "y": rng.random()}
        loss = 1 - values["x"] + 0.01 * rng.standard_normal() if number else 0.4
        completed = Trial(number=number, values=values, status=Status.COMPLETED, loss=loss)
        state = search.tell(state, completed, space)
    answer = search.ask(state, Situation(number=31, space=space))
    assert isinstance(answer, Suggestion)
    assert answer.values["x"] > 0.5


def test_long_searches_are_handed_over():
    from dataclasses import replace

    search = Auto(seed=0)
    many = replace(search.init(), finished=MANY)
    conditional = Space(
        (Int("a", 0, 9), Float("b", 0, 1, conditions=(Parent("a", [1, 2]),)), Int("c", 0, 9))
    )
    assert search.explain(many, Situation(number=0, space=sphere_space(3))).startswith("cma:")
    assert search.explain(many, Situation(number=0, space=conditional)).startswith("tpe:")


@pytest.mark.first("space0-sphere")
@pytest.mark.parametrize(
    ("space", "loss"),
    [
        (sphere_space(4), sphere),
        (finite_space(), finite_loss),
        (conditional_space(), conditional_loss),
    ],
)
def test_it_is_not_worse_than_random_search(space, loss):
    def mean(make):
        return np.mean([run(make(seed), loss, space, 16).best for seed in range(4)])

    assert mean(lambda seed: Auto(seed=seed)) <= mean(lambda seed: Random(seed=seed)) + 1e-9


def test_it_stops_when_nothing_is_to_be_gained_and_not_before():
    space = sphere_space(1)
    flat = run(Auto(seed=0, stop_when_unlikely=True), lambda values: 1.0, space, 60)
    assert flat.done.reason.startswith("improvement has become unlikely")
    assert len(flat.trials) == 21
    steady = iter(range(1000, 0, -1))
    going = run(Auto(seed=0, stop_when_unlikely=True), lambda values: next(steady), space, 40)
    assert going.done is None


@settings(max_examples=8)
@given(spaces(max_entries=5), st.integers(0, 1000))
def test_in_spaces_of_all_kinds_it_proposes_what_they_allow(space, seed):
    rng = np.random.default_rng(seed)

    def loss(values):
        if rng.random() < 0.2:
            raise RuntimeError("broken")
        return float(rng.standard_normal())

    def check(state, situation, answer):
        if isinstance(answer, Suggestion):
            assert_valid(answer.values, situation.space)

    run(Auto(seed=seed), loss, space, 14, 2, watch=check)


def test_wrong_epochs_are_refused():
    with pytest.raises(ArgumentError, match="max_epochs"):
        Auto(max_epochs=0)
    assert isinstance(Done("x"), Done)
