"""`Trial` objects, and the metrics that they carry."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import afina as kt
from afina.engine.metrics_tracking import MetricHistory, MetricObservation, MetricsTracker
from afina.engine.trial import Trial, TrialStatus


@pytest.fixture
def trial() -> Any:
    hp = kt.HyperParameters()
    hp.Int("units", 4, 8, default=6)
    hp.Choice("kind", ["a", "b"])
    return Trial(hp, trial_id="07")


def test_a_new_trial_runs_and_has_no_score(trial: Any) -> None:
    assert (trial.trial_id, trial.status) == ("07", TrialStatus.RUNNING)
    assert (trial.score, trial.message) == (None, None)
    assert dict(trial.hyperparameters.values) == {"units": 6, "kind": "a"}
    assert trial.metrics.metrics == {}


def test_a_trial_made_by_hand_gets_an_id_of_its_own() -> None:
    first, second = Trial(kt.HyperParameters()), Trial(kt.HyperParameters())
    assert re.fullmatch("[0-9a-f]{32}", first.trial_id)
    assert first.trial_id != second.trial_id


def test_status_and_message_are_taken_and_may_be_set() -> None:
    trial = Trial(kt.HyperParameters(), status="INVALID", message="why")
    assert (trial.status, trial.message) == ("INVALID", "why")
    trial.status = TrialStatus.FAILED
    assert trial.status == "FAILED"


def test_the_summary_prints_id_values_and_score(trial: Any, capsys: Any) -> None:
    trial.score = 0.125
    trial.summary()
    assert capsys.readouterr().out.splitlines() == [
        "Trial 07 summary",
        "Hyperparameters:",
        "units: 6",
        "kind: a",
        "Score: 0.125",
    ]


def test_the_summary_of_a_failed_trial_prints_its_message(trial: Any, capsys: Any) -> None:
    trial.message = "Traceback: out of luck"
    trial.summary()
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "Traceback: out of luck"
    assert not [line for line in lines if line.startswith("Score")]


def test_a_trial_without_values_is_called_the_default_configuration(capsys: Any) -> None:
    Trial(kt.HyperParameters()).display_hyperparameters()
    assert capsys.readouterr().out == "default configuration\n"


def test_display_hyperparameters_prints_one_line_a_value(trial: Any, capsys: Any) -> None:
    trial.display_hyperparameters()
    assert capsys.readouterr().out == "units: 6\nkind: a\n"


def test_the_state_is_json_and_makes_the_same_trial(trial: Any) -> None:
    trial.metrics.update("val_loss", 0.5, step=2)
    trial.score, trial.best_step, trial.status = 0.5, 2, "COMPLETED"
    state = json.loads(json.dumps(trial.get_state()))
    assert set(state) >= {
        "trial_id",
        "hyperparameters",
        "metrics",
        "score",
        "best_step",
        "status",
        "message",
    }
    again = Trial.from_state(state)
    assert (again.trial_id, again.score, again.best_step) == ("07", 0.5, 2)
    assert again.status == "COMPLETED"
    assert again.hyperparameters.get_config() == trial.hyperparameters.get_config()
    assert again.metrics.get_history("val_loss") == trial.metrics.get_history("val_loss")


def test_a_trial_saves_to_a_file_and_loads_from_it(trial: Any, tmp_path: Path) -> None:
    fname = str(tmp_path / "trial.json")
    trial.message = "hello"
    trial.save(fname)
    loaded = Trial.load(fname)
    assert (loaded.trial_id, loaded.message) == ("07", "hello")
    other = Trial(kt.HyperParameters())
    other.reload(fname)
    assert other.trial_id == "07"


def test_set_state_replaces_everything(trial: Any) -> None:
    other = Trial(kt.HyperParameters())
    other.set_state(trial.get_state())
    assert other.get_state() == trial.get_state()


def test_a_tracker_registers_metrics_by_name_with_a_direction() -> None:
    tracker = MetricsTracker()
    assert not tracker.exists("val_accuracy")
    tracker.register("val_accuracy")
    tracker.register("odd", direction="max")
    tracker.register("unheard_of")
    assert tracker.exists("val_accuracy")
    assert tracker.get_direction("val_accuracy") == "max"
    assert tracker.get_direction("odd") == "max"
    assert tracker.get_direction("unheard_of") == "min"
    assert set(tracker.metrics) == {"val_accuracy", "odd", "unheard_of"}


def test_a_metric_registers_once() -> None:
    tracker = MetricsTracker()
    tracker.register("loss")
    with pytest.raises(ValueError, match="loss"):
        tracker.register("loss")


def test_the_direction_of_a_metric_is_checked() -> None:
    with pytest.raises(ValueError, match="sideways"):
        MetricsTracker().register("loss", direction="sideways")


@pytest.mark.parametrize(
    "method",
    ["get_history", "get_best_value", "get_best_step", "get_last_value", "get_statistics"],
)
def test_unknown_metrics_are_a_value_error(method: str) -> None:
    with pytest.raises(ValueError, match="nothing"):
        getattr(MetricsTracker(), method)("nothing")


def test_update_tells_whether_the_best_value_changed() -> None:
    tracker = MetricsTracker()
    assert tracker.update("loss", 0.5, step=0)
    assert not tracker.update("loss", 0.75, step=1)
    assert tracker.update("loss", 0.25, step=2)


def test_a_tracker_answers_best_last_history_and_statistics() -> None:
    tracker = MetricsTracker()
    for step, value in enumerate([0.5, 0.25, 1.0, 0.75]):
        tracker.update("accuracy", value, step=step)
    assert tracker.get_best_value("accuracy") == 1.0
    assert tracker.get_best_step("accuracy") == 2
    assert tracker.get_last_value("accuracy") == 0.75
    history = tracker.get_history("accuracy")
    assert [(item.value, item.step) for item in history] == [
        ([0.5], 0),
        ([0.25], 1),
        ([1.0], 2),
        ([0.75], 3),
    ]
    assert tracker.get_statistics("accuracy") == pytest.approx(
        {
            "min": 0.25,
            "max": 1.0,
            "mean": 0.625,
            "median": 0.625,
            "var": 0.078125,
            "std": 0.078125**0.5,
        }
    )


def test_reports_at_one_step_are_averaged() -> None:
    tracker = MetricsTracker()
    tracker.update("loss", 1, step=4)
    tracker.update("loss", 3, step=4)
    (item,) = tracker.get_history("loss")
    assert (item.value, item.step, item.mean()) == ([1.0, 3.0], 4, 2.0)
    assert tracker.get_best_value("loss") == 2.0


def test_nan_is_never_the_best_value() -> None:
    tracker = MetricsTracker()
    for step, value in enumerate([float("nan"), 0.5, 0.75]):
        tracker.update("loss", value, step=step)
    assert (tracker.get_best_value("loss"), tracker.get_best_step("loss")) == (0.5, 1)


def test_a_registered_metric_without_values_has_no_best() -> None:
    tracker = MetricsTracker()
    tracker.register("loss")
    assert tracker.get_best_value("loss") is None
    assert tracker.get_best_step("loss") is None
    assert tracker.get_last_value("loss") is None
    assert tracker.get_statistics("loss") == {}
    assert tracker.get_history("loss") == []


def test_a_history_can_be_set() -> None:
    tracker = MetricsTracker()
    items = [MetricObservation(0.5, 0), MetricObservation([0.25, 0.75], 1)]
    tracker.set_history("loss", items)
    assert tracker.get_history("loss") == items
    assert tracker.metrics["loss"].get_history() == items


def test_metric_histories_go_through_their_configs() -> None:
    tracker = MetricsTracker()
    tracker.update("auc", 0.5, step=3)
    again = MetricsTracker.from_config(json.loads(json.dumps(tracker.get_config())))
    assert again.get_config() == tracker.get_config()
    assert again.get_direction("auc") == "max"
    history = MetricHistory.from_config(tracker.metrics["auc"].get_config())
    assert history.get_best_step() == 3


def test_observations_compare_and_print() -> None:
    observation = MetricObservation([1.0, 2.0], 5)
    assert observation == MetricObservation.from_config(observation.get_config())
    assert observation != MetricObservation([1.0], 5)
    assert repr(observation) == "MetricObservation(value=[1.0, 2.0], step=5)"
    observation.append(3.0)
    assert (observation.value, observation.mean()) == ([1.0, 2.0, 3.0], 2.0)


def test_a_tracker_takes_keras_metrics_to_begin_with() -> None:
    import keras

    tracker = MetricsTracker([keras.metrics.AUC(name="auc"), keras.metrics.Mean(name="loss")])
    assert [tracker.get_direction("auc"), tracker.get_direction("loss")] == ["max", "min"]
