"""Training loops of the user's own, conditional architectures, and tailored spaces."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import afina as kt


class LoopHyperModel(kt.HyperModel):
    """Trains by its own loop over batches and reports to the callbacks that it is given."""

    def __init__(self, seen: dict[str, Any]) -> None:
        super().__init__()
        self.seen = seen

    def build(self, hp: Any) -> Any:
        inputs = keras.Input(shape=(3,))
        hidden = layers.Dense(hp.Int("units", 2, 6, step=2), activation="relu")(inputs)
        return keras.Model(inputs, layers.Dense(1)(hidden))

    def fit(
        self,
        hp: Any,
        model: Any,
        x: Any,
        y: Any,
        validation_data: Any,
        callbacks: Any = None,
        **kwargs: Any,
    ) -> float:
        rate = hp.Float("learning_rate", 1e-3, 1e-1, sampling="log", default=1e-2)
        batch_size = hp.Int("batch_size", 16, 48, step=16, default=16)
        model.compile(keras.optimizers.SGD(rate), "mse")
        for callback in callbacks:
            callback.set_model(model)
        best = float("inf")
        for epoch in range(2):
            for start in range(0, len(x), batch_size):
                model.train_on_batch(x[start : start + batch_size], y[start : start + batch_size])
            loss = float(model.test_on_batch(*validation_data))
            for callback in callbacks:
                # The checkpoint of the best epoch is among them: it needs the objective.
                callback.on_epoch_end(epoch, logs={"my_metric": loss})
            best = min(best, loss)
        self.seen.setdefault("callbacks", []).append(
            [kind.__name__ for callback in callbacks for kind in type(callback).__mro__]
        )
        self.seen.setdefault("extra", []).append(kwargs)
        return best


def test_a_custom_training_loop_in_fit(project: dict[str, Any], line: tuple[Any, ...]) -> None:
    x, y = line
    seen: dict[str, Any] = {}
    tuner = kt.RandomSearch(
        objective=kt.Objective("my_metric", "min"),
        max_trials=2,
        hypermodel=LoopHyperModel(seen),
        **project,
    )
    tuner.search(x=x, y=y, validation_data=(x, y), verbose=0)
    assert len(seen["callbacks"]) == 2
    assert "TunerCallback" in seen["callbacks"][0]
    assert seen["extra"] == [{"verbose": 0}] * 2
    best_hps = tuner.get_best_hyperparameters()[0]
    assert {"units", "learning_rate", "batch_size"} == set(best_hps.values)
    best_model = tuner.get_best_models()[0]
    error = float(np.mean((best_model.predict(x, verbose=0) - y) ** 2))
    assert error == pytest.approx(tuner.oracle.get_best_trials()[0].score, rel=1e-3)


class SubclassedModel(keras.Model):
    """A model with its own layers and call, built without an input shape."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.hidden = layers.Dense(units, activation="relu")
        self.out = layers.Dense(1)

    def call(self, inputs: Any) -> Any:
        return self.out(self.hidden(inputs))


def test_a_subclassed_model_is_searched_and_loaded(
    project: dict[str, Any], line: tuple[Any, ...], mended: bool
) -> None:
    x, y = line

    def build(hp: Any) -> Any:
        model = SubclassedModel(hp.Int("units", 2, 8))
        model.compile(optimizer="sgd", loss="mse")
        return model

    tuner = kt.RandomSearch(build, objective="val_loss", max_trials=1, **project)
    tuner.search(x, y, epochs=2, validation_data=(x, y), verbose=0)
    (trial,) = tuner.oracle.get_best_trials()
    assert trial.status == "COMPLETED"
    if not mended:
        with pytest.raises(ValueError, match="not yet been built"):
            tuner.get_best_models()
        return
    (model,) = tuner.get_best_models()
    assert model.evaluate(x, y, verbose=0) == pytest.approx(trial.score, rel=1e-4)


def conditional_builder(hp: Any) -> Any:
    """Chooses between two kinds of network, each with hyperparameters of its own."""
    inputs = keras.Input((4, 4))
    kind = hp.Choice("model_type", ["mlp", "cnn"])
    outputs = inputs
    with hp.conditional_scope("model_type", ["mlp"]):
        if kind == "mlp":
            outputs = layers.Flatten()(inputs)
            outputs = layers.Dense(hp.Int("units", 2, 4), activation="relu")(outputs)
    with hp.conditional_scope("model_type", ["cnn"]):
        if kind == "cnn":
            filters = hp.Choice("filters", [2, 4])
            outputs = layers.Conv1D(filters, 3, activation="relu")(inputs)
            outputs = layers.GlobalAveragePooling1D()(outputs)
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(outputs))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class NoTraining(kt.RandomSearch):
    """Builds each trial's model and scores it by its size; trains nothing."""

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
        return float(self.hypermodel.build(trial.hyperparameters).count_params())


def test_all_conditional_scopes_are_found_before_the_search(project: dict[str, Any]) -> None:
    tuner = NoTraining(conditional_builder, max_trials=8, seed=1, **project)
    space = tuner.oracle.get_space().space
    assert [entry.name for entry in space] == ["model_type", "units", "filters"]
    assert [condition.name for condition in space[1].conditions] == ["model_type"]
    assert list(space[1].conditions[0].values) == ["mlp"]


def test_trials_hold_values_of_their_own_branch_only(project: dict[str, Any]) -> None:
    tuner = NoTraining(conditional_builder, max_trials=5, seed=1, **project)
    tuner.search(verbose=0)
    names = {"mlp": {"model_type", "units"}, "cnn": {"model_type", "filters"}}
    kinds = set()
    for trial in tuner.oracle.trials.values():
        kind = trial.hyperparameters.get("model_type")
        kinds.add(kind)
        assert set(trial.hyperparameters.values) == names[kind]
    assert kinds == {"mlp", "cnn"}


