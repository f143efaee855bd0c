"""The space of the next search: wider where advised, and never smaller."""

import math

from afina.advice import Visibility, advice
from afina.search import Random
from afina.space import Float, Space
from afina.testing.toys import run


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


def test_shares_and_verdicts_come_from_one_model():
    space = Space((Float("idle", 0, 1), Float("rate", 1e-5, 1e-2, sampling="log")))
    told = advice(list(run(Random(0), slope, space, 40).trials), space)
    assert [each.names for each in told.shares] == [("rate",), ("idle",)]
    assert [each.clear for each in told.shares] == [True, False]
    for each in told.shares:
        effect = next(one for one in told.effects.single if one.name == each.names[0])
        assert (each.share, each.low, each.high) == (effect.share, effect.low, effect.high)
        assert each.clear is (effect.visibility is Visibility.MATTERS)
        assert each.active == 40
    assert advice([], space).shares == ()
