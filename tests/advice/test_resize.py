import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.space.strategies import choices, floats, ints

from afina.advice.resize import part_of, widened, with_values
from afina.space import Boolean, Choice, Fixed, Float, Int
from afina.space.parameters import Numerical


@given(entry=st.one_of(ints(), floats()), ends=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_part_of_a_range_has_only_values_of_the_range(entry, ends):
    start, end = sorted(ends)
    if end - start < 0.01:
        return
    part = part_of(entry, start, end, entry.default)
    assert all(entry.contains(value) for value in part.values)
    if isinstance(part, Numerical) and entry.step is None:
        middle = entry.prob_to_value((start + end) / 2)
        assert part.min_value <= middle <= part.max_value


@given(entry=st.one_of(ints(), floats(), choices()), side=st.sampled_from(["low", "high"]))
def test_widening_keeps_every_value_and_respects_hard_limits(entry, side):
    wider = widened(entry, side)
    if isinstance(entry, Choice):
        assert [value for value in wider.values if entry.contains(value)] == list(entry.values)
        assert wider.default == entry.default
        if entry.ordered and list(entry.values) == sorted(entry.values):
            assert list(wider.values) == sorted(wider.values)
        return
    assert wider.min_value <= entry.min_value
    assert wider.max_value >= entry.max_value
    if entry.sampling != "reverse_log":
        probes = [entry.prob_to_value(k / 20) for k in range(20)]
        assert all(wider.contains(value) for value in probes)
    if entry.min_value > 0:
        assert wider.min_value > 0
    if entry.min_value >= 0:
        assert wider.min_value >= 0


@pytest.mark.parametrize(
    ("entry", "side", "bounds"),
    [
        (Float("rate", 1e-4, 1e-2, sampling="log"), "low", (1e-5, 1e-2)),
        (Float("rate", 1e-6, 1.0, sampling="log"), "high", (1e-6, 10.0)),
        (Float("dropout", 0.0, 0.5), "high", (0.0, 0.75)),
        (Float("dropout", 0.0, 0.5), "low", (0.0, 0.5)),
        (Float("share", 0.2, 1.0), "high", (0.2, 1.0)),
        (Int("units", 32, 512, step=32), "high", (32, 736)),
        (Int("units", 8, 64, step=2, sampling="log"), "high", (8, 128)),
        (Int("layers", 1, 4), "low", (1, 4)),
        (Int("layers", 1, 4), "high", (1, 5)),
        (Int("no step reaches further", 0, 5, step=4), "high", (0, 5)),
    ],
)
def test_widening(entry, side, bounds):
    wider = widened(entry, side)
    assert (wider.min_value, wider.max_value) == pytest.approx(bounds)
    assert type(wider) is type(entry)


def test_nothing_is_widened_beyond_what_the_user_knows():
    assert widened(Int("units", 8, 64), "high", (None, 80)).max_value == 80
    assert widened(Int("units", 8, 64), "high", (None, 64)) == Int("units", 8, 64)
    assert widened(Choice("units", [16, 32]), "high", (None, 40)) == Choice("units", [16, 32])


def test_one_value_left_is_fixed():
    assert with_values(Boolean("bias"), [True], True) == Fixed("bias", True)
    assert with_values(Choice("norm", ["a", "b"]), ["b"], "b") == Fixed("norm", "b")
    left = with_values(Choice("norm", ["a", None]), [None], None)
    assert left == Choice("norm", [None])
    assert with_values(Choice("n", [1, 2, 4]), [2, 4], 4) == Choice("n", [2, 4], default=4)


def test_bounds_are_rounded_outwards_to_two_digits():
    part = part_of(Float("rate", 1e-5, 1.0, sampling="log"), 0.3, 0.7, 0.01)
    assert (part.min_value, part.max_value) == (0.00031, 0.032)
    low, high = 1e-5 * math.pow(1e5, 0.3), 1e-5 * math.pow(1e5, 0.7)
    assert part.min_value <= low
    assert part.max_value >= high
