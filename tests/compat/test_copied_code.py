"""Loops that people took over from Keras Tuner's own `run_trial`, 1.0 to 1.4, into their tuners."""

from __future__ import annotations

import collections
import copy
import datetime
import os
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import pytest

import afina as kt
from afina.engine import tuner_utils

pytestmark = [
    # Plain Keras finds no optimizer to load into where a model is built anew, and says so.
    pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer"),
    pytest.mark.filterwarnings("ignore:Calling oracle.update_trial:DeprecationWarning"),
]

EPOCHS = 3


def build(hp: Any) -> Any:
    inputs = keras.Input((3,))
    outputs = keras.layers.Dense(1)(keras.layers.Dense(hp.Int("units", 2, 5))(inputs))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(hp.Choice("rate", [0.05, 0.6])), "mse", metrics=["mae"])
    return model


class Since14(kt.RandomSearch):  # type: ignore[misc]
    """As in 1.1 to 1.4: `SaveBestEpoch`, arguments spread, results returned."""

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        best = tuner_utils.SaveBestEpoch(
            objective=self.oracle.objective, filepath=self._get_checkpoint_fname(trial.trial_id)
        )
        given = kwargs.pop("callbacks", [])
        results = []
        for execution in range(self.executions_per_trial):
            callbacks = self._deepcopy_callbacks(given)
            self._configure_tensorboard_dir(callbacks, trial, execution)
            callbacks += [tuner_utils.TunerCallback(self, trial), best]
            fit_kwargs = {**copy.copy(kwargs), "callbacks": callbacks}
            results.append(self._build_and_fit_model(trial, *args, **fit_kwargs))
        return results


class ConvertsItself(Since14):
    """As in 1.1: the results are turned into metrics and reported by hand."""

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        histories = super().run_trial(trial, *args, **kwargs)
        objective = self.oracle.objective
        tuner_utils.validate_trial_results(histories, objective, "run_trial()")
        self.oracle.update_trial(
            trial.trial_id,
            metrics=tuner_utils.convert_to_metrics_dict(histories, objective),
            step=tuner_utils.get_best_step(histories, objective),
        )


class BuildsItself(kt.RandomSearch):  # type: ignore[misc]
    """The body of `_build_and_fit_model` written out."""

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        hp = trial.hyperparameters
        model = self._build_hypermodel(hp)
        path = self._get_checkpoint_fname(trial.trial_id)
        saver = tuner_utils.SaveBestEpoch(self.oracle.objective, path)
        results = self.hypermodel.fit(hp, model, *args, **{**kwargs, "callbacks": [saver]})
        assert os.path.dirname(self._get_build_config_fname(trial.trial_id)) == os.path.dirname(
            path
        )
        return results


class Since10(kt.RandomSearch):  # type: ignore[misc]
    """As in `MultiExecutionTuner` of 1.0: `ModelCheckpoint`, metrics averaged and reported."""

    arguments_spread = False

    def run_trial(self, trial: Any, *fit_args: Any, **fit_kwargs: Any) -> Any:
        checkpoint = keras.callbacks.ModelCheckpoint(
            filepath=self._get_checkpoint_fname(trial.trial_id, self._reported_step),
            monitor=self.oracle.objective.name,
            mode=self.oracle.objective.direction,
            save_best_only=True,
            save_weights_only=True,
        )
        given = fit_kwargs.pop("callbacks", [])
        metrics = collections.defaultdict(list)
        best = {"min": np.min, "max": np.max}[self.oracle.objective.direction]
        for execution in range(self.executions_per_trial):
            callbacks = self._deepcopy_callbacks(given)
            self._configure_tensorboard_dir(callbacks, trial.trial_id, execution)
            callbacks += [tuner_utils.TunerCallback(self, trial), checkpoint]
            named = {**fit_kwargs, "callbacks": callbacks}
            if self.arguments_spread:
                model = self.hypermodel.build(trial.hyperparameters)
                self._on_train_begin(model, trial.hyperparameters, *fit_args, **named)
                history = model.fit(*fit_args, **named)
            else:
                history = self._build_and_fit_model(trial, fit_args, named)
            for name, values in history.history.items():
                metrics[name].append(best(values))
        averaged = {name: np.mean(values) for name, values in metrics.items()}
        self.oracle.update_trial(trial.trial_id, metrics=averaged, step=self._reported_step)


