"""Fused epochs on TensorFlow: what is shared, what is refused, and what is drawn."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from afina.training import (
    Account,
    TrainerChooser,
    build_model,
    building,
    fresh_session,
    seeded,
    tensorflow_kernels,
)
from afina.training.fused import Engine
from afina.training.on_tensorflow import TensorFlowTrainer, xla

if keras.backend.backend() != "tensorflow":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 6)).astype("float32")
Y = X[:, :1] + 0.1 * RNG.normal(size=(50, 1)).astype("float32")
TRAINING: dict[str, Any] = {"epochs": 2, "batch_size": 16, "validation_split": 0.3, "verbose": 0}
HOST = "afina.training.epochs.accepting.free_host_bytes"


def network(*middle: Any, rate: float = 1e-2, **compiled: Any) -> keras.Model:
    model = keras.Sequential([keras.Input((6,)), *middle, layers.Dense(1)])
    model.compile(keras.optimizers.Adam(rate), "mse", metrics=["mae"], **compiled)
    return model


def trained(model: keras.Model, trainer: TensorFlowTrainer | None = None, **kwargs: Any) -> Any:
    """The logs of a training by fused epochs, or by plain `fit`."""
    given = {**TRAINING, **kwargs}
    if trainer is None:
        return model.fit(X, Y, **given).history
    return trainer.fit(model, (X, Y), given).history


def path_of(model: keras.Model, *args: Any, **kwargs: Any) -> str:
    """How a chooser trained a model."""
    account = Account()
    given = {**TRAINING, **kwargs}
    TrainerChooser("auto", Engine()).fit(model, args or (X, Y), given, account)
    return account.path


@pytest.fixture(params=["XLA", "TensorFlow's own kernels"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such short trainings are worth no compilation, unless it is free."""
    if request.param == "XLA":
        monkeypatch.setattr(xla, "COMPILE", 0.0)


# -- what is shared -------------------------------------------------------------------------------


@pytest.mark.usefixtures("kernels")
def test_ten_models_of_one_key_are_traced_once_and_each_is_trained_in_its_own_variables() -> None:
    trainer, histories, models = TensorFlowTrainer(), [], []
    for number in range(10):
        keras.utils.set_random_seed(number)
        fresh_session()
        models.append(network(layers.Dense(4), layers.Dropout(0.2), rate=1e-3 * (number + 1)))
        histories.append(trained(models[-1], trainer))
    assert trainer.programs.compiled == 2  # the training and the validation
    assert len({history["loss"][0] for history in histories}) == 10
    assert all(int(model.optimizer.iterations) == 6 for model in models)


def test_trials_that_share_functions_keep_tensorflows_kernels_and_the_draws_of_their_seeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import tensorflow as tf
    from tensorflow.python.eager import context

    emptied, empty = [], context.pywrap_tfe.TFE_ContextClearCaches

    def listened(*args: Any) -> None:
        emptied.append(True)
        empty(*args)

    def drawn(seed: int) -> list[float]:
        fresh_session()
        with seeded(seed):
            draws = [tf.random.normal(()), tf.random.normal((), seed=1), tf.random.uniform(())]
        return [float(draw) for draw in draws]

    # What other tests have left behind.
    for name, nothing in {"_worth": weakref.WeakSet(), "_seeds": set(), "_kept": []}.items():
        monkeypatch.setattr(tensorflow_kernels, name, nothing)
    before = [drawn(seed) for seed in (1, 2, 3, 0)][:3]
    monkeypatch.setattr(context.pywrap_tfe, "TFE_ContextClearCaches", listened)
    trainer = TensorFlowTrainer()
    trained(network(layers.Dense(4)), trainer)
    emptied.clear()
    assert [drawn(seed) for seed in (1, 2, 3)] == before
    assert not emptied
    assert drawn(2) == before[1]  # its kernels have drawn before
    assert len(emptied) == 1
    del trainer
    gc.collect()
    assert drawn(4) != drawn(5)
    assert len(emptied) == 5  # nothing is worth keeping


