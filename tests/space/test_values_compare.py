"""Search spaces as values: they compare, print, and come back from their JSON form."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest

from afina.errors import SpaceError
from afina.space import (
    Boolean,
    Choice,
    Fixed,
    Float,
    HyperParameter,
    HyperParameters,
    Int,
    deserialize,
)


def space(**values: Any) -> HyperParameters:
    hp = HyperParameters()
    hp.Int("units", 8, 64, step=8)
    with hp.name_scope("optimizer"):
        hp.Choice("kind", ["sgd", "adam"])
        with hp.conditional_scope("kind", ["sgd"]):
            hp.Float("momentum", 0.0, 0.9)
    hp.Boolean("bias")
    hp.values.update(values)
    return hp


def test_search_spaces_with_the_same_entries_and_values_are_equal() -> None:
    assert space() == space()
    assert space() == space().copy()
    assert hash(space()) == hash(space())
    assert space() != space(units=16)
    assert space(bias=True) != space(bias=1)
    wider = space()
    wider.Float("rate", 0.1, 1.0)
    assert space() != wider
    assert space() != {"units": 8}


def test_the_order_of_definition_does_not_make_spaces_unequal() -> None:
    a, b = HyperParameters(), HyperParameters()
    a.Int("x", 0, 1), a.Int("y", 0, 1)
    b.Int("y", 0, 1), b.Int("x", 0, 1)
    assert a == b


def test_a_search_space_comes_back_from_its_own_json_form() -> None:
    again = HyperParameters.from_config(json.loads(json.dumps(space().get_config())))
    assert again == space()


KERAS_TUNER = {
    "space": [
        {
            "class_name": "Choice",
            "config": {
                "name": "model",
                "default": "v1",
                "conditions": [],
                "values": ["v1", "v2"],
                "ordered": False,
            },
        },
        {
            "class_name": "Int",
            "config": {
                "name": "layers",
                "default": None,
                "conditions": [
                    {"class_name": "Parent", "config": {"name": "model", "values": ["v1"]}}
                ],
                "min_value": 1,
                "max_value": 3,
                "step": 1,
                "sampling": "linear",
            },
        },
        {
            "class_name": "Float",
            "config": {
                "name": "rate",
                "default": 0.01,
                "conditions": [],
                "min_value": 1e-4,
                "max_value": 0.1,
                "step": None,
                "sampling": "log",
            },
        },
        {"class_name": "Boolean", "config": {"name": "b", "default": True, "conditions": []}},
        {"class_name": "Fixed", "config": {"name": "f", "conditions": [], "value": 3}},
    ],
    "values": {"model": "v1", "layers": 2, "rate": 0.02, "b": False, "f": 3},
}


def test_the_form_that_keras_tuner_writes_is_read() -> None:
    hp = HyperParameters.from_config(KERAS_TUNER)
    assert hp.values == KERAS_TUNER["values"]
    assert [type(entry) for entry in hp.space] == [Choice, Int, Float, Boolean, Fixed]
    assert hp.space[1].default == 1
    assert hp.is_active("layers")
    assert HyperParameters.from_config(hp.get_config()) == hp


def test_without_values_the_active_entries_have_their_defaults() -> None:
    hp = HyperParameters.from_config({"space": KERAS_TUNER["space"]})
    assert hp.values == {"model": "v1", "layers": 1, "rate": 0.01, "b": True, "f": 3}


def test_without_a_space_there_are_values_only() -> None:
    hp = HyperParameters.from_config({"values": {"x": 1}})
    assert (hp.values, hp.space) == ({"x": 1}, [])
    assert HyperParameters.from_config({}) == HyperParameters()


@pytest.mark.parametrize(
    "config",
    [
        None,
        3,
        "space",
        [],
        {"space": 3},
        {"space": "Int"},
        {"space": [3]},
        {"space": [{"class_name": "Int"}]},
        {"space": [{"class_name": "Int", "config": {"name": "n"}}]},
        {"space": [{"class_name": "Int", "config": 3}]},
        {"space": [{"class_name": "Range", "config": {"name": "n"}}]},
        {"space": [{"class_name": "Int", "config": {"name": "n", "min_value": 1, "max": 2}}]},
        {"space": [], "values": 3},
    ],
)
def test_what_is_no_search_space_is_refused_in_a_sentence(config: Any) -> None:
    with pytest.raises(SpaceError, match="must"):
        HyperParameters.from_config(config)


@pytest.mark.parametrize(
    "entry",
    [Int("x", 1, 3), Float("x", 1, 3), Choice("x", [1, 2]), Boolean("x"), Fixed("x", "v")],
)
def test_the_repr_of_an_entry_names_it_as_keras_tuner_does(entry: HyperParameter) -> None:
    assert repr(entry).startswith(f"{type(entry).__name__}(name: 'x', ")
    assert repr(deserialize({"class_name": type(entry).__name__, "config": entry.get_config()}))


def test_the_base_of_all_entries_can_be_made_and_made_again() -> None:
    base = HyperParameter(name="base", default=0)
    assert base.get_config() == {"name": "base", "default": 0, "conditions": []}
    assert HyperParameter.from_config(base.get_config()) == base
    assert HyperParameter("base", conditions=None).conditions == ()
    with pytest.raises(NotImplementedError, match="Override `values`"):
        base.random_sample()


def test_an_entry_of_one_s_own_needs_its_values_only() -> None:
    class Power(HyperParameter):
        @property
        def values(self) -> Sequence[Any]:
            return [1, 2, 4, 8]

    power = Power("width", default=2)
    assert power.count == 4
    assert [power.prob_to_value(p) for p in (0.0, 0.3, 0.99, 1.0)] == [1, 2, 8, 8]
    assert [power.prob_to_value(power.value_to_prob(v)) for v in power.values] == [1, 2, 4, 8]
    assert power.random_sample(5) == power.prob_to_value(random.Random(5).random())
    assert [power.contains(3), power.clip(3), power.fold(4)] == [False, 2, 4]
    assert Power.from_config(power.get_config()) == power
