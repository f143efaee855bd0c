"""What the advice says with few trials, near a bound and about a branch."""

import math
import random
from dataclasses import replace

from afina.advice import Action, RangeAdvice, Verdict, Visibility, advice
from afina.advice.sentences import of_range
from afina.search import BayesianOptimization, Random
from afina.space import Choice, Float, Parent, Space
from afina.testing import run
from afina.trials import MultiObjective, Objective, Status, Trial

RATE = Float("rate", 1e-5, 1.0, sampling="log")


def by_chance(values):
    return random.Random(repr(sorted(values.items()))).gauss(0, 1)


def test_few_results_of_pure_noise_promise_nothing():
    space = Space((RATE, Float("idle", 0, 1)))
    told = advice(run(Random(seed=1), by_chance, space, 12).trials, space, method="ped_anova")
    assert told.effects.by_chance
    assert told.recommendation.action is Action.GO_ON
    first = str(told).splitlines()[0]
    assert "12 results are too few to tell an effect from chance" in first
    assert "better results are" not in first


def test_a_clear_effect_in_as_few_results_is_not_called_chance():
    space = Space((RATE, Float("idle", 0, 1)))

    def loss(values):
        return abs(math.log10(values["rate"]) + 3)

    told = advice(run(Random(seed=1), loss, space, 12).trials, space, method="ped_anova")
    assert not told.recommendation.unclear


def test_a_best_value_just_inside_a_bound_is_near_it_and_not_at_it():
    whole = RangeAdvice(
        name="rate",
        conditions=(),
        verdict=Verdict.KEEP,
        before=RATE,
        after=RATE,
        best=1.0,
        kept=1.0,
        confidence=1.0,
        tried=20,
        bound="high",
        beyond=0.3,
    )
    beyond = "bound; something better lies beyond it with a probability of 30 %."
    assert f"The best trial lies at the upper {beyond}" in of_range(whole)
    inside = replace(whole, best=0.9)
    assert f"The best trial lies near the upper {beyond}" in of_range(inside)


def test_what_matters_only_in_a_branch_is_not_frozen_for_its_small_share_of_the_space():
    space = Space(
        (
            Choice("net", ["linear", "deep"]),
            Float("lr", 1e-4, 1e-1, sampling="log"),
            Float("drop", 0.0, 0.6, conditions=[Parent("net", "deep")]),
            Float("idle", 0, 1, conditions=[Parent("net", "deep")]),
        )
    )

    def loss(values):
        noise = 0.3 * random.Random(repr((1, sorted(values.items())))).gauss(0, 1)
        rate = abs(math.log10(values["lr"]) + 3)
        if values["net"] == "linear":
            return 6 + 4 * rate + noise
        return 1 + 0.3 * rate + 1.2 * abs(values["drop"] - 0.2) / 0.4 + noise

    trials = run(BayesianOptimization(seed=1), loss, space, 60).trials
    told = advice(list(trials), space, seed=1)
    drop = next(each for each in told.effects.single if each.name == "drop")
    assert drop.share < 0.05
    assert drop.visibility is not Visibility.NONE
    advised = next(each for each in told.ranges if each.name == "drop")
    assert advised.verdict is not Verdict.FREEZE
    assert "drop" not in told.recommendation.idle


def test_the_only_trial_of_a_front_comes_with_how_to_search_on():
    parts = [Objective("val_loss", "min"), Objective("val_mae", "min")]
    trials = [
        Trial(
            number=number,
            values={"rate": 10.0**-number},
            status=Status.COMPLETED,
            losses=(float(number), float(number)),
        )
        for number in range(5)
    ]
    told = advice(trials, Space((RATE,)), objective=MultiObjective(parts))
    first = str(told).splitlines()[0]
    assert first.startswith("Take trial 0: no other trial is better in any objective.")
    assert "tuner.search_again" in first
