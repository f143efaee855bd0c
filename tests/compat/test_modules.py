"""The modules and aliases through which public code reaches Keras Tuner's names."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import keras
import pytest

import afina as kt

EXPORTS = {
    "tuners": "Tuner RandomSearch GridSearch BayesianOptimization Hyperband SklearnTuner",
    "oracles": "RandomSearchOracle GridSearchOracle BayesianOptimizationOracle HyperbandOracle",
    "applications": "HyperResNet HyperXception HyperEfficientNet HyperImageAugment",
    "errors": "FailedTrialError FatalError FatalValueError FatalTypeError FatalRuntimeError",
    "engine.base_tuner": "BaseTuner",
    "engine.conditions": "Condition Parent",
    "engine.hypermodel": "DefaultHyperModel HyperModel get_hypermodel",
    "engine.hyperparameters": "HyperParameter HyperParameters Boolean Choice Fixed Float Int "
    "serialize deserialize",
    "engine.hyperparameters.hp_types": "Boolean Choice Fixed Float Int serialize deserialize",
    "engine.metrics_tracking": "infer_metric_direction MetricsTracker MetricHistory "
    "MetricObservation",
    "engine.oracle": "Objective Oracle synchronized",
    "engine.trial": "Trial TrialStatus",
    "engine.tuner": "Tuner maybe_distribute",
    "engine.tuner_utils": "TunerCallback",
}


@pytest.mark.parametrize("module", EXPORTS)
def test_each_module_imports_by_its_own_path_and_holds_its_names(module: str) -> None:
    imported = importlib.import_module(f"afina.{module}")
    missing = [name for name in EXPORTS[module].split() if not hasattr(imported, name)]
    assert missing == []


@pytest.mark.parametrize("module", EXPORTS)
def test_each_module_is_also_an_attribute_of_the_package(module: str) -> None:
    found: Any = kt
    for part in module.split("."):
        found = getattr(found, part)
    assert inspect.ismodule(found)
    assert all(hasattr(found, name) for name in EXPORTS[module].split())


def test_submodules_import_with_from() -> None:
    from afina.engine import (
        base_tuner,
        hypermodel,
        hyperparameters,
        metrics_tracking,
        oracle,
        trial,
        tuner,
        tuner_utils,
    )
    from afina.engine.hyperparameters import HyperParameters
    from afina.tuners import BayesianOptimization, Hyperband, RandomSearch

    assert issubclass(tuner.Tuner, base_tuner.BaseTuner)
    assert hypermodel.HyperModel is kt.HyperModel
    assert hyperparameters.HyperParameters is HyperParameters is kt.HyperParameters
    assert oracle.Oracle is kt.Oracle
    assert oracle.Objective is kt.Objective
    assert trial.TrialStatus.COMPLETED == "COMPLETED"
    assert callable(metrics_tracking.infer_metric_direction)
    assert callable(tuner_utils.TunerCallback)
    assert (RandomSearch, BayesianOptimization, Hyperband) == (
        kt.RandomSearch,
        kt.BayesianOptimization,
        kt.Hyperband,
    )


def test_a_function_becomes_a_hypermodel_and_a_hypermodel_stays_one() -> None:
    from afina.engine.hypermodel import DefaultHyperModel, get_hypermodel

    made = get_hypermodel(lambda hp: hp.Int("n", 1, 5))
    assert isinstance(made, DefaultHyperModel)
    assert made.build(kt.HyperParameters()) == 1
    assert get_hypermodel(made) is made
    assert get_hypermodel(None) is None


@pytest.mark.parametrize("name", EXPORTS["tuners"].split())
def test_tuners_are_the_same_classes_at_both_addresses(name: str) -> None:
    assert getattr(kt.tuners, name) is getattr(kt, name)


def test_the_package_tells_its_version() -> None:
    assert [part.isdigit() for part in kt.__version__.split(".")[:2]] == [True, True]


def test_every_keras_tuner_is_a_tuner_and_every_tuner_a_base_tuner() -> None:
    base = kt.engine.base_tuner.BaseTuner
    for name in ("RandomSearch", "GridSearch", "BayesianOptimization", "Hyperband"):
        assert issubclass(getattr(kt, name), kt.Tuner)
        assert issubclass(getattr(kt.oracles, f"{name}Oracle"), kt.Oracle)
    assert issubclass(kt.Tuner, base)
    assert issubclass(kt.SklearnTuner, base)
    assert not issubclass(kt.SklearnTuner, kt.Tuner)


def test_definitions_share_one_base_class() -> None:
    definitions = kt.engine.hyperparameters
    for name in ("Boolean", "Choice", "Fixed", "Float", "Int"):
        assert issubclass(getattr(definitions, name), definitions.HyperParameter)


def test_fatal_errors_are_also_the_builtin_errors_of_their_names() -> None:
    errors = kt.errors
    assert issubclass(errors.FatalValueError, (errors.FatalError,))
    assert issubclass(errors.FatalValueError, ValueError)
    assert issubclass(errors.FatalTypeError, TypeError)
    assert issubclass(errors.FatalRuntimeError, RuntimeError)
    assert not issubclass(errors.FailedTrialError, errors.FatalError)


def test_applications_are_hypermodels() -> None:
    for name in EXPORTS["applications"].split():
        assert issubclass(getattr(kt.applications, name), kt.HyperModel)


def test_trial_statuses_are_plain_strings() -> None:
    status = kt.engine.trial.TrialStatus
    for name in ("RUNNING", "IDLE", "INVALID", "STOPPED", "COMPLETED", "FAILED"):
        assert getattr(status, name) == name


def test_maybe_distribute_without_a_strategy_does_nothing() -> None:
    with kt.engine.tuner.maybe_distribute(None):
        reached = True
    assert reached


def test_maybe_distribute_enters_the_scope_of_a_strategy() -> None:
    from contextlib import contextmanager

    entered = []

    class Strategy:
        @contextmanager
        def scope(self) -> Any:
            entered.append("in")
            yield
            entered.append("out")

    with kt.engine.tuner.maybe_distribute(Strategy()):
        assert entered == ["in"]
    assert entered == ["in", "out"]


@pytest.mark.afina_only
@pytest.mark.parametrize("name", ["RandomSearch", "BayesianOptimization", "Hyperband"])
def test_oracles_are_found_under_their_names_of_older_versions(name: str) -> None:
    assert getattr(kt.oracles, name) is getattr(kt.oracles, f"{name}Oracle")


@pytest.mark.afina_only
def test_tuners_of_older_versions_are_found() -> None:
    from afina.engine.multi_execution_tuner import MultiExecutionTuner

    assert kt.tuners.Sklearn is kt.SklearnTuner
    assert kt.HyperParameter is kt.engine.hyperparameters.HyperParameter
    assert issubclass(MultiExecutionTuner, kt.Tuner)
    assert kt.engine.multi_execution_tuner.MultiExecutionTuner is MultiExecutionTuner
    assert list(inspect.signature(MultiExecutionTuner.__init__).parameters)[1:3] == [
        "oracle",
        "hypermodel",
    ]


def test_programs_may_import_keras_from_where_their_editor_found_it(tmp_path: Path) -> None:
    backend = importlib.import_module("afina.src.backend")
    assert backend.keras.layers.Dense is keras.layers.Dense
    assert backend.ops.add is keras.ops.add
    assert importlib.import_module("afina.src.backend.keras").layers.Dense is keras.layers.Dense
    config = importlib.import_module("afina.src.backend.config")
    assert config.backend() == keras.backend.backend()
    assert config.multi_backend() is True
    io = importlib.import_module("afina.src.backend.io")
    io.makedirs(str(tmp_path / "made"))
    io.makedirs(str(tmp_path / "made"))
    assert io.glob(str(tmp_path / "*")) == [str(tmp_path / "made")]
    io.rmtree(str(tmp_path / "made"))
    assert not io.exists(str(tmp_path / "made"))
    assert io.tf is None or io.tf.__name__ == "tensorflow"
    assert importlib.import_module("afina.src.utils").to_list(1) == [1]


@pytest.mark.afina_only
def test_what_keras_tuner_hides_of_its_backend_hides_nothing_of_afina() -> None:
    assert importlib.import_module("afina.backend").BACKENDS == ("jax", "tensorflow", "torch")
    with pytest.raises(AttributeError, match="layers"):
        importlib.import_module("afina.src.backend").layers  # noqa: B018
    with pytest.raises(AttributeError, match="nothing"):
        importlib.import_module("afina.src.backend.io").nothing  # noqa: B018
