import copy
import pickle

import numpy as np
import pytest

from afina.errors import ConstraintError, SpaceError, SpaceTypeError
from afina.space import (
    Boolean,
    Choice,
    Constraint,
    Float,
    HyperParameters,
    Int,
    Parent,
    Space,
    SpaceWarning,
)

RISING = Constraint(lambda v: v["a"] < v["b"])


def spaces():
    """Rules of several kinds, each over a space of its own kind."""
    numbers = (Int("a", 1, 40), Int("b", 1, 40))
    real = (Float("x", 1e-4, 1.0, sampling="log"), Float("y", 0.0, 1.0), Boolean("z"))
    tied = (Int("a", 1, 1000, default=1), Int("b", 1, 1000, default=1))
    mixed = (Choice("kind", ["p", "q", "r"]), Int("size", 8, 256, step=2, sampling="log"))
    below = (Boolean("deep"), Int("a", 1, 9), Int("b", 1, 9, conditions=[Parent("deep", True)]))
    return {
        "whole numbers": Space(numbers, (RISING,)),
        "real numbers": Space(real, (Constraint(lambda v: v["x"] + v["y"] > 1.5 * v["z"]),)),
        "a tight rule": Space(tied, (Constraint(lambda v: abs(v["a"] + v["b"] - 900) < 4),)),
        "a choice": Space(mixed, (Constraint(lambda v: v["kind"] == "r" or v["size"] >= 128),)),
        "two rules": Space(numbers, (RISING, Constraint(lambda v: v["a"] * v["b"] <= 64))),
        "a conditional one": Space(below, (RISING,)),
    }


@pytest.mark.parametrize("kind", spaces())
def test_a_sample_and_a_repaired_configuration_satisfy_the_rules(kind):
    space, rng = spaces()[kind], np.random.default_rng(0)
    for _ in range(20):
        assert space.allows(space.sample(rng))
        drawn = space.draw(rng)
        repaired = space.repaired(drawn)
        assert repaired is not None
        assert space.allows(repaired)
        assert all(entry.contains(repaired[entry.name]) for entry in space.active(repaired))
        assert repaired == drawn or not space.allows(drawn)


def test_a_repair_changes_as_little_as_it_can():
    space = Space((Int("a", 1, 40), Int("b", 1, 40), Float("c", 0.0, 1.0)), (RISING,))
    assert space.repaired({"a": 7, "b": 7, "c": 0.3}) in (
        {"a": 6, "b": 7, "c": 0.3},
        {"a": 7, "b": 8, "c": 0.3},
    )
    near = Space((Float("c", 0.0, 1.0),), (Constraint(lambda v: v["c"] >= 0.371),))
    assert near.repaired({"c": 0.1})["c"] == pytest.approx(0.371, abs=1e-3)


def test_what_no_configuration_satisfies_has_no_repair():
    space = Space((Int("a", 1, 4), Int("b", 1, 4)), (Constraint(lambda v: v["a"] > 4),))
    assert space.repaired({"a": 1, "b": 1}) is None


def test_a_rule_about_an_inactive_hyperparameter_does_not_apply():
    assert RISING.holds({"a": 5})
    assert not RISING.holds({"a": 5, "b": 5})


def test_a_rule_in_a_conditional_scope_applies_while_the_scope_is_active():
    hp = HyperParameters()
    hp.Boolean("deep")
    hp.Int("a", 1, 9)
    with hp.conditional_scope("deep", [True]):
        hp.constraint(lambda v: v["a"] >= 3)
    space = hp.to_space()
    assert space.allows({"deep": False, "a": 1})
    assert not space.allows({"deep": True, "a": 1})


def test_a_rule_in_a_name_scope_may_use_short_names():
    hp = HyperParameters()
    with hp.name_scope("head"):
        hp.Int("a", 1, 9)
        hp.constraint(lambda v: v["a"] >= 3)
    assert not hp.to_space().allows({"head/a": 1})
    assert hp.to_space().allows({"head/a": 3})


def test_each_build_registers_the_same_rule_once_and_rules_of_a_loop_apart():
    hp = HyperParameters()
    for _ in range(3):
        hp.start_build()
        for layer in range(3):
            hp.Int(f"units{layer}", 1, 9)
        for layer in range(2):
            hp.constraint(lambda v, n=layer: v[f"units{n}"] >= v[f"units{n + 1}"])
    assert len(hp.constraints) == 2
    assert not hp.to_space().allows({"units0": 5, "units1": 4, "units2": 9})


def test_a_misspelt_name_is_told():
    hp = HyperParameters()
    hp.Int("units", 1, 9)
    with pytest.warns(SpaceWarning, match="'unit' that is not defined before"):
        hp.constraint(lambda v: v["unit"] > 3)


@pytest.mark.parametrize(
    ("check", "error", "says"),
    [
        (lambda v: None, SpaceTypeError, "Did you forget `return`"),
        (lambda v: v["a"] + "x", SpaceError, "must return True or False for every configuration"),
        ("a < b", SpaceTypeError, "must be a function"),
    ],
)
def test_a_wrong_rule_is_refused_with_a_sentence(check, error, says):
    hp = HyperParameters()
    hp.Int("a", 1, 9)
    with pytest.raises(error, match=says):
        hp.constraint(check)


def test_a_build_by_hand_only_registers_and_a_trial_is_refused():
    def build(hp):
        hp.Int("a", 1, 9)
        hp.constraint(lambda v: v["a"] > 3, name="large a")

    hp = HyperParameters()
    build(hp)
    trial = HyperParameters.for_trial(hp, {"a": 2})
    build(trial)
    trial.enforce_constraints()
    with pytest.raises(ConstraintError, match=r"large a: must hold, but got \{'a': 2\}"):
        build(trial)


def test_what_travels_or_is_stored_leaves_the_function_behind():
    hp = HyperParameters()
    hp.Int("a", 1, 9)
    hp.constraint(lambda v: v["a"] > 3, name="large a")
    there = pickle.loads(pickle.dumps(hp))
    assert [rule.name for rule in there.constraints] == ["large a"]
    assert there.to_space().allows({"a": 1})
    assert not copy.deepcopy(hp).to_space().allows({"a": 1})
    assert HyperParameters.from_config(hp.get_config()).constraints == ()


def test_a_choice_of_objects_returns_the_object_and_keeps_its_name():
    losses = {"squared": object(), "absolute": object(), "none": None}
    hp = HyperParameters()
    assert hp.Choice("loss", losses) is losses["squared"]
    assert hp.values == {"loss": "squared"}
    assert hp.space[0].values == ["squared", "absolute", "none"]
    hp.values["loss"] = "none"
    assert hp.Choice("loss", losses) is None
    hp.values["loss"] = "absolute"
    assert hp.Choice("loss", losses) is losses["absolute"]
    assert hp["loss"] == "absolute"


def test_an_inactive_choice_of_objects_is_none():
    hp = HyperParameters()
    hp.Boolean("own")
    assert hp.Choice("loss", {"a": 1}, parent_name="own", parent_values=[True]) is None


def test_a_preset_of_names_that_the_mapping_does_not_have_is_refused():
    hp = HyperParameters()
    hp.Choice("loss", ["hinge"])
    hp.bind()
    with pytest.raises(SpaceError, match=r"loss: must be one of the names \['mse'\]"):
        hp.Choice("loss", {"mse": 1})
