"""Layers that TensorFlow computes by fewer passes: with the numbers of Keras' own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from afina.training import fresh_session
from afina.training.on_tensorflow import TensorFlowTrainer, xla
from afina.training.on_tensorflow.quick_layers import RISING, layers_made_quick
from afina.training.on_tensorflow.unused_edges import used_lengths

if keras.backend.backend() != "tensorflow":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

layers = keras.layers
IMAGES, SEQUENCES, VOLUMES = (9, 9, 4), (13, 3), (6, 6, 6, 2)
CLASSES = 3
ROWS = 40
"""Two whole batches and a smaller one."""


def classifier(shape: tuple[int, ...], *middle: Any) -> keras.Model:
    end = [layers.Flatten(), layers.Dense(CLASSES)]
    return keras.Sequential([keras.Input(shape), *middle, *end])


def block(layer: Any, *more: Any) -> list[Any]:
    """A convolution with an activation, and pooling behind it."""
    rank = len(layer.kernel_size)
    pooling = [layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D][rank - 1]
    return [layer, *more, pooling(2)]


def normalized() -> list[Any]:
    convolution = layers.Conv2D(6, 3, use_bias=False)
    return block(convolution, layers.BatchNormalization(), layers.ReLU())


def branched() -> keras.Model:
    """What is pooled is looked at by another layer too, and is an output itself."""
    inputs = keras.Input(IMAGES)
    shared = layers.Conv2D(6, 3, activation="relu", activity_regularizer="l2")(inputs)
    pooled = layers.MaxPooling2D()(shared)
    averaged = layers.GlobalAveragePooling2D()(shared)
    joined = layers.Concatenate()([layers.Flatten()(pooled), averaged])
    return keras.Model(inputs, layers.Dense(CLASSES)(joined))


class Halved(layers.Conv2D):  # type: ignore[misc]
    """A convolution with code of the user's."""

    def call(self, inputs: Any) -> Any:
        return 0.5 * super().call(inputs)


