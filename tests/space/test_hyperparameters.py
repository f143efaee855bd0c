"""The recorder that builds draw from: calls, scopes, values, copies, configs."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.errors import SpaceError
from afina.space import (
    Boolean,
    Choice,
    Fixed,
    Float,
    HyperParameter,
    HyperParameters,
    Int,
    Parent,
    Space,
    SpaceWarning,
)
from afina.study.discovery import ranges_of

from .strategies import spaces


@pytest.fixture
def hp() -> HyperParameters:
    return HyperParameters()


def ask(hp: HyperParameters, entry: HyperParameter) -> Any:
    """The call that defines an entry, within the scopes of its conditions."""
    with contextlib.ExitStack() as scopes:
        for condition in entry.conditions:
            scopes.enter_context(hp.conditional_scope(condition.name, condition.values))
        if isinstance(entry, Boolean):
            return hp.Boolean(entry.name, entry.default)
        if isinstance(entry, Fixed):
            return hp.Fixed(entry.name, entry.value)
        if isinstance(entry, Choice):
            return hp.Choice(entry.name, entry.values, entry.ordered, entry.default)
        assert isinstance(entry, Int | Float)
        call = hp.Int if isinstance(entry, Int) else hp.Float
        bounds = (entry.min_value, entry.max_value, entry.step, entry.sampling)
        return call(entry.name, *bounds, default=entry.default)


def build(hp: HyperParameters, space: Space) -> dict[str, Any]:
    """A build that asks for all of a space; the values of the active entries."""
    hp.start_build()
    got: dict[str, Any] = {}
    with warnings.catch_warnings():
        # Random spaces may hold two definitions of one name that are active together.
        warnings.filterwarnings("ignore", ".*defined once in a build", SpaceWarning)
        for entry in space:
            value = ask(hp, entry)
            if space.is_active(entry, got):
                assert got.setdefault(entry.name, value) == value
            else:
                assert value is None
    return got


@given(spaces())
def test_a_build_writes_down_the_space_that_it_asks_for(space: Space) -> None:
    hp = HyperParameters()
    build(hp, space)
    assert hp.to_space() == space
    assert hp.space == list(space)


@given(spaces(), st.integers(0, 2**32 - 1))
def test_a_trial_gets_the_values_that_were_proposed(space: Space, seed: int) -> None:
    master = HyperParameters()
    build(master, space)
    values = space.sample(np.random.default_rng(seed))
    trial = HyperParameters.for_trial(master, values)
    assert build(trial, space) == values
    assert trial.values == values
    assert ranges_of(trial, master.to_space(), may_grow=True) == ()
    assert not master.absorb(trial)


@given(spaces(), st.integers(0, 2**32 - 1), st.booleans())
def test_the_config_goes_through_json(space: Space, seed: int, bound: bool) -> None:
    hp = HyperParameters()
    build(hp, space)
    hp.values = dict(space.sample(np.random.default_rng(seed)))
    if bound:
        hp.bind()
    again = HyperParameters.from_config(json.loads(json.dumps(hp.get_config())))
    assert again.to_space() == space
    assert again.values == hp.values
    assert again.get_config() == hp.get_config()


def test_numpy_arguments_and_values_become_python_values(hp: HyperParameters) -> None:
    hp.values = {"n": np.int64(3), "r": np.float32(0.5), "b": np.bool_(True), "c": np.str_("y")}
    assert hp.Int("n", np.int32(1), np.int64(9), step=np.int16(1)) == 3
    assert hp.Float("r", np.float32(0), np.float64(1)) == 0.5
    assert hp.Boolean("b", default=np.bool_(False)) is True
    assert hp.Choice("c", np.array(["x", "y"])) == "y"
    assert hp.Fixed("f", np.int64(4)) == 4
    assert [type(v) for v in hp.values.values()] == [int, float, bool, str, int]
    json.dumps(hp.get_config())


def test_a_value_set_beforehand_is_returned_on_its_step(hp: HyperParameters) -> None:
    hp.values = {"r": 0.1 + 0.2, "n": 4.0}
    assert hp.Float("r", 0, 1, step=0.1) == 0.3
    assert type(hp.Int("n", 1, 9)) is int
    assert hp.values == {"r": 0.3, "n": 4}


def test_a_value_set_beforehand_that_does_not_fit_warns_and_is_clipped(hp: HyperParameters) -> None:
    hp.values = {"n": 99}
    with pytest.warns(SpaceWarning, match="n: its value must fit its definition, but got 99. 9 is"):
        assert hp.Int("n", 1, 9) == 9
    assert hp.values == {"n": 9}


def test_a_choice_of_booleans_gives_booleans(hp: HyperParameters) -> None:
    assert hp.Choice("norm", [True, False]) is True
    hp.values["norm"] = False
    assert hp.Choice("norm", [True, False]) is False


def test_none_may_be_chosen(hp: HyperParameters) -> None:
    assert hp.Choice("norm", [None, "batch"]) is None
    assert hp.values == {"norm": None}
    with hp.conditional_scope("norm", [None]):
        assert hp.Int("n", 1, 2) == 1
    assert "norm" in hp


def test_a_warning_points_at_the_line_of_the_build(hp: HyperParameters) -> None:
    hp.Choice("m", [1, 2])
    hp.values["r"] = 7
    for call in (
        lambda: hp.Int("n", 1, 5, default=9),
        lambda: hp.Choice("m", [3, 4]),
        lambda: hp.Float("r", 0, 1),
        lambda: Int("n", 1, 5, default=9),
    ):
        with pytest.warns(SpaceWarning) as caught:
            call()
        assert [warning.filename for warning in caught] == [__file__]


# -- get ------------------------------------------------------------------------------------------


def test_get_tells_unknown_from_inactive(hp: HyperParameters) -> None:
    hp.Choice("kind", ["a", "b"])
    hp.Int("n", 1, 2, parent_name="kind", parent_values="b")
    with pytest.raises(KeyError, match="nothing does not exist"):
        hp["nothing"]
    with pytest.raises(ValueError, match="n is currently inactive"):
        hp["n"]
    assert ("kind" in hp, "n" in hp, "nothing" in hp) == (True, False, False)


def test_a_value_left_over_from_another_branch_is_inactive(hp: HyperParameters) -> None:
    hp.Choice("kind", ["a", "b"])
    hp.Int("n", 1, 2, parent_name="kind", parent_values="a")
    hp.values["kind"] = "b"
    assert "n" not in hp
    with pytest.raises(SpaceError, match="inactive"):
        hp.get("n")


def test_values_of_names_that_no_entry_has_can_be_got(hp: HyperParameters) -> None:
    hp.values["tuner/epochs"] = 3
    assert hp.get("tuner/epochs") == 3


def test_is_active_takes_names_and_definitions(hp: HyperParameters) -> None:
    hp.Boolean("a", default=True)
    hp.Int("n", 1, 2, parent_name="a", parent_values=True)
    assert hp.is_active("n")
    assert hp.is_active(hp.space[1])
    assert not hp.is_active("ghost")
    hp.values["a"] = False
    assert not hp.is_active("n")


def test_definitions_are_listed_by_name(hp: HyperParameters) -> None:
    hp.Choice("kind", ["a", "b"])
    for value, top in (("a", 3), ("b", 9)):
        hp.Int("n", 1, top, parent_name="kind", parent_values=value)
    assert {name: len(entries) for name, entries in hp._hps.items()} == {"kind": 1, "n": 2}
    assert hp._hps["n"] == hp.space[1:]


# -- scopes ---------------------------------------------------------------------------------------


def test_name_scopes_prefix_names_parents_and_get(hp: HyperParameters) -> None:
    with hp.name_scope("enc"), hp.name_scope("head"):
        hp.Boolean("norm", default=True)
        with hp.conditional_scope("norm", True):
            assert hp.Int("groups", 2, 8) == 2
        assert hp.Int("width", 1, 4, parent_name="norm", parent_values=[True]) == 1
        assert hp.get("groups") == 2
    assert list(hp.values) == ["enc/head/norm", "enc/head/groups", "enc/head/width"]
    assert hp.space[1].conditions == (Parent("enc/head/norm", True),)


def test_a_scope_ends_when_its_body_fails(hp: HyperParameters) -> None:
    hp.Boolean("a")
    with pytest.raises(RuntimeError, match="body"), hp.name_scope("s"):
        raise RuntimeError("body")
    with pytest.raises(RuntimeError, match="body"), hp.conditional_scope("a", True):
        raise RuntimeError("body")
    assert hp.Int("n", 1, 2) == 1
    assert hp.space[-1] == Int("n", 1, 2)


def test_the_body_of_an_inactive_scope_runs_and_its_calls_give_none(hp: HyperParameters) -> None:
    hp.Choice("kind", ["a", "b"])
    ran = []
    with hp.conditional_scope("kind", "b"):
        ran += [hp.Int("n", 1, 2), hp.Float("r", 0, 1), hp.Choice("c", ["x"])]
        ran += [hp.Boolean("t"), hp.Fixed("f", 3)]
    assert ran == [None] * 5
    assert hp.values == {"kind": "a"}
    assert [entry.name for entry in hp.space] == ["kind", "n", "r", "c", "t", "f"]


def test_nested_scopes_must_all_hold(hp: HyperParameters) -> None:
    hp.Choice("a", [1, 2], default=2)
    hp.values["b"] = "y"
    with hp.conditional_scope("a", [2, 3]):
        hp.Choice("b", ["x", "y"])
        with hp.conditional_scope("b", "y"):
            assert hp.Int("c", 1, 2) == 1
            assert hp.Int("d", 1, 2, parent_name="a", parent_values=1) is None
    assert hp.space[2].conditions == (Parent("a", [2, 3]), Parent("b", "y"))
    assert hp.space[3].conditions == (Parent("a", [2, 3]), Parent("b", "y"), Parent("a", 1))


def test_one_name_under_two_conditions_is_two_entries_and_one_value(hp: HyperParameters) -> None:
    hp.Choice("kind", ["a", "b"], default="b")
    got = [
        hp.Int("n", low, low + 3, parent_name="kind", parent_values=kind)
        for kind, low in (("a", 1), ("b", 11))
    ]
    assert got == [None, 11]
    assert hp.values == {"kind": "b", "n": 11}
    assert len(hp.space) == 3


def test_a_boolean_parent_may_be_asked_for_as_zero_or_one(hp: HyperParameters) -> None:
    hp.Boolean("a", default=True)
    with hp.conditional_scope("a", [1]):
        assert hp.Int("n", 1, 2) == 1
    with hp.conditional_scope("a", [0]):
        assert hp.Int("m", 1, 2) is None


def test_one_is_not_true_for_other_parents(hp: HyperParameters) -> None:
    hp.Choice("a", [1, 2])
    with hp.conditional_scope("a", [True]):
        assert hp.Int("n", 1, 2) is None


@pytest.mark.parametrize("scope", ["with", "argument"])
def test_a_parent_must_exist_and_not_be_the_child(hp: HyperParameters, scope: str) -> None:
    def child(name: str, parent: str) -> None:
        if scope == "argument":
            hp.Int(name, 1, 2, parent_name=parent, parent_values=[1])
        else:
            with hp.conditional_scope(parent, [1]):
                hp.Int(name, 1, 2)

    with pytest.raises(ValueError, match="'ghost' is not defined"):
        child("n", "ghost")
    hp.Int("n", 1, 2)
    with pytest.raises(ValueError, match="n: must not be its own parent"):
        child("n", "n")
    assert len(hp.space) == 1


def test_scopes_that_were_never_active_are_known_and_can_be_activated(hp: HyperParameters) -> None:
    def build_nested() -> None:
        hp.start_build()
        hp.Choice("kind", ["a", "b"])
        with hp.conditional_scope("kind", ["ghost", "b"]):
            hp.Int("n", 1, 3)
            with hp.conditional_scope("n", 3):
                hp.Boolean("deep")
        hp.Int("m", 1, 2, parent_name="kind", parent_values="a")

    build_nested()
    outer = (Parent("kind", ["ghost", "b"]),)
    inner = (*outer, Parent("n", 3))
    assert hp.inactive_scopes == [outer, inner]
    hp.activate(inner)
    assert hp.values == {"kind": "b", "n": 3}
    build_nested()
    assert hp.inactive_scopes == []
    assert hp.values == {"kind": "b", "n": 3, "deep": False}


def test_activating_reaches_the_parents_of_parents(hp: HyperParameters) -> None:
    hp.Boolean("a")
    hp.Boolean("b", parent_name="a", parent_values=True)
    hp.Int("n", 1, 2, parent_name="b", parent_values=True)
    hp.activate(hp.space[2].conditions)
    assert hp.values == {"a": True, "b": True}
    assert hp.is_active("n")


# -- copying and joining --------------------------------------------------------------------------


def test_a_copy_shares_nothing(hp: HyperParameters) -> None:
    hp.Boolean("a")
    hp.Int("n", 1, 4, parent_name="a", parent_values=True)
    other = hp.copy()
    other.values["a"] = True
    other.Float("r", 0, 1)
    with other.conditional_scope("a", True):
        other.Int("m", 1, 2)
    assert hp.values == {"a": False}
    assert len(hp.space) == 2
    assert len(hp.inactive_scopes) == 1
    assert other.inactive_scopes == []


def test_it_can_be_pickled_and_deep_copied(hp: HyperParameters) -> None:
    hp.Boolean("a")
    hp.Choice("c", ["x", None], parent_name="a", parent_values=True)
    for again in (pickle.loads(pickle.dumps(hp)), copy.deepcopy(hp)):
        assert again.get_config() == hp.get_config()


def test_merging_replaces_what_has_the_same_place_and_doubles_nothing(hp: HyperParameters) -> None:
    hp.Int("n", 1, 4)
    hp.Int("kept", 1, 4)
    hp.values = {"n": 3, "kept": 2}
    other = HyperParameters()
    other.Int("n", 1, 9, default=7)
    other.Int("m", 1, 2)
    hp.merge(other)
    assert [(e.name, e.max_value) for e in hp.space if isinstance(e, Int)] == [
        ("n", 9),
        ("kept", 4),
        ("m", 2),
    ]
    assert hp.values == {"n": 7, "kept": 2, "m": 1}
    hp.merge(other.space)
    assert len(hp.space) == 3


def test_merging_without_overwriting_keeps_what_is_here(hp: HyperParameters) -> None:
    hp.Int("n", 1, 4)
    hp.values["n"] = 3
    hp.merge([Int("n", 1, 9), Int("m", 1, 2)], overwrite=False)
    assert hp.values == {"n": 3, "m": 1}
    assert hp.space[0] == Int("n", 1, 4)


def test_merged_entries_that_are_inactive_get_no_value(hp: HyperParameters) -> None:
    hp.Choice("kind", ["a", "b"])
    hp.merge([Int("n", 1, 4, conditions=[Parent("kind", "b")])])
    assert hp.values == {"kind": "a"}


def test_ensuring_active_values_adds_drops_and_leaves_unknown_names(hp: HyperParameters) -> None:
    hp.Choice("kind", ["a", "b"])
    hp.Int("n", 1, 4, parent_name="kind", parent_values="a")
    hp.Int("m", 5, 9, parent_name="kind", parent_values="b")
    hp.values = {"kind": "b", "n": 2, "tuner/epochs": 3}
    hp.ensure_active_values()
    assert set(hp.values) == {"kind", "m", "tuner/epochs"}
    assert hp.values["m"] in range(5, 10)


def test_it_reads_well(hp: HyperParameters) -> None:
    hp.Int("n", 1, 4)
    assert repr(hp) == "HyperParameters(1 entries, values={'n': 1})"


def test_an_ordinary_build_is_silent(hp: HyperParameters) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            hp.start_build()
            for k in range(hp.Int("layers", 1, 3)):
                hp.Int(f"units_{k}", 8, 64, step=8)
                hp.Int(f"units_{k}", 8, 64, step=8)


def test_a_conditional_scope_without_a_value_is_refused():
    hp = HyperParameters()
    hp.Choice("kind", ["a", "b"])
    none = hp.conditional_scope("kind", [])
    with pytest.raises(SpaceError, match="needs at least one of its values"), none:
        hp.Int("n", 1, 3)