class Since101(Since10):
    """As in 1.0.1, which called `model.fit` itself."""

    arguments_spread = True


@pytest.mark.first("1-Since14", "1-BuildsItself", "2-ConvertsItself", "2-Since10", "1-Since101")
@pytest.mark.afina_only  # Keras Tuner has each of these names in some of its versions alone
@pytest.mark.parametrize(
    "tuner_class",
    [Since14, ConvertsItself, BuildsItself, Since10, Since101],
    ids=lambda c: c.__name__,
)
@pytest.mark.parametrize("executions", [1, 2])
def test_a_copied_loop_trains_scores_saves_and_its_best_model_loads(
    project: dict[str, Any], line: tuple[Any, ...], tuner_class: Any, executions: int
) -> None:
    if executions == 2 and tuner_class is BuildsItself:
        pytest.skip("it trains once")
    x, y = line
    objective = kt.Objective("val_mae", "min")
    tuner = tuner_class(
        build, objective, max_trials=2, seed=3, executions_per_trial=executions, **project
    )
    tuner.search(x[:32], y[:32], validation_data=(x[32:], y[32:]), epochs=EPOCHS, verbose=0)
    trials = tuner.oracle.get_best_trials(2)
    assert [trial.status for trial in trials] == ["COMPLETED"] * 2
    assert all(0 < trial.score < 10 for trial in trials)
    assert {"loss", "val_loss", "mae", "val_mae"} <= set(trials[0].metrics.metrics)
    (model,) = tuner.get_best_models(1)
    measured = model.evaluate(x[32:], y[32:], verbose=0, return_dict=True)["mae"]
    if executions == 1:  # else the score is a mean, and the model one of several
        assert measured == pytest.approx(trials[0].score, rel=1e-5)
    assert measured < 10


class PromotesItself(kt.Hyperband):  # type: ignore[misc]
    """As in `Hyperband` of 1.0 to 1.4: epochs from the values, weights loaded after the build."""

    loaded: ClassVar[list[str]] = []

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        values = trial.hyperparameters.values
        if "tuner/epochs" in values:
            kwargs["epochs"] = values["tuner/epochs"]
            kwargs["initial_epoch"] = values["tuner/initial_epoch"]
        return super().run_trial(trial, *args, **kwargs)

    def _build_hypermodel(self, hp: Any) -> Any:
        model = super()._build_hypermodel(hp)
        if "tuner/trial_id" in hp.values:
            model.load_weights(self._get_checkpoint_fname(hp.values["tuner/trial_id"]))
            self.loaded.append(hp.values["tuner/trial_id"])
        return model


def test_a_copied_hyperband_builds_by_its_own_method(
    project: dict[str, Any], line: tuple[Any, ...]
) -> None:
    x, y = line
    PromotesItself.loaded = []
    tuner = PromotesItself(build, "val_loss", max_epochs=3, factor=3, seed=1, **project)
    tuner.search(x, y, validation_split=0.25, verbose=0)
    promoted = [t for t in tuner.oracle.trials.values() if "tuner/trial_id" in t.hyperparameters]
    assert promoted
    parents = {trial.hyperparameters.get("tuner/trial_id") for trial in promoted}
    assert set(PromotesItself.loaded) == parents
    assert tuner.get_best_models()


def test_the_compile_arguments_of_a_tuner_go_through_its_own_method(
    project: dict[str, Any], line: tuple[Any, ...]
) -> None:
    class Renames(kt.RandomSearch):  # type: ignore[misc]
        def _override_compile_args(self, model: Any) -> None:
            super()._override_compile_args(model)
            model.compiled_by = type(self).__name__

    tuner = Renames(build, "loss", max_trials=1, loss="mae", **project)
    model = tuner._try_build(kt.HyperParameters())
    assert (model.loss, model.compiled_by) == ("mae", "Renames")


