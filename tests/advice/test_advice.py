import json
import math
import warnings
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.space.strategies import spaces

from afina.advice import Verdict, advice
from afina.advice.code import as_code
from afina.errors import ArgumentError
from afina.search import BayesianOptimization, Hyperband, Random
from afina.space import (
    Boolean,
    Choice,
    Fixed,
    Float,
    HyperParameters,
    Int,
    Parent,
    Space,
    SpaceWarning,
)
from afina.testing.toys import (
    conditional_loss,
    conditional_space,
    finite_loss,
    finite_space,
    run,
    sphere,
    sphere_space,
)
from afina.trials import Failure, FailureKind, Status, Trial

# What is drawn, written and carried over does not depend on how finely it was worked out.
pytestmark = pytest.mark.usefixtures("coarse")

SPACE = Space((Float("rate", 1e-4, 1.0, sampling="log"), Choice("norm", ["a", "b"])))


def failed(number, values):
    failure = Failure(FailureKind.ERROR, "no")
    return Trial(number=number, values=values, status=Status.FAILED, failure=failure)


def executed(code):
    hp = HyperParameters()
    with warnings.catch_warnings():
        # Random spaces may have two definitions of a name that are active at once.
        warnings.simplefilter("ignore", SpaceWarning)
        exec(code, {"hp": hp})
    return hp


def assert_useful(told, words):
    """Says what it must, changes nothing, and all drawings of it work."""
    assert words in str(told)
    assert not told.changes
    assert list(told.after) == list(told.before)
    json.dumps(told.to_dict(), allow_nan=False)
    assert executed(told.as_code()).space == told.next_space().space


def test_no_trials_at_all():
    assert_useful(advice([], SPACE), "There are 0 configurations; at least 10 are needed")


def test_two_trials_only():
    trials = list(run(Random(0), lambda values: values["rate"], SPACE, 2).trials)
    assert_useful(advice(trials, SPACE), "There are 2 configurations; at least 10 are needed")


def test_all_failed():
    rng = np.random.default_rng(0)
    told = advice([failed(n, SPACE.sample(rng)) for n in range(30)], SPACE)
    assert_useful(told, "No trial has a result")
    assert told.best is None


def test_where_all_results_are_equal_it_is_learnt_what_made_trials_fail():
    rng = np.random.default_rng(0)
    drawn = [failed(n, SPACE.sample(rng)) for n in range(40)]
    trials = [
        trial
        if float(trial.values["rate"]) > 0.01
        else replace(trial, status=Status.COMPLETED, failure=None, loss=1.0)
        for trial in drawn
    ]
    told = advice(trials, SPACE)
    assert told.importances.single[0].names == ("rate",)
    rate = next(each for each in told.ranges if each.name == "rate")
    assert rate.after.max_value < 0.1


def test_a_constant_objective():
    trials = list(run(Random(0), lambda values: 1.0, SPACE, 30).trials)
    assert_useful(advice(trials, SPACE), "All results are equal")


def test_a_space_in_which_nothing_varies():
    space = Space((Fixed("a", 1), Choice("b", ["x"])))
    assert_useful(advice([], space), "No hyperparameter has more than one value")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_losses_that_are_no_numbers_count_as_failures(bad):
    trials = list(run(Random(0), lambda values: math.log10(values["rate"]), SPACE, 40).trials)
    trials = [replace(t, loss=bad if n % 3 == 0 else t.loss) for n, t in enumerate(trials)]
    told = advice(trials, SPACE)
    assert told.counts.failed == 14
    assert "14 of them failed" in str(told)
    json.dumps(told.to_dict(), allow_nan=False)


def test_nearly_all_failed():
    trials = [failed(n, {"rate": 0.5, "norm": "a"}) for n in range(20)]
    trials += [replace(failed(20, {"rate": 0.1, "norm": "b"}), status=Status.COMPLETED, loss=1.0)]
    assert_useful(advice(trials, SPACE), "Only 1 has a result")


def test_a_space_of_choices_only():
    told = advice(list(run(Random(0), finite_loss, finite_space(), 18).trials), finite_space())
    assert told.importances.shortage is None
    assert told.best is not None
    for entry in told.after:
        assert entry.contains(told.best.values[entry.name])


def test_an_unknown_direction_is_refused():
    with pytest.raises(ArgumentError, match="direction: must be"):
        advice([], SPACE, "up")


def test_scores_are_shown_as_the_user_measures_them():
    trials = list(run(Random(0), lambda values: -0.9, SPACE, 5).trials)
    assert "Best: 0.9 (trial 0)" in str(advice(trials, SPACE, "max"))


