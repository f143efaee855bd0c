"""Advice where the truth is known, after random, Bayesian and automatic searches."""

import math
from dataclasses import replace

import planted
import pytest

from afina.advice import Action, Verdict, Visibility, advice
from afina.space import Space
from afina.trials import MultiObjective, Objective, Status, Trial


def told_of(truth, search="random", seed=0):
    trials = planted.searched(truth, search, seed)
    return advice(trials, planted.TRUTHS[truth].space, method="ped_anova")


def range_of(told, name):
    return planted.range_of(told, name)


@pytest.mark.first("random", "auto")
@pytest.mark.parametrize("search", ["random", "bayesian", "auto"])
def test_what_is_irrelevant_is_neither_cut_nor_widened_nor_blamed(search):
    told = told_of("irrelevant", search)
    assert planted.seen(told, "rate") is Visibility.MATTERS
    assert planted.untouched(told, "idle", "kind")
    assert set(told.recommendation.idle) <= {"idle", "kind"}


@pytest.mark.first("random")
@pytest.mark.parametrize("search", ["random", "bayesian"])
def test_what_improves_towards_a_bound_is_widened_beyond_it_and_that_is_said_first(search):
    told = told_of("monotone at a bound", search)
    units = range_of(told, "units")
    assert (units.verdict, units.widen) == (Verdict.WIDEN, "high")
    assert units.confidence >= 0.8
    assert told.recommendation.action is Action.WIDEN
    assert told.recommendation.names == ("units",)
    assert str(told).startswith("Widen units to ")
    assert planted.untouched(told, "idle", "kind")


def test_a_choice_that_never_wins_is_dropped_and_the_best_one_stays():
    told = told_of("a choice that never wins")
    activation = range_of(told, "activation")
    assert activation.verdict is Verdict.DROP
    assert "step" not in activation.after.values
    assert "relu" in activation.after.values
    assert activation.confidence >= 0.9


@pytest.mark.parametrize("search", ["random", "auto"])
def test_a_branch_that_is_mostly_bad_but_holds_the_best_is_not_dropped(search):
    told = told_of("a slow branch with the best tail", search)
    assert "sgd" in range_of(told, "optimizer").after.values


def test_a_branch_that_starts_slowly_is_not_dropped_for_its_short_trainings():
    """After one epoch sgd is far behind; the few trials that went on show that it ends best."""
    space = planted.TRUTHS["a slow branch with the best tail"].space
    trials = []
    for old in planted.searched("a slow branch with the best tail", "random", 0):
        sgd = old.values["optimizer"] == "sgd"
        short = planted.noise_of(old.values) * 0.01 + (2.0 if sgd else 0.5)
        trials.append(replace(old, loss=short, score=short, schedule=planted.epochs(0, 1)))
    for number, old in enumerate(trials[:8], start=len(trials)):
        sgd = old.values["optimizer"] == "sgd"
        after = planted.epochs(1, 9, parent=old.number)
        long = 0.1 if sgd else 0.3
        trials.append(replace(old, number=number, loss=long, score=long, schedule=after))
    told = advice(trials, space, method="ped_anova")
    assert "sgd" in range_of(told, "optimizer").after.values


def test_hyperparameters_of_a_dropped_branch_are_left_out_with_it():
    told = told_of("a branch that loses")
    assert "sgd" not in range_of(told, "optimizer").after.values
    assert range_of(told, "momentum").verdict is Verdict.LEAVE_OUT
    assert "momentum" not in [entry.name for entry in told.after]
    assert "momentum (where optimizer = 'sgd'): leave out" in str(told)


def test_a_few_trials_of_a_branch_are_not_enough_to_drop_it():
    truth = planted.TRUTHS["a branch that loses"]
    trials = planted.searched("a branch that loses", "random", 0)
    kept = [trial for trial in trials if trial.values["optimizer"] == "adam"]
    kept += [trial for trial in trials if trial.values["optimizer"] == "sgd"][:3]
    told = advice(kept, truth.space, method="ped_anova")
    assert "sgd" in range_of(told, "optimizer").after.values


