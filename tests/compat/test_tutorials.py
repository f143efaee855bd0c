"""What the guides to Keras Tuner teach, on tiny data: first search, scopes, objectives, results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import afina as kt


def build_model(hp: Any) -> Any:
    """The first model of every guide: layers, dropout and learning rate to tune."""
    model = keras.Sequential([keras.Input((4, 4)), layers.Flatten()])
    for i in range(hp.Int("num_layers", 1, 2)):
        model.add(
            layers.Dense(
                units=hp.Int(f"units_{i}", min_value=4, max_value=12, step=4),
                activation=hp.Choice("activation", ["relu", "tanh"]),
            )
        )
    if hp.Boolean("dropout"):
        model.add(layers.Dropout(rate=0.25))
    model.add(layers.Dense(3, activation="softmax"))
    learning_rate = hp.Float("lr", min_value=1e-3, max_value=1e-1, sampling="log")
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def test_a_builder_can_be_tried_with_fresh_hyperparameters() -> None:
    hp = kt.HyperParameters()
    model = build_model(hp)
    assert isinstance(model, keras.Model)
    assert [entry.name for entry in hp.space] == [
        *("num_layers", "units_0", "activation", "dropout", "lr")
    ]


def test_getting_started(tmp_path: Path, digits: tuple[Any, ...], capsys: Any) -> None:
    x_train, y_train, x_val, y_val = digits
    tuner = kt.RandomSearch(
        hypermodel=build_model,
        objective="val_accuracy",
        max_trials=2,
        executions_per_trial=1,
        overwrite=True,
        directory=tmp_path,
        project_name="helloworld",
    )
    tuner.search_space_summary()
    assert "units_0 (Int)" in capsys.readouterr().out

    tuner.search(x_train, y_train, epochs=2, validation_data=(x_val, y_val))
    assert "Complete [" in capsys.readouterr().out

    models = tuner.get_best_models(num_models=2)
    assert [type(model) for model in models] == [keras.Sequential] * 2
    assert models[0].predict(x_val, verbose=0).shape == (32, 3)
    tuner.results_summary()
    assert "Results summary" in capsys.readouterr().out

    best_hps = tuner.get_best_hyperparameters(5)
    assert len(best_hps) == 2
    model = build_model(best_hps[0])
    everything = np.concatenate((x_train, x_val)), np.concatenate((y_train, y_val))
    history = model.fit(*everything, epochs=1, verbose=0)
    assert len(history.history["loss"]) == 1


def test_hyperband_with_early_stopping_and_retraining(
    project: dict[str, Any], digits: tuple[Any, ...]
) -> None:
    x_train, y_train, _, _ = digits

    def model_builder(hp: Any) -> Any:
        model = keras.Sequential()
        model.add(keras.layers.Flatten())
        hp_units = hp.Int("units", min_value=4, max_value=12, step=4)
        model.add(keras.layers.Dense(units=hp_units, activation="relu"))
        model.add(keras.layers.Dense(3))
        hp_learning_rate = hp.Choice("learning_rate", values=[1e-2, 1e-3, 1e-4])
        model.compile(
            optimizer=keras.optimizers.Adam(learning_rate=hp_learning_rate),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return model

    tuner = kt.Hyperband(model_builder, objective="val_accuracy", max_epochs=2, factor=2, **project)
    stop_early = keras.callbacks.EarlyStopping(monitor="val_loss", patience=1)
    tuner.search(
        x_train, y_train, epochs=50, validation_split=0.25, callbacks=[stop_early], verbose=0
    )
    best_hps = tuner.get_best_hyperparameters(num_trials=1)[0]
    assert best_hps.get("units") in range(4, 13, 4)
    assert best_hps.get("learning_rate") in (1e-2, 1e-3, 1e-4)

    model = tuner.hypermodel.build(best_hps)
    history = model.fit(x_train, y_train, epochs=2, validation_split=0.25, verbose=0)
    val_acc_per_epoch = history.history["val_accuracy"]
    best_epoch = val_acc_per_epoch.index(max(val_acc_per_epoch)) + 1
    hypermodel = tuner.hypermodel.build(best_hps)
    hypermodel.fit(x_train, y_train, epochs=best_epoch, verbose=0)
    # The model was never given an input shape: its weights load all the same.
    (best,) = tuner.get_best_models()
    assert best.predict(x_train[:2], verbose=0).shape == (2, 3)


def test_a_hypermodel_class_tunes_the_training_too(
    project: dict[str, Any], digits: tuple[Any, ...]
) -> None:
    x_train, y_train, x_val, y_val = digits
    batch_sizes, shuffles = [], []

    class MyHyperModel(kt.HyperModel):
        def build(self, hp: Any) -> Any:
            model = keras.Sequential([keras.Input((4, 4)), layers.Flatten()])
            model.add(layers.Dense(3, activation="softmax"))
            model.compile(
                optimizer="adam",
                loss="sparse_categorical_crossentropy",
                metrics=["accuracy"],
            )
            return model

        def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
            batch_sizes.append(hp.Choice("batch_size", [16, 32]))
            shuffles.append(hp.Boolean("shuffle"))
            return model.fit(
                *args,
                batch_size=batch_sizes[-1],
                shuffle=shuffles[-1],
                epochs=hp.Int("epochs", 1, 3),
                **kwargs,
            )

    tuner = kt.RandomSearch(MyHyperModel(), objective="val_accuracy", max_trials=2, **project)
    tuner.search(x_train, y_train, validation_data=(x_val, y_val), verbose=0)
    assert len(batch_sizes) == 2
    assert {e.name for e in tuner.oracle.get_space().space} == {"batch_size", "shuffle", "epochs"}
    best_hps = tuner.get_best_hyperparameters()[0]
    assert {"batch_size", "shuffle", "epochs"} <= set(best_hps.values)
    hypermodel = MyHyperModel()
    model = hypermodel.build(best_hps)
    history = hypermodel.fit(best_hps, model, x_train, y_train, verbose=0)
    assert len(history.history["loss"]) == best_hps.get("epochs")


def test_data_can_be_preprocessed_by_a_hyperparameter_in_fit(
    project: dict[str, Any], line: tuple[Any, ...]
) -> None:
    class Regressor(kt.HyperModel):
        def build(self, hp: Any) -> Any:
            self.normalize = hp.Boolean("normalize")
            inputs = keras.Input(shape=(3,))
            outputs = layers.Dense(1)(inputs)
            model = keras.Model(inputs, outputs)
            model.compile(optimizer="sgd", loss="mean_squared_error", metrics=["mae"])
            return model

        def fit(self, hp: Any, model: Any, x: Any, y: Any, **kwargs: Any) -> Any:
            if hp.get("normalize"):
                x = (x - x.mean(axis=0)) / x.std(axis=0)
            return model.fit(x, y, **kwargs)

    tuner = kt.GridSearch(Regressor(name="regressor"), objective="mae", **project)
    tuner.search(*line, epochs=1, verbose=0)
    values = [t.hyperparameters.get("normalize") for t in tuner.oracle.trials.values()]
    assert values == [False, True]
    assert tuner.hypermodel.name == "regressor"


def test_fit_may_return_a_float_that_is_minimized(
    project: dict[str, Any], line: tuple[Any, ...]
) -> None:
    x, y = line

    class MyHyperModel(kt.HyperModel):
        def build(self, hp: Any) -> Any:
            model = keras.Sequential([keras.Input((3,)), layers.Dense(1, use_bias=False)])
            model.compile(loss="mse")
            model.set_weights([np.full((3, 1), hp.Float("w", -1.0, 1.0))])
            return model

        def fit(self, hp: Any, model: Any, x: Any, y: Any, **kwargs: Any) -> float:
            return float(np.mean(np.abs(model.predict(x, verbose=0) - y)))

    tuner = kt.RandomSearch(hypermodel=MyHyperModel(), max_trials=3, overwrite=True, **project)
    tuner.search(x, y, verbose=0)
    scores = [trial.score for trial in tuner.oracle.trials.values()]
    assert tuner.oracle.get_best_trials()[0].score == min(scores)
    assert len(set(scores)) == 3


def test_fit_may_return_several_metrics_in_a_dict(
    project: dict[str, Any], line: tuple[Any, ...]
) -> None:
    class MyHyperModel(kt.HyperModel):
        def build(self, hp: Any) -> Any:
            hp.Int("units", 1, 9)
            model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
            model.compile(loss="mse")
            return model

        def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
            return {"metric_a": -float(hp.get("units")), "metric_b": 0.5}

    tuner = kt.RandomSearch(
        MyHyperModel(), objective=kt.Objective("metric_a", "min"), max_trials=3, **project
    )
    tuner.search(*line, verbose=0)
    best = tuner.oracle.get_best_trials()[0]
    most = max(t.hyperparameters.get("units") for t in tuner.oracle.trials.values())
    assert best.score == -most
    assert best.metrics.get_best_value("metric_b") == 0.5


@keras.saving.register_keras_serializable(package="compat")
class MeanAbsolute(keras.metrics.Metric):
    """A metric of the user's own."""

    def __init__(self, name: str = "mean_absolute", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.total = self.add_weight(name="total", initializer="zeros")
        self.count = self.add_weight(name="count", initializer="zeros")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.total.assign_add(keras.ops.sum(keras.ops.abs(y_true - y_pred)))
        self.count.assign_add(keras.ops.cast(keras.ops.size(y_true), "float32"))

    def result(self) -> Any:
        return self.total / self.count


def test_a_custom_metric_needs_an_objective_with_a_direction(
    project: dict[str, Any], line: tuple[Any, ...]
) -> None:
    x, y = line

    def build(hp: Any) -> Any:
        model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
        model.compile(
            optimizer=keras.optimizers.SGD(hp.Float("lr", 0.01, 0.1)),
            loss="mse",
            metrics=[MeanAbsolute()],
        )
        return model

    with pytest.raises(ValueError, match="val_mean_absolute"):
        kt.RandomSearch(build, objective="val_mean_absolute", max_trials=1, **project)
    tuner = kt.RandomSearch(
        build,
        objective=kt.Objective("val_mean_absolute", direction="min"),
        max_trials=2,
        **project,
    )
    tuner.search(x, y, epochs=2, validation_data=(x, y), verbose=0)
    best = tuner.oracle.get_best_trials()[0]
    assert best.score == min(t.score for t in tuner.oracle.trials.values())
    assert {"loss", "val_loss", "val_mean_absolute"} <= set(best.metrics.metrics)
    model = tuner.get_best_models()[0]
    assert model.evaluate(x, y, return_dict=True, verbose=0)["mean_absolute"] == pytest.approx(
        best.score, rel=1e-4
    )


def test_a_history_with_several_objectives(project: dict[str, Any], line: tuple[Any, ...]) -> None:
    x, y = line

    def build(hp: Any) -> Any:
        model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
        model.compile(keras.optimizers.SGD(hp.Choice("lr", [0.01, 0.1])), "mse", metrics=["mae"])
        return model

    tuner = kt.RandomSearch(
        build,
        objective=["val_loss", kt.Objective("val_mae", "min")],
        max_trials=1,
        **project,
    )
    tuner.search(x, y, epochs=2, validation_data=(x, y), verbose=0)
    (best,) = tuner.oracle.get_best_trials()
    parts = [best.metrics.get_best_value(name) for name in ("val_loss", "val_mae")]
    assert best.score == pytest.approx(sum(parts))
