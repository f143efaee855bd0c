"""Trials that raise, return nonsense or build the wrong thing, and what becomes of the search."""

from __future__ import annotations

from typing import Any

import keras
import pytest

import afina as kt


def failing(*outcomes: Any) -> Any:
    """A tuner class that goes through `outcomes`: raises what is an exception, returns the rest."""

    class Failing(kt.RandomSearch):
        runs = 0

        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            trial.hyperparameters.Float("x", 0, 1)
            outcome = outcomes[min(self.runs, len(outcomes) - 1)]
            self.runs += 1
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

    return Failing


def statuses(tuner: Any) -> list[str]:
    return [trial.status for trial in tuner.oracle.trials.values()]


ERROR = ArithmeticError("no good")


def test_a_trial_that_raises_fails_and_the_search_goes_on(project: dict[str, Any]) -> None:
    tuner = failing(1.0, ERROR, 3.0)(max_trials=3, **project)
    tuner.search(verbose=0)
    assert statuses(tuner) == ["COMPLETED", "FAILED", "COMPLETED"]
    failed = tuner.oracle.trials["1"]
    assert failed.score is None
    assert "ArithmeticError: no good" in failed.message
    assert "Traceback" in failed.message
    assert len(tuner.get_best_hyperparameters(2)) == 2


@pytest.mark.filterwarnings("ignore:search. No trial has completed:UserWarning")
def test_a_trial_is_retried_as_often_as_allowed(project: dict[str, Any]) -> None:
    tuner = failing(ERROR, ERROR, 3.0)(max_trials=1, max_retries_per_trial=2, **project)
    tuner.search(verbose=0)
    assert (tuner.runs, statuses(tuner)) == (3, ["COMPLETED"])
    tuner = failing(ERROR)(
        max_trials=1,
        max_retries_per_trial=2,
        directory=project["directory"],
        project_name="other",
    )
    tuner.search(verbose=0)
    assert (tuner.runs, statuses(tuner)) == (3, ["FAILED"])


def test_a_retry_after_a_nan_can_succeed(project: dict[str, Any], mended: bool) -> None:
    tuner = failing(float("nan"), 2.0)(max_trials=1, max_retries_per_trial=1, **project)
    if not mended:
        with pytest.warns(DeprecationWarning, match="update_trial"):
            tuner.search(verbose=0)
        assert statuses(tuner) == ["FAILED"]
        return
    tuner.search(verbose=0)
    assert (statuses(tuner), tuner.oracle.get_best_trials()[0].score) == (["COMPLETED"], 2.0)


def test_a_nan_fails_the_trial_only(project: dict[str, Any]) -> None:
    tuner = failing(float("nan"), 2.0)(max_trials=2, **project)
    tuner.search(verbose=0)
    assert statuses(tuner) == ["FAILED", "COMPLETED"]


def test_failed_trial_error_is_not_retried(project: dict[str, Any]) -> None:
    error = kt.errors.FailedTrialError("hopeless")
    tuner = failing(error, 1.0)(max_trials=2, max_retries_per_trial=5, **project)
    tuner.search(verbose=0)
    assert (tuner.runs, statuses(tuner)) == (2, ["FAILED", "COMPLETED"])
    assert "hopeless" in tuner.oracle.trials["0"].message


@pytest.mark.parametrize(
    "name", ["FatalError", "FatalValueError", "FatalTypeError", "FatalRuntimeError"]
)
def test_fatal_errors_leave_the_search(name: str, project: dict[str, Any]) -> None:
    error = getattr(kt.errors, name)("stop everything")
    tuner = failing(1.0, error)(max_trials=5, max_retries_per_trial=3, **project)
    with pytest.raises(type(error), match="stop everything"):
        tuner.search(verbose=0)
    assert tuner.runs == 2


def test_a_keyboard_interrupt_leaves_the_search_which_can_go_on(project: dict[str, Any]) -> None:
    tuner_class = failing(1.0, KeyboardInterrupt(), 3.0)
    tuner = tuner_class(max_trials=3, **project)
    with pytest.raises(KeyboardInterrupt):
        tuner.search(verbose=0)
    again = failing(3.0)(max_trials=3, **project)
    again.search(verbose=0)
    assert statuses(again) == ["COMPLETED"] * 3
    assert sorted(t.score for t in again.oracle.trials.values()) == [1.0, 3.0, 3.0]


