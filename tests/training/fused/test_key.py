"""Which trainings share a compiled program. A wrong share would train another model in silence."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest

from afina.training import fresh_session, keras_parts
from afina.training.epochs.key import program_key
from afina.training.epochs.programs import ProgramCache
from afina.training.fused import Engine, FusedTrainer

from .conftest import arrays, both, dense, layers, sequential

X, Y = arrays()
Make = Callable[[], keras.Model]
losses, metrics, optimizers = keras.losses, keras.metrics, keras.optimizers
schedules = keras.optimizers.schedules


class _StopError(Exception):
    pass


class Keys(ProgramCache):
    """Notes the first key that is asked for, and compiles nothing."""

    def get(self, key: Any, make: Any) -> Any:
        self.key = key
        raise _StopError


def key_of(make: Make, x: Any = X, y: Any = Y, **kwargs: Any) -> Any:
    """The key of a whole training, as an engine makes it."""
    fresh_session()
    engine = Engine(sparse=kwargs.pop("sparse", True))
    engine.programs = Keys()
    with pytest.raises(_StopError):
        FusedTrainer(engine).fit(make(), (x, y), {"batch_size": 16, **kwargs})
    return engine.programs.key


# -- what is shared -------------------------------------------------------------------------------


def every_part(rate: float) -> keras.Model:
    """Most of what Keras has, to see that nothing makes equal models look different."""
    inputs = keras.Input((6,))
    hidden = layers.Dense(4, "relu", kernel_regularizer="l2", bias_constraint="max_norm")(inputs)
    hidden = layers.Dropout(0.3)(layers.BatchNormalization()(hidden)) * 2
    hidden = hidden + keras.ops.mean(hidden, axis=-1, keepdims=True)
    constant = layers.Dense(4, bias_initializer=keras.initializers.Constant(0.1))
    inner = keras.Sequential([keras.Input((4,)), constant, layers.LayerNormalization()])
    turned = layers.Bidirectional(layers.LSTM(2))(layers.Reshape((2, 2))(inner(hidden)))
    model = keras.Model(inputs, layers.Dense(1)(layers.PReLU()(turned)))
    model.compile(
        optimizers.LossScaleOptimizer(optimizers.AdamW(schedules.CosineDecay(rate, 9)))
        if rate > 1
        else optimizers.Adam(rate, clipnorm=1.0),
        losses.Huber(),
        metrics=["mae", metrics.AUC(), metrics.F1Score(threshold=0.5)],
        weighted_metrics=["mse"],
    )
    return model


@pytest.mark.parametrize("rate", [0.1, 2.0])
def test_equal_models_have_equal_keys(rate: float) -> None:
    keras.utils.set_random_seed(1)
    first = key_of(lambda: every_part(rate), validation_split=0.2)
    keras.utils.set_random_seed(2)
    second = key_of(lambda: every_part(rate), validation_split=0.2)
    assert first is not None
    assert first == second
    assert hash(first) == hash(second)


def test_another_learning_rate_and_other_weights_and_seeds_share_a_program() -> None:
    engine = Engine()
    for rate in (0.1, 0.01, 1e-3):

        def make(rate: float = rate) -> keras.Model:
            return sequential(layers.Dense(4), layers.Dropout(0.3), optimizer=optimizers.Adam(rate))

        both(make, X, Y, engine=engine, seed=int(1000 * rate), epochs=2)
    assert engine.programs.compiled == 1


def test_a_model_that_goes_on_from_saved_weights_shares_the_program(tmp_path: Path) -> None:
    saved = tmp_path / "of.weights.h5"
    begun = every_part(0.1)
    begun.save_weights(saved)

    def going_on() -> keras.Model:
        model = every_part(0.1)
        model.load_weights(saved)
        return model

    assert key_of(going_on) == key_of(lambda: every_part(0.1)) is not None


def test_adapted_layers_share_a_program_if_they_are_adapted_to_the_same() -> None:
    assert key_of(normalized(1)) == key_of(normalized(1)) is not None


# -- what is not ----------------------------------------------------------------------------------


def adam(**kwargs: Any) -> Make:
    return lambda: dense(optimizer=optimizers.Adam(0.01, **kwargs))


def layer(kind: Any, *args: Any, **kwargs: Any) -> Make:
    return lambda: sequential(layers.Dense(6), kind(*args, **kwargs))


def loss(kind: Any, *args: Any, **kwargs: Any) -> Make:
    return lambda: dense(loss=kind(*args, **kwargs), activation="sigmoid")


def metric(kind: Any, *args: Any, **kwargs: Any) -> Make:
    return lambda: dense(metrics=[kind(*args, **kwargs)])


def normalized(scale: float) -> Make:
    def make() -> keras.Model:
        normal = layers.Normalization()
        normal.adapt(scale * X)
        return sequential(normal)

    return make


def graph(function: Callable[[Any], Any], **compiled: Any) -> Make:
    def make() -> keras.Model:
        inputs = keras.Input((6,))
        model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(function(inputs))))
        model.compile(**{"optimizer": "sgd", "loss": "mse", **compiled})
        return model

    return make


def frozen(make_layer: Callable[[], Any], part: str) -> Make:
    """A composite layer of which one part is frozen; all parts have the same shapes."""

    def function(inputs: Any) -> Any:
        inputs = layers.Reshape((3, 2))(inputs)
        whole = make_layer()
        twice = isinstance(whole, layers.MultiHeadAttention)
        outputs = whole(inputs, inputs) if twice else whole(inputs)
        getattr(whole, part).trainable = False
        return outputs

    return graph(function)


def attending() -> Any:
    return layers.MultiHeadAttention(2, 3)


def turning() -> Any:
    return layers.Bidirectional(layers.SimpleRNN(3))


def first_frozen(which: int) -> Make:
    def make() -> keras.Model:
        model = sequential(layers.Dense(6), layers.Dense(6))
        model.layers[which].trainable = False
        model.compile("adam", "mse")
        return model

    return make


def lora(alpha: float) -> Make:
    def make() -> keras.Model:
        model = dense()
        model.layers[0].enable_lora(2, lora_alpha=alpha)
        model.compile("adam", "mse")
        return model

    return make


def with_attribute(name: str, value: Any) -> Make:
    def make() -> keras.Model:
        model = sequential(layers.Dense(6), layers.Dropout(0.2))
        setattr(model.layers[1], name, value)
        return model

    return make


OTHERS: dict[str, tuple[Make, Make]] = {
    "units": (layer(layers.Dense, 3), layer(layers.Dense, 4)),
    "no dropout": (layer(layers.Dropout, 0.0), layer(layers.Dropout, 0.2)),
    "all dropped": (layer(layers.Dropout, 1.0), layer(layers.Dropout, 0.2)),
    "noise of products": (layer(layers.GaussianDropout, 0.1), layer(layers.GaussianDropout, 0.2)),
    "momentum of normalization": (
        layer(layers.BatchNormalization, momentum=0.9),
        layer(layers.BatchNormalization, momentum=0.8),
    ),
    "no L2": (
        layer(layers.Dense, 3, kernel_regularizer=keras.regularizers.L2(0.0)),
        layer(layers.Dense, 3, kernel_regularizer=keras.regularizers.L2(0.2)),
    ),
    "kind of a regularizer": (
        layer(layers.BatchNormalization, activity_regularizer=keras.regularizers.L1(0.1)),
        layer(layers.BatchNormalization, activity_regularizer=keras.regularizers.L2(0.1)),
    ),
    "constraint": (
        layer(layers.Dense, 3, kernel_constraint=keras.constraints.MaxNorm(1)),
        layer(layers.Dense, 3, kernel_constraint=keras.constraints.MaxNorm(2)),
    ),
    "activation": (layer(layers.Dense, 3, "relu"), layer(layers.Dense, 3, "tanh")),
    "slope": (layer(layers.LeakyReLU, 0.1), layer(layers.LeakyReLU, 0.2)),
    "statistics": (normalized(1), normalized(3)),
    "frozen layer": (first_frozen(0), first_frozen(1)),
    "frozen part of attention": (
        frozen(attending, "_query_dense"),
        frozen(attending, "_key_dense"),
    ),
    "frozen direction": (frozen(turning, "forward_layer"), frozen(turning, "backward_layer")),
    "scale of LoRA": (lora(2), lora(8)),
    "dtype of a layer": (
        layer(layers.Dense, 3, dtype="float32"),
        layer(layers.Dense, 3, dtype="mixed_bfloat16"),
    ),
    "cast of inputs": (
        layer(layers.Dense, 3, autocast=True),
        layer(layers.Dense, 3, autocast=False),
    ),
    "number in the graph": (graph(lambda t: t * 2), graph(lambda t: t * 3)),
    "array in the graph": (
        graph(lambda t: t * np.arange(6, dtype="float32")),
        graph(lambda t: t * np.ones(6, dtype="float32")),
    ),
    "order in the graph": (
        graph(lambda t: layers.ReLU()(layers.Dense(6)(t))),
        graph(lambda t: layers.Dense(6)(layers.ReLU()(t))),
    ),
    "operation": (graph(keras.ops.sin), graph(keras.ops.cos)),
    "shared layer": (
        graph(lambda t: (lambda d: d(d(t)))(layers.Dense(6))),
        graph(lambda t: layers.Dense(6)(layers.Dense(6, trainable=False)(t))),
    ),
    "beta": (adam(beta_1=0.9), adam(beta_1=0.8)),
    "epsilon": (adam(), adam(epsilon=1e-3)),
    "weight decay": (adam(), adam(weight_decay=0.1)),
    "clipping": (adam(clipnorm=1.0), adam(clipvalue=1.0)),
    "average": (
        adam(use_ema=True, ema_overwrite_frequency=2),
        adam(use_ema=True, ema_overwrite_frequency=3),
    ),
    "accumulation": (adam(gradient_accumulation_steps=2), adam(gradient_accumulation_steps=3)),
    "scale of the loss": (adam(loss_scale_factor=2.0), adam(loss_scale_factor=4.0)),
    "kind of optimizer": (
        lambda: dense(optimizer=optimizers.Adam()),
        lambda: dense(optimizer=optimizers.Nadam()),
    ),
    "schedule": (
        lambda: dense(optimizer=optimizers.SGD(schedules.ExponentialDecay(0.1, 5, 0.9))),
        lambda: dense(optimizer=optimizers.SGD(schedules.InverseTimeDecay(0.1, 5, 0.9))),
    ),
    "stairs of a schedule": (
        lambda: dense(optimizer=optimizers.SGD(schedules.ExponentialDecay(0.1, 5, 0.9))),
        lambda: dense(optimizer=optimizers.SGD(schedules.ExponentialDecay(0.1, 5, 0.9, True))),
    ),
    "scaling within": (
        lambda: dense(optimizer=optimizers.LossScaleOptimizer(optimizers.Adam(beta_1=0.9))),
        lambda: dense(optimizer=optimizers.LossScaleOptimizer(optimizers.Adam(beta_1=0.8))),
    ),
    "loss": (lambda: dense(loss="mse"), lambda: dense(loss="mae")),
    "option of a loss": (loss(losses.Huber, 1.0), loss(losses.Huber, 2.0)),
    "smoothing": (
        loss(losses.BinaryCrossentropy, label_smoothing=0.0),
        loss(losses.BinaryCrossentropy, label_smoothing=0.1),
    ),
    "dtype of a loss": (
        loss(losses.MeanSquaredError),
        loss(losses.MeanSquaredError, dtype="bfloat16"),
    ),
    "reduction": (
        loss(losses.MeanSquaredError),
        loss(losses.MeanSquaredError, reduction="sum"),
    ),
    "weight of a loss": (
        lambda: dense(loss=["mse"], loss_weights=[1.0]),
        lambda: dense(loss=["mse"], loss_weights=[2.0]),
    ),
    "metric": (lambda: dense(metrics=["mae"]), lambda: dense(metrics=["mse"])),
    "weighted metric": (
        lambda: dense(metrics=["mae"]),
        lambda: dense(weighted_metrics=["mae"]),
    ),
    "threshold": (metric(metrics.Precision, 0.3), metric(metrics.Precision, 0.4)),
    "curve": (metric(metrics.AUC, curve="ROC"), metric(metrics.AUC, curve="PR")),
}


SAME: dict[str, tuple[Make, Make]] = {
    "dropout": (layer(layers.Dropout, 0.1), layer(layers.Dropout, 0.2)),
    "dropout set later": (with_attribute("rate", 0.3), with_attribute("rate", 0.4)),
    "noise": (layer(layers.GaussianNoise, 0.1), layer(layers.GaussianNoise, 0.2)),
    "L2": (
        layer(layers.Dense, 3, kernel_regularizer=keras.regularizers.L2(0.1)),
        layer(layers.Dense, 3, kernel_regularizer=keras.regularizers.L2(0.2)),
    ),
    "regularizer of outputs": (
        layer(layers.BatchNormalization, activity_regularizer=keras.regularizers.L2(0.1)),
        layer(layers.BatchNormalization, activity_regularizer=keras.regularizers.L2(0.2)),
    ),
    "weight decay": (adam(weight_decay=0.2), adam(weight_decay=0.1)),
    "schedule": (
        lambda: dense(optimizer=optimizers.SGD(schedules.ExponentialDecay(0.1, 5, 0.9))),
        lambda: dense(optimizer=optimizers.SGD(schedules.ExponentialDecay(0.2, 7, 0.8))),
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_numbers_that_are_inputs_of_a_program_do_not_make_another_one(name: str) -> None:
    keys = [key_of(make) for make in SAME[name]]
    assert keys[0] == keys[1] is not None


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_a_constant_in_a_program_is_not_shared(name: str) -> None:
    keys = [key_of(make) for make in OTHERS[name]]
    assert keys[0] is not None
    assert keys[0] != keys[1]
    assert keys[0] == key_of(OTHERS[name][0])


CALLS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "batch size": ({"batch_size": 8}, {"batch_size": 16}),
    "rows": ({}, {"x": X[:40], "y": Y[:40]}),
    "validation": ({}, {"validation_split": 0.2}),
    "rows of validation": (
        {"validation_data": (X[:9], Y[:9])},
        {"validation_data": (X[:8], Y[:8])},
    ),
    "weights of samples": ({}, {"sample_weight": np.ones(50, "float32")}),
    "type of inputs": ({}, {"x": X.astype("int32")}),
    "shape of targets": ({}, {"y": Y[:, 0]}),
}


@pytest.mark.parametrize("name", CALLS)
def test_other_data_and_batches_are_not_shared(name: str) -> None:
    keys = [key_of(dense, **{"x": X, "y": Y, **kwargs}) for kwargs in CALLS[name]]
    assert keys[0] != keys[1]


@contextlib.contextmanager
def set_to(setting: str, value: Any, before: Any) -> Iterator[None]:
    getattr(keras.config, f"set_{setting}")(value)
    try:
        yield
    finally:
        getattr(keras.config, f"set_{setting}")(before)


SETTINGS: dict[str, Callable[[], contextlib.AbstractContextManager[Any]]] = {
    "policy": lambda: set_to("dtype_policy", "mixed_bfloat16", "float32"),
    "floats": lambda: set_to("floatx", "bfloat16", "float32"),
    "epsilon": lambda: set_to("epsilon", 1e-3, keras.config.epsilon()),
    "precision of products": lambda: jax.default_matmul_precision("bfloat16"),
    "generator": lambda: jax.default_prng_impl("rbg"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_keras_and_jax_that_programs_are_traced_under_are_not_shared(name: str) -> None:
    model = dense()
    keras_parts.Batches(X, Y, None, batch_size=16, shuffle=False).build(model)
    plain = program_key(model)
    with SETTINGS[name]():
        other = dense() if name == "policy" else model
        keras_parts.Batches(X, Y, None, batch_size=16, shuffle=False).build(other)
        assert program_key(other) != plain
    assert program_key(model) == plain is not None
