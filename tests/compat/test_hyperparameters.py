"""`hp` as builders use it: definitions, scopes, values, configs."""

from __future__ import annotations

import json
from typing import Any

import pytest

import afina as kt
from afina.engine.hyperparameters import Boolean, Choice, Fixed, Float, Int, deserialize, serialize


@pytest.fixture
def hp() -> Any:
    return kt.HyperParameters()


def test_a_call_registers_a_definition_and_returns_its_default(hp: Any) -> None:
    assert hp.Int("units", 8, 64, step=8) == 8
    assert hp.Int("depth", min_value=1, max_value=3, default=2) == 2
    assert hp.Float("rate", 1e-4, 1e-1, sampling="log") == 1e-4
    assert hp.Choice("act", ["relu", "tanh"]) == "relu"
    assert hp.Choice("size", [3, 5, 7], default=5, ordered=False) == 5
    assert hp.Boolean("bias") is False
    assert hp.Boolean("drop", default=True) is True
    assert hp.Fixed("classes", 10) == 10
    assert [type(e).__name__ for e in hp.space] == [
        *("Int", "Int", "Float", "Choice", "Choice", "Boolean", "Boolean", "Fixed")
    ]
    assert [e.name for e in hp.space][:3] == ["units", "depth", "rate"]


def test_values_set_before_are_returned(hp: Any) -> None:
    hp.Int("units", 8, 64)
    hp.values["units"] = 32
    assert hp.Int("units", 8, 64) == 32
    assert (hp.get("units"), hp["units"], hp.values["units"]) == (32, 32, 32)
    assert len(hp.space) == 1


def test_get_tells_unknown_from_inactive_names(hp: Any) -> None:
    hp.Choice("kind", ["a", "b"])
    hp.Int("deep", 1, 2, parent_name="kind", parent_values=["b"])
    with pytest.raises(KeyError, match="nothing does not exist"):
        hp.get("nothing")
    with pytest.raises(ValueError, match="deep is currently inactive"):
        hp.get("deep")
    assert "kind" in hp
    assert "deep" not in hp
    assert "nothing" not in hp


def test_name_scopes_prefix_names(hp: Any) -> None:
    with hp.name_scope("encoder"):
        hp.Int("units", 1, 5)
        with hp.name_scope("head"):
            assert hp.Int("units", 2, 5) == 2
            assert hp.get("units") == 2
        assert hp.get("units") == 1
    assert dict(hp.values) == {"encoder/units": 1, "encoder/head/units": 2}


def test_a_conditional_scope_is_active_with_its_parent_only(hp: Any) -> None:
    hp.Choice("kind", ["mlp", "cnn"])
    with hp.conditional_scope("kind", ["mlp"]):
        assert hp.Int("units", 4, 8) == 4
    with hp.conditional_scope("kind", "cnn"):
        assert hp.Int("filters", 2, 8) is None
    assert [hp.is_active(n) for n in ("kind", "units", "filters")] == [True, True, False]
    assert dict(hp.values) == {"kind": "mlp", "units": 4}
    hp.values["kind"] = "cnn"
    assert hp.is_active("filters")
    assert hp.is_active(hp.space[2])
    assert not hp.is_active("units")


def test_conditional_scopes_nest(hp: Any) -> None:
    def build(hp: Any) -> Any:
        hp.Choice("a", [1, 2])
        with hp.conditional_scope("a", [2]):
            hp.Choice("b", ["x", "y"])
            with hp.conditional_scope("b", ["y"]):
                return hp.Float("c", 0, 1)

    assert build(hp) is None
    hp.values = {"a": 2, "b": "y", "c": 0.5}
    assert build(hp) == 0.5
    hp.values = {"a": 1, "b": "y", "c": 0.5}
    assert build(hp) is None


def test_a_conditional_scope_within_a_name_scope_names_its_parent_in_the_scope(hp: Any) -> None:
    with hp.name_scope("enc"):
        hp.Boolean("norm", default=True)
        with hp.conditional_scope("norm", [True]):
            assert hp.Int("groups", 2, 8) == 2
    assert hp.is_active("enc/groups")


def test_parent_name_is_a_scope_for_one_call(hp: Any) -> None:
    hp.Boolean("use")
    assert hp.Float("rate", 0.25, 0.5, parent_name="use", parent_values=[True]) is None
    assert hp.Float("base", 0.25, 0.5, parent_name="use", parent_values=[False]) == 0.25