def test_three_failures_in_a_row_end_the_search(project: dict[str, Any]) -> None:
    tuner = failing(1.0, ERROR)(max_trials=9, **project)
    with pytest.raises(
        RuntimeError, match="consecutive failures exceeded the limit of 3"
    ) as raised:
        tuner.search(verbose=0)
    assert "ArithmeticError: no good" in str(raised.value)
    assert tuner.runs == 4


def test_the_limit_of_failures_in_a_row_can_be_set(project: dict[str, Any]) -> None:
    outcomes = (ERROR, ERROR, ERROR, ERROR, 1.0)
    tuner = failing(*outcomes)(max_trials=5, max_consecutive_failed_trials=5, **project)
    tuner.search(verbose=0)
    assert statuses(tuner) == ["FAILED"] * 4 + ["COMPLETED"]


def test_failures_between_successes_do_not_add_up(project: dict[str, Any]) -> None:
    outcomes = (ERROR, ERROR, 1.0, ERROR, ERROR, 1.0)
    tuner = failing(*outcomes)(max_trials=6, **project)
    tuner.search(verbose=0)
    assert statuses(tuner).count("FAILED") == 4


def test_an_objective_that_nobody_logs_ends_the_search(
    project: dict[str, Any], line: tuple[Any, ...]
) -> None:
    def build(hp: Any) -> Any:
        hp.Int("n", 1, 99)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    objective = kt.Objective("val_accurracy", "max")
    tuner = kt.RandomSearch(
        build, objective, max_trials=9, max_consecutive_failed_trials=1, **project
    )
    with pytest.raises((RuntimeError, ValueError), match="val_accurracy"):
        tuner.search(*line, epochs=1, verbose=0)
    assert "COMPLETED" not in statuses(tuner)


class Free(kt.HyperModel):
    """Builds what it is told to; its training costs nothing."""

    def __init__(self, build: Any) -> None:
        super().__init__()
        self.make = build

    def build(self, hp: Any) -> Any:
        return self.make(hp)

    def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> float:
        return float(model.count_params())


def sized(hp: Any) -> Any:
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(hp.Choice("n", [2, 100]))])


def test_too_large_models_fail_without_training_or_retry(project: dict[str, Any]) -> None:
    tuner = kt.GridSearch(Free(sized), max_model_size=50, max_retries_per_trial=3, **project)
    tuner.search(verbose=0)
    assert statuses(tuner) == ["COMPLETED", "FAILED"]
    assert "Oversized model: 400" in tuner.oracle.trials["0001"].message


def test_a_builder_must_return_a_keras_model(project: dict[str, Any]) -> None:
    tuner = kt.RandomSearch(Free(lambda hp: hp.Int("n", 1, 9)), max_trials=1, **project)
    with pytest.raises(kt.errors.FatalTypeError, match=r"Keras [Mm]odel"):
        tuner.search(verbose=0)


def test_a_builder_that_raises_fails_its_trials(project: dict[str, Any]) -> None:
    def build(hp: Any) -> Any:
        if hp.Choice("kind", ["good", "bad"]) == "bad":
            raise ArithmeticError("cannot build that")
        return sized(kt.HyperParameters())

    tuner = kt.GridSearch(Free(build), **project)
    tuner.search(verbose=0)
    assert statuses(tuner) == ["COMPLETED", "FAILED"]
    assert "cannot build that" in tuner.oracle.trials["0001"].message


def test_a_builder_that_raises_with_the_defaults_raises_at_construction(
    project: dict[str, Any],
) -> None:
    def build(hp: Any) -> Any:
        raise ArithmeticError("cannot build at all")

    with pytest.raises(ArithmeticError, match="cannot build at all"):
        kt.RandomSearch(build, objective="val_loss", **project)