def test_a_conditional_hyperparameter_is_seen_where_it_is_active():
    told = told_of("a conditional branch")
    assert planted.seen(told, "momentum") is Visibility.MATTERS
    assert range_of(told, "momentum").after.contains(0.5)
    assert "sgd" in range_of(told, "optimizer").after.values


@pytest.mark.first("random")
@pytest.mark.parametrize("search", ["random", "bayesian"])
def test_two_that_act_together_are_found_and_no_other_pair(search):
    told = told_of("interaction", search)
    assert [set(pair.names) for pair in told.effects.pairs] == [{"rate", "batch"}]
    assert "act together" in str(told)


@pytest.mark.first("random", "auto")
@pytest.mark.parametrize("search", ["random", "bayesian", "auto"])
def test_pure_noise_is_called_chance_and_nothing_is_cut(search):
    told = told_of("noise only", search)
    assert told.recommendation.action is Action.REPEAT
    assert not told.changes
    assert "chance" in str(told).splitlines()[0]


def test_on_a_plateau_the_search_may_end():
    told = told_of("plateau")
    assert told.recommendation.action is Action.FINISH
    assert range_of(told, "rate").after.contains(1e-3)


@pytest.mark.first("random")
@pytest.mark.parametrize("search", ["random", "bayesian"])
def test_failures_are_tied_to_the_hyperparameter_that_causes_them(search):
    told = told_of("failing region", search)
    assert [each.name for each in told.failing] == ["rate"]
    assert told.failing[0].above > 0.03
    assert told.failing[0].failed == told.failing[0].tried
    assert "Avoid rate from " in str(told)
    assert range_of(told, "rate").after.max_value < 0.3


def test_failures_without_a_cause_are_tied_to_nothing():
    truth = planted.TRUTHS["irrelevant"]
    trials = [
        trial
        if trial.number % 4
        else replace(trial, loss=None, score=None, status=Status.FAILED, failure=planted.FAILURE)
        for trial in planted.searched("irrelevant", "random", 0)
    ]
    assert advice(trials, truth.space, method="ped_anova").failing == ()


def test_three_trials_are_too_few_and_the_advice_is_to_search_on():
    told = advice(
        planted.searched("irrelevant", "random", 0)[:3], planted.TRUTHS["irrelevant"].space
    )
    assert told.recommendation.action is Action.SEARCH_MORE
    assert not told.changes
    assert str(told).startswith("Search on")


def test_a_constant_objective_is_to_be_checked():
    trials = [
        replace(trial, loss=1.0, score=1.0) for trial in planted.searched("irrelevant", "random", 0)
    ]
    told = advice(trials, planted.TRUTHS["irrelevant"].space)
    assert told.recommendation.action is Action.CHECK
    assert not told.changes


def test_thirty_trials_show_the_strongest_of_fifteen_hyperparameters():
    told = told_of("15 hyperparameters, 30 trials")
    assert planted.seen(told, "x0") is Visibility.MATTERS
    assert planted.untouched(told, *planted.MANY)


def test_the_trials_of_a_study_may_be_given_as_the_mapping_that_they_are():
    trials = planted.searched("irrelevant", "random", 0)[:12]
    space = planted.TRUTHS["irrelevant"].space
    mapping = {trial.number: trial for trial in trials}
    assert advice(mapping, space) == advice(trials, space)


def test_several_objectives_have_advice_each_and_none_on_ranges():
    space = Space((planted.RATE,))
    trials = []
    for trial in planted.searched("irrelevant", "random", 0):
        rate = math.log10(trial.values["rate"])
        trials.append(
            Trial(
                number=trial.number,
                values={"rate": trial.values["rate"]},
                status=Status.COMPLETED,
                score=0.0,
                loss=0.0,
                losses=((rate + 3) ** 2, -rate),
            )
        )
    both = MultiObjective([Objective("a", "min"), Objective("b", "min")])
    told = advice(trials, space, objective=both)
    assert told.recommendation.action is Action.CHOOSE
    assert [aim.importances.single[0].clear for aim in told.aims] == [True, True]
    assert told.ranges == ()
