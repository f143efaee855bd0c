"""`help`, completion and hover: each argument is explained on the class that users construct."""

import inspect
import re

import pytest

import afina as kt
from afina import oracles, tuners
from afina.tuners.documented import DEFAULTS
from afina.tuners.options import TunerOptions

CLASSES = [each for name in tuners.__all__ if isinstance(each := getattr(tuners, name), type)]
CLASSES += [each for name, each in vars(oracles).items() if name.endswith("Oracle")]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_each_argument_has_its_own_words_where_the_user_is(cls):
    names = [name for name in inspect.signature(cls).parameters if name != "self"]
    assert "kwargs" not in names
    explained = dict(re.findall(r"^    (\w+): (.*)", cls.__doc__.split("Args:\n")[1], re.MULTILINE))
    assert [name for name in names if name not in explained] == []
    assert [name for name, text in explained.items() if text.startswith(("See ", "Not d"))] == []


@pytest.mark.parametrize("cls", [kt.RandomSearch, kt.Hyperband, kt.AutoTuner, kt.GridSearch])
def test_the_signature_shows_every_option_by_name(cls):
    assert set(TunerOptions.__annotations__) <= set(inspect.signature(cls).parameters)


def test_the_defaults_that_the_signature_shows_are_those_that_count(tmp_path):
    tuner = kt.RandomSearch(lambda hp: None, objective="loss", directory=tmp_path)
    for name in ("keep_checkpoints", "training", "workers", "group_trials", "materialize"):
        assert getattr(tuner, name) == DEFAULTS[name], name
    assert tuner.executions_per_trial == DEFAULTS["executions_per_trial"]
    assert tuner.halve_batch_on_oom == DEFAULTS["halve_batch_on_oom"]
    given = kt.RandomSearch(lambda hp: None, objective="loss", directory=tmp_path, **DEFAULTS)
    assert given.checkpoint_every == tuner.checkpoint_every


def test_a_subclass_shows_its_own_arguments():
    class Mine(kt.Hyperband):
        def __init__(self, depth):
            super().__init__(None, "loss")

    class Same(kt.Hyperband):
        pass

    assert list(inspect.signature(Mine).parameters) == ["depth"]
    assert "directory" in inspect.signature(Same).parameters