def test_a_model_of_another_key_gets_programs_of_its_own() -> None:
    trainer = TensorFlowTrainer()
    for activation in ("relu", "tanh"):
        fresh_session()
        trained(network(layers.Dense(4, activation=activation)), trainer)
    assert trainer.programs.compiled == 4


def test_one_model_trained_in_between_by_a_shared_program_does_not_change_another() -> None:
    def make() -> keras.Model:
        fresh_session()
        keras.utils.set_random_seed(1)
        return network(layers.Dense(4))

    trainer = TensorFlowTrainer()
    alone = trained(make(), TensorFlowTrainer(), shuffle=False)
    first = make()
    one = trained(first, trainer, epochs=1, shuffle=False)
    trained(make(), trainer, shuffle=False)
    other = trained(first, trainer, epochs=2, initial_epoch=1, shuffle=False)
    np.testing.assert_allclose([*one["loss"], *other["loss"]], alone["loss"], rtol=1e-5)


def test_a_trained_model_is_not_kept_alive_by_its_programs() -> None:
    trainer = TensorFlowTrainer()
    model = network(layers.Dense(4))
    trained(model, trainer)
    kept = weakref.ref(model)
    del model
    fresh_session()
    gc.collect()
    assert kept() is None
    assert trainer.programs.compiled == 2


def graphs_alive() -> set[int]:
    """The graphs in memory that hold more than their C++ shell."""
    import tensorflow as tf

    gc.collect()
    alive = [each for each in gc.get_objects() if isinstance(each, tf.Graph)]
    return {id(each) for each in alive if hasattr(each, "_resource_tensor_inputs")}


def test_a_function_that_leaves_the_cache_leaves_no_graph_behind() -> None:
    before = graphs_alive()
    trainer = TensorFlowTrainer()
    trainer.programs.most = 2
    for activation in ("relu", "tanh", "sigmoid"):
        fresh_session()
        trained(network(layers.Dense(4, activation=activation)), trainer)
    kept = len(graphs_alive() - before)
    assert kept == 6  # of the last training and validation, with two graphs of each loop
    del trainer
    assert not graphs_alive() - before


@pytest.mark.parametrize("training", ["fit", "auto"])
def test_plain_fit_leaves_no_graph_behind_once_its_model_is_gone(training: Any) -> None:
    before = graphs_alive()
    chooser = TrainerChooser(training, Engine())
    for _ in range(2):
        fresh_session()
        given: Any = {**TRAINING, "callbacks": [Batchwise()]}
        chooser.fit(network(layers.Dense(4)), (X, Y), given, Account())
        del given  # the callback knows the model
    fresh_session()
    assert not graphs_alive() - before


@pytest.mark.parametrize("training", ["fit", "auto"])
def test_tensorflow_forgets_the_custom_gradients_of_a_training_once_its_model_is_gone(
    training: Any,
) -> None:
    from tensorflow.python.framework import ops

    before = set(ops.gradient_registry.list())
    chooser = TrainerChooser(training, Engine())
    for _ in range(2):
        fresh_session()
        chooser.fit(network(layers.Dense(4)), (X, Y), TRAINING, Account())
    registered = set(ops.gradient_registry.list()) - before
    del chooser
    fresh_session()
    gc.collect()
    assert registered  # Keras' optimizer makes one in each trace
    assert set(ops.gradient_registry.list()) == before


def test_a_model_that_plain_fit_has_trained_goes_on_training_and_predicting() -> None:
    chooser, model = TrainerChooser("fit", Engine()), network(layers.Dense(4))
    losses = []
    for _ in range(2):
        losses += chooser.fit(model, (X, Y), TRAINING, Account()).history["loss"]
        gc.collect()
        model.predict(X, verbose=0)
    assert losses[-1] < losses[0]
    assert np.isfinite(model.evaluate(X, Y, verbose=0)).all()


# -- what it is trained by ------------------------------------------------------------------------


