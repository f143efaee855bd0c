"""`Choice`, `Boolean` and `Fixed`."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.errors import SpaceError
from afina.space import Boolean, Choice, Fixed, Parent, deserialize, serialize

from .strategies import choices, entries


def test_a_choice_of_booleans_gives_booleans() -> None:
    entry = Choice("bn", [True, False])
    assert entry.values == [True, False]
    assert [type(entry.prob_to_value(p)) for p in (0.2, 0.7)] == [bool, bool]
    assert not entry.contains(1)
    assert not Choice("n", [0, 1]).contains(True)
    assert not entry.ordered


def test_a_choice_may_hold_none_and_one_other_kind() -> None:
    entry = Choice("norm", [None, "batch", "layer"])
    assert entry.default is None
    assert entry.prob_to_value(entry.value_to_prob(None)) is None
    assert Choice("clip", [1.0, None]).ordered is False
    again = Choice.from_config(json.loads(json.dumps(entry.get_config())))
    assert again == entry


def test_numbers_of_both_kinds_stay_as_they_are_given() -> None:
    entry = Choice("n", [1, 2.5, 3])
    assert [type(value) for value in entry.values] == [int, float, int]
    assert entry.ordered


def test_a_value_given_twice_counts_once() -> None:
    assert Choice("n", [3, 1, 3, 1.0]).values == [3, 1]


def test_values_come_back_in_the_form_of_the_choice() -> None:
    assert type(Choice("n", [1, 2]).clip(1.0)) is int
    assert type(Choice("n", [1.0, 2.0], default=1).default) is float


def test_numpy_values_become_python_values() -> None:
    entry = Choice("n", np.array([1, 2, 3]), default=np.int64(2))
    assert {type(value) for value in [*entry.values, entry.default]} == {int}
    assert Choice("b", [np.bool_(True), np.bool_(False)]).values == [True, False]
    assert Choice("r", (np.float32(0.5), 1.0)).values == [0.5, 1.0]
    assert Choice("t", np.array(["a", "b"])).contains(np.str_("b"))
    assert type(Fixed("f", np.float32(0.5)).value) is float
    assert Boolean("b", default=np.bool_(True)).default is True


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: Choice("c", []), ValueError, "at least one"),
        (lambda: Choice("c", "abc"), TypeError, "must be a list"),
        (lambda: Choice("c", 3), TypeError, "must be a list"),
        (lambda: Choice("c", ["a", 1]), TypeError, "of one kind"),
        (lambda: Choice("c", [True, 2]), TypeError, "of one kind"),
        (lambda: Choice("c", [(1, 2), (3, 4)]), TypeError, "numbers, texts, booleans or None"),
        (lambda: Choice("c", [math.nan, 1.0]), ValueError, "must not be NaN"),
        (lambda: Choice("c", ["a"], default="b"), ValueError, "default must be one of"),
        (lambda: Choice("c", [0, 1], default=True), ValueError, "default must be one of"),
        (lambda: Choice("c", ["a"], ordered=True), ValueError, "ordered=True"),
        (lambda: Choice("c", [1, None], ordered=True), ValueError, "ordered=True"),
        (lambda: Boolean("b", default="yes"), ValueError, "True or False"),
        (lambda: Fixed("f", None), ValueError, "a number, a text or a boolean"),
        (lambda: Fixed("f", [1]), TypeError, "numbers, texts, booleans"),
    ],
)
def test_wrong_arguments_are_refused(make: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        make()
    assert isinstance(caught.value, SpaceError)


@given(choices())
def test_each_value_of_a_choice_survives_the_unit_interval(entry: Choice) -> None:
    for value in entry.values:
        again = entry.prob_to_value(entry.value_to_prob(value))
        assert (type(again), again) == (type(value), value)


@given(choices(), st.integers() | st.text() | st.none() | st.floats() | st.lists(st.none()))
def test_clip_and_fold_of_anything_are_values(entry: Choice, value: Any) -> None:
    assert entry.contains(entry.clip(value))
    assert entry.contains(entry.fold(value))
    if not entry.contains(value):
        assert entry.clip(value) == entry.default


def test_folding_spreads_strangers_over_a_choice() -> None:
    entry = Choice("c", ["a", "b", "c", "d"])
    counts = np.unique([entry.fold(f"x{k}") for k in range(4000)], return_counts=True)[1]
    assert counts == pytest.approx(1000, rel=0.1)


def test_a_boolean_is_true_from_a_half_up_and_never_a_number() -> None:
    entry = Boolean("b", default=1)
    assert entry.default is True
    assert [entry.prob_to_value(p) for p in (0, 0.49, 0.5, 1)] == [False, False, True, True]
    assert [entry.contains(v) for v in (True, np.bool_(False), 1, None)] == [
        True,
        True,
        False,
        False,
    ]
    assert [entry.clip(v) for v in (0, 1.0, "x", None)] == [False, True, True, True]
    assert [entry.fold(v) for v in (False, 1)] == [False, True]


def test_a_fixed_value_is_all_there_is() -> None:
    entry = Fixed("f", 7)
    assert (entry.values, entry.count, entry.default) == ((7,), 1, 7)
    assert entry.clip(3) == entry.fold("x") == entry.prob_to_value(0.9) == 7
    assert Fixed("f", 7, default=9).default == 7


@given(entries("p", (Parent("q", [1, True, "x"]),)))
def test_every_definition_goes_through_json(entry: Any) -> None:
    again = deserialize(json.loads(json.dumps(serialize(entry))))
    assert again == entry
    assert again.conditions == entry.conditions


def test_an_unknown_class_name_is_refused() -> None:
    with pytest.raises(SpaceError, match="class_name must be one of"):
        deserialize({"class_name": "Complex", "config": {}})


def test_one_one_point_zero_and_true_make_different_definitions() -> None:
    assert len({Choice("c", [1]), Choice("c", [1.0]), Choice("c", [True])}) == 3
    assert len({Fixed("c", 1), Fixed("c", 1.0), Fixed("c", True)}) == 3


def test_a_condition_holds_for_its_values_and_tells_true_from_one() -> None:
    assert Parent("a", 1).is_active({"a": 1.0})
    assert not Parent("a", 1).is_active({"a": True})
    assert not Parent("a", 1).is_active({})
    assert Parent("a", [True, "x"]).is_active({"a": np.bool_(True)})
    assert Parent("a", np.array([1, 2])).values == (1, 2)
    assert Parent("a", None).is_active({"a": None})


def test_conditions_are_equal_whatever_the_order_of_their_values() -> None:
    assert Parent("a", [1, 2]) == Parent("a", (2, 1))
    assert hash(Parent("a", [1, 2])) == hash(Parent("a", [2, 1]))
    assert Parent("a", 1) != Parent("a", True)
    assert Parent.from_config(Parent("a", [1, "x"]).get_config()) == Parent("a", [1, "x"])
    assert repr(Parent("a", [1])) == "Parent(name='a', values=(1,))"