@pytest.mark.afina_only  # Keras Tuner leaves the folder alone except on TensorFlow
def test_each_execution_logs_into_its_own_folder_also_by_a_method_of_one_s_own(
    project: dict[str, Any], line: tuple[Any, ...]
) -> None:
    folders = []

    class TensorBoard(keras.callbacks.Callback):  # type: ignore[misc]
        """Stands for Keras' callback, which needs TensorFlow."""

        log_dir = "logs"

        def on_train_begin(self, logs: Any = None) -> None:
            folders.append(self.log_dir)

    class Elsewhere(kt.RandomSearch):  # type: ignore[misc]
        def _get_tensorboard_dir(self, logdir: Any, trial_id: Any, execution: Any) -> str:
            return f"{logdir}-{trial_id}-{execution}"

    x, y = line
    for tuner_class, name in ((kt.RandomSearch, "plain"), (Elsewhere, "own")):
        tuner = tuner_class(
            build, "loss", max_trials=1, executions_per_trial=2, **{**project, "project_name": name}
        )
        tuner.search(x, y, epochs=1, verbose=0, callbacks=[TensorBoard()])
    plain = [os.path.join("logs", "0", f"execution{n}") for n in (0, 1)]
    assert folders == [*plain, "logs-0-0", "logs-0-1"]


# -- the functions --------------------------------------------------------------------------------


def history_of(**metrics: list[float]) -> Any:
    history = keras.callbacks.History()
    history.history = metrics
    return history


def test_results_become_metrics_and_a_step() -> None:
    low, high = kt.Objective("val_loss", "min"), kt.Objective("acc", "max")
    seen = history_of(val_loss=[3.0, 1.0, 2.0], acc=[0.1, 0.2, 0.3])
    convert, step = tuner_utils.convert_to_metrics_dict, tuner_utils.get_best_step
    assert convert(seen, low) == {"val_loss": 1.0, "acc": 0.2}
    assert convert(seen, high) == {"val_loss": 2.0, "acc": 0.3}
    assert [step(seen, low), step(seen, high), step(0.5, low)] == [1, 2, 0]
    assert convert(0.1, low) == {"val_loss": 0.1}
    assert convert([0.1, 0.3], low) == {"val_loss": pytest.approx(0.2)}
    assert convert({"val_loss": 0.1, "loss": 0.2}, low) == {"val_loss": 0.1, "loss": 0.2}
    assert step([seen, history_of(val_loss=[1.0, 2.0, 3.0, 0.0], acc=[0.0] * 4)], low) == 2