class Text(layers.Layer):  # type: ignore[misc]
    """Goes through strings, which XLA knows nothing of."""

    def call(self, inputs: Any) -> Any:
        import tensorflow as tf

        numbers = tf.strings.to_number(tf.strings.as_string(tf.stop_gradient(inputs)))
        return inputs + 0.0 * tf.reshape(numbers, tf.shape(inputs))


class Eager(layers.Layer):  # type: ignore[misc]
    """Needs numbers where there are none yet."""

    def call(self, inputs: Any) -> Any:
        import tensorflow as tf

        if tf.executing_eagerly():
            return inputs
        raise RuntimeError("only eagerly")


class Image(keras.Sequential):  # type: ignore[misc]
    """A model with a `fit` of its own."""

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        return super().fit(*args, **kwargs)


class Batchwise(keras.callbacks.Callback):  # type: ignore[misc]
    """Looks at single batches."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        pass


FUSED: dict[str, Callable[[], keras.Model]] = {
    "keras' own layers": lambda: network(layers.Dense(4)),
    "what XLA cannot compile": lambda: network(Text()),
    "a loss of its own": lambda: _of_loss(lambda y, p: keras.ops.mean((y - p) ** 2, axis=-1)),
}


def _of_loss(loss: Any) -> keras.Model:
    model = keras.Sequential([keras.Input((6,)), layers.Dense(1)])
    model.compile("adam", loss)
    return model


@pytest.mark.parametrize("name", FUSED)
def test_epochs_are_fused_and_come_to_what_fit_comes_to(name: str) -> None:
    logs = []
    for trainer in (None, TensorFlowTrainer()):
        fresh_session()
        keras.utils.set_random_seed(2)
        logs.append(trained(FUSED[name](), trainer, shuffle=False))
    for metric, values in logs[0].items():
        np.testing.assert_allclose(logs[1][metric], values, rtol=1e-5, atol=1e-5, err_msg=metric)
    fresh_session()
    assert path_of(FUSED[name]()) == "fused"


@pytest.mark.parametrize("name", ["dense", "normalization", "sequences"])
def test_a_function_that_xla_has_compiled_comes_to_what_fit_comes_to(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xla, "COMPILE", 0.0)
    middle = {
        "dense": [layers.Dense(4, activation="relu")],
        "normalization": [layers.Dense(4, use_bias=False), layers.BatchNormalization()],
        "sequences": [layers.Reshape((3, 2)), layers.GRU(4)],
    }[name]
    logs = []
    for trainer in (None, TensorFlowTrainer()):
        fresh_session()
        keras.utils.set_random_seed(2)
        fresh = [layer.from_config({**layer.get_config(), "name": None}) for layer in middle]
        model = network(*fresh)
        assert xla.uses_xla(model, 1)
        logs.append(trained(model, trainer, shuffle=False))
    for metric, values in logs[0].items():
        np.testing.assert_allclose(logs[1][metric], values, rtol=1e-5, atol=1e-5, err_msg=metric)


@pytest.mark.usefixtures("kernels")
def test_the_last_smaller_batch_is_trained_and_counted_as_in_fit() -> None:
    for batch_size in (15, 64):
        logs = []
        for trainer in (None, TensorFlowTrainer()):
            fresh_session()
            keras.utils.set_random_seed(2)
            given = {"shuffle": False, "batch_size": batch_size}
            logs.append(trained(network(layers.Dense(4)), trainer, **given))
        for metric, values in logs[0].items():
            np.testing.assert_allclose(logs[1][metric], values, rtol=1e-5, atol=1e-6)


WEIGHTS = RNG.random(50).astype("float32")
CLASSES = (Y > 0).astype("int32")
ARGUMENTS: dict[str, dict[str, Any]] = {
    "sample weights": {"sample_weight": WEIGHTS},
    "class weights": {"class_weight": {0: 0.3, 1: 2.0}},
    "validation data with weights": {"validation_data": (X, CLASSES, WEIGHTS)},
    "a validation every second epoch": {"validation_freq": 2, "epochs": 4},
    "validations in chosen epochs": {"validation_freq": [1, 3], "epochs": 3},
    "a later beginning": {"initial_epoch": 1, "epochs": 3},
    "no validation": {"validation_split": 0.0},
    "small validation batches": {"validation_batch_size": 4},
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_an_argument_means_what_it_means_in_fit(name: str) -> None:
    logs = []
    for trainer in (None, TensorFlowTrainer()):
        fresh_session()
        keras.utils.set_random_seed(2)
        model = keras.Sequential([keras.Input((6,)), layers.Dense(1, activation="sigmoid")])
        model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
        given = {**TRAINING, "shuffle": False, **ARGUMENTS[name]}
        fit = model.fit if trainer is None else None
        history = fit(X, CLASSES, **given) if fit else trainer.fit(model, (X, CLASSES), given)
        logs.append(history.history)
    assert list(logs[0]) == list(logs[1])
    for metric, values in logs[0].items():
        np.testing.assert_allclose(logs[1][metric], values, rtol=1e-5, atol=1e-5, err_msg=metric)


def test_tensors_are_trained_on_as_arrays_are() -> None:
    import tensorflow as tf

    logs = []
    for data in ((X, Y), (tf.constant(X), tf.constant(Y))):
        fresh_session()
        keras.utils.set_random_seed(2)
        logs.append(TensorFlowTrainer().fit(network(), data, TRAINING).history)
    assert logs[0] == logs[1]


def test_data_that_leave_no_room_for_models_are_left_to_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(HOST, lambda: 2 * X.nbytes)
    path = path_of(network())
    assert path == "fit: the data are larger than half of the free memory"


REFUSED: dict[str, tuple[Callable[[], keras.Model], dict[str, Any], str]] = {
    "eager": (lambda: network(run_eagerly=True), {}, "run_eagerly"),
    "batches are looked at": (network, {"callbacks": [Batchwise()]}, "on_train_batch_end"),
    "steps are given": (network, {"steps_per_epoch": 2}, "steps_per_epoch"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_fused_is_trained_by_fit_and_the_reason_is_noted(name: str) -> None:
    make, kwargs, reason = REFUSED[name]
    path = path_of(make(), X, Y, **kwargs)
    assert path.startswith("fit: ")
    assert reason in path


def test_a_step_that_cannot_be_traced_changes_nothing_and_says_why() -> None:
    heard: list[str] = []
    callback = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: heard.append("began"))
    model = network()
    trainer = TensorFlowTrainer()
    model.layers[0].call = Eager().call
    before = model.get_weights()
    reason = ""
    try:
        trainer.fit(model, (X, Y), {**TRAINING, "callbacks": [callback]})
    except Exception as error:
        reason = str(error)
    assert "the train step cannot become one program" in reason
    assert not heard
    assert all(map(np.array_equal, before, model.get_weights()))


STEPS_PLANNED: dict[str, tuple[Callable[[], keras.Model], int, bool]] = {
    "few steps": (lambda: network(layers.Dense(4)), 1_000, False),
    "many steps": (lambda: network(layers.Dense(4)), 10_000, True),
    "few steps over sequences": (lambda: recurrent(), 1_000, True),
    "very few steps over sequences": (lambda: recurrent(), 10, False),
    "150 steps both ways": (lambda: recurrent(layers.Bidirectional(layers.LSTM(4))), 150, False),
    "1,000 steps both ways": (lambda: recurrent(layers.Bidirectional(layers.LSTM(4))), 1_000, True),
    "200 steps of an LSTM": (lambda: recurrent(layers.LSTM(4)), 200, False),
    "long sequences both ways": (
        lambda: recurrent(layers.Bidirectional(layers.LSTM(4)), 80),
        150,
        True,
    ),
    "convolutions": (lambda: convolution(), 10_000, False),
    "code of the user's": (lambda: network(Text()), 10_000, False),
    "XLA, as asked": (lambda: network(layers.Dense(4), jit_compile=True), 10, True),
}


def recurrent(layer: Any = None, times: int = 20) -> keras.Model:
    model = keras.Sequential([keras.Input((times, 3)), layer or layers.GRU(4), layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def convolution() -> keras.Model:
    middle = [layers.Conv2D(4, 3), layers.Flatten()]
    model = keras.Sequential([keras.Input((6, 6, 3)), *middle, layers.Dense(1)])
    model.compile("adam", "mse")
    return model


@pytest.mark.parametrize("name", STEPS_PLANNED)
def test_xla_compiles_what_it_makes_quicker_if_enough_steps_are_planned(name: str) -> None:
    make, steps, compiled = STEPS_PLANNED[name]
    assert xla.uses_xla(make(), steps) is compiled


ASKED: dict[str, tuple[Any, str]] = {
    "without": (False, "no XLA: jit_compile=False"),
    "with": (True, "XLA: jit_compile is True"),
    "auto": ("auto", "XLA: the 6 steps planned pay for compiling"),
}


@pytest.mark.parametrize(
    ("name", "training", "renewed"),
    [
        *itertools.product(ASKED, ["fused", "auto"], [False]),
        ("without", "fused", True),
        ("auto", "fused", True),
    ],
)
def test_what_the_user_asks_of_xla_holds_and_is_noted(
    name: str, training: Any, renewed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By fused epochs and by plain `fit`, and where the tuner compiles the model again."""
    monkeypatch.setattr(xla, "COMPILE", 0.0)
    asked, note = ASKED[name]

    class Net:
        def build(self, hp: Any) -> keras.Model:
            return network(layers.Dense(4), jit_compile=asked)

    with building():
        model = build_model(Net(), None, optimizer="sgd" if renewed else None)
    given = dict(TRAINING, callbacks=[Batchwise()] if training == "auto" else [])
    account = Account()
    TrainerChooser(training, Engine()).fit(model, (X, Y), given, account)
    assert account.notes()["choices"] == note
    assert keras.Model.compile.__module__.startswith("keras.")
    if training == "auto":
        assert account.path.startswith("fit")
        assert bool(model.jit_compile) is (name != "without")


