"""Keyword options of the tuners: typed for editors, named by help(), and checked when run."""

from __future__ import annotations

import inspect
import pydoc
from pathlib import Path
from typing import Any, Unpack, get_args, get_origin, get_type_hints

import pytest

import afina as kt
from afina.engine.base_tuner import BaseTuner
from afina.errors import ArgumentError
from afina.tuners.options import ProjectOptions, TrainingOptions, TunerOptions

KERAS_TUNERS = [
    kt.RandomSearch,
    kt.GridSearch,
    kt.BayesianOptimization,
    kt.Hyperband,
    kt.AutoTuner,
]


def options(tuner: Any) -> Any:
    """The TypedDict of a constructor's `**kwargs`."""
    hint = get_type_hints(tuner.__init__)["kwargs"]
    assert get_origin(hint) is Unpack
    return get_args(hint)[0]


@pytest.mark.parametrize("tuner", KERAS_TUNERS)
def test_each_keras_tuner_types_the_options_of_all(tuner: Any) -> None:
    assert options(tuner) is TunerOptions


def test_the_other_tuners_type_what_they_take() -> None:
    assert options(kt.Tuner) is TrainingOptions
    assert options(kt.SklearnTuner) is ProjectOptions
    names = {"tuner_id", "logger", "store", "storage", "executor"}
    names |= {"trial_timeout", "learn_from", "listeners"}
    assert set(options(BaseTuner).__annotations__) == names


@pytest.mark.parametrize("tuner", KERAS_TUNERS)
def test_help_names_every_option(tuner: Any) -> None:
    text = pydoc.plain(pydoc.render_doc(tuner))
    assert all(name in text for name in TunerOptions.__annotations__)
    assert all(name in inspect.getdoc(tuner) for name in TunerOptions.__annotations__)


def test_the_typed_options_are_those_that_tuner_takes() -> None:
    parameters = set(inspect.signature(kt.Tuner.__init__).parameters)
    parameters -= {"self", "oracle", "hypermodel", "kwargs"}
    assert parameters | set(TrainingOptions.__annotations__) == set(TunerOptions.__annotations__)


class Toy(kt.RandomSearch):  # type: ignore[misc]
    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
        return 1.0


DEFAULTS: dict[str, Any] = {
    "keep_checkpoints": 10,
    "training": "auto",
    "train_on": None,
    "workers": "auto",
    "group_trials": "auto",
    "narrow": None,
    "sparse_inputs": True,
    "materialize": "auto",
    "max_model_size": None,
    "optimizer": None,
    "loss": None,
    "metrics": None,
    "distribution_strategy": None,
    "executions_per_trial": 1,
    "cv": None,
    "project_name": None,
    "overwrite": False,
    "store": None,
    "storage": None,
    "executor": None,
    "trial_timeout": None,
    "checkpoint_every": 300,
    "halve_batch_on_oom": False,
    "learn_from": None,
    "listeners": None,
    "tuner_id": None,
    "logger": None,
}


def test_every_typed_option_is_taken_when_run(tmp_path: Path) -> None:
    assert set(DEFAULTS) | {"directory"} == set(TunerOptions.__annotations__)
    Toy(directory=tmp_path, **DEFAULTS)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("keep_checkpoint", "Did you mean keep_checkpoints?"),
        ("projet_name", "Did you mean project_name?"),
        ("max_trial", "Did you mean max_trials?"),
        ("quux", r"\]\.$"),
    ],
)
def test_an_unknown_option_is_refused_with_the_nearest_one(
    tmp_path: Path, name: str, told: str
) -> None:
    with pytest.raises(ArgumentError, match=f"Unrecognized arguments .*{name}.*{told}"):
        Toy(directory=tmp_path, **{name: 3})


def test_a_tuner_without_training_does_not_advise_options_of_training(tmp_path: Path) -> None:
    class Own(BaseTuner):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            return 1.0

    with pytest.raises(ArgumentError, match=r"Unrecognized arguments \['workers'\]\.$"):
        Own(kt.Oracle("loss"), directory=tmp_path, workers=2)


def test_hyperband_says_what_limits_it_instead_of_max_trials(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"no max_trials: hyperband_iterations and max_epochs"):
        kt.Hyperband(lambda hp: None, "val_loss", max_trials=4, directory=tmp_path)


def test_an_argument_of_search_is_sent_there(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"\['epochs', 'max_epochs'\]\. Pass epochs= to search"):
        kt.GridSearch(lambda hp: None, "val_loss", epochs=3, max_epochs=3, directory=tmp_path)
