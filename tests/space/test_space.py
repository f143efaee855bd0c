"""`Space`: which entries are active, what completes a configuration, how many there are."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.space import Boolean, Choice, Fixed, Float, HyperParameter, Int, Parent, Space

from .strategies import spaces

SEEDS = st.integers(0, 2**32 - 1)

NESTED = Space(
    (
        Choice("kind", ["mlp", "cnn"]),
        Int("units", 4, 8, conditions=[Parent("kind", "mlp")]),
        Boolean("pool", conditions=[Parent("kind", "cnn")]),
        Int("size", 2, 3, conditions=[Parent("kind", "cnn"), Parent("pool", True)]),
        Fixed("classes", 10),
    )
)


def test_values_decide_which_entries_are_active() -> None:
    def names(values: dict[str, Any]) -> list[str]:
        return [entry.name for entry in NESTED.active(values)]

    assert names({"kind": "mlp"}) == ["kind", "units", "classes"]
    assert names({"kind": "cnn", "pool": False}) == ["kind", "pool", "classes"]
    assert names({"kind": "cnn", "pool": True}) == ["kind", "pool", "size", "classes"]
    assert names({}) == ["kind", "classes"]


def test_the_child_of_an_inactive_parent_is_inactive_whatever_value_that_has() -> None:
    child = Int("size", 2, 3, conditions=[Parent("pool", True)])
    space = Space((*NESTED.entries[:3], child))
    stale = {"kind": "mlp", "units": 4, "pool": True, "size": 2}
    assert space.complete(stale, lambda entry: entry.default) == {"kind": "mlp", "units": 4}
    assert child not in space.active(stale)
    assert space.key(stale) == space.key({"kind": "mlp", "units": 4})


def test_complete_keeps_what_fits_chooses_the_rest_and_drops_the_inactive() -> None:
    asked = []

    def choose(entry: HyperParameter) -> Any:
        asked.append(entry.name)
        return entry.default

    given_values = {"kind": "cnn", "pool": 3, "units": 5, "classes": 10, "other": 1}
    assert NESTED.complete(given_values, choose) == {"kind": "cnn", "pool": False, "classes": 10}
    assert asked == ["pool"]


def test_complete_gives_python_values() -> None:
    done = NESTED.complete({"kind": "mlp", "units": np.int64(5)}, lambda entry: entry.default)
    assert type(done["units"]) is int


@given(spaces(), SEEDS)
def test_a_sample_is_a_complete_configuration(space: Space, seed: int) -> None:
    values = space.sample(np.random.default_rng(seed))
    assert space.sample(np.random.default_rng(seed)) == values

    def fail(entry: HyperParameter) -> Any:
        raise AssertionError(f"{entry} is active and has no value")

    assert space.complete(values, fail) == values
    active = space.active(values)
    assert [entry.name for entry in active] == list(values)
    assert all(entry.contains(values[entry.name]) for entry in active)
    assert all(space.is_active(entry, values) for entry in active)


def test_samples_reach_every_configuration_evenly() -> None:
    space = Space((Choice("c", ["a", "b"]), Int("n", 1, 3)))
    rng = np.random.default_rng(0)
    seen = [tuple(space.sample(rng).values()) for _ in range(3000)]
    counts = np.unique([f"{c}{n}" for c, n in seen], return_counts=True)[1]
    assert len(counts) == 6
    assert counts == pytest.approx(500, rel=0.2)


def test_defaults_are_the_defaults_of_what_they_make_active() -> None:
    assert NESTED.defaults() == {"kind": "mlp", "units": 4, "classes": 10}


def test_keys_tell_one_from_one_point_zero_and_true() -> None:
    entries = [Choice("a", [1, 2]), Choice("a", [1.0, 2.0]), Choice("a", [True, False])]
    keys = [Space((e,)).key({"a": value}) for e, value in zip(entries, [1, 1.0, True], strict=True)]
    assert len(set(keys)) == 3


def test_keys_ignore_order_and_what_is_inactive_or_unknown() -> None:
    key = NESTED.key({"kind": "mlp", "units": 4})
    assert NESTED.key({"units": 4, "kind": "mlp"}) == key
    assert NESTED.key({"kind": "mlp", "units": 4, "pool": True, "tuner/epochs": 3}) == key
    assert NESTED.key({"kind": "mlp", "units": 5}) != key


@given(spaces(), SEEDS, SEEDS)
def test_equal_keys_mean_equal_configurations(space: Space, one: int, other: int) -> None:
    a, b = (space.sample(np.random.default_rng(seed)) for seed in (one, other))
    assert (space.key(a) == space.key(b)) == (a == b)


def every(space: Space) -> list[dict[str, Any]]:
    """All configurations, by walking the tree of values."""

    def grow(index: int, chosen: dict[str, Any]) -> list[dict[str, Any]]:
        if index == len(space):
            return [chosen]
        entry = space.entries[index]
        if entry.name in chosen or not space.is_active(entry, chosen):
            return grow(index + 1, chosen)
        branches = [grow(index + 1, {**chosen, entry.name: v}) for v in all_values(entry)]
        return list(itertools.chain(*branches))

    return grow(0, {})


def all_values(entry: HyperParameter) -> list[Any]:
    if isinstance(entry, Int):
        return [v for v in range(entry.min_value, entry.max_value + 1) if entry.contains(v)]
    return list(entry.values)


@given(spaces(max_entries=4, continuous=False))
def test_the_size_is_the_number_of_configurations(space: Space) -> None:
    size = space.size(limit=3000)
    if size is not None:
        listed = every(space)
        assert size == len(listed)
        assert size == len({space.key(values) for values in listed})
        assert space.size(limit=size) == size
        assert space.size(limit=size - 1) is None
    else:
        product = 1
        for entry in space:
            product *= 1 + (entry.count or 10**9)
        assert product > 3000


def test_the_size_of_an_endless_space_is_none() -> None:
    assert Space((Float("r", 0, 1),)).size() is None
    assert Space((Float("r", 1, 1),)).size() == 1


def test_an_endless_entry_that_is_never_active_does_not_count() -> None:
    rate = Float("r", 0, 1, conditions=[Parent("c", "x")])
    assert Space((Choice("c", ["a", "b"]), rate)).size() == 2


def test_the_size_of_a_large_space_is_counted_without_listing_it() -> None:
    layers = [Int("layers", 1, 400)]
    for k in range(1, 400):
        above = Parent("layers", list(range(k + 1, 401)))
        layers.append(Int(f"units_{k}", 1, 1, conditions=[above]))
    assert Space(tuple(layers)).size() == 400
    switches: list[HyperParameter] = []
    for k in range(40):
        child = Int(f"n{k}", 1, 1, conditions=[Parent(f"b{k}", True)])
        switches += [Boolean(f"b{k}"), child]
    assert Space(tuple(switches)).size(limit=2**40) == 2**40
    assert Space(tuple(switches)).size() is None


def test_the_empty_space_has_one_configuration() -> None:
    assert Space().size() == 1
    assert Space().sample(np.random.default_rng(0)) == {}


@given(spaces())
def test_a_space_goes_through_json(space: Space) -> None:
    again = Space.from_config(json.loads(json.dumps(space.get_config())))
    assert again == space
    assert hash(again) == hash(space)