def plain_builder(hp: Any) -> Any:
    """Compiles itself; the tailored searches override parts of it."""
    model = keras.Sequential([keras.Input((3,))])
    for i in range(hp.Int("num_layers", 1, 3)):
        model.add(layers.Dense(hp.Int(f"units_{i}", 1, 9)))
    model.add(layers.Dense(1))
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")
    model.compile(keras.optimizers.Adam(rate), "mse", metrics=["mae"])
    return model


def tuned(project: dict[str, Any], hp: Any = None, **kwargs: Any) -> Any:
    return NoTraining(plain_builder, hyperparameters=hp, max_trials=3, **project, **kwargs)


def names(tuner: Any) -> set[str]:
    return {entry.name for entry in tuner.oracle.get_space().space}


def test_presets_override_the_definitions_of_the_builder(project: dict[str, Any]) -> None:
    hp = kt.HyperParameters()
    hp.Float("learning_rate", min_value=0.5, max_value=0.75)
    tuner = tuned(project, hp)
    tuner.search(verbose=0)
    for trial in tuner.oracle.trials.values():
        assert 0.5 <= trial.hyperparameters.get("learning_rate") <= 0.75
    assert {"num_layers", "units_0", "learning_rate"} <= names(tuner)


def test_a_fixed_preset_takes_a_hyperparameter_out_of_the_search(project: dict[str, Any]) -> None:
    hp = kt.HyperParameters()
    hp.Fixed("learning_rate", value=1e-3)
    tuner = tuned(project, hp, tune_new_entries=True)
    tuner.search(verbose=0)
    rates = [t.hyperparameters.get("learning_rate") for t in tuner.oracle.trials.values()]
    assert rates == [1e-3] * 3


def test_without_new_entries_the_rest_keeps_its_defaults(
    project: dict[str, Any], mended: bool
) -> None:
    hp = kt.HyperParameters()
    hp.Choice("learning_rate", values=[1e-1, 1e-2, 1e-3])
    tuner = tuned(project, hp, tune_new_entries=False)
    tuner.search(verbose=0)
    assert names(tuner) == {"learning_rate"}
    trials = list(tuner.oracle.trials.values())
    rates = {t.hyperparameters.get("learning_rate") for t in trials}
    assert rates <= {1e-1, 1e-2, 1e-3}
    # Keras Tuner forgets what it tried as soon as a trial has more values than its space.
    assert len(rates) == 3 or not mended
    assert [t.hyperparameters.get("num_layers") for t in trials] == [1, 1, 1]
    assert len({t.score for t in trials}) == 1


def test_forbidden_new_entries_end_the_construction(project: dict[str, Any]) -> None:
    hp = kt.HyperParameters()
    hp.Choice("learning_rate", values=[1e-1, 1e-2])
    with pytest.raises(RuntimeError, match="allow_new_entries"):
        tuned(project, hp, allow_new_entries=False)


def test_an_untunable_hypermodel_adds_nothing_to_the_space(project: dict[str, Any]) -> None:
    class Untunable(kt.HyperModel):
        def build(self, hp: Any) -> Any:
            return plain_builder(hp)

    tuner = NoTraining(Untunable(tunable=False), max_trials=1, **project)
    assert names(tuner) == set()
    assert tuner.hypermodel.tunable is False


def test_declare_hyperparameters_comes_before_the_first_build(project: dict[str, Any]) -> None:
    class Declared(kt.HyperModel):
        def declare_hyperparameters(self, hp: Any) -> None:
            hp.Int("num_layers", 2, 2)

        def build(self, hp: Any) -> Any:
            return plain_builder(hp)

    tuner = NoTraining(Declared(), max_trials=1, **project)
    tuner.search(verbose=0)
    assert tuner.oracle.get_space().space[0].name == "num_layers"
    assert tuner.get_best_hyperparameters()[0].get("num_layers") == 2


def test_compile_arguments_of_the_tuner_override_the_builder(project: dict[str, Any]) -> None:
    compiled = []

    class Spy(kt.HyperModel):
        def build(self, hp: Any) -> Any:
            return plain_builder(hp)

        def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> float:
            logs = model.evaluate(np.ones((2, 3)), np.ones((2, 1)), return_dict=True, verbose=0)
            compiled.append((model.optimizer, model.loss, set(logs)))
            return 0.0

    optimizer = keras.optimizers.SGD(0.125)
    tuner = kt.RandomSearch(
        Spy(), max_trials=2, optimizer=optimizer, loss="mae", metrics=["mape"], **project
    )
    tuner.search(verbose=0)
    (first, loss, metrics), (second, _, _) = compiled
    assert isinstance(first, keras.optimizers.SGD)
    assert float(first.learning_rate) == 0.125
    assert first is not second  # each trial starts with an optimizer of its own
    assert loss == "mae"
    assert metrics == {"loss", "mape"}


def test_a_compile_argument_alone_leaves_the_others(project: dict[str, Any]) -> None:
    seen = []

    class Spy(kt.HyperModel):
        def build(self, hp: Any) -> Any:
            return plain_builder(hp)

        def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> float:
            seen.append((type(model.optimizer).__name__, model.loss))
            return 0.0

    kt.RandomSearch(Spy(), max_trials=1, optimizer="rmsprop", **project).search(verbose=0)
    assert seen == [("RMSprop", "mse")]
