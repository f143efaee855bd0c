"""Definitions from build to build: bounds that follow other values, overrides, trials' ranges."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.space import (
    Choice,
    Float,
    HyperParameter,
    HyperParameters,
    Int,
    Parent,
    SpaceWarning,
    deserialize,
)
from afina.study.discovery import ranges_of


@pytest.fixture
def hp() -> HyperParameters:
    return HyperParameters()


def dependent(hp: HyperParameters) -> tuple[int, int]:
    """A build in which one bound is another's value."""
    hp.start_build()
    top = hp.Int("top", 1, 50, default=10)
    return top, hp.Int("below", 1, top)


# -- twice in one build ---------------------------------------------------------------------------


def test_a_second_definition_in_one_build_warns_once_and_the_first_counts(
    hp: HyperParameters,
) -> None:
    hp.Int("n", 1, 4)
    with pytest.warns(SpaceWarning, match=r"n: .*max_value: 4, .* and then .*max_value: 9, "):
        assert hp.Int("n", 5, 9) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert hp.Int("n", 5, 8) == 1
    assert hp.space == [Int("n", 1, 4)]


def test_the_same_definition_may_come_twice(hp: HyperParameters) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [hp.Int("n", 1, 4), hp.Int("n", 1, 4, step=1, default=1)] == [1, 1]