def test_fit_must_return_something(project: dict[str, Any]) -> None:
    class Forgetful(Free):
        def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
            return None

    tuner = kt.RandomSearch(Forgetful(sized), max_trials=1, **project)
    with pytest.raises(kt.errors.FatalTypeError, match="Did you forget to return the metrics"):
        tuner.search(verbose=0)


@pytest.mark.parametrize("result", [None, "high", {"loss": 1.0}], ids=["None", "text", "another"])
def test_a_wrong_result_is_refused_in_the_name_of_who_returned_it_before_the_next_execution(
    result: Any, project: dict[str, Any]
) -> None:
    calls = []

    class Wrong(Free):
        def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
            calls.append(1)
            return result

    tuner = kt.RandomSearch(
        Wrong(sized), objective="val_loss", executions_per_trial=3, max_trials=1, **project
    )
    with pytest.raises((TypeError, ValueError), match=r"(HyperModel|Wrong)\.fit\(\)"):
        tuner.search(verbose=0)
    assert len(calls) == 1


def test_a_dict_from_fit_must_hold_the_objective(project: dict[str, Any]) -> None:
    class Other(Free):
        def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
            return {"loss": 1.0}

    tuner = kt.RandomSearch(Other(sized), objective="val_loss", max_trials=1, **project)
    with pytest.raises(kt.errors.FatalValueError, match="val_loss"):
        tuner.search(verbose=0)


def test_a_builder_may_give_up_a_trial_itself(project: dict[str, Any]) -> None:
    def build(hp: Any) -> Any:
        if hp.Choice("n", [2, 100]) == 100:
            raise kt.errors.FailedTrialError("too wide for me")
        return sized(hp)

    tuner = kt.GridSearch(Free(build), max_retries_per_trial=2, **project)
    tuner.search(verbose=0)
    assert statuses(tuner) == ["COMPLETED", "FAILED"]
    assert "too wide for me" in tuner.oracle.trials["0001"].message


@pytest.mark.afina_only
@pytest.mark.parametrize("by", ["size", "fit", "run_trial"])
def test_configurations_that_are_skipped_do_not_end_the_search(
    by: str, project: dict[str, Any]
) -> None:
    def width(hp: Any) -> Any:
        return hp.Choice("n", [100, 101, 102, 103, 104, 2])

    def build(hp: Any) -> Any:
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(width(hp))])

    class Skipping(kt.HyperModel):
        def build(self, hp: Any) -> Any:
            return build(hp)

        def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> float:
            if by == "fit" and width(hp) >= 100:
                raise kt.errors.FailedTrialError("too wide for me")
            return 1.0

    class Running(kt.GridSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            if by == "run_trial" and width(trial.hyperparameters) >= 100:
                raise kt.errors.FailedTrialError("too wide for me")
            return super().run_trial(trial, *args, **kwargs)

    limits = {"max_model_size": 50} if by == "size" else {}
    tuner = Running(Skipping(), **limits, **project)
    tuner.search(verbose=0)
    assert statuses(tuner) == ["FAILED"] * 5 + ["COMPLETED"]
    assert tuner.get_best_hyperparameters()[0].get("n") == 2


@pytest.mark.afina_only
def test_failures_count_on_past_configurations_that_are_skipped(project: dict[str, Any]) -> None:
    skip = kt.errors.FailedTrialError("not this one")
    outcomes = [ERROR, skip, ERROR, skip, skip, ERROR, 1.0]
    tuner = failing(*outcomes)(max_trials=9, **project)
    with pytest.raises(RuntimeError, match="Number of consecutive failures"):
        tuner.search(verbose=0)
    assert len(statuses(tuner)) == 6
    with pytest.raises(RuntimeError, match="Number of consecutive failures"):
        failing(skip, ERROR)(max_trials=9, **project).search(verbose=0)  # the project, again


def test_trials_that_diverge_count_as_failures_in_a_row(project: dict[str, Any]) -> None:
    tuner = failing(float("nan"))(max_trials=9, **project)
    with pytest.raises(RuntimeError, match="Number of consecutive failures"):
        tuner.search(verbose=0)
    assert len(statuses(tuner)) == 3
