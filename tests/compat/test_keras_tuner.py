"""`kt.Tuner` with Keras models: callbacks, executions, checkpoints, overridden methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import afina as kt
from afina.engine.tuner_utils import TunerCallback


def build(hp: Any) -> Any:
    """A line through the origin; one hyperparameter."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(hp.Choice("lr", [0.05, 0.1, 0.15])), "mse")
    return model


class Scripted(kt.HyperModel):
    """Replays a script of validation losses, with weights that tell the epoch; trains nothing."""

    def __init__(self, *scripts: list[float]) -> None:
        super().__init__()
        self.scripts = list(scripts)
        self.given: list[dict[str, Any]] = []

    def build(self, hp: Any) -> Any:
        return build(hp)

    def fit(self, hp: Any, model: Any, *args: Any, callbacks: Any, **kwargs: Any) -> Any:
        script = self.scripts[len(self.given) % len(self.scripts)]
        self.given.append({"args": args, "kwargs": kwargs, "callbacks": callbacks})
        callbacks = keras.callbacks.CallbackList(callbacks, add_history=True, model=model)
        callbacks.on_train_begin()
        for epoch, loss in enumerate(script):
            callbacks.on_epoch_begin(epoch)
            model.set_weights([np.full((3, 1), float(epoch))])
            callbacks.on_epoch_end(epoch, {"val_loss": loss})
        callbacks.on_train_end()
        return model.history


def scripted(project: dict[str, Any], *scripts: list[float], **kwargs: Any) -> Any:
    settings = {"objective": "val_loss", "max_trials": 1, "seed": 1, **project, **kwargs}
    return kt.RandomSearch(Scripted(*scripts), **settings)


def test_the_best_model_has_the_weights_of_the_best_epoch(project: dict[str, Any]) -> None:
    tuner = scripted(project, [0.5, 0.25, 0.75])
    tuner.search(verbose=0)
    (trial,) = tuner.oracle.get_best_trials()
    assert (trial.score, trial.best_step) == (0.25, 1)
    (model,) = tuner.get_best_models()
    assert model.get_weights()[0].tolist() == [[1.0]] * 3


def test_executions_are_averaged_and_the_best_of_all_is_kept(project: dict[str, Any]) -> None:
    tuner = scripted(project, [0.5, 0.75], [0.75, 0.25, 1.0], executions_per_trial=2)
    tuner.search(verbose=0)
    assert tuner.executions_per_trial == 2
    assert len(tuner.hypermodel.given) == 2
    (trial,) = tuner.oracle.get_best_trials()
    assert trial.score == pytest.approx(0.375)
    (model,) = tuner.get_best_models()
    assert model.get_weights()[0].tolist() == [[1.0]] * 3


def test_models_come_best_first(project: dict[str, Any]) -> None:
    tuner = scripted(project, [0.5], [0.9, 0.25], [0.9, 0.9, 0.75], max_trials=3)
    tuner.search(verbose=0)
    epochs = [int(m.get_weights()[0][0, 0]) for m in tuner.get_best_models(num_models=3)]
    assert epochs == [1, 0, 2]


def test_asking_for_more_models_than_succeeded_gives_those_that_did(
    project: dict[str, Any], mended: bool
) -> None:
    tuner = scripted(project, [0.5], [float("nan")], max_trials=2)
    tuner.search(verbose=0)
    if mended:
        assert len(tuner.get_best_models(num_models=2)) == 1
    else:
        assert len(tuner.get_best_models(num_models=1)) == 1


def test_arguments_of_search_reach_fit(project: dict[str, Any], line: tuple[Any, ...]) -> None:
    tuner = scripted(project, [0.5])
    x, y = line
    tuner.search(x, y, epochs=3, batch_size=8, validation_data=(x, y), class_weight=None, verbose=0)
    (given,) = tuner.hypermodel.given
    assert given["args"][0] is x
    assert given["args"][1] is y
    rest = dict(given["kwargs"])
    assert rest.pop("validation_data")[0] is x
    assert rest == {"epochs": 3, "batch_size": 8, "class_weight": None, "verbose": 0}


