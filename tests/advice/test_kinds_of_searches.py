"""The whole text of advice, read beside a known truth, for kinds of searches that users make."""

import functools
import math
import random
from dataclasses import replace

import pytest

from afina.advice import Action, Verdict, Visibility, advice
from afina.advice.claims import line_across
from afina.advice.resize import joined, widened
from afina.search import BayesianOptimization, Random
from afina.space import Choice, Float, Int, Space
from afina.surrogates.geometry import Geometry
from afina.testing import run

RATE = Float("learning_rate", 1e-5, 1e-1, sampling="log")
UNITS = Int("units", 16, 256, step=16)
ACTIVATION = Choice("activation", ["relu", "tanh"])


def noise(values, size):
    return random.Random(repr(sorted(values.items()))).gauss(0, size)


def bowl(values, best=-3.0):
    return 0.1 * (math.log10(values["learning_rate"]) - best) ** 2 + noise(values, 0.01)


@functools.cache
def told_of(loss, *entries, trials=30, algorithm=Random, seed=1):
    space = Space(entries)
    found = list(run(algorithm(seed), loss, space, trials).trials)
    return advice(found, space, method="ped_anova"), found


def range_of(told, name):
    return next(each for each in told.ranges if each.name == name)


def narrow(values):
    return bowl(values, -2.0) + 0.05 * values["dropout"]


def test_a_range_whose_best_trial_lies_at_its_bound_is_widened_as_search_again_does():
    short = Float("learning_rate", 1e-6, 1e-3, sampling="log")
    told, _ = told_of(narrow, short, Float("dropout", 0, 0.5), algorithm=BayesianOptimization)
    rate = range_of(told, "learning_rate")
    assert (rate.verdict, rate.widen) == (Verdict.WIDEN, "high")
    assert rate.confidence >= 0.5
    searched = next(e for e in told.whole_space().to_space() if e.name == "learning_rate")
    assert (searched.min_value, searched.max_value) == (1e-6, 0.01)
    assert str(told).startswith("Widen learning_rate to 1e-06 ... 0.01, then go on")


def fewer(values):
    return 1 / values["layers"] + bowl(values)


def test_of_a_few_whole_numbers_the_next_one_is_looked_at_and_the_bound_is_named():
    layers = Int("layers", 1, 4)
    part = Geometry(Space((layers,))).tunable[0]
    inside, beyond = line_across(layers, part, "high", (None, None))
    assert inside.tolist() == part.positions.tolist()
    step = part.positions[1] - part.positions[0]
    assert beyond == pytest.approx([part.positions[-1] + step])  # five layers
    told, _ = told_of(fewer, RATE, layers, trials=40)
    found = range_of(told, "layers")
    assert "upper" in str(told).split("layers: ")[1].splitlines()[0]
    assert found.bound == "high" or found.widen == "high"


@pytest.mark.parametrize("side", ["low", "high"])
def test_a_wider_ordered_choice_keeps_its_values_in_order(side):
    units = Choice("units", [16, 32, 64])
    wider = widened(units, side)
    assert wider.values == {"low": [8, 16, 32, 64], "high": [16, 32, 64, 128]}[side]
    assert joined(units, wider).values == wider.values


def test_a_rate_searched_on_a_linear_scale_is_to_be_searched_on_a_log_scale():
    told, trials = told_of(bowl, Float("learning_rate", 1e-5, 1e-1), UNITS, trials=40)
    rate = range_of(told, "learning_rate")
    assert rate.verdict is Verdict.RESCALE
    assert told.recommendation.action is Action.RESCALE
    assert str(told).startswith("Search learning_rate on a log scale")
    assert 'sampling="log"' in told.as_code()
    searched = told.whole_space().to_space()
    assert next(e for e in searched if e.name == "learning_rate").sampling == "log"
    assert len(told.carry_over_all(trials)) == len(trials)


def failing(values):
    return math.nan if values["batch_size"] >= 512 else bowl(values)


def test_failures_by_one_hyperparameter_are_no_interaction_and_hide_no_effect():
    batch = Int("batch_size", 16, 1024, sampling="log", step=2)
    told, _ = told_of(failing, RATE, batch, UNITS)
    assert [each.name for each in told.failing] == ["batch_size"]
    assert told.effects.pairs == ()
    effects = {each.name: each for each in told.effects.single}
    assert effects["learning_rate"].share > 0.9
    assert effects["batch_size"].failing
    assert effects["batch_size"].visibility is Visibility.MATTERS
    assert "batch_size" not in told.recommendation.idle
    assert "matters: trainings fail with some values" in str(told)
    assert range_of(told, "batch_size").widen is None