def test_the_same_name_under_two_conditions_is_one_value(hp: Any) -> None:
    hp.Choice("kind", ["a", "b"])
    hp.Int("n", 1, 4, parent_name="kind", parent_values=["a"])
    hp.Int("n", 5, 9, parent_name="kind", parent_values=["b"])
    assert [e.name for e in hp.space] == ["kind", "n", "n"]
    assert hp.values["n"] == 1


def test_a_parent_must_exist_and_have_another_name(hp: Any) -> None:
    with pytest.raises(ValueError, match="not defined"), hp.conditional_scope("ghost", [1]):
        pass
    hp.Choice("a", [1, 2])
    with pytest.raises(ValueError, match="parent"), hp.conditional_scope("a", [1]):
        hp.Choice("a", [1, 2])


def test_the_config_goes_through_json(hp: Any) -> None:
    hp.Choice("kind", ["a", "b"])
    hp.Int("n", 1, 4, step=1, parent_name="kind", parent_values=["a"])
    hp.Float("r", 0.1, 1.0, sampling="log")
    hp.Boolean("b")
    hp.Fixed("f", "x")
    config = json.loads(json.dumps(hp.get_config()))
    assert [entry["class_name"] for entry in config["space"]] == [
        *("Choice", "Int", "Float", "Boolean", "Fixed")
    ]
    assert config["values"] == {"kind": "a", "n": 1, "r": 0.1, "b": False, "f": "x"}
    again = kt.HyperParameters.from_config(config)
    assert again.get_config() == hp.get_config()
    assert again.get("n") == 1


def test_a_copy_is_independent(hp: Any) -> None:
    hp.Int("n", 1, 4)
    other = hp.copy()
    other.values["n"] = 3
    other.Int("m", 1, 2)
    assert dict(hp.values) == {"n": 1}
    assert len(hp.space) == 1


def test_merge_adds_new_definitions(hp: Any) -> None:
    hp.Int("n", 1, 4)
    other = kt.HyperParameters()
    other.Int("m", 3, 4)
    hp.merge(other)
    assert [e.name for e in hp.space] == ["n", "m"]
    hp.merge([Float("r", 0, 1)])
    assert hp.get("r") == 0.0


def test_merging_what_is_there_does_not_double_it(hp: Any, mended: bool) -> None:
    hp.Int("n", 1, 4)
    hp.merge(hp.copy())
    assert len(hp.space) == (1 if mended else 2)


def test_merge_without_overwrite_keeps_what_is_there(hp: Any) -> None:
    hp.Int("n", 1, 4)
    hp.values["n"] = 3
    other = kt.HyperParameters()
    other.Int("n", 1, 9)
    other.Int("m", 0, 1)
    hp.merge(other, overwrite=False)
    assert [e.name for e in hp.space] == ["n", "m"]
    assert hp.get("n") == 3
    assert hp.space[0].max_value == 4


def test_ensure_active_values_adds_and_drops(hp: Any) -> None:
    hp.Choice("kind", ["a", "b"])
    hp.Int("n", 1, 4, parent_name="kind", parent_values=["a"])
    hp.Int("m", 5, 9, parent_name="kind", parent_values=["b"])
    hp.values["kind"] = "b"
    hp.ensure_active_values()
    assert set(hp.values) == {"kind", "m"}
    assert hp.values["m"] in range(5, 10)


@pytest.mark.parametrize(
    ("definition", "values"),
    [
        (Int("n", 1, 10, step=3), [1, 4, 7, 10]),
        (Int("n", 6, 13, step=3), [6, 9, 12]),
        (Int("n", 2, 32, step=2, sampling="log"), [2, 4, 8, 16, 32]),
        (Float("r", 0.5, 2.0, step=0.5), [0.5, 1.0, 1.5, 2.0]),
        (Float("r", 0.001, 10, step=10, sampling="log"), [0.001, 0.01, 0.1, 1.0, 10.0]),
        (Choice("c", ["x", "y"]), ["x", "y"]),
        (Choice("c", [3, 1, 2]), [3, 1, 2]),
        (Boolean("b"), [True, False]),
        (Fixed("f", 7), [7]),
    ],
)
def test_a_definition_lists_its_values(definition: Any, values: list[Any]) -> None:
    expected = pytest.approx(values) if isinstance(values[0], float) else values
    n = len(values)
    assert list(definition.values) == expected
    assert {definition.prob_to_value((k + 0.5) / n) for k in range(n)} == set(definition.values)
    there_and_back = [definition.prob_to_value(definition.value_to_prob(v)) for v in values]
    assert there_and_back == expected


