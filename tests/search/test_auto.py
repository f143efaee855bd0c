"""The automatic choice."""

import numpy as np
import pytest

from afina.errors import ArgumentError
from afina.search import Auto, Done, Random, Situation
from afina.search.auto import MANY
from afina.space import Choice, Float, Int, Parent, Space
from afina.testing import check_algorithm
from afina.testing.toys import (
    conditional_loss,
    conditional_space,
    finite_loss,
    finite_space,
    run,
    sphere,
    sphere_space,
)


def test_it_keeps_the_promises_of_every_algorithm():
    check_algorithm(lambda seed: Auto(seed=seed))


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


@pytest.mark.parametrize(
    ("space", "names"),
    [
        (sphere_space(3), {"bayesian"}),
        (finite_space(), {"bayesian"}),
        (conditional_space(), {"bayesian", "tpe"}),
        (Space((Choice("a", ["x", "y", "z"]), Choice("b", ["x", "y", "z"]))), {"bayesian", "tpe"}),
    ],
)
def test_the_choice_follows_the_space(space, names):
    search = Auto(seed=0)
    chosen = {
        search.explain(search.init(), Situation(number=number, space=space)).split(":")[0]
        for number in range(4)
    }
    assert chosen == names


def test_long_searches_are_handed_over():
    from dataclasses import replace

    search = Auto(seed=0)
    many = replace(search.init(), finished=MANY)
    conditional = Space(
        (Int("a", 0, 9), Float("b", 0, 1, conditions=(Parent("a", [1, 2]),)), Int("c", 0, 9))
    )
    assert search.explain(many, Situation(number=0, space=sphere_space(3))).startswith("cma:")
    assert search.explain(many, Situation(number=0, space=conditional)).startswith("tpe:")


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


def test_wrong_epochs_are_refused():
    with pytest.raises(ArgumentError, match="max_epochs"):
        Auto(max_epochs=0)
    assert isinstance(Done("x"), Done)