def half_failed(values):
    return math.nan if noise(values, 1) > 0 else bowl(values)


def test_failures_by_chance_come_first_and_do_not_hide_what_matters():
    told, _ = told_of(half_failed, RATE, UNITS, ACTIVATION)
    assert told.recommendation.action is Action.MEND
    assert str(told).startswith("Fix the failures first: ")
    effects = {each.name: each.visibility for each in told.effects.single}
    assert effects["learning_rate"] is Visibility.MATTERS
    assert "a loss that is not a number" in str(told)


def chance(values):
    return noise(values, 1)


def test_of_results_by_chance_no_shares_are_printed():
    told, _ = told_of(chance, RATE, UNITS, ACTIVATION)
    assert told.recommendation.action is Action.REPEAT
    assert "What matters: nothing, as far as these trials show." in str(told)
    assert "%" not in str(told)


def valley(values):
    far = -3.5 if values["optimizer"] == "adam" else -1.5
    return bowl(values, far)


def test_a_pair_explains_no_more_than_each_of_the_two():
    told, _ = told_of(valley, RATE, Choice("optimizer", ["adam", "sgd"]), trials=40)
    shares = {each.name: each.share for each in told.effects.single}
    assert [set(pair.names) for pair in told.effects.pairs] == [{"learning_rate", "optimizer"}]
    pair = told.effects.pairs[0]
    assert pair.share <= min(shares[name] for name in pair.names)


def test_a_sliver_of_a_range_is_not_cut_off():
    for told, _ in (told_of(failing, RATE, UNITS, Int("batch_size", 16, 256)), told_of(bowl, RATE)):
        cuts = [each for each in told.ranges if each.verdict is Verdict.NARROW and not each.failing]
        assert all(each.kept <= 0.8 for each in cuts)


def test_with_several_objectives_the_first_sentence_says_what_to_do():
    space = Space((RATE, UNITS))
    trials = [
        replace(trial, loss=None, losses=(trial.loss, float(trial.values["units"])))
        for trial in run(Random(1), bowl, space, 20).trials
    ]
    told = advice(trials, space, method="ped_anova")
    assert str(told).startswith("Choose a trial of the Pareto front")


def level(values):
    return 0.5 if values["learning_rate"] < 0.03 else 0.9


def test_on_a_plateau_the_advice_counts_the_trials_that_share_the_best_result():
    told, trials = told_of(level, RATE, UNITS, trials=20)
    tied = sum(trial.loss == 0.5 for trial in trials)
    assert told.recommendation.action is Action.FINISH
    assert f"{tied} of 20 trials share the best result" in str(told).splitlines()[0]


def added(values):
    places = (RATE.value_to_prob(values["learning_rate"]), UNITS.value_to_prob(values["units"]))
    return abs(places[0] - 0.4) + 0.5 * abs(places[1] - 0.7) + noise(values, 0.01)


@pytest.mark.first("0")
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_effects_that_add_up_are_no_interaction_after_a_bayesian_search(seed):
    told, _ = told_of(added, RATE, UNITS, trials=40, algorithm=BayesianOptimization, seed=seed)
    matters = [e.name for e in told.effects.single if e.visibility is Visibility.MATTERS]
    assert matters == ["learning_rate", "units"]
    assert told.effects.pairs == ()


def diagonal(values):
    places = (RATE.value_to_prob(values["learning_rate"]), UNITS.value_to_prob(values["units"]))
    return 2 * (places[0] - places[1]) ** 2 + 0.4 * abs(places[0] - 0.5) + noise(values, 0.01)


@pytest.mark.first("0")
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_interaction_is_named_after_a_bayesian_search(seed):
    told, _ = told_of(diagonal, RATE, UNITS, trials=40, algorithm=BayesianOptimization, seed=seed)
    assert [set(pair.names) for pair in told.effects.pairs] == [{"learning_rate", "units"}]


def test_a_linear_range_over_powers_of_ten_is_named_in_any_case():
    told, _ = told_of(chance, Float("learning_rate", 1e-5, 1e-1), UNITS)
    assert range_of(told, "learning_rate").verdict is Verdict.KEEP
    assert 'a log scale (sampling="log") is better' in str(told)