class Own(keras.Model):  # type: ignore[misc]
    """A model with code of the user's around layers of Keras'."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = layers.Conv2D(4, 3, activation="relu")
        self.pooling = layers.MaxPooling2D()
        self.end = layers.Dense(CLASSES)

    def call(self, inputs: Any) -> Any:
        convolved = self.convolution(inputs)
        both = self.pooling(convolved) + self.pooling(-convolved)
        return self.end(keras.ops.mean(both, axis=(1, 2)))


def recurrent() -> list[Any]:
    each = keras.Sequential([keras.Input((9, 3)), *block(layers.Conv1D(4, 3, activation="relu"))])
    return [layers.Reshape((4, 9, 3)), layers.TimeDistributed(each)]


KINDS: dict[str, Callable[[], keras.Model]] = {
    "conv1d": lambda: classifier(SEQUENCES, *block(layers.Conv1D(5, 3, activation="relu"))),
    "conv1d, causal": lambda: classifier(SEQUENCES, *block(layers.Conv1D(5, 3, padding="causal"))),
    "conv2d": lambda: classifier(IMAGES, *block(layers.Conv2D(5, 3, activation="relu"))),
    "conv2d, same": lambda: classifier(
        IMAGES, layers.Conv2D(5, 3, 2, "same"), layers.ReLU(), layers.MaxPooling2D(3, 2, "same")
    ),
    "conv2d, dilated": lambda: classifier(
        IMAGES, *block(layers.Conv2D(5, 3, dilation_rate=2, activation="tanh"))
    ),
    "conv2d, groups": lambda: classifier(
        IMAGES, *block(layers.Conv2D(4, 3, groups=2, activation="relu"))
    ),
    "pooling, channels first": lambda: classifier(
        IMAGES, layers.ReLU(), layers.MaxPooling2D(data_format="channels_first")
    ),
    "conv2d, no pooling": lambda: classifier(
        IMAGES, layers.Conv2D(4, 3, activation="relu"), layers.Conv2D(4, 3, activation="gelu")
    ),
    "conv2d, falling": lambda: classifier(IMAGES, *block(layers.Conv2D(4, 3, activation="gelu"))),
    "conv2d, layers for activations": lambda: classifier(
        IMAGES, *block(layers.Conv2D(4, 3, activation=layers.LeakyReLU(0.1)), layers.ELU())
    ),
    "conv2d, dropout": lambda: classifier(
        IMAGES, *block(layers.Conv2D(4, 3, activation="relu"), layers.Dropout(0.3))
    ),
    "conv3d": lambda: classifier(VOLUMES, *block(layers.Conv3D(4, 3, activation="relu"))),
    "average pooling": lambda: classifier(
        IMAGES, layers.Conv2D(4, 3), layers.AveragePooling2D(2), layers.Conv2D(4, 2, 2)
    ),
    "unused edges": lambda: classifier(
        (14, 23, 2),
        layers.Rescaling(2.0),
        layers.Conv2D(4, 3, (1, 2), activation="gelu"),
        layers.MaxPooling2D(3, 2),
        layers.Conv2D(4, 2, dilation_rate=(2, 1)),
        layers.Activation("relu"),
        layers.AveragePooling2D((2, 3)),
    ),
    "unused edges, 1d": lambda: classifier(
        (15, 3), *block(layers.Conv1D(4, 2, 2, activation="relu")), layers.MaxPooling1D(2)
    ),
    "unused edges, 3d": lambda: classifier((8, 8, 9, 2), *block(layers.Conv3D(4, 2))),
    "transposed": lambda: classifier(
        IMAGES, *block(layers.Conv2DTranspose(4, 3, 2, activation="relu"))
    ),
    "depthwise": lambda: classifier(IMAGES, *block(layers.DepthwiseConv2D(3, activation="elu"))),
    "separable": lambda: classifier(
        IMAGES, *block(layers.SeparableConv2D(5, 3, activation="relu"))
    ),
    "separable 1d": lambda: classifier(SEQUENCES, *block(layers.SeparableConv1D(5, 3))),
    "time distributed": lambda: classifier((36, 3), *recurrent()),
    "branched": branched,
    "code of the user's": lambda: classifier(IMAGES, *block(Halved(5, 3, activation="relu"))),
    "own model": Own,
    "normalized": lambda: classifier(IMAGES, *normalized()),
}


def data_of(model: keras.Model, *, steps: int | None = None) -> tuple[Any, Any]:
    """Numbers of a few kinds only, if `steps` says so: then many are equal."""
    rng = np.random.default_rng(3)
    shape = IMAGES if isinstance(model, Own) else model.input_shape[1:]
    x = rng.normal(size=(ROWS, *shape)).astype("float32")
    if steps is not None:
        x = np.round(np.clip(x, -1, 1) * steps) / steps
    return x, rng.integers(0, CLASSES, ROWS)


def trained(make: Callable[[], keras.Model], *, fused: bool, **data: Any) -> tuple[Any, Any]:
    """The logs of a short training, and the weights after it."""
    fresh_session()
    keras.utils.set_random_seed(2)
    model = make()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss)
    given = {"batch_size": 16, "epochs": 2, "shuffle": False, "verbose": 0}
    x, y = data_of(model, **data)
    given["validation_data"] = x[:20], y[:20]
    if fused:
        assert not xla.uses_xla(model, 6)
        logs = TensorFlowTrainer().fit(model, (x, y), given).history
    else:
        logs = model.fit(x, y, **given).history
    return logs, model.get_weights()


def assert_alike(make: Callable[[], keras.Model], **data: Any) -> None:
    (logs, weights), (by_fit, fit_weights) = [
        trained(make, fused=fused, **data) for fused in (True, False)
    ]
    for name, values in by_fit.items():
        np.testing.assert_allclose(logs[name], values, rtol=1e-5, atol=1e-5, err_msg=name)
    for mine, theirs in zip(weights, fit_weights, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_layers_made_quick_train_as_in_fit(name: str) -> None:
    assert_alike(KINDS[name])


@pytest.mark.parametrize("activation", sorted(each.__name__ for each in RISING))
def test_pooling_before_an_activation_trains_as_in_fit(activation: str) -> None:
    assert_alike(lambda: classifier(IMAGES, *block(layers.Conv2D(4, 3, activation=activation))))


def test_of_equal_numbers_the_first_gets_the_gradient_as_in_fit() -> None:
    kernel = keras.initializers.Constant(0.25)
    assert_alike(
        lambda: classifier(
            IMAGES, *block(layers.Conv2D(4, 1, activation="relu", kernel_initializer=kernel))
        ),
        steps=1,
    )


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_other_types_train_as_in_fit(policy: str) -> None:
    def make() -> keras.Model:
        middle = [layers.Conv2D(5, 3), layers.ReLU(), layers.MaxPooling2D()]
        return classifier(IMAGES, *middle, layers.BatchNormalization())

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        (logs, _), (by_fit, _) = [trained(make, fused=fused) for fused in (True, False)]
    finally:
        keras.config.set_dtype_policy(before)
    tolerance = 1e-5 if policy == "float64" else 1e-2
    np.testing.assert_allclose(logs["loss"], by_fit["loss"], rtol=tolerance)


# -- what is computed -----------------------------------------------------------------------------


def graph_of(model: keras.Model, *, training: bool = True) -> Any:
    """The operations of a step forward, by their kind."""
    import tensorflow as tf

    with layers_made_quick(model):
        function = tf.function(lambda x: model(x, training=training), autograph=False)
        spec = tf.TensorSpec((16, *model.input_shape[1:]), "float32")
        return function.get_concrete_function(spec).graph


def added_to(graph: Any) -> list[str]:
    """The kinds of operations to whose images a bias is added."""
    found = [each.inputs[0] for each in graph.get_operations() if each.type == "BiasAdd"]
    return [_maker(tensor).type for tensor in found if len(tensor.shape) == 4]


def _maker(tensor: Any) -> Any:
    """The operation that made a tensor, leaving out those that only pass it on."""
    while tensor.op.type in ("Identity", "IdentityN"):
        tensor = tensor.op.inputs[tensor.value_index]
    return tensor.op


def test_pooling_comes_before_the_bias_and_the_activation() -> None:
    middle = block(layers.Conv2D(4, 3), layers.Activation("relu"))
    graph = graph_of(classifier(IMAGES, *middle))
    assert "MaxPool" in added_to(graph)
    assert "AddV2" not in {each.type for each in graph.get_operations()}


def test_pooling_comes_after_an_activation_that_falls() -> None:
    graph = graph_of(KINDS["conv2d, falling"]())
    assert added_to(graph) == ["Conv2D"]


def test_the_gradient_of_a_bias_is_a_plain_sum() -> None:
    import tensorflow as tf

    model = classifier(IMAGES, layers.Conv2D(4, 3))

    @tf.function(autograph=False)
    def gradients(x: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(x))
        return tape.gradient(loss, [model.layers[0].bias.value])

    with layers_made_quick(model):
        graph = gradients.get_concrete_function(tf.TensorSpec((16, *IMAGES), "float32")).graph
    kinds = [each.type for each in graph.get_operations()]
    assert "BiasAdd" in kinds
    convolved = [each for each in graph.get_operations() if each.type == "BiasAddGrad"]
    assert all(len(each.inputs[0].shape) == 2 for each in convolved)  # only of Dense layers


def test_layers_are_keras_own_again_after_a_trace() -> None:
    model = KINDS["normalized"]()
    graph_of(model)
    assert not any("call" in vars(layer) for layer in model.layers)


# -- what pooling leaves out ----------------------------------------------------------------------


def test_edges_that_only_count_for_what_pooling_leaves_out_are_cut_off() -> None:
    twice = [*block(layers.Conv2D(4, 3, activation="relu")), *block(layers.Conv2D(4, 3))]
    model = classifier((28, 28, 1), layers.Rescaling(0.5), *twice)
    assert used_lengths(model) == {id(model.layers[1]): ((28, 28), (26, 26))}
    sizes = [each.outputs[0].shape[1:3].as_list() for each in graph_of(model).get_operations()
             if each.type == "Conv2D"]  # fmt: skip
    assert sizes == [[24, 24], [10, 10]]


def _shared() -> keras.Model:
    inputs = keras.Input(IMAGES)
    shared = layers.Conv2D(4, 3)(inputs)
    ends = [layers.Flatten()(each) for each in (shared, layers.MaxPooling2D()(shared))]
    return keras.Model(inputs, layers.Dense(CLASSES)(layers.Concatenate()(ends)))


def _called_twice() -> keras.Model:
    first, second = keras.Input(IMAGES), keras.Input(IMAGES)
    convolution = layers.Conv2D(4, 3)
    nested = keras.Sequential([keras.Input(IMAGES), convolution, layers.Flatten()])
    pooled = layers.Flatten()(layers.MaxPooling2D()(convolution(first)))
    joined = layers.Concatenate()([pooled, nested(second)])
    return keras.Model([first, second], layers.Dense(CLASSES)(joined))


def _output() -> keras.Model:
    inputs = keras.Input(IMAGES)
    convolved = layers.Conv2D(4, 3)(inputs)
    return keras.Model(inputs, [convolved, layers.MaxPooling2D()(convolved)])


WHOLE: dict[str, Callable[[], keras.Model]] = {
    "same": lambda: classifier(IMAGES, *block(layers.Conv2D(4, 3, padding="same"))),
    "nothing is left out": lambda: classifier((8, 8, 1), *block(layers.Conv2D(4, 3))),
    "too little to matter": lambda: classifier((103, 103, 1), *block(layers.Conv2D(4, 3))),
    "dropout": lambda: classifier(IMAGES, *block(layers.Conv2D(4, 3), layers.Dropout(0.2))),
    "normalized": lambda: classifier(IMAGES, *normalized()),
    "activations that look around": lambda: classifier(
        IMAGES, *block(layers.Conv2D(4, 3, activation="softmax"))
    ),
    "a function of the user's": lambda: classifier(
        IMAGES, *block(layers.Conv2D(4, 3, activation=lambda x: x - keras.ops.mean(x)))
    ),
    "regularized": lambda: classifier(
        IMAGES, *block(layers.Conv2D(4, 3, activity_regularizer="l2"))
    ),
    "behind weights": lambda: classifier(
        IMAGES, layers.Dense(4), *block(layers.Conv2D(4, 3, activation="relu"))
    ),
    "any length": lambda: keras.Sequential(
        [keras.Input((None, None, 2)), *block(layers.Conv2D(4, 3)), layers.GlobalMaxPooling2D()]
    ),
    "code of the user's": lambda: classifier(IMAGES, *block(Halved(5, 3))),
    "own model": Own,
    "shared": _shared,
    "called twice": _called_twice,
    "an output": _output,
}


@pytest.mark.parametrize("name", WHOLE)
def test_where_edges_may_count_nothing_is_cut_off(name: str) -> None:
    assert used_lengths(WHOLE[name]()) == {}