@pytest.mark.parametrize(
    ("result", "error"), [(None, TypeError), ("text", TypeError), ({"loss": 0.1}, ValueError)]
)
def test_a_result_without_a_score_is_refused(result: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        tuner_utils.validate_trial_results(result, kt.Objective("val_loss", "min"), "fit()")


def test_metrics_are_averaged_over_the_dicts_that_have_them() -> None:
    means = tuner_utils.average_metrics_dicts([{"a": 1.0, "b": 2.0}, {"a": 3.0}])
    assert means == {"a": 2.0, "b": 2.0}


@pytest.mark.afina_only  # of version 1.0
def test_the_helpers_of_the_first_versions_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    means = tuner_utils.average_histories([{"loss": [4.0, 2.0]}, {"loss": [2.0]}])
    assert means == [{"loss": 3.0}, {"loss": 2.0}]
    x = np.zeros((10, 2))
    assert tuner_utils.get_max_epochs_and_steps((x,), {"epochs": 3, "batch_size": 4}) == (3, 3)
    assert tuner_utils.get_max_epochs_and_steps((), {"x": x}) == (1, 1)
    stats = tuner_utils.TunerStats.from_config({"num_generated_models": 2})
    stats.summary()
    assert "num_generated_models: 2" in capsys.readouterr().out
    assert stats.get_config()["num_oversized_models"] == 0


@pytest.mark.parametrize(("direction", "best"), [("min", 1), ("max", 0)])
def test_save_best_epoch_writes_the_best_epoch(tmp_path: Path, direction: str, best: int) -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    path = str(tmp_path / "best.weights.h5")
    callback = tuner_utils.SaveBestEpoch(kt.Objective("score", direction), path)
    callback.set_model(model)
    for epoch, score in enumerate([3.0, 1.0, 2.0]):
        model.set_weights([np.full((1, 1), float(epoch))])
        callback.on_epoch_end(epoch, {"score": score})
    model.load_weights(path)
    assert float(model.get_weights()[0][0, 0]) == best


def test_save_best_epoch_writes_every_epoch_that_does_not_log_the_objective(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    path = str(tmp_path / "best.weights.h5")
    callback = tuner_utils.SaveBestEpoch(kt.Objective("score", "min"), path)
    callback.set_model(model)
    for epoch in range(3):
        model.set_weights([np.full((1, 1), float(epoch))])
        callback.on_epoch_end(epoch, {"loss": float(epoch)})
    model.load_weights(path)
    assert float(model.get_weights()[0][0, 0]) == 2.0


def test_hyperparameters_become_those_of_tensorboard() -> None:
    class Api:
        HParam = staticmethod(lambda name, domain: (name, domain))
        Discrete = staticmethod(lambda values: ("discrete", *values))
        IntInterval = staticmethod(lambda low, high: ("int", low, high))
        RealInterval = staticmethod(lambda low, high: ("real", low, high))

    hp = kt.HyperParameters()
    hp.Choice("c", ["a", "b"])
    hp.Int("i", 1, 5)
    hp.Int("s", 1, 5, step=2)
    hp.Float("f", 0.0, 1.0)
    hp.Float("g", 0.0, 1.0, step=0.5)
    hp.Boolean("b")
    hp.Fixed("x", 3)
    with hp.conditional_scope("c", "b"):
        hp.Int("never", 1, 2)
    assert tuner_utils.convert_hyperparams_to_hparams(hp, Api) == {
        ("c", ("discrete", "a", "b")): "a",
        ("i", ("int", 1, 5)): 1,
        ("s", ("discrete", 1, 3, 5)): 1,
        ("f", ("real", 0.0, 1.0)): 0.0,
        ("g", ("discrete", 0.0, 0.5, 1.0)): 0.0,
        ("b", ("discrete", True, False)): False,
        ("x", ("discrete", 3)): 3,
    }


@pytest.mark.afina_only  # it moved, and its numbers are counted otherwise there
def test_a_display_prints_trials(parabola: Any, capsys: pytest.CaptureFixture[str]) -> None:
    tuner = parabola(kt.RandomSearch, max_trials=2, seed=1)
    tuner.search(verbose=0)
    trial = tuner.oracle.get_best_trials()[0]
    display = tuner_utils.Display(tuner.oracle)
    display.on_trial_begin(trial)
    display.on_trial_end(trial)
    out = capsys.readouterr().out
    assert f"Search: Running Trial #{int(trial.trial_id) + 1}" in out
    assert "Value             |Best Value So Far |Hyperparameter" in out
    assert f"Best score So Far: {trial.score}" in out
    assert display.format_duration(datetime.timedelta(days=7)) == "7d 00h 00m 00s"
    tuner_utils.Display(tuner.oracle, verbose=0).on_trial_begin(trial)
    assert capsys.readouterr().out == ""


@pytest.mark.afina_only  # 1.4.8 has hidden it
def test_files_and_lists_have_their_helpers(tmp_path: Path) -> None:
    from afina import utils

    folder = tmp_path / "a" / "b"
    utils.create_directory(folder)
    utils.save_json(folder / "c.json", {"x": [1, None]})
    assert utils.load_json(folder / "c.json") == {"x": [1, None]}
    utils.create_directory(folder, remove_existing=True)
    assert not list(folder.iterdir())
    assert [utils.to_list(v) for v in (1, [2], (3, 4))] == [[1], [2], [3, 4]]
