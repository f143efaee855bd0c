"""Slips of the pen in `build(hp)` are answered with what was probably meant."""

import copy
import inspect
import pickle
from typing import Any

import pytest

import afina
from afina.space import HyperParameters


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("lnt", "Int"),
        ("int", "Int"),
        ("Integer", "Int"),
        ("float", "Float"),
        ("Flaot", "Float"),
        ("choice", "Choice"),
        ("Choise", "Choice"),
        ("Bolean", "Boolean"),
        ("Bool", "Boolean"),
        ("fixed", "Fixed"),
        ("suggest_int", "Int"),
        ("suggest_categorical", "Choice"),
        ("condicional_scope", "conditional_scope"),
        ("value", "values"),
    ],
)
def test_an_unknown_method_of_hp_is_answered_with_the_one_that_was_meant(written, meant):
    with pytest.raises(AttributeError, match=f"no attribute '{written}'. Did you mean '{meant}'"):
        getattr(HyperParameters(), written)


@pytest.mark.parametrize("written", ["xyzzy", "_ipython_display_", "__array__"])
def test_a_name_that_looks_like_nothing_gets_no_guess(written: str) -> None:
    with pytest.raises(AttributeError) as raised:
        getattr(HyperParameters(), written)
    assert "Did you mean" not in str(raised.value)
    assert not hasattr(HyperParameters(), written)


CALLS: list[tuple[str, dict[str, Any], str, str]] = [
    ("Int", {"min_value": 1, "max_valule": 3}, "max_valule", "max_value"),
    ("Int", {"min_vaule": 1, "max_value": 3}, "min_vaule", "min_value"),
    ("Int", {"min_value": 1, "max_value": 3, "steps": 1}, "steps", "step"),
    ("Int", {"low": 1, "high": 3}, "low", "min_value"),
    ("Float", {"min_value": 1, "max_value": 3, "samplin": "log"}, "samplin", "sampling"),
    ("Float", {"min_value": 1, "max_value": 3, "log": True}, "log", "sampling"),
    ("Choice", {"value": [1, 2]}, "value", "values"),
    ("Choice", {"choices": [1, 2]}, "choices", "values"),
    ("Choice", {"values": [1, 2], "order": True}, "order", "ordered"),
    ("Boolean", {"defualt": True}, "defualt", "default"),
    ("Fixed", {"valeu": 3}, "valeu", "value"),
]


@pytest.mark.parametrize(("method", "arguments", "slip", "meant"), CALLS)
def test_an_unknown_argument_is_answered_with_the_one_that_was_meant(
    method: str, arguments: dict[str, Any], slip: str, meant: str
) -> None:
    with pytest.raises(TypeError, match=f"hp.{method}: '{slip}' .* Did you mean '{meant}'") as told:
        getattr(HyperParameters(), method)("units", **arguments)
    assert isinstance(told.value, afina.errors.SpaceError)


def test_a_missing_argument_is_still_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'max_value'"):
        HyperParameters().Int("units", 1)  # type: ignore[call-arg]


def test_reading_an_unknown_hyperparameter_names_the_one_that_was_meant() -> None:
    hp = HyperParameters()
    hp.Int("hp_units", 1, 3)
    with pytest.raises(KeyError, match=r"hp_unit does not exist\. Did you mean 'hp_units'"):
        hp.get("hp_unit")
    with pytest.raises(KeyError, match=r"does not exist\.'$"):
        hp["something else"]


def test_hp_is_still_copied_pickled_and_inspected() -> None:
    hp = HyperParameters()
    hp.Int("units", 1, 3)
    assert copy.deepcopy(hp) == copy.copy(hp) == pickle.loads(pickle.dumps(hp)) == hp
    assert list(inspect.signature(hp.Float).parameters)[:3] == ["name", "min_value", "max_value"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Hyperbrand", "Hyperband"),
        ("hyperband", "Hyperband"),
        ("RandomSearh", "RandomSearch"),
        ("BayesianOptimisation", "BayesianOptimization"),
        ("Hyperparameters", "HyperParameters"),
        ("Hypermodel", "HyperModel"),
    ],
)
def test_an_unknown_name_of_the_package_is_answered_with_the_one_that_was_meant(written, meant):
    with pytest.raises(AttributeError, match=f"'{written}'. Did you mean '{meant}'"):
        getattr(afina, written)
    with pytest.raises(ImportError):
        exec(f"from afina import {written}", {})
