"""Keras Tuner's module path `engine.tuner_utils`: what copied bodies of `run_trial` call."""

from afina.tuners.copied_code import KerasTunerDisplay as Display
from afina.tuners.copied_code import (
    SaveBestEpoch,
    TunerCallback,
    TunerStats,
    average_histories,
    average_metrics_dicts,
    convert_hyperparams_to_hparams,
    convert_to_metrics_dict,
    get_best_step,
    get_max_epochs_and_steps,
    validate_trial_results,
)

__all__ = [
    "Display",
    "SaveBestEpoch",
    "TunerCallback",
    "TunerStats",
    "average_histories",
    "average_metrics_dicts",
    "convert_hyperparams_to_hparams",
    "convert_to_metrics_dict",
    "get_best_step",
    "get_max_epochs_and_steps",
    "validate_trial_results",
]
