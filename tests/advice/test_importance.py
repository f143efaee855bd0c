import math
from dataclasses import replace

import pytest

from afina.advice import importance
from afina.errors import ArgumentError
from afina.space import Boolean, Choice, Fixed, Float, Int, Parent, Space
from afina.testing.toys import conditional_loss, conditional_space

SPACE = Space(
    (
        Float("rate", 1e-4, 1.0, sampling="log"),
        Int("units", 8, 64),
        Choice("norm", ["batch", "layer", "none"]),
        Boolean("bias"),
    )
)


def only_rate(values):
    return (math.log10(values["rate"]) + 2) ** 2


def xor(values):
    return float((values["rate"] < 0.01) == (values["units"] < 36))


@pytest.mark.parametrize("method", ["fanova", "ped_anova"])
def test_the_only_one_that_matters_comes_first_and_is_clear(searched, method):
    found = importance(searched(only_rate, SPACE, 80), SPACE, method)
    assert found.single[0].names == ("rate",)
    assert found.single[0].clear
    assert found.single[0].share > 2.5 * found.single[1].share
    assert not any(share.clear for share in found.single[1:])


def test_an_interaction_alone_is_found_in_the_pair(searched):
    found = importance(searched(xor, SPACE, 150), SPACE, "fanova")
    assert set(found.pairs[0].names) == {"rate", "units"}
    assert found.pairs[0].clear
    assert found.pairs[0].share > 0.4
    assert not any(pair.clear for pair in found.pairs[1:])


def test_an_interval_holds_its_share(searched):
    found = importance(searched(only_rate, SPACE, 80), SPACE)
    for share in (*found.single, *found.pairs):
        assert 0 <= share.low <= share.share <= 1
        assert share.low <= share.high <= 1


@pytest.mark.parametrize("method", ["fanova", "ped_anova"])
def test_scaling_and_shifting_the_losses_changes_nothing(searched, method):
    trials = searched(only_rate, SPACE, 60)
    moved = [replace(t, loss=3.0 + 2.0 * t.loss) for t in trials]
    ours, theirs = (importance(ts, SPACE, method) for ts in (trials, moved))
    for share in ours.single:
        # Rounding decides between splits that are equally good: trees differ in a few leaves.
        other = theirs.of(share.names[0])
        assert other is not None
        assert share.share == pytest.approx(other.share, abs=0.01)


def test_the_order_of_the_trials_does_not_matter_and_a_seed_gives_the_same_again(searched):
    trials = searched(only_rate, SPACE, 60)
    assert importance(trials, SPACE) == importance(trials[::-1], SPACE)
    assert importance(trials, SPACE, seed=1) != importance(trials, SPACE, seed=2)


def test_conditional_ones_are_judged_with_the_rest(searched):
    space = conditional_space()
    found = importance(searched(conditional_loss, space, 40), space)
    assert found.single[0].names in {("optimizer",), ("momentum",)}
    momentum = found.of("momentum")
    assert momentum is not None
    assert momentum.conditions == ("optimizer = 'sgd'",)
    assert 0 < momentum.active < found.configurations
    assert importance(searched(conditional_loss, space, 40), space, "ped_anova").shortage is None


def test_failed_trials_count_as_bad(searched):
    def fails(values):
        return math.nan if values["rate"] > 0.03 else 1.0 + 1e-3 * values["units"]

    found = importance(searched(fails, SPACE, 60), SPACE)
    assert found.single[0].names == ("rate",)


def test_what_cannot_be_said_is_said_as_data(searched):
    trials = searched(only_rate, SPACE, 60)
    assert importance(trials[:9], SPACE).shortage == "few-trials"
    assert importance(trials, Space((Fixed("a", 1),))).shortage == "nothing-varies"
    flat = [replace(t, loss=1.0) for t in trials]
    assert importance(flat, SPACE).shortage == "constant"
    nan = [replace(t, loss=math.nan) for t in trials]
    assert importance(nan, SPACE).shortage == "all-failed"


def test_methods_have_names(searched):
    with pytest.raises(ArgumentError, match="method: must be one of"):
        importance([], SPACE, "guess")


def test_without_scikit_learn_the_other_method_is_taken(searched, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert importance(searched(only_rate, SPACE, 60), SPACE).method == "ped_anova"
    with pytest.raises(ArgumentError, match="fanova needs scikit-learn"):
        importance([], SPACE, "fanova")


def test_two_entries_of_one_name_are_told_apart_by_their_conditions(searched):
    space = Space(
        (
            Choice("kind", ["a", "b"]),
            Float("size", 0, 1, conditions=[Parent("kind", "a")]),
            Float("size", 5, 9, conditions=[Parent("kind", "b")]),
        )
    )
    found = importance(searched(size_only, space, 60), space)
    assert sorted(s.conditions for s in found.single if s.names == ("size",)) == [
        ("kind = 'a'",),
        ("kind = 'b'",),
    ]


def size_only(values):
    return values["size"] if values["kind"] == "a" else values["size"] / 9