class Remembering(keras.callbacks.Callback):
    """Must not carry what it saw from one trial to the next."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[int] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs.append(epoch)


def test_callbacks_are_copied_for_each_execution(project: dict[str, Any]) -> None:
    original = Remembering()
    tuner = scripted(project, [0.5, 0.4], max_trials=2, executions_per_trial=2)
    tuner.search(callbacks=[original], verbose=0)
    used = [
        next(c for c in given["callbacks"] if isinstance(c, Remembering))
        for given in tuner.hypermodel.given
    ]
    assert original.epochs == []
    assert [callback.epochs for callback in used] == [[0, 1]] * 4
    assert len({id(callback) for callback in used}) == 4


def test_a_tuner_callback_is_among_the_callbacks(project: dict[str, Any]) -> None:
    tuner = scripted(project, [0.5])
    tuner.search(verbose=0)
    callbacks = tuner.hypermodel.given[0]["callbacks"]
    (found,) = [c for c in callbacks if isinstance(c, TunerCallback)]
    assert found.tuner is tuner
    assert found.trial.trial_id == "0"


def test_callbacks_that_refuse_to_be_copied_are_copied_part_by_part(
    project: dict[str, Any], mended: bool
) -> None:
    class Uncopyable(keras.callbacks.Callback):
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("no copies")

    tuner = scripted(project, [0.5])
    if mended:
        original = Uncopyable()
        (copy,) = tuner._deepcopy_callbacks([original])
        assert isinstance(copy, Uncopyable)
        assert copy is not original
        return
    with pytest.raises(kt.errors.FatalValueError, match="copy"):
        tuner.search(callbacks=[Uncopyable()], verbose=0)
    with pytest.raises(ValueError, match="copy"):
        tuner._deepcopy_callbacks([Uncopyable()])


def test_deepcopy_callbacks_copies(project: dict[str, Any]) -> None:
    original = Remembering()
    (copy,) = scripted(project, [0.5])._deepcopy_callbacks([original])
    assert isinstance(copy, Remembering)
    assert copy is not original


class Hooked(kt.RandomSearch):
    """Writes down what happens while a model trains."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.calls: list[Any] = []
        super().__init__(*args, **kwargs)

    def on_epoch_begin(self, trial: Any, model: Any, epoch: int, logs: Any = None) -> None:
        assert isinstance(model, keras.Model)
        self.calls.append(("epoch begins", trial.trial_id, epoch))

    def on_epoch_end(self, trial: Any, model: Any, epoch: int, logs: Any = None) -> None:
        self.calls.append(("epoch ends", trial.trial_id, epoch, set(logs)))

    def on_batch_begin(self, trial: Any, model: Any, batch: int, logs: Any) -> None:
        self.calls.append(("batch begins", trial.trial_id, batch))

    def on_batch_end(self, trial: Any, model: Any, batch: int, logs: Any = None) -> None:
        assert isinstance(model, keras.Model)
        self.calls.append(("batch ends", trial.trial_id, batch))


def test_epoch_and_batch_hooks_are_called_while_a_model_trains(
    project: dict[str, Any], line: tuple[Any, ...]
) -> None:
    x, y = line
    tuner = Hooked(build, objective="val_loss", max_trials=1, **project)
    tuner.search(x, y, epochs=2, batch_size=24, validation_data=(x, y), verbose=0)
    batches = [(f"batch {when}", "0", b) for b in (0, 1) for when in ("begins", "ends")]
    expected = []
    for epoch in (0, 1):
        expected += [("epoch begins", "0", epoch), *batches]
        expected.append(("epoch ends", "0", epoch, {"loss", "val_loss"}))
    assert tuner.calls == expected


def test_a_tuner_callback_made_by_hand_calls_the_hooks(project: dict[str, Any]) -> None:
    tuner = Hooked(Scripted([0.5]), objective="val_loss", max_trials=1, **project)
    trial = tuner.oracle.create_trial("tuner0")
    callback = TunerCallback(tuner, trial)
    callback.set_model(build(kt.HyperParameters()))
    callback.on_epoch_begin(3)
    callback.on_train_batch_begin(1)
    callback.on_train_batch_end(1, logs={"loss": 0.5})
    callback.on_epoch_end(3, logs={"loss": 0.5})
    assert tuner.calls == [
        ("epoch begins", "0", 3),
        ("batch begins", "0", 1),
        ("batch ends", "0", 1),
        ("epoch ends", "0", 3, {"loss"}),
    ]


def test_run_trial_can_wrap_the_one_of_the_class(
    project: dict[str, Any], line: tuple[Any, ...]
) -> None:
    sizes = []

    class Batched(kt.BayesianOptimization):
        """The usual way to tune the batch size from outside the model."""

        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            kwargs["batch_size"] = trial.hyperparameters.Int("batch_size", 16, 48, step=16)
            sizes.append(kwargs["batch_size"])
            return super().run_trial(trial, *args, **kwargs)

    x, y = line
    tuner = Batched(build, objective="loss", max_trials=1, **project)
    tuner.search(x, y, epochs=1, verbose=0)
    best = tuner.get_best_hyperparameters()[0]
    assert sizes == [best.get("batch_size")]
    assert set(best.values) == {"lr", "batch_size"}


