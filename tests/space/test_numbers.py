"""`Int` and `Float`: their values, bounds, steps, samplings and defaults."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.errors import SpaceError
from afina.space import Float, Int, SpaceWarning

from .strategies import floats, ints


@pytest.mark.parametrize(
    ("low", "high", "step", "values"),
    [
        (0, 1, 0.1, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        (0, 1, 0.2, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-0.3, 0.3, 0.1, [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3]),
        (0, 1, 1 / 3, [0.0, 1 / 3, 2 / 3, 1.0]),
        (0, 1, 0.4, [0.0, 0.4, 0.8]),
        (0.1 + 0.2, 0.5, 0.1, [0.1 + 0.2, 0.4, 0.5]),
        (2, 2, 0.5, [2.0]),
        (1e6, 1e6 + 0.003, 1e-3, [1e6, 1e6 + 0.001, 1e6 + 0.002, 1e6 + 0.003]),
    ],
)
def test_a_stepped_float_hits_its_ends_with_clean_numbers(
    low: float, high: float, step: float, values: list[float]
) -> None:
    assert Float("r", low, high, step=step).values == values


@pytest.mark.parametrize("sampling", ["log", "reverse_log"])
def test_a_logarithmic_int_with_a_step_gives_ints(sampling: str) -> None:
    entry = Int("n", 2, 32, step=2, sampling=sampling)
    assert {type(value) for value in entry.values} == {int}
    assert {type(entry.prob_to_value(p / 10)) for p in range(11)} == {int}


def test_whole_numbers_beyond_the_precision_of_floats_stay_exact() -> None:
    low = 2**60
    entry = Int("n", low, low + 3)
    assert entry.values == [low, low + 1, low + 2, low + 3]
    assert [entry.prob_to_value(entry.value_to_prob(v)) for v in entry.values] == entry.values


@given(ints() | floats(stepped=True))
def test_each_discrete_value_survives_the_unit_interval(entry: Int | Float) -> None:
    for value in entry.values:
        assert entry.contains(value)
        assert entry.prob_to_value(entry.value_to_prob(value)) == value


@given(ints(), st.floats(0, 1))
def test_every_int_of_a_range_survives_the_unit_interval(entry: Int, prob: float) -> None:
    value = entry.prob_to_value(prob)
    assert entry.prob_to_value(entry.value_to_prob(value)) == value


@given(ints() | floats(), st.floats(0, 1))
def test_every_point_gives_a_value_and_clip_leaves_it_alone(
    entry: Int | Float, prob: float
) -> None:
    value = entry.prob_to_value(prob)
    assert type(value) is (int if isinstance(entry, Int) else float)
    assert entry.contains(value)
    assert entry.clip(value) == entry.fold(value) == value


@given(floats())
def test_a_continuous_value_survives_the_unit_interval_nearly(entry: Float) -> None:
    for prob in (0.0, 0.2, 0.5, 0.9, 1.0):
        value = entry.prob_to_value(prob)
        again = entry.prob_to_value(entry.value_to_prob(value))
        assert again == pytest.approx(value, rel=1e-9, abs=1e-12)


@given(ints() | floats())
def test_the_ends_of_the_unit_interval_are_the_ends_of_the_range(entry: Int | Float) -> None:
    ends = sorted([entry.prob_to_value(0.0), entry.prob_to_value(1.0)])
    if entry.step is None:
        assert ends == pytest.approx([entry.min_value, entry.max_value])
    else:
        assert ends == [entry.values[0], entry.values[-1]]


@given(ints() | floats(), st.floats(-1e4, 1e4) | st.integers(-(10**4), 10**4))
def test_clip_and_fold_of_any_number_are_values(entry: Int | Float, value: float) -> None:
    assert entry.contains(entry.clip(value))
    assert entry.contains(entry.fold(value))
    assert entry.fold(value) == entry.fold(value)


@given(ints() | floats(), st.sampled_from([None, "x", True, math.nan, math.inf]))
def test_what_is_no_number_becomes_the_default(entry: Int | Float, value: Any) -> None:
    assert not entry.contains(value)
    assert entry.clip(value) == entry.fold(value) == entry.default


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (Int("n", 1, 10), Int("n", 1, 50)),
        (Int("n", 21, 30), Int("n", 1, 50)),
        (Int("n", 0, 8, step=2), Int("n", 0, 98, step=2)),
        (Int("n", 2, 8, step=2, sampling="log"), Int("n", 2, 512, step=2, sampling="log")),
        (Float("r", 0, 1), Float("r", 0, 4)),
        (Float("r", 3, 4), Float("r", 0, 4)),
        (Float("r", 1e-3, 1e-2, sampling="log"), Float("r", 1e-4, 1, sampling="log")),
        (Float("r", 0, 0.4, step=0.1), Float("r", 0, 1.9, step=0.1)),
    ],
)
def test_folding_keeps_an_even_spread_even(narrow: Any, wide: Any) -> None:
    probs = (np.arange(4000) + 0.5) / 4000
    folded = [narrow.value_to_prob(narrow.fold(wide.prob_to_value(p))) for p in probs]
    bins = narrow.count or 8
    shares = np.histogram(folded, bins=bins, range=(0, 1))[0] / len(folded)
    assert shares == pytest.approx(1 / bins, rel=0.02)


def test_folding_keeps_what_fits() -> None:
    entry = Int("n", 1, 10)
    assert [entry.fold(value) for value in (1, 5, 10)] == [1, 5, 10]
    assert [entry.fold(value) for value in (11, 12, 37, 0, -1)] == [1, 2, 7, 10, 9]


@pytest.mark.parametrize(
    ("given_default", "used"), [(100, 64), (1, 8), (33, 32), (np.float64(100), 64)]
)
def test_a_default_that_is_no_value_warns_and_the_nearest_one_is_used(
    given_default: Any, used: int
) -> None:
    with pytest.warns(SpaceWarning, match=f"units: default must be one of its.*{used} is used"):
        entry = Int("units", 8, 64, step=8, default=given_default)
    assert entry.default == used


def test_a_default_that_is_a_value_but_for_rounding_is_that_value() -> None:
    assert Float("r", 0, 1, step=0.1, default=0.1 + 0.2).default == 0.3


@pytest.mark.parametrize("sampling", ["linear", "log", "reverse_log"])
def test_the_default_is_the_smallest_value(sampling: str) -> None:
    assert Float("r", 1, 8, step=2, sampling=sampling).default == 1.0
    assert Int("n", 3, 9, sampling=sampling).default == 3


def test_numpy_scalars_become_python_values() -> None:
    entry = Float("r", np.float32(0.5), np.int64(2), step=np.float32(0.25), default=np.int8(1))
    assert {type(v) for v in (entry.min_value, entry.max_value, entry.step, entry.default)} == {
        float
    }
    whole = Int("n", np.int32(1), np.array(8), step=np.float32(1))
    assert {type(v) for v in (whole.min_value, whole.max_value, whole.step)} == {int}
    assert whole.contains(np.int64(3))
    assert type(whole.clip(np.float32(3.4))) is int
    json.dumps([entry.get_config(), whole.get_config()])


@pytest.mark.parametrize(
    ("entry", "values"),
    [
        (Float("r", 0, 10), [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5]),
        (Int("n", 1, 1000, sampling="log"), [1, 2, 5, 11, 22, 44, 89, 177, 355, 708]),
        (Int("n", 1, 4, sampling="log"), [1, 2, 3, 4]),
        (Float("r", 2, 2), [2.0]),
        (Int("n", 7, 7), [7]),
    ],
)
def test_a_number_without_a_step_lists_up_to_ten_ascending_values(
    entry: Int | Float, values: list[float]
) -> None:
    assert entry.values == pytest.approx(values)
    assert [type(v) for v in entry.values] == [type(v) for v in values]


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: Int("n", 0.5, 3), ValueError, "min_value must be a whole number"),
        (lambda: Int("n", 0, math.inf), ValueError, "max_value must be a whole number"),
        (lambda: Int("n", "a", 3), TypeError, "min_value must be a whole number"),
        (lambda: Int("n", 5, 1), ValueError, "min_value must not exceed max_value"),
        (lambda: Int("n", 1, 5, step=0), ValueError, "step must be above 0"),
        (lambda: Int("n", 1, 5, step=1, sampling="log"), ValueError, "step must be above 1"),
        (lambda: Int("n", 0, 5, sampling="log"), ValueError, "needs min_value > 0"),
        (lambda: Float("r", 0, 5, sampling="reverse_log"), ValueError, "needs min_value > 0"),
        (lambda: Float("r", 0, math.nan), ValueError, "max_value must be finite"),
        (lambda: Float("r", "a", 1), ValueError, "min_value must be a number"),
        (lambda: Float("r", 0, None), TypeError, "max_value must be a number"),
        (lambda: Float("r", 0, 1, sampling="cubic"), ValueError, "sampling must be one of"),
        (lambda: Float("r", 0, 1, sampling=3), ValueError, "sampling must be one of"),
        (lambda: Float("", 0, 1), ValueError, "name must be a text"),
        (lambda: Int(3, 0, 1), TypeError, "name must be a text"),
    ],
)
def test_wrong_arguments_are_refused(make: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        make()
    assert isinstance(caught.value, SpaceError)


def test_sampling_is_read_in_any_case_and_none_is_linear() -> None:
    assert Float("r", 1, 2, sampling="LOG").sampling == "log"
    assert Float("r", 1, 2, sampling="Reverse_Log").sampling == "reverse_log"
    assert Float("r", 1, 2, sampling=None).sampling == "linear"


def test_equal_bounds_leave_one_value() -> None:
    for sampling in ("linear", "log", "reverse_log"):
        for entry in (Float("r", 3, 3, sampling=sampling), Int("n", 3, 3, sampling=sampling)):
            assert entry.count == 1
            assert [entry.prob_to_value(p) for p in (0, 0.5, 1)] == [3, 3, 3]
            assert 0 < entry.value_to_prob(3) < 1
            assert entry.fold(17) == 3


@given(ints() | floats())
def test_a_config_makes_an_equal_definition(entry: Int | Float) -> None:
    again = type(entry).from_config(json.loads(json.dumps(entry.get_config())))
    assert again == entry
    assert hash(again) == hash(entry)
    assert repr(again) == repr(entry)


def test_definitions_that_differ_are_unequal() -> None:
    base = Int("n", 1, 5)
    others = [Int("m", 1, 5), Int("n", 1, 6), Int("n", 1, 5, default=2), Float("n", 1, 5)]
    assert all(base != other for other in others)
    assert base == Int("n", 1, 5, step=1, default=1)
    assert base != "n"


def test_a_definition_names_its_arguments_as_keras_tuner_does() -> None:
    text = (
        "Float(name: 'r', default: 0.1, min_value: 0.1, max_value: 1.0, step: None, "
        "sampling: 'log')"
    )
    assert repr(Float("r", 0.1, 1, sampling="log")) == text


def test_a_mirrored_scale_over_many_orders_of_magnitude_has_both_its_ends():
    for entry in (
        Float("x", 1e-12, 1e12, sampling="reverse_log"),
        Int("x", 1, 10**18, sampling="reverse_log"),
    ):
        for value in (entry.min_value, entry.max_value):
            unit = entry.value_to_prob(value)
            assert 0 <= unit <= 1
            assert entry.contains(entry.prob_to_value(unit))
        assert entry.value_to_prob(entry.min_value) < 0.5 < entry.value_to_prob(entry.max_value)


@pytest.mark.parametrize(
    ("bounds", "sampling"),
    [((-1e308, 1e308), "linear"), ((1e-200, 1e200), "log"), ((1e-200, 1e200), "reverse_log")],
)
def test_ranges_that_no_float_can_measure_are_refused(bounds, sampling):
    with pytest.raises(SpaceError, match=r"not overflow a float, but got .*Narrow the range"):
        Float("x", *bounds, sampling=sampling)


def test_whole_numbers_beyond_all_floats_are_refused():
    with pytest.raises(SpaceError, match="not overflow a float"):
        Int("x", 0, 10**400)