def test_the_same_name_under_other_conditions_is_no_second_definition(hp: HyperParameters) -> None:
    hp.Choice("kind", ["a", "b"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hp.Int("n", 1, 4, parent_name="kind", parent_values="a")
        hp.Int("n", 5, 9, parent_name="kind", parent_values="b")


def test_the_first_active_definition_of_a_name_owns_its_value(hp: HyperParameters) -> None:
    hp.Choice("kind", ["a", "b"])
    assert hp.Int("n", 1, 4) == 1
    with pytest.warns(SpaceWarning, match="n: a name must be defined once"):
        assert hp.Int("n", 5, 9, parent_name="kind", parent_values="a") == 1
    assert hp.Int("n", 5, 9, parent_name="kind", parent_values="b") is None
    assert hp.values == hp.to_space().defaults() == {"kind": "a", "n": 1}


# -- from build to build --------------------------------------------------------------------------


def test_bounds_are_resolved_anew_in_each_build(hp: HyperParameters) -> None:
    assert dependent(hp) == (10, 1)
    assert hp.space[1] == Int("below", 1, 10)
    hp.values.update(top=3, below=2)
    assert dependent(hp) == (3, 2)
    assert hp.space[1] == Int("below", 1, 3)


def test_a_users_value_that_fits_no_more_is_clipped_with_a_warning(hp: HyperParameters) -> None:
    dependent(hp)
    hp.values.update(top=5, below=8)
    with pytest.warns(SpaceWarning, match="below: its value must fit its definition, but got 8"):
        assert dependent(hp) == (5, 5)


def test_a_default_that_nobody_chose_follows_its_definition_silently(hp: HyperParameters) -> None:
    hp.start_build()
    hp.Int("n", 5, 9)
    hp.start_build()
    assert hp.Int("n", 1, 3) == 1


@given(st.integers(1, 50), st.integers(1, 50))
def test_a_proposal_is_folded_into_the_bounds_of_its_trial(top: int, below: int) -> None:
    master = HyperParameters()
    dependent(master)
    trial = HyperParameters.for_trial(master, {"top": top, "below": below})
    got = dependent(trial)
    assert got[0] == top
    assert 1 <= got[1] <= top
    assert got[1] == (below if below <= top else Int("below", 1, top).fold(below))
    assert trial.values == {"top": top, "below": got[1]}
    assert master.space[1] == Int("below", 1, 10)


def test_a_trials_own_ranges_are_told_and_bring_it_back(hp: HyperParameters) -> None:
    dependent(hp)
    trial = HyperParameters.for_trial(hp, {"top": 30, "below": 20})
    dependent(trial)
    ranges = ranges_of(trial, hp.to_space(), may_grow=True)
    assert [deserialize(config) for config in ranges] == [Int("below", 1, 30)]
    again = HyperParameters.for_trial(hp, trial.values, json.loads(json.dumps(ranges)))
    assert again.space[1] == Int("below", 1, 30)
    assert again.values == trial.values
    assert dependent(again) == (30, 20)


def test_folding_a_parent_drops_what_it_makes_inactive(hp: HyperParameters) -> None:
    def build(hp: HyperParameters, kinds: list[str]) -> Any:
        hp.start_build()
        hp.Choice("kind", kinds)
        return hp.Int("n", 1, 4, parent_name="kind", parent_values="c")

    build(hp, ["a", "b", "c"])
    trial = HyperParameters.for_trial(hp, {"kind": "c", "n": 2, "tuner/epochs": 3})
    assert build(trial, ["a", "b"]) is None
    assert set(trial.values) == {"kind", "tuner/epochs"}


def test_the_copy_of_a_proposal_is_a_proposal(hp: HyperParameters) -> None:
    dependent(hp)
    trial = HyperParameters.for_trial(hp, {"top": 3, "below": 9}).copy()
    assert dependent(trial) == (3, 3)


def test_a_definition_may_become_another_kind(hp: HyperParameters) -> None:
    hp.Int("n", 1, 4)
    trial = HyperParameters.for_trial(hp, {"n": 3})
    trial.start_build()
    assert trial.Choice("n", ["x", "y"]) in ("x", "y")
    assert trial.values["n"] in ("x", "y")


# -- what is bound --------------------------------------------------------------------------------


def test_bound_entries_override_later_definitions_silently(hp: HyperParameters) -> None:
    hp.Int("n", 1, 4, default=2)
    hp.bind()
    again = HyperParameters.from_config(json.loads(json.dumps(hp.get_config())))
    for bound in (hp, hp.copy(), HyperParameters.for_trial(hp, {"n": 2}), again):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            bound.start_build()
            assert bound.Int("n", 10, 90) == 2
            assert bound.Choice("n", ["x", "y"]) == 2
        assert bound.space == [Int("n", 1, 4, default=2)]


def test_what_comes_after_binding_is_not_bound(hp: HyperParameters) -> None:
    hp.Int("n", 1, 4)
    hp.bind()
    hp.start_build()
    hp.Int("m", 1, 4)
    hp.start_build()
    hp.Int("m", 2, 9)
    assert hp.space == [Int("n", 1, 4), Int("m", 2, 9)]


def test_a_bound_entry_overrides_under_conditions_too(hp: HyperParameters) -> None:
    hp.Choice("kind", ["a", "b"])
    hp.Int("n", 1, 4)
    hp.bind()
    with hp.conditional_scope("kind", "a"):
        assert hp.Int("n", 10, 90) == 1
    with hp.conditional_scope("kind", "b"):
        assert hp.Int("n", 10, 90) is None
    assert len(hp.space) == 2


def test_a_bound_entry_that_is_inactive_overrides_nothing(hp: HyperParameters) -> None:
    hp.Choice("kind", ["a", "b"])
    hp.Int("n", 1, 4, parent_name="kind", parent_values="b")
    hp.bind()
    assert hp.Int("n", 10, 90) == 10
    hp.values = {"kind": "b"}
    hp.start_build()
    assert hp.Int("n", 10, 90) == 1


def test_bound_entries_are_not_widened(hp: HyperParameters) -> None:
    hp.Int("n", 1, 4)
    hp.bind()
    other = HyperParameters()
    other.Int("n", 1, 90)
    assert not hp.absorb(other)
    assert hp.space == [Int("n", 1, 4)]


# -- absorbing ------------------------------------------------------------------------------------


def one(entry: HyperParameter) -> HyperParameters:
    hp = HyperParameters()
    hp.merge([entry])
    return hp


@pytest.mark.parametrize(
    ("mine", "others", "joined"),
    [
        (Int("n", 1, 4), Int("n", 2, 9), Int("n", 1, 9)),
        (Int("n", 3, 4), Int("n", 2, 3), Int("n", 2, 4, default=3)),
        (Float("n", 0, 1), Float("n", -1, 0.5), Float("n", -1, 1, default=0)),
        (Int("n", 2, 8, step=2), Int("n", 1, 8), Int("n", 1, 8, step=2, default=3)),
        (
            Float("n", 1, 2, sampling="log"),
            Float("n", 0, 9),
            Float("n", 1, 9, sampling="log"),
        ),
        (Choice("n", [1, 2]), Choice("n", [2, 3]), Choice("n", [1, 2, 3])),
        (Choice("n", ["x"]), Choice("n", ["y", "x"]), Choice("n", ["x", "y"])),
    ],
)
def test_absorbing_widens_to_hold_the_values_of_both(
    mine: HyperParameter, others: HyperParameter, joined: HyperParameter
) -> None:
    hp, other = one(mine), one(others)
    assert hp.absorb(other)
    assert hp.space == [joined]
    assert not hp.absorb(other)
    assert not hp.absorb(one(mine))


@pytest.mark.parametrize(
    ("mine", "others"),
    [
        (Int("n", 1, 9), Int("n", 2, 4)),
        (Choice("n", ["x", "y"]), Choice("n", ["y"])),
        (Choice("n", [True, False]), Choice("n", ["x"])),
        (Choice("n", [1, 2], ordered=True), Choice("n", [None, 1])),
        (Int("n", 1, 4), Float("n", 0, 9)),
        (Int("n", 1, 4, sampling="log"), Int("n", 0, 3)),
    ],
)
def test_absorbing_changes_nothing_where_nothing_can_be_won(
    mine: HyperParameter, others: HyperParameter
) -> None:
    hp = one(mine)
    assert not hp.absorb(one(others))
    assert hp.space == [mine]


def test_absorbing_adds_what_is_new_with_its_default_where_active(hp: HyperParameters) -> None:
    hp.Choice("kind", ["a", "b"])
    other = HyperParameters.for_trial(hp, {"kind": "b"})
    other.start_build()
    other.Choice("kind", ["a", "b"])
    for kind, low in (("a", 1), ("b", 5)):
        other.Int(f"n_{kind}", low, 9, parent_name="kind", parent_values=kind)
    assert hp.absorb(other)
    assert [entry.name for entry in hp.space] == ["kind", "n_a", "n_b"]
    assert hp.values == {"kind": "a", "n_a": 1}
    assert not hp.absorb(other)


def test_absorbing_learns_which_scopes_were_active(hp: HyperParameters) -> None:
    def build(hp: HyperParameters) -> None:
        hp.start_build()
        hp.Choice("kind", ["a", "b"])
        with hp.conditional_scope("kind", "b"):
            hp.Int("n", 1, 4)

    build(hp)
    assert hp.inactive_scopes == [(Parent("kind", "b"),)]
    trial = HyperParameters.for_trial(hp, {"kind": "b", "n": 2})
    build(trial)
    assert not hp.absorb(trial)
    assert hp.inactive_scopes == []


def test_a_master_grows_to_the_widest_bounds_that_its_trials_met(hp: HyperParameters) -> None:
    dependent(hp)
    for top in (3, 40, 20):
        trial = HyperParameters.for_trial(hp, {"top": top, "below": 1})
        dependent(trial)
        hp.absorb(trial)
    assert hp.space[1] == Int("below", 1, 40)