def test_build_and_fit_model_can_be_overridden(project: dict[str, Any]) -> None:
    arrived = []

    class Preparing(kt.RandomSearch):
        def _build_and_fit_model(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            model = self._try_build(trial.hyperparameters)
            arrived.append((isinstance(model, keras.Model), args, sorted(kwargs)))
            return {"val_loss": 0.5}

    tuner = Preparing(build, objective="val_loss", max_trials=1, executions_per_trial=2, **project)
    tuner.search("x", epochs=3, verbose=0)
    assert arrived == [(True, ("x",), ["callbacks", "epochs", "verbose"])] * 2
    assert tuner.oracle.get_best_trials()[0].score == 0.5


def test_the_checkpoint_of_a_trial_has_a_name_in_its_directory(project: dict[str, Any]) -> None:
    tuner = scripted(project, [0.5, 0.25])
    fname = tuner._get_checkpoint_fname("0")
    assert Path(fname).parent == Path(tuner.get_trial_dir("0"))
    assert fname.endswith(".weights.h5")


def test_load_model_can_be_called_and_overridden(project: dict[str, Any]) -> None:
    class Loading(kt.RandomSearch):
        def load_model(self, trial: Any) -> Any:
            return trial.trial_id, super().load_model(trial)

    tuner = Loading(Scripted([0.5]), objective="val_loss", max_trials=1, **project)
    tuner.search(verbose=0)
    ((trial_id, model),) = tuner.get_best_models()
    assert trial_id == "0"
    assert isinstance(model, keras.Model)


def test_own_run_trial_with_own_loop_and_saving(
    project: dict[str, Any], line: tuple[Any, ...]
) -> None:
    x, y = line

    class Own(kt.Tuner):
        def run_trial(self, trial: Any, x: Any, y: Any, **kwargs: Any) -> dict[str, float]:
            model = self.hypermodel.build(trial.hyperparameters)
            loss = 0.0
            for epoch in range(2):
                self.on_epoch_begin(trial, model, epoch, logs={})
                self.on_batch_begin(trial, model, 0, logs={})
                loss = float(model.train_on_batch(x, y))
                self.on_batch_end(trial, model, 0, logs={"loss": loss})
                self.on_epoch_end(trial, model, epoch, logs={"loss": loss})
            model.save_weights(self._get_checkpoint_fname(trial.trial_id))
            return {"loss": loss}

        def load_model(self, trial: Any) -> Any:
            model = self.hypermodel.build(trial.hyperparameters)
            model.load_weights(self._get_checkpoint_fname(trial.trial_id))
            return model

    oracle = kt.oracles.BayesianOptimizationOracle(objective="loss", max_trials=1)
    tuner = Own(oracle=oracle, hypermodel=build, **project)
    tuner.search(x, y, verbose=0)
    (model,) = tuner.get_best_models()
    assert model.evaluate(x, y, verbose=0) <= tuner.oracle.get_best_trials()[0].score


def test_a_tuner_takes_any_oracle(project: dict[str, Any]) -> None:
    oracle = kt.oracles.GridSearchOracle(objective="val_loss")
    tuner = kt.Tuner(oracle, Scripted([0.5]), **project)
    tuner.search(verbose=0)
    rates = [trial.hyperparameters.get("lr") for trial in oracle.trials.values()]
    assert rates == [0.05, 0.1, 0.15]
    assert tuner.oracle is oracle


def test_a_tuner_shows_its_settings(project: dict[str, Any]) -> None:
    tuner = scripted(project, [0.5], max_model_size=100, loss="mae", tuner_id="mine")
    assert (tuner.max_model_size, tuner.loss, tuner.optimizer) == (100, "mae", None)
    assert (tuner.metrics, tuner.distribution_strategy) == (None, None)
    assert (tuner.tuner_id, tuner.executions_per_trial) == ("mine", 1)
    assert (tuner.directory, tuner.project_name) == (project["directory"], "project")
    assert isinstance(tuner.hypermodel, Scripted)


def test_run_trial_or_a_hypermodel_must_be_given(project: dict[str, Any]) -> None:
    for tuner_class in (kt.RandomSearch, kt.GridSearch, kt.BayesianOptimization):
        with pytest.raises(ValueError, match="hypermodel=None"):
            tuner_class(objective="val_loss", **project)
    with pytest.raises(ValueError, match="hypermodel=None"):
        kt.Tuner(kt.oracles.RandomSearchOracle(objective="val_loss"), **project)
