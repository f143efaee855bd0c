import math

import pytest

from afina.advice import Verdict, advice
from afina.search import Random
from afina.space import Boolean, Choice, Float, Int, Parent, Space
from afina.testing.toys import run

RATE = Float("rate", 1e-5, 1.0, sampling="log")


def verdicts(told):
    return {each.name: each for each in told.ranges}


def bowl(values):
    return (math.log10(values["rate"]) + 3) ** 2 + 0.1 * values.get("other", 0.0)


def test_a_clear_interior_optimum_narrows_the_range_around_it(searched):
    space = Space((RATE, Float("other", 0, 1)))
    rate = verdicts(advice(searched(bowl, space, 60), space))["rate"]
    assert rate.verdict is Verdict.NARROW
    assert 1e-5 < rate.after.min_value < 1e-3 < rate.after.max_value < 0.3
    assert rate.widen is None


def slope(values):
    return -math.log10(values["rate"])


def test_an_optimum_at_the_bound_widens_the_range_beyond_it(searched):
    space = Space((Float("rate", 1e-5, 1e-2, sampling="log"), Float("other", 0, 1)))
    told = advice(searched(slope, space, 60), space)
    rate = verdicts(told)["rate"]
    assert (rate.verdict, rate.widen) == (Verdict.WIDEN, "high")
    assert rate.after.max_value == 0.1
    assert rate.pressed >= 5
    known = advice(searched(slope, space, 60), space, limits={"rate": (None, 0.02)})
    assert verdicts(known)["rate"].after.max_value == 0.02


def dead(values):
    return {"a": 0.0, "b": 0.1, "c": 3.0, "d": 0.05}[values["kind"]] + abs(values["x"] - 0.5)


def test_a_choice_that_never_wins_is_dropped(searched):
    space = Space((Choice("kind", ["a", "b", "c", "d"]), Float("x", 0, 1)))
    kind = verdicts(advice(searched(dead, space, 60), space))["kind"]
    assert kind.verdict is Verdict.DROP
    assert "c" not in kind.after.values
    assert {"a", "d"} <= set(kind.after.values)


def test_a_value_that_was_hardly_tried_is_not_dropped():
    space = Space((Choice("kind", ["a", "b", "c", "d"]), Float("x", 0, 1)))
    trials = list(run(Random(3), dead, space, 60).trials)
    few = [t for t in trials if t.values["kind"] != "c"]
    kind = verdicts(advice(few, space))["kind"]
    assert "c" in kind.after.values
    assert kind.untried == ("c",)


def test_noise_changes_little():
    space = Space(tuple(Float(f"x{i}", 0, 1) for i in range(4)))

    def noise(values):
        return math.sin(1e6 * sum(values.values()))

    kept = []
    for seed in range(3):
        trials = list(run(Random(seed), noise, space, 40).trials)
        told = advice(trials, space, seed=seed, method="ped_anova")
        assert not any(each.verdict is Verdict.FREEZE for each in told.ranges)
        kept.append(math.prod(each.kept for each in told.ranges))
    assert sorted(kept)[1] > 0.2


def only_rate(values):
    return (math.log10(values["rate"]) + 3) ** 2


def test_what_has_no_effect_is_frozen_at_the_cheaper_value(searched):
    space = Space((RATE, Choice("units", [64, 32]), Boolean("bias")))
    told = verdicts(advice(searched(only_rate, space, 100), space))
    assert told["units"].verdict is Verdict.FREEZE
    assert told["units"].after.values == (32,)
    assert told["rate"].verdict is Verdict.NARROW


def test_few_trials_do_not_show_that_something_has_no_effect(searched):
    space = Space((RATE, Int("units", 8, 64), Boolean("bias")))
    told = verdicts(advice(searched(only_rate, space, 25), space))
    assert not [each for each in told.values() if each.verdict is Verdict.FREEZE]


def xor(values):
    return float((values["x"] < 0.5) == (values["y"] < 0.5)) + 0.01 * values["z"]


def test_neither_of_two_that_act_together_is_narrowed_alone(searched):
    space = Space(tuple(Float(name, 0, 1) for name in "xyz"))
    told = verdicts(advice(searched(xor, space, 150), space))
    assert told["x"].partners == ("y",)
    assert told["y"].partners == ("x",)
    x, y = told["x"].after, told["y"].after
    # One of the two good corners, at least, must be left whole.
    whole = [(0.1, 0.9), (0.9, 0.1)]
    assert any(x.contains(a) and y.contains(b) for a, b in whole)


def branched(values):
    if values["optimizer"] == "adam":
        return 1.0
    return abs(values["momentum"] - 0.85)


def test_a_conditional_one_is_judged_where_it_is_active(searched):
    space = Space(
        (
            Choice("optimizer", ["adam", "sgd"]),
            Float("momentum", 0, 0.99, conditions=[Parent("optimizer", "sgd")]),
            Float("other", 0, 1),
        )
    )
    told = advice(searched(branched, space, 80), space)
    momentum = verdicts(told)["momentum"]
    assert momentum.verdict is Verdict.NARROW
    assert momentum.after.contains(0.85)
    assert momentum.after.min_value > 0.2
    assert momentum.tried < 80
    assert momentum.after.conditions == (Parent("optimizer", "sgd"),)


def test_a_region_that_no_trial_visited_is_named_and_not_cut():
    space = Space((Float("x", 0, 1), Float("y", 0, 1)))

    def loss(values):
        return values["y"]

    trials = [t for t in run(Random(0), loss, space, 90).trials if t.values["x"] < 0.5][:40]
    x = verdicts(advice(trials, space))["x"]
    assert x.gap is not None
    assert x.gap[0] == pytest.approx(0.5, abs=0.05)
    assert x.after.max_value == 1


def test_the_optimum_is_not_cut_off():
    """Four numbers of unequal weight, some noise, an optimum anywhere, 40 random trials."""
    import numpy as np

    space = Space(tuple(Float(f"x{i}", 0, 1) for i in range(4)))
    weights = (4.0, 1.0, 0.3, 0.0)
    cut, narrowed = 0, 0
    for seed in range(5):
        optimum = np.random.default_rng(seed).random(4)

        def loss(values, optimum=optimum):
            point = np.array(list(values.values()))
            noise = 0.02 * math.sin(1e6 * point.sum())
            return float(weights @ (point - optimum) ** 2) + noise

        told = advice(list(run(Random(seed), loss, space, 40).trials), space, method="ped_anova")
        after = {entry.name: entry for entry in told.after}
        best = {n: min(max(float(x), 0.0), 1.0) for n, x in zip(after, optimum, strict=True)}
        # The region around it whose loss is below that of the best 1 in 1000 or so.
        near = all(
            weight == 0 or after[n].clip(best[n]) == pytest.approx(best[n], abs=0.1)
            for n, weight in zip(after, weights, strict=True)
        )
        cut += not near
        narrowed += verdicts(told)["x0"].verdict is not Verdict.KEEP
    assert cut == 0
    assert narrowed >= 4