def test_a_tuners_hyperparameters_will_do_for_the_space(searched):
    hp = HyperParameters()
    hp.merge(list(SPACE))
    trials = searched(by_norm, SPACE, 40)
    assert advice(trials, hp) == advice(trials, SPACE)


def by_norm(values):
    return abs(math.log10(values["rate"]) + 2) + (1.0 if values["norm"] == "a" else 0.0)


def test_the_same_trials_give_the_same_advice_in_any_order(searched):
    trials = searched(by_norm, SPACE, 40)
    assert advice(trials, SPACE) == advice(trials[::-1], SPACE)


def test_the_next_space_holds_the_best_trial_as_its_default_and_old_trials_carry_over(searched):
    trials = searched(by_norm, SPACE, 40)
    told = advice(trials, SPACE)
    assert told.changes
    assert told.best is not None
    assert told.next_space().values == told.best.values
    carried = told.carry_over(trials)
    assert told.best.number in [trial.number for trial in carried]
    for trial in carried:
        assert all(entry.contains(trial.values[entry.name]) for entry in told.after)


def test_a_branch_that_is_never_entered_any_more_leaves_the_space(searched):
    space = Space(
        (
            Choice("optimizer", ["adam", "sgd"]),
            Float("momentum", 0, 1, conditions=[Parent("optimizer", "sgd")]),
            Float("rate", 1e-4, 1, sampling="log"),
        )
    )
    told = advice(searched(adam_wins, space, 60), space)
    assert [entry.name for entry in told.after] == ["optimizer", "rate"]
    assert "momentum (where optimizer = 'sgd'): leave out" in str(told)
    assert executed(told.as_code()).space == told.next_space().space


def adam_wins(values):
    bad = 3.0 if values["optimizer"] == "sgd" else 0.0
    return bad + abs(math.log10(values["rate"]) + 2)


def test_conditions_are_kept_in_the_code(searched):
    told = advice(searched(conditional_loss, conditional_space(), 40), conditional_space())
    hp = executed(told.as_code())
    assert hp.space == told.next_space().space
    assert hp.values == told.next_space().values
    assert "conditional_scope(" in told.as_code()


@pytest.mark.parametrize("algorithm", [BayesianOptimization(1), Hyperband(seed=1, max_epochs=9)])
def test_any_search_can_be_advised_on(algorithm):
    trials = list(run(algorithm, sphere, sphere_space(3), 40).trials)
    told = advice(trials, sphere_space(3))
    assert told.importances.shortage is None
    assert str(told)
    for entry in told.after:
        assert told.best is not None
        assert entry.contains(told.best.values[entry.name])


@given(space=spaces())
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
def test_code_makes_the_space_again(space):
    hp = HyperParameters()
    hp.merge(list(space))
    again = executed(as_code(hp.space))
    assert again.space == hp.space
    names = [entry.name for entry in space]
    if len(set(names)) == len(names):
        assert again.values == hp.values


@given(space=spaces(), seed=st.integers(0, 5))
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
def test_advice_on_any_space_is_a_space_that_holds_the_best_trial(space, seed):
    def loss(values):
        return sum(zlib.crc32(repr(v).encode()) % 97 for v in values.values()) / 97

    trials = list(run(Random(seed), loss, space, 30).trials)
    told = advice(trials, space, method="ped_anova")
    assert str(told)
    json.dumps(told.to_dict(), allow_nan=False)
    again = executed(told.as_code())
    assert again.space == told.next_space().space
    if told.best is not None and not any(e.verdict is Verdict.FREEZE for e in told.ranges):
        assert [t for t in told.carry_over(trials) if t.number == told.best.number]


def test_the_code_says_no_more_than_it_must():
    entries = [
        Int("units", 32, 512, step=32),
        Float("rate", 1e-4, 0.1, sampling="log", default=0.01),
        Boolean("bias", default=True),
        Choice("kind", ["a", None]),
        Float("size", 0, 1, conditions=[Parent("kind", "a"), Parent("bias", [True])]),
    ]
    assert as_code(entries).splitlines() == [
        'hp.Int("units", min_value=32, max_value=512, step=32)',
        'hp.Float("rate", min_value=0.0001, max_value=0.1, sampling="log", default=0.01)',
        'hp.Boolean("bias", default=True)',
        'hp.Choice("kind", values=["a", None])',
        'with hp.conditional_scope("kind", ["a"]):',
        '    with hp.conditional_scope("bias", [True]):',
        '        hp.Float("size", min_value=0.0, max_value=1.0)',
    ]
