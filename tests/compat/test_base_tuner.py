"""Tuners of the user's own: `run_trial` with each kind of result, and the hooks around it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import afina as kt
from afina.engine.base_tuner import BaseTuner


def oracle(max_trials: int = 2, objective: Any = None, **kwargs: Any) -> Any:
    return kt.oracles.RandomSearchOracle(objective=objective, max_trials=max_trials, **kwargs)


def returning(result: Any) -> Any:
    """A tuner class whose trials return `result`."""

    class Returning(BaseTuner):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            trial.hyperparameters.Int("x", 0, 99)
            return result

    return Returning


def history(**curves: list[float]) -> Any:
    made = keras.callbacks.History()
    made.history = curves
    return made


SCORE = kt.Objective("score", "max")
RESULTS = {
    "float": (1.5, 1.5, 0),
    "int": (2, 2.0, 0),
    "float32": (np.float32(0.5), 0.5, 0),
    "float64": (np.float64(0.25), 0.25, 0),
    "dict": ({"score": 3.0, "other": 1.0}, 3.0, 0),
    "list of floats": ([1.0, 2.0, 4.5], 2.5, 0),
    "list of dicts": ([{"score": 1.0}, {"score": 2.0}], 1.5, 0),
    "history": (history(score=[0.1, 0.9, 0.5], loss=[3.0, 2.0, 1.0]), 0.9, 1),
    "list of histories": ([history(score=[0.5, 0.0]), history(score=[0.0, 0.1, 1.0])], 0.75, 1),
}


@pytest.mark.parametrize("kind", RESULTS)
def test_run_trial_may_return(kind: str, project: dict[str, Any]) -> None:
    result, score, step = RESULTS[kind]
    tuner = returning(result)(oracle(1, SCORE), **project)
    tuner.search(verbose=0)
    (trial,) = tuner.oracle.trials.values()
    assert (trial.status, trial.score, trial.best_step) == ("COMPLETED", score, step)
    assert type(trial.score) in (float, np.float64)


def test_of_a_history_the_metrics_of_the_best_epoch_are_kept(project: dict[str, Any]) -> None:
    tuner = returning(RESULTS["history"][0])(oracle(1, SCORE), **project)
    tuner.search(verbose=0)
    metrics = tuner.oracle.get_best_trials()[0].metrics
    assert metrics.get_best_value("score") == 0.9
    assert metrics.get_last_value("loss") == 2.0


def test_without_an_objective_a_float_is_minimized(project: dict[str, Any]) -> None:
    class Distance(BaseTuner):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            return abs(trial.hyperparameters.Int("x", 0, 9) - 4)

    tuner = Distance(oracle(6, seed=3), **project)
    tuner.search(verbose=0)
    best = tuner.oracle.get_best_trials()[0]
    assert best.score == min(trial.score for trial in tuner.oracle.trials.values())
    assert best.metrics.exists("default_objective")


@pytest.mark.parametrize(
    ("result", "objective", "error", "message"),
    [
        (None, SCORE, TypeError, "Did you forget to return the metrics"),
        ("good", SCORE, TypeError, "return"),
        (object(), SCORE, TypeError, "return"),
        ([1.0, None], SCORE, TypeError, "return"),
        ({"loss": 1.0}, SCORE, ValueError, "score"),
        ({"loss": 1.0}, None, (TypeError, ValueError), "objective"),
        (history(loss=[1.0]), None, (TypeError, ValueError), "objective"),
    ],
)
def test_other_results_stop_the_search(
    result: Any, objective: Any, error: Any, message: str, project: dict[str, Any]
) -> None:
    tuner = returning(result)(oracle(objective=objective), **project)
    with pytest.raises(error, match=message) as raised:
        tuner.search(verbose=0)
    assert isinstance(raised.value, kt.errors.FatalError)


def test_run_trial_may_report_to_the_oracle_itself_and_return_nothing(
    project: dict[str, Any],
) -> None:
    class Reporting(BaseTuner):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> None:
            for step, score in enumerate([0.5, 0.75, 0.25]):
                self.oracle.update_trial(trial.trial_id, {"score": score}, step=step)

    tuner = Reporting(oracle(1, SCORE), **project)
    with pytest.warns(DeprecationWarning, match="update_trial"):
        tuner.search(verbose=0)
    (trial,) = tuner.oracle.trials.values()
    assert (trial.status, trial.score, trial.best_step) == ("COMPLETED", 0.75, 1)
    assert [o.value for o in trial.metrics.get_history("score")] == [[0.5], [0.75], [0.25]]


def test_arguments_of_search_arrive_unchanged_in_run_trial(project: dict[str, Any]) -> None:
    arrived = []

    class Spy(BaseTuner):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            arrived.append((args, kwargs))
            return 0.0

    data = object()
    Spy(oracle(1), **project).search(data, 7, verbose=0, callbacks=["mine"], anything={"a": 1})
    assert arrived == [((data, 7), {"verbose": 0, "callbacks": ["mine"], "anything": {"a": 1}})]


def test_run_trial_and_the_ways_to_keep_models_must_be_written(project: dict[str, Any]) -> None:
    tuner = BaseTuner(oracle(1), lambda hp: hp.Int("n", 1, 9), **project)
    for name, args in (
        ("run_trial", (None,)),
        ("save_model", ("0", None)),
        ("load_model", (None,)),
    ):
        with pytest.raises(NotImplementedError):
            getattr(tuner, name)(*args)


def test_hooks_are_called_in_order(project: dict[str, Any]) -> None:
    calls: list[str] = []

    class Hooked(BaseTuner):
        def on_search_begin(self) -> None:
            calls.append("search begins")

        def pre_create_trial(self) -> None:
            calls.append("before a trial is made")

        def on_trial_begin(self, trial: Any) -> None:
            calls.append(f"{trial.trial_id} begins as {trial.status}")
            super().on_trial_begin(trial)

        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            calls.append(f"{trial.trial_id} runs")
            return 0.5

        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            ended = self.oracle.get_trial(trial.trial_id)
            calls.append(f"{trial.trial_id} ends as {ended.status} with {ended.score}")

        def on_search_end(self) -> None:
            calls.append("search ends")

    Hooked(oracle(1), **project).search(verbose=0)
    assert calls == [
        "search begins",
        "before a trial is made",
        "0 begins as RUNNING",
        "0 runs",
        "0 ends as COMPLETED with 0.5",
        "before a trial is made",
        "search ends",
    ]


def test_hyperparameters_met_in_run_trial_join_the_space(project: dict[str, Any]) -> None:
    class Black(BaseTuner):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            hp = trial.hyperparameters
            x = hp.Float("x", -2.0, 2.0)
            if hp.Boolean("shift"):
                x += hp.Choice("by", [1, 2], parent_name="shift", parent_values=[True])
            return x * x

    tuner = Black(oracle(8, seed=4), **project)
    tuner.search(verbose=0)
    assert {e.name for e in tuner.oracle.get_space().space} == {"x", "shift", "by"}
    values = [t.hyperparameters.values for t in tuner.oracle.trials.values()]
    assert len({v["x"] for v in values}) == 8
    assert all(("by" in v) == v["shift"] for v in values)


def test_models_of_any_kind_are_saved_and_loaded_by_the_user(project: dict[str, Any]) -> None:
    class Pickling(BaseTuner):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            model = self.hypermodel.build(trial.hyperparameters)
            self.save_model(trial.trial_id, model)
            return model["size"]

        def save_model(self, trial_id: str, model: Any, step: int = 0) -> None:
            path = Path(self.get_trial_dir(trial_id)) / "model.bin"
            path.write_bytes(pickle.dumps(model))

        def load_model(self, trial: Any) -> Any:
            return pickle.loads(
                (Path(self.get_trial_dir(trial.trial_id)) / "model.bin").read_bytes()
            )

    def build(hp: Any) -> dict[str, float]:
        return {"size": hp.Float("size", 0, 1)}

    tuner = Pickling(oracle(3), build, **project)
    tuner.search(verbose=0)
    sizes = [model["size"] for model in tuner.get_best_models(3)]
    assert sizes == sorted(t.score for t in tuner.oracle.trials.values())


def test_each_trial_has_a_directory_in_the_project(project: dict[str, Any]) -> None:
    tuner = returning(1.0)(oracle(1), **project)
    root = Path(project["directory"]) / "project"
    assert Path(tuner.project_dir) == root
    assert Path(tuner.get_trial_dir("3")) == root / "trial_3"
    assert (root / "trial_3").is_dir()


def test_directory_and_project_name_have_defaults(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    tuner = returning(1.0)(oracle(1))
    assert (tuner.directory, tuner.project_name) == (".", "untitled_project")
    assert Path(tuner.project_dir).resolve() == (tmp_path / "untitled_project").resolve()


def test_a_path_is_a_directory(tmp_path: Path) -> None:
    tuner = returning(1.0)(oracle(1), directory=tmp_path / "deep" / "er", project_name="p")
    tuner.search(verbose=0)
    assert (tmp_path / "deep" / "er" / "p").is_dir()


def test_unknown_arguments_are_named(project: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Unrecognized arguments.*max_trails"):
        returning(1.0)(oracle(1), max_trails=3, **project)


def test_a_logger_is_taken_and_warned_about(project: dict[str, Any]) -> None:
    with pytest.warns(DeprecationWarning, match="logger"):
        returning(1.0)(oracle(1), logger=object(), **project)


def test_a_hypermodel_must_be_callable(project: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="hypermodel"):
        returning(1.0)(oracle(1), "not a builder", **project)


def test_a_callable_becomes_a_hypermodel(project: dict[str, Any]) -> None:
    tuner = returning(1.0)(oracle(1), lambda hp: hp.Int("n", 3, 5), **project)
    assert isinstance(tuner.hypermodel, kt.HyperModel)
    assert tuner.hypermodel.build(kt.HyperParameters()) == 3
    assert [e.name for e in tuner.oracle.get_space().space] == ["n"]


def test_without_a_hypermodel_there_is_none(project: dict[str, Any]) -> None:
    assert returning(1.0)(oracle(1), **project).hypermodel is None


def test_a_tuner_working_alone_is_called_tuner0(project: dict[str, Any]) -> None:
    assert returning(1.0)(oracle(1), **project).tuner_id == "tuner0"


def test_state_of_the_tuner_itself_is_kept(project: dict[str, Any]) -> None:
    class Counting(BaseTuner):
        count = 0

        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            self.count += 1
            return float(trial.hyperparameters.Int("x", 0, 99))

        def get_state(self) -> dict[str, Any]:
            return {"count": self.count}

        def set_state(self, state: dict[str, Any]) -> None:
            self.count = json.loads(json.dumps(state))["count"]

    Counting(oracle(2), **project).search(verbose=0)
    again = Counting(oracle(3), **project)
    assert again.count == 2
    again.search(verbose=0)
    assert again.count == 3


def test_the_initial_space_can_be_populated_later(project: dict[str, Any]) -> None:
    class Later(BaseTuner):
        """What AutoKeras does: the data decide the space."""

        def _populate_initial_space(self) -> None:
            """Nothing yet."""

        def search(self, *args: Any, **kwargs: Any) -> Any:
            hp = self.oracle.get_space()
            self.hypermodel.build(hp)
            self.oracle.update_space(hp)
            return super().search(*args, **kwargs)

        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            return float(self.hypermodel.build(trial.hyperparameters))

    tuner = Later(oracle(2), lambda hp: hp.Int("n", 3, 50), **project)
    assert tuner.oracle.get_space().space == []
    tuner.search(verbose=0)
    assert [e.name for e in tuner.oracle.get_space().space] == ["n"]
