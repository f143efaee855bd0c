"""`Encoding`: configurations as points of the unit cube, and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from afina.space import Boolean, Choice, Encoding, Fixed, Float, Int, Parent, Space

from .strategies import spaces

SEEDS = st.integers(0, 2**32 - 1)


def samples(space: Space, seed: int, count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(count)]


def test_each_kind_of_hyperparameter_has_its_axes() -> None:
    space = Space(
        (
            Float("rate", 1e-4, 1e-1, sampling="log"),
            Float("drop", 0, 0.5, step=0.1),
            Int("units", 8, 64),
            Int("width", 1, 1000, sampling="log"),
            Choice("act", ["relu", "tanh", "gelu"]),
            Choice("pool", ["max", "mean"]),
            Choice("kernel", [3, 5, 7]),
            Choice("seed", [3, 5, 7], ordered=False),
            Boolean("bias"),
            Fixed("classes", 10),
            Int("one", 4, 4),
        )
    )
    cube = Encoding(space)
    assert [(axis.name, axis.kind, axis.category, axis.cells) for axis in cube.axes] == [
        ("rate", "real", None, None),
        ("drop", "int", None, 6),
        ("units", "int", None, 57),
        ("width", "int", None, 1000),
        ("act", "category", 0, None),
        ("act", "category", 1, None),
        ("act", "category", 2, None),
        ("pool", "int", None, 2),
        ("kernel", "int", None, 3),
        ("seed", "category", 0, None),
        ("seed", "category", 1, None),
        ("seed", "category", 2, None),
        ("bias", "int", None, 2),
    ]
    assert all(space.entries[axis.entry_index].name == axis.name for axis in cube.axes)
    assert cube.dim == len(cube.axes) == 13


def test_points_hold_cell_centres_and_one_hot_categories() -> None:
    cube = Encoding(Space((Int("n", 1, 4), Choice("c", ["x", "y", "z"]), Boolean("b"))))
    point = cube.encode({"n": 2, "c": "y", "b": True})
    assert point.tolist() == [0.375, 0, 1, 0, 0.75]


def test_inactive_axes_hold_nan_even_where_a_stale_value_is_left() -> None:
    child = Int("n", 1, 4, conditions=[Parent("kind", "b")])
    grandchild = Boolean("deep", conditions=[Parent("n", 1)])
    cube = Encoding(Space((Choice("kind", ["a", "b"]), child, grandchild)))
    stale = {"kind": "a", "n": 1, "deep": True}
    assert np.isnan(cube.encode(stale)).tolist() == [False, True, True]
    assert np.isnan(cube.encode_many([stale])[0]).tolist() == [False, True, True]
    assert np.isnan(cube.encode({"kind": "b"})).tolist() == [False, True, True]


@given(spaces(continuous=False), SEEDS)
def test_a_discrete_configuration_survives_the_cube(space: Space, seed: int) -> None:
    cube = Encoding(space)
    for values in samples(space, seed, 3):
        again = cube.decode(cube.encode(values))
        assert space.key(again) == space.key(values)


@given(spaces(), SEEDS)
def test_a_continuous_configuration_survives_the_cube_nearly(space: Space, seed: int) -> None:
    cube = Encoding(space)
    (values,) = samples(space, seed, 1)
    numbers = [e for e in space.active(values) if isinstance(e, Float) and e.step is None]
    parents = {c.name for entry in space for c in entry.conditions}
    assume(not any(entry.name in parents for entry in numbers))
    again = cube.decode(cube.encode(values))
    assert again.keys() == values.keys()
    for entry in space.active(values):
        if entry in numbers:
            expected = pytest.approx(values[entry.name], rel=1e-6, abs=1e-9)
            assert again[entry.name] == expected
        else:
            assert again[entry.name] == values[entry.name]


@given(spaces(), SEEDS)
def test_encoding_many_at_once_is_encoding_each(space: Space, seed: int) -> None:
    cube = Encoding(space)
    rows = samples(space, seed, 8)
    # Values left over from other configurations must not matter.
    rows += [{**rows[k], **rows[k + 1]} for k in range(7)]
    many = cube.encode_many(rows)
    assert many.shape == (15, cube.dim)
    np.testing.assert_allclose(many, [cube.encode(row) for row in rows], rtol=1e-9, atol=1e-12)


def test_values_that_do_not_fit_are_encoded_as_the_nearest_that_do() -> None:
    space = Space((Float("r", 0, 1), Int("n", 1, 10, sampling="log"), Choice("c", ["x", "y", "z"])))
    cube = Encoding(space)
    rows: list[dict[str, Any]] = [
        {"r": 7.0, "n": 99, "c": "y"},
        {"r": None, "n": "many", "c": "w"},
        {"r": math.nan, "n": -3, "c": 5},
    ]
    many = cube.encode_many(rows)
    np.testing.assert_allclose(many, [cube.encode(row) for row in rows])
    assert np.isfinite(many).all()
    assert cube.decode(many[0]) == {"r": 1.0, "n": 10, "c": "y"}
    assert cube.decode(many[1]) == {"r": 0.0, "n": 1, "c": "x"}


def test_no_configurations_make_no_points() -> None:
    cube = Encoding(Space((Float("r", 0, 1), Boolean("b"))))
    assert cube.encode_many([]).shape == (0, 2)
    assert Encoding(Space()).encode_many([{}, {}]).shape == (2, 0)


@given(spaces(), SEEDS)
def test_every_point_is_read_as_a_complete_configuration(space: Space, seed: int) -> None:
    cube = Encoding(space)
    rng = np.random.default_rng(seed)
    point = rng.uniform(-0.2, 1.2, cube.dim)
    point[rng.random(cube.dim) < 0.2] = math.nan
    values = cube.decode(point)
    active = space.active(values)
    assert [entry.name for entry in active] == list(values)
    assert all(entry.contains(values[entry.name]) for entry in active)


def test_nan_reads_as_the_default_and_the_largest_category_wins() -> None:
    space = Space((Int("n", 1, 9, default=7), Choice("c", ["x", "y", "z"], default="z")))
    cube = Encoding(space)
    assert cube.decode(np.full(4, math.nan)) == {"n": 7, "c": "z"}
    assert cube.decode(np.array([1.0, 0.2, 0.6, 0.5])) == {"n": 9, "c": "y"}


@given(spaces(continuous=False), SEEDS)
def test_snapping_finds_a_fixed_point(space: Space, seed: int) -> None:
    cube = Encoding(space)
    snapped = cube.encode(cube.decode(np.random.default_rng(seed).random(cube.dim)))
    np.testing.assert_array_equal(cube.encode(cube.decode(snapped)), snapped)


def test_snapping_goes_to_the_cell_centre_and_one_hot() -> None:
    cube = Encoding(Space((Int("n", 1, 4), Choice("c", ["x", "y", "z"]), Float("r", 0, 1))))
    snapped = cube.encode(cube.decode(np.array([0.3, 0.2, 0.1, 0.9, 0.42])))
    assert snapped.tolist() == [0.375, 0, 0, 1, 0.42]


def test_two_entries_of_one_name_have_axes_of_their_own() -> None:
    one = Int("n", 1, 4, conditions=[Parent("kind", "a")])
    other = Int("n", 5, 9, conditions=[Parent("kind", "b")])
    cube = Encoding(Space((Choice("kind", ["a", "b"]), one, other)))
    first, second = cube.encode_many([{"kind": "a", "n": 3}, {"kind": "b", "n": 7}])
    assert np.isnan(first).tolist() == [False, False, True]
    assert np.isnan(second).tolist() == [False, True, False]
    assert cube.decode(second) == {"kind": "b", "n": 7}
