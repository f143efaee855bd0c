"""Which of Keras Tuner's own tests fail on Afina, each with its kind and the reason.

    wording     the same error, of the same type, in other words
    protocol    gRPC and its messages, which docs/from-keras-tuner.md says are not there
    private     a private name that only tests use
    keras 3     fails on Keras 3 by itself, whichever tuner runs it
    intended    a difference that docs/from-keras-tuner.md names

A test that passes after all ends the run with a failure: take its line out.
"""

from __future__ import annotations

from collections.abc import Iterable

LEFT_OUT = {
    "distribute/oracle_chief_test.py": "protocol: the chief that answers other machines",
    "distribute/oracle_client_test.py": "protocol: the client of a chief",
    "distribute/utils_test.py": "protocol: the variables that make a process chief or worker",
    "engine/hyperparameters/hp_utils_test.py": "protocol: sampling in a message",
}
"""Files that cannot even be imported: they are about modules that Afina does not have."""

PROTO = "protocol: to_proto() and from_proto() are gone"
SET_MODEL = "keras 3: the mock model sets callback.model, which only set_model() can do now"
ENDING = "keras 3: a file of weights must be named *.weights.h5"
NOT_INSTALLED = "private: the test takes a library away from the module that imports it"


def _all(reason: str, file: str, names: str) -> dict[str, str]:
    return {f"{file}::{name}": reason for name in names.split()}


