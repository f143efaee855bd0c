"""What users say of good values: `prior=` and `role=`."""

import pytest

from afina.errors import SpaceError, SpaceTypeError
from afina.space import Boolean, Choice, Float, HyperParameters, Int, deserialize, serialize
from afina.space.definitions import hull
from afina.space.roles import role_of


def test_hyperparameters_keep_priors_and_roles_with_the_space():
    hp = HyperParameters()
    hp.Float("rate", 1e-5, 1e-1, sampling="log", prior=(1e-3, 3), role="learning_rate")
    hp.Int("units", 8, 64, prior=32)
    hp.Choice("kind", ["a", "b"], prior={"a": 3})
    hp.Boolean("norm", prior={True: 2})
    again = HyperParameters.from_config(hp.get_config())
    assert again == hp
    rate, units, kind, norm = again.space
    assert rate.prior == (1e-3, 3.0)
    assert rate.role == "learning_rate"
    assert units.prior == (32.0, None)
    assert kind.prior == (("a", 3.0),)
    assert norm.prior == ((True, 2.0),)


def test_a_config_without_beliefs_is_as_it_was():
    for entry in (Float("x", 0.0, 1.0), Choice("c", [1, 2]), Boolean("b"), Int("n", 1, 2)):
        assert not {"prior", "role"} & entry.get_config().keys()


def test_entries_that_differ_in_a_belief_are_not_equal():
    assert Float("x", 0.0, 1.0) != Float("x", 0.0, 1.0, prior=0.5)
    assert Float("x", 0.0, 1.0, role="dropout") != Float("x", 0.0, 1.0)


def test_beliefs_survive_a_change_of_the_range():
    wide = hull(Int("n", 1, 4, prior=2, role="depth"), Int("n", 2, 9))
    assert wide.max_value == 9
    assert (wide.prior, wide.role) == ((2.0, None), "depth")
    config = Choice("c", ["a", "b", "c"], prior={"a": 2, "c": 3}).get_config()
    fewer = Choice.from_config({**config, "values": ["a", "b"]})
    assert fewer.prior == (("a", 2.0),)
    entry = Float("x", 1e-3, 1.0, sampling="log", prior=(0.1, 2))
    assert deserialize(serialize(entry)) == entry


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Float("x", 0, 1, prior="high"), SpaceTypeError, "a good value, or a pair"),
        (lambda: Float("x", 0, 1, prior=(0.5, 0.1, 3)), SpaceTypeError, "a pair"),
        (lambda: Float("x", 0, 1, prior=(0.5, 0)), SpaceError, "a distance above 0"),
        (lambda: Float("x", 1, 9, sampling="log", prior=(2, 0.5)), SpaceError, "a factor above 1"),
        (lambda: Float("x", 1, 9, sampling="log", prior=-1), SpaceError, "above 0"),
        (lambda: Choice("c", ["a"], prior={"b": 2}), SpaceError, "must name values"),
        (lambda: Choice("c", ["a", "b"], prior={"a": 0}), SpaceError, "must be above 0"),
        (lambda: Choice("c", ["a", "b"], prior=[1]), SpaceTypeError, "list a weight for each"),
        (lambda: Choice("c", ["a", "b"], prior={"a": "much"}), SpaceTypeError, "map values"),
        (lambda: Boolean("b", prior=True), SpaceTypeError, "map values"),
        (lambda: Int("n", 1, 2, role="lr"), SpaceError, "role must be one of"),
    ],
)
def test_a_wrong_prior_or_role_ends_in_a_sentence(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize(
    ("entry", "role"),
    [
        (Float("learning_rate", 1e-4, 1e-1, sampling="log"), "learning_rate"),
        (Float("adam/lr", 1e-4, 1e-1, sampling="log"), "learning_rate"),
        (Choice("init_lr", [1e-3, 1e-2]), "learning_rate"),
        (Int("batch_size", 8, 256, sampling="log"), "batch_size"),
        (Int("units_3", 8, 512), "width"),
        (Int("num_layers", 1, 5), "depth"),
        (Int("depth", 1, 5), None),  # of a tree?
        (Float("l2", 1e-8, 1e-1, sampling="log"), "weight_decay"),
        (Float("l1_reg", 1e-8, 1e-1, sampling="log"), "weight_decay"),
        (Float("beta_1", 0.5, 0.99), "momentum"),
        (Float("dropout_1", 0.0, 0.8), "dropout"),
        (Float("weight_decay", 1e-6, 1e-2, sampling="log"), "weight_decay"),
        (Float("momentum", 0.0, 0.99), "momentum"),
        (Float("lr_decay", 0.0, 1.0), None),
        (Float("alpha", 0.0, 1.0), None),
        (Float("dropout", 0.0, 50.0), None),
        (Choice("units", ["cm", "inch"]), None),
        (Boolean("dropout"), None),
        (Float("x", 0.0, 1.0, role="dropout"), "dropout"),
    ],
)
def test_a_role_is_read_from_name_and_range(entry, role):
    assert role_of(entry) == role
