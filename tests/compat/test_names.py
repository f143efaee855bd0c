"""Every public name of Keras Tuner 1.4.8, with its parameters in their order and defaults."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import afina as kt

EMPTY = inspect.Parameter.empty

RETRIES = {"max_retries_per_trial": 0, "max_consecutive_failed_trials": 3}
TUNER_TAIL = {
    "seed": None,
    "hyperparameters": None,
    "tune_new_entries": True,
    "allow_new_entries": True,
    **RETRIES,
}
ORACLE_TAIL = {
    "seed": None,
    "hyperparameters": None,
    "allow_new_entries": True,
    "tune_new_entries": True,
    **RETRIES,
}
CONDITION = {"parent_name": None, "parent_values": None}
NUMBER = {"step": None, "sampling": "linear", "default": None}

CONSTRUCTORS: dict[str, dict[str, Any]] = {
    "HyperModel": {"name": None, "tunable": True},
    "HyperParameters": {},
    "Objective": {"name": EMPTY, "direction": EMPTY},
    "Oracle": {
        "objective": None,
        "max_trials": None,
        "hyperparameters": None,
        "allow_new_entries": True,
        "tune_new_entries": True,
        "seed": None,
        **RETRIES,
    },
    "Tuner": {
        "oracle": EMPTY,
        "hypermodel": None,
        "max_model_size": None,
        "optimizer": None,
        "loss": None,
        "metrics": None,
        "distribution_strategy": None,
        "directory": None,
        "project_name": None,
        "logger": None,
        "tuner_id": None,
        "overwrite": False,
        "executions_per_trial": 1,
        "**": "kwargs",
    },
    "RandomSearch": {
        "hypermodel": None,
        "objective": None,
        "max_trials": 10,
        **TUNER_TAIL,
        "**": "kwargs",
    },
    "GridSearch": {
        "hypermodel": None,
        "objective": None,
        "max_trials": None,
        **TUNER_TAIL,
        "**": "kwargs",
    },
    "BayesianOptimization": {
        "hypermodel": None,
        "objective": None,
        "max_trials": 10,
        "num_initial_points": None,
        "alpha": 1e-4,
        "beta": 2.6,
        **TUNER_TAIL,
        "**": "kwargs",
    },
    "Hyperband": {
        "hypermodel": None,
        "objective": None,
        "max_epochs": 100,
        "factor": 3,
        "hyperband_iterations": 1,
        **TUNER_TAIL,
        "**": "kwargs",
    },
    "SklearnTuner": {
        "oracle": EMPTY,
        "hypermodel": EMPTY,
        "scoring": None,
        "metrics": None,
        "cv": None,
        "**": "kwargs",
    },
    "oracles.RandomSearchOracle": {"objective": None, "max_trials": 10, **ORACLE_TAIL},
    "oracles.GridSearchOracle": {"objective": None, "max_trials": None, **ORACLE_TAIL},
    "oracles.BayesianOptimizationOracle": {
        "objective": None,
        "max_trials": 10,
        "num_initial_points": None,
        "alpha": 1e-4,
        "beta": 2.6,
        **ORACLE_TAIL,
    },
    "oracles.HyperbandOracle": {
        "objective": None,
        "max_epochs": 100,
        "factor": 3,
        "hyperband_iterations": 1,
        **ORACLE_TAIL,
    },
    "engine.base_tuner.BaseTuner": {
        "oracle": EMPTY,
        "hypermodel": None,
        "directory": None,
        "project_name": None,
        "overwrite": False,
        "**": "kwargs",
    },
    "engine.trial.Trial": {
        "hyperparameters": EMPTY,
        "trial_id": None,
        "status": "RUNNING",
        "message": None,
    },
    "engine.hyperparameters.Int": {
        "name": EMPTY,
        "min_value": EMPTY,
        "max_value": EMPTY,
        **NUMBER,
        "**": "kwargs",
    },
    "engine.hyperparameters.Float": {
        "name": EMPTY,
        "min_value": EMPTY,
        "max_value": EMPTY,
        **NUMBER,
        "**": "kwargs",
    },
    "engine.hyperparameters.Choice": {
        "name": EMPTY,
        "values": EMPTY,
        "ordered": None,
        "default": None,
        "**": "kwargs",
    },
    "engine.hyperparameters.Boolean": {"name": EMPTY, "default": False, "**": "kwargs"},
    "engine.hyperparameters.Fixed": {"name": EMPTY, "value": EMPTY, "**": "kwargs"},
    "applications.HyperResNet": {
        "include_top": True,
        "input_shape": None,
        "input_tensor": None,
        "classes": None,
        "**": "kwargs",
    },
    "applications.HyperXception": {
        "include_top": True,
        "input_shape": None,
        "input_tensor": None,
        "classes": None,
        "**": "kwargs",
    },
    "applications.HyperEfficientNet": {
        "input_shape": None,
        "input_tensor": None,
        "classes": None,
        "augmentation_model": None,
        "**": "kwargs",
    },
    "applications.HyperImageAugment": {
        "input_shape": None,
        "input_tensor": None,
        "rotate": 0.5,
        "translate_x": 0.4,
        "translate_y": 0.4,
        "contrast": 0.3,
        "augment_layers": 3,
        "**": "kwargs",
    },
}

METHODS: dict[str, dict[str, Any]] = {
    "HyperModel.build": {"hp": EMPTY},
    "HyperModel.fit": {"hp": EMPTY, "model": EMPTY, "*": "args", "**": "kwargs"},
    "HyperModel.declare_hyperparameters": {"hp": EMPTY},
    "HyperParameters.Int": {
        "name": EMPTY,
        "min_value": EMPTY,
        "max_value": EMPTY,
        **NUMBER,
        **CONDITION,
    },
    "HyperParameters.Float": {
        "name": EMPTY,
        "min_value": EMPTY,
        "max_value": EMPTY,
        **NUMBER,
        **CONDITION,
    },
    "HyperParameters.Choice": {
        "name": EMPTY,
        "values": EMPTY,
        "ordered": None,
        "default": None,
        **CONDITION,
    },
    "HyperParameters.Boolean": {"name": EMPTY, "default": False, **CONDITION},
    "HyperParameters.Fixed": {"name": EMPTY, "value": EMPTY, **CONDITION},
    "HyperParameters.name_scope": {"name": EMPTY},
    "HyperParameters.conditional_scope": {"parent_name": EMPTY, "parent_values": EMPTY},
    "HyperParameters.get": {"name": EMPTY},
    "HyperParameters.is_active": {"hyperparameter": EMPTY},
    "HyperParameters.merge": {"hps": EMPTY, "overwrite": True},
    "HyperParameters.copy": {},
    "HyperParameters.get_config": {},
    "HyperParameters.ensure_active_values": {},
    "Objective.has_value": {"logs": EMPTY},
    "Objective.get_value": {"logs": EMPTY},
    "Objective.better_than": {"a": EMPTY, "b": EMPTY},
    "Oracle.populate_space": {"trial_id": EMPTY},
    "Oracle.score_trial": {"trial": EMPTY},
    "Oracle.get_space": {},
    "Oracle.update_space": {"hyperparameters": EMPTY},
    "Oracle.get_trial": {"trial_id": EMPTY},
    "Oracle.get_best_trials": {"num_trials": 1},
    "Oracle.remaining_trials": {},
    "Oracle.get_state": {},
    "Oracle.set_state": {"state": EMPTY},
    "Oracle.save": {},
    "Oracle.reload": {},
    "Tuner.run_trial": {"trial": EMPTY, "*": "args", "**": "kwargs"},
    "Tuner.search": {"*": "fit_args", "**": "fit_kwargs"},
    "Tuner.load_model": {"trial": EMPTY},
    "Tuner.on_batch_begin": {"trial": EMPTY, "model": EMPTY, "batch": EMPTY, "logs": EMPTY},
    "Tuner.on_batch_end": {"trial": EMPTY, "model": EMPTY, "batch": EMPTY, "logs": None},
    "Tuner.on_epoch_begin": {"trial": EMPTY, "model": EMPTY, "epoch": EMPTY, "logs": None},
    "Tuner.on_epoch_end": {"trial": EMPTY, "model": EMPTY, "epoch": EMPTY, "logs": None},
    "Tuner.on_trial_begin": {"trial": EMPTY},
    "Tuner.on_trial_end": {"trial": EMPTY},
    "Tuner.on_search_begin": {},
    "Tuner.on_search_end": {},
    "Tuner.pre_create_trial": {},
    "Tuner.get_best_models": {"num_models": 1},
    "Tuner.get_best_hyperparameters": {"num_trials": 1},
    "Tuner.search_space_summary": {"extended": False},
    "Tuner.results_summary": {"num_trials": 10},
    "Tuner.get_trial_dir": {"trial_id": EMPTY},
    "Tuner.save": {},
    "Tuner.reload": {},
    "engine.base_tuner.BaseTuner.save_model": {"trial_id": EMPTY, "model": EMPTY, "step": 0},
    "SklearnTuner.search": {"X": EMPTY, "y": EMPTY, "sample_weight": None, "groups": None},
    "SklearnTuner.run_trial": {
        "trial": EMPTY,
        "X": EMPTY,
        "y": EMPTY,
        "sample_weight": None,
        "groups": None,
    },
    "engine.metrics_tracking.infer_metric_direction": {"metric": EMPTY},
    "engine.tuner.maybe_distribute": {"distribution_strategy": EMPTY},
}


def lookup(path: str) -> Any:
    found: Any = kt
    for part in path.split("."):
        found = getattr(found, part)
    return found


def parameters(function: Any, bound: bool) -> dict[str, Any]:
    """Name to default; `*args` and `**kwargs` as "*" and "**" to their names."""
    found: dict[str, Any] = {}
    for parameter in list(inspect.signature(function).parameters.values())[bound:]:
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            found["*"] = parameter.name
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            found["**"] = parameter.name
        else:
            found[parameter.name] = parameter.default
    return found


def without_names(found: dict[str, Any]) -> list[tuple[str, Any]]:
    """What callers can see of a signature: not what `*args` and `**kwargs` are called."""
    return [(key, None if key.startswith("*") else value) for key, value in found.items()]


@pytest.mark.parametrize("path", CONSTRUCTORS)
def test_constructors_take_the_same_parameters_in_the_same_order(path: str) -> None:
    found = parameters(lookup(path).__init__, bound=True)
    assert without_names(found) == without_names(CONSTRUCTORS[path])


@pytest.mark.parametrize("path", METHODS)
def test_methods_take_the_same_parameters_in_the_same_order(path: str) -> None:
    owner = lookup(path.rpartition(".")[0]) if "." in path else None
    found = parameters(lookup(path), bound=inspect.isclass(owner))
    found.pop("self", None)
    # More keyword options at the end would be harmless to callers; other changes would not be.
    expected = without_names(METHODS[path])
    assert without_names(found)[: len(expected)] == expected
    assert all(default is not EMPTY for _, default in without_names(found)[len(expected) :])