def test_plain_fit_of_few_steps_is_not_compiled_by_xla() -> None:
    for epochs, compiles in ((1, False), (2_000, True)):
        fresh_session()
        model = network(layers.Dense(4))
        stop = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs, model=model: setattr(model, "stop_training", True)
        )
        path_of(model, X, Y, epochs=epochs, callbacks=[Batchwise(), stop])
        assert bool(model.jit_compile) is compiles


# -- what is drawn --------------------------------------------------------------------------------


@pytest.mark.usefixtures("kernels")
def test_shuffled_trainings_come_to_what_fit_comes_to_on_average() -> None:
    """Keras shuffles on TensorFlow by a stream of TensorFlow's own, which cannot be read, and XLA
    draws other masks for dropout from the same seeds."""
    losses: dict[bool, list[float]] = {True: [], False: []}
    trainer = TensorFlowTrainer()
    for fused in losses:
        for seed in range(6):
            fresh_session()
            keras.utils.set_random_seed(seed)
            model = network(layers.Dense(8), layers.Dropout(0.2))
            logs = trained(model, trainer if fused else None)
            losses[fused].append(logs["val_loss"][-1])
    differences = np.subtract(losses[True], losses[False])
    assert np.abs(differences).max() > 0  # the orders differ
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    assert abs(differences.mean()) < 4 * error


def test_dropout_goes_on_drawing_where_fit_would() -> None:
    states = []
    for trainer in (None, TensorFlowTrainer()):
        fresh_session()
        keras.utils.set_random_seed(2)
        model = network(layers.Dropout(0.5))
        trained(model, trainer)
        states.append([v.numpy().tolist() for v in model.non_trainable_variables])
    assert states[0] == states[1]


def test_a_training_says_whether_it_would_gain_on_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xla, "PAYS_ON_JAX", 6)
    for epochs, gains in ((1, False), (2, True)):
        account = Account()
        given = {**TRAINING, "epochs": epochs}
        TensorFlowTrainer().fit(network(layers.Dense(4)), (X, Y), given, account)
        assert account.gains_on_jax is gains