def _each(file: str, reasons: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {f"{file}::{name}": reason for name, reason in reasons}


_TYPES = "engine/hyperparameters/hp_types"

SLOW = "slow: trains a network of full size, which tests/applications do in small"
NO_OPTIMIZER = "keras 3: a model that is not compiled has no attribute optimizer"

TOO_SLOW = {
    **_all(
        SLOW,
        "applications/efficientnet_test.py",
        "test_model_construction[B0] test_model_construction[B1]",
    ),
    **_all(
        SLOW,
        "applications/resnet_test.py",
        "test_model_construction[v1] test_model_construction[v2] test_model_construction[next]",
    ),
    **_all(
        SLOW,
        "applications/xception_test.py",
        "test_model_construction[avg] test_model_construction[max] "
        "test_model_construction[flatten]",
    ),
    **_all(SLOW, "engine/tuner_test.py", "test_tunable_false_hypermodel"),
}
"""Tests that take minutes each: they are skipped."""

EVERYWHERE: dict[str, str] = {
    **_each(
        "applications/augment_test.py",
        [
            ("test_tf_version_too_low_error", "private: a module of an old TensorFlow"),
            ("test_input_requirement", "wording: either input_shape or input_tensor"),
            (
                "test_model_construction_factor_zero",
                "private: how many layers Keras sees; with none drawn, images stay",
            ),
            ("test_augment_layers_not_int", "wording: must be a whole number"),
            ("test_3_range_params_raise_error", "wording: must be a number or a pair of them"),
            (
                "test_contrast_range_receive_string_raise_error",
                "wording: must be a number or a pair of them",
            ),
        ],
    ),
    **_each(
        "applications/efficientnet_test.py",
        [
            ("test_tf_version_too_low_error", "private: a module of an old TensorFlow"),
            (
                "test_augmentation_param_fixed_model",
                "keras 3: a Sequential without layers cannot be built",
            ),
        ],
    ),
    **_all(NO_OPTIMIZER, "applications/resnet_test.py", "test_include_top_false"),
    **_all(NO_OPTIMIZER, "applications/xception_test.py", "test_include_top_false"),
    **_all(
        PROTO,
        "engine/conditions_test.py",
        "test_from_proto_error test_int_to_from_proto test_float_to_from_proto "
        "test_bool_to_from_proto",
    ),
    **_all(PROTO, f"{_TYPES}/choice_hp_test.py", "test_choice_proto"),
    **_all(PROTO, f"{_TYPES}/float_hp_test.py", "test_float_proto"),
    **_all(PROTO, f"{_TYPES}/int_hp_test.py", "test_int_proto"),
    **_all(
        PROTO,
        "engine/hyperparameters/hyperparameters_test.py",
        "test_to_proto_unrecognized_hp_type test_to_proto_unrecognized_value_type "
        "test_hyperparameters_proto test_hyperparameters_values_proto",
    ),
    **_all(
        PROTO,
        "engine/metrics_tracking_test.py",
        "test_metricobservation_proto test_metrichistory_proto test_metricstracker_proto",
    ),
    **_all(PROTO, "engine/trial_test.py", "test_trial_proto test_trial_status_proto"),
    **_each(
        "engine/conditions_test.py",
        [
            (
                "test_unknown_condition_values_error",
                "intended: a Choice may hold None, so a condition may ask for it",
            ),
        ],
    ),
    **_each(
        f"{_TYPES}/boolean_hp_test.py", [("test_boolean", "wording: default must be True or False")]
    ),
    **_each(
        f"{_TYPES}/choice_hp_test.py",
        [
            ("test_choice", "wording: default must be one of [1, 2, 3]"),
            ("test_choice_ordered_invalid", "wording: ordered=True needs values that are numbers"),
            ("test_choice_types", "wording: values must be of one kind"),
            ("test_choice_value_not_provided_error", "wording: values must contain at least one"),
        ],
    ),
    **_each(
        f"{_TYPES}/int_hp_test.py",
        [
            ("test_int_sampling_arg", "wording: min_value must not exceed max_value"),
            ("test_int_raise_error_with_float_min_value", "wording: must be a whole number"),
        ],
    ),
    **_each(
        f"{_TYPES}/fixed_hp_test.py",
        [("test_fixed", "wording: value must be a number, a text or a boolean")],
    ),
    **_each(
        "engine/hyperparameters/hyperparameters_test.py",
        [
            ("test_build_with_conditional_scope", "keras 3: Input(10) is no shape any more"),
            ("test_error_when_hp_same_name_as_condition", "wording: must not be its own parent"),
        ],
    ),
    **_each(
        "engine/objective_test.py",
        [
            (
                "test_unknown_objective_type_error",
                "wording: must be a metric's name, an Objective, or a list of them",
            )
        ],
    ),
    **_all(
        SET_MODEL,
        "engine/tuner_test.py",
        "test_tuning_correctness test_hypermodel_fit_return_a_dict "
        "test_hypermodel_fit_return_a_float test_hypermodel_fit_return_an_int",
    ),
    **_each(
        "engine/tuner_test.py",
        [
            ("test_run_trial_return_string", "wording: must return a number, a dict ..."),
            ("test_fit_return_string", "wording: must return a number, a dict ..."),
            ("test_no_objective_fit_return_not_float", "wording: must return a single number"),
            (
                "test_no_objective_run_trial_return_not_float",
                "wording: must return a single number",
            ),
            ("test_callbacks_in_fit_kwargs", "private: the classes of the tuner's own callbacks"),
            ("test_override_compile", "keras 3: a metric has no _fn"),
            ("test_reloading_error_message", "wording: Pass overwrite=True, without backticks"),
            (
                "test_run_trial_return_none_with_update_trial",
                "wording: the same DeprecationWarning says to return the metrics instead",
            ),
            ("test_tuner_errors", "wording: oracle must be an Oracle"),
            ("test_correct_display_trial_number", "private: the display that a tuner holds"),
            ("test_build_did_not_return_keras_model", "wording: build(hp) must return a model"),
            (
                "test_callback_cannot_be_deep_copied",
                "intended: a callback that cannot be copied is shared, and a module is none",
            ),
        ],
    ),
    **_all(
        ENDING,
        "engine/tuner_utils_test.py",
        "test_save_best_epoch_with_single_objective test_save_best_epoch_with_multi_objective "
        "test_save_best_epoch_with_default_objective",
    ),
    **_each(
        "engine/tuner_utils_test.py",
        [
            (
                "test_convert_to_metrics_with_dict_without_obj_key",
                "wording: must return a dict with the objective",
            ),
        ],
    ),
    **_all(
        NOT_INSTALLED,
        "tuners/bayesian_test.py",
        "test_scipy_not_install_error test_sklearn_not_install_error",
    ),
    **_all(NOT_INSTALLED, "tuners/sklearn_tuner_test.py", "test_sklearn_not_install_error"),
    **_each(
        "tuners/sklearn_tuner_test.py",
        [
            (
                "test_sklearn_wrong_data_type",
                "intended: lists are data too; what the estimator says of these ends the search",
            ),
        ],
    ),
    **_each(
        "tuners/gridsearch_test.py",
        [("test_linked_list", "private: the list in which grid search orders its trials")],
    ),
    **_each(
        "tuners/hyperband_test.py",
        [
            (
                "test_hyperband_oracle_one_sweep_single_thread",
                "private: _brackets; what is tried and when is the same",
            ),
            (
                "test_hyperband_oracle_one_sweep_parallel",
                "private: _brackets; what is tried and when is the same",
            ),
            ("test_hyperband_save_and_restore", "private: _current_iteration"),
            (
                "test_hyperband_load_weights",
                "keras 3: load_weights refuses a model that is not built",
            ),
            ("test_factor_less_than_2_error", "wording: factor must be a number from 2 up"),
            (
                "test_exhausted_values_during_init_bracket",
                "intended: the configurations of a small space are trained in full all the same",
            ),
        ],
    ),
    **_each(
        "utils_test.py",
        [
            ("test_check_tf_version_error", "private: TensorFlow is none of its dependencies"),
            ("test_try_clear_without_ipython", "private: the flag that says it is a notebook"),
        ],
    ),
}

DIFFERENCES: dict[str, dict[str, str]] = {
    "": EVERYWHERE,
    "jax": {},
    "tensorflow": {},
    "torch": {},
}
"""By backend, and for all under the empty name: tests and the reason why they fail."""