@pytest.mark.parametrize(("step", "count"), [(0.1, 11), (0.2, 6)])
def test_a_stepped_float_reaches_its_end(step: float, count: int, mended: bool) -> None:
    values = list(Float("r", 0, 1, step=step).values)
    assert len(values) == (count if mended else count - 1)
    assert (values[-1] == pytest.approx(1.0)) is mended


def test_the_values_of_a_logarithmic_int_are_ints(mended: bool) -> None:
    kinds = {type(v) for v in Int("n", 2, 32, step=2, sampling="log").values}
    assert kinds == ({int} if mended else {float})


def test_a_choice_of_booleans_gives_booleans(hp: Any, mended: bool) -> None:
    assert type(hp.Choice("bn", [True, False])) is (bool if mended else int)


def test_a_number_without_step_lists_ten_even_samples() -> None:
    assert sorted(Float("r", 0.0, 10.0).values) == pytest.approx([k + 0.5 for k in range(10)])


@pytest.mark.parametrize(
    "definition",
    [
        Int("n", 1, 100),
        Int("n", 1, 1000, sampling="log"),
        Int("n", 1, 1000, sampling="reverse_log"),
        Int("n", 0, 100, step=7),
        Float("r", -1.0, 1.0),
        Float("r", 1e-3, 1e3, sampling="LOG"),
        Float("r", 1e-3, 1e3, sampling="reverse_log"),
        Float("r", 0.0, 1.0, step=0.25),
        Choice("c", [0.5, 0.25]),
        Boolean("b"),
        Fixed("f", "x"),
    ],
)
def test_random_samples_stay_in_range_and_repeat_with_the_seed(definition: Any) -> None:
    samples = [definition.random_sample(seed) for seed in range(20)]
    assert samples == [definition.random_sample(seed) for seed in range(20)]
    if isinstance(definition, Int | Float):
        assert all(definition.min_value <= v <= definition.max_value for v in samples)
        assert len(set(samples)) > 3
    else:
        assert set(samples) <= set(definition.values)
    assert definition.random_sample() is not None


@pytest.mark.parametrize(
    ("sampling", "middle"), [("linear", 50.5), ("log", 10.0), ("reverse_log", 91.0)]
)
def test_the_sampling_places_the_middle(sampling: str, middle: float) -> None:
    assert Float("r", 1, 100, sampling=sampling).prob_to_value(0.5) == pytest.approx(middle)


def test_definitions_serialize_with_their_class_name() -> None:
    for definition in (Int("n", 1, 5), Float("r", 0, 1), Choice("c", ["a"]), Fixed("f", 1)):
        config = json.loads(json.dumps(serialize(definition)))
        assert config["class_name"] == type(definition).__name__
        assert deserialize(config).get_config() == definition.get_config()
    assert Int.from_config(Int("n", 1, 5).get_config()).max_value == 5
    assert Boolean("b").get_config()["name"] == "b"


def test_hyperparameters_serialize_as_a_whole_too(hp: Any) -> None:
    hp.Int("n", 1, 5)
    hp.values["n"] = 4
    copy = deserialize(json.loads(json.dumps(serialize(hp))))
    assert isinstance(copy, kt.HyperParameters)
    assert copy.values == {"n": 4}
    assert [entry.name for entry in copy.space] == ["n"]
    assert deserialize(hp) is hp


@pytest.mark.parametrize(
    "call",
    [
        lambda hp: hp.Int("n", 0.5, 3),
        lambda hp: hp.Int("n", 0, 10, sampling="log"),
        lambda hp: hp.Int("n", 1, 10, step=1, sampling="log"),
        lambda hp: hp.Float("r", 0.0, 1.0, sampling="log"),
        lambda hp: hp.Float("r", 0.0, 1.0, sampling="cubic"),
        lambda hp: hp.Choice("c", []),
        lambda hp: hp.Choice("c", ["a", 1]),
        lambda hp: hp.Choice("c", ["a", "b"], default="z"),
        lambda hp: hp.Choice("c", ["a", "b"], ordered=True),
        lambda hp: hp.Boolean("b", default="yes"),
        lambda hp: hp.Fixed("f", None),
    ],
)
def test_wrong_definitions_are_refused(hp: Any, call: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        call(hp)


def test_a_child_range_follows_its_parent_from_trial_to_trial(
    project: dict[str, Any], mended: bool
) -> None:
    seen = []

    class Dependent(kt.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            hp = trial.hyperparameters
            top = hp.Int("top", 1, 50)
            seen.append((top, hp.Int("below", 0, top)))
            return 0.0

    Dependent(objective="val_loss", max_trials=12, seed=2, **project).search(verbose=0)
    assert all(0 <= below <= top for top, below in seen)
    assert (max(below for _, below in seen) > 1) is mended
