"""A search that prefers what an earlier one advised."""

import math

from afina.advice import Preferring, advice
from afina.search import Hyperband, Random
from afina.space import Boolean, Choice, Fixed, Float, Parent, Space
from afina.testing import check_algorithm
from afina.testing.toys import run

WHOLE = Space((Float("rate", 0, 1), Choice("kind", ["a", "b", "c"]), Boolean("bias")))
PART = Space((Float("rate", 0.4, 0.6), Choice("kind", ["b"]), Fixed("bias", True)))


def loss(values):
    return abs(values["rate"] - 0.9)


def test_it_keeps_the_promises_of_every_algorithm():
    part = Space((Float("x0", 0.0, 0.6),))
    check_algorithm(lambda seed: Preferring(Random(seed=seed), part))


def test_the_first_proposals_lie_in_the_preferred_space_and_fewer_of_the_later_ones():
    trials = run(Preferring(Random(seed=0), PART), loss, WHOLE, 60).trials
    inside = [
        0.4 <= t.values["rate"] <= 0.6 and t.values["kind"] == "b" and t.values["bias"]
        for t in trials
    ]
    assert sum(inside[:10]) == 10
    assert sum(inside[30:]) < 15


def test_a_wrong_preference_rules_nothing_out():
    found = run(Preferring(Random(seed=0), PART), loss, WHOLE, 60)
    assert found.best < 0.05
    assert {trial.values["kind"] for trial in found.trials} == {"a", "b", "c"}


def test_branches_and_promoted_trainings_stay_as_they_are():
    whole = Space(
        (
            Choice("optimizer", ["adam", "sgd"]),
            Float("momentum", 0, 1, conditions=[Parent("optimizer", "sgd")]),
        )
    )
    part = Space((Choice("optimizer", ["adam"]),))
    done = run(Preferring(Hyperband(max_epochs=4, seed=1), part), moved_loss, whole, 30).trials
    for trial in done:
        assert set(trial.values) == {entry.name for entry in whole.active(trial.values)}
        if trial.parent is not None:
            parent = next(each for each in done if each.number == trial.parent)
            assert trial.values == parent.values


def moved_loss(values):
    return 1.0 if values["optimizer"] == "adam" else abs(values["momentum"] - 0.5)


def test_the_whole_space_is_wider_where_advised_and_cuts_nothing():
    space = Space((Float("rate", 1e-5, 1e-2, sampling="log"), Float("other", 0, 1)))
    told = advice(list(run(Random(0), slope, space, 60).trials), space, method="ped_anova")
    assert told.ranges[0].widen == "high"
    rate, other = told.whole_space().space
    assert (rate.min_value, rate.max_value) == (1e-5, 0.1)
    assert (other.min_value, other.max_value) == (0, 1)
    assert rate.default == told.best.values["rate"]
    trials = run(Random(1), slope, space, 5).trials
    assert len(told.carry_over_all(trials)) == 5


def slope(values):
    return -math.log10(values["rate"])
