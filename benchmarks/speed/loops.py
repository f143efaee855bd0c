"""Whether a train step is as quick inside a loop as outside, by kind of layer and batch size.

    python benchmarks/speed/loops.py [--kinds conv2d lstm] [--batches 32 256] [--as-traced]
    python benchmarks/speed/loops.py --whole [--kinds conv2d lstm]
    KERAS_BACKEND=tensorflow python benchmarks/speed/loops.py

XLA does not compile a loop's body as it compiles a program. On JAX the table tells what a step
takes in a fused epoch and as a program of its own, as multiples of a step of plain `fit`; with
`--as-traced` also a fused epoch whose convolutions are left as Keras traces them. On TensorFlow it
tells what XLA (`jit_compile`), 100 steps at once and a fused epoch take, as multiples of a step of
plain `fit`.

With `--whole` it tells what whole short trainings of new models take, with tracing, compiling and a
validation after each epoch: fused epochs compile in the place where `fit` compiles too.

It is processor time, of all threads, so other work on the machine matters little; of a few epochs
the cheapest counts.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

layers = keras.layers
Model = keras.Model

CLASSES = 10


def stack(shape: tuple[int, ...], *middle: Any) -> Callable[[], Model]:
    """Makes a classifier of fresh layers like these."""

    def make() -> Model:
        fresh = [layer.from_config(layer.get_config() | {"name": None}) for layer in middle]
        return keras.Sequential([keras.Input(shape), *fresh, layers.Dense(CLASSES)])

    return make


def attention() -> Model:
    inputs = keras.Input((32, 32))
    attended = layers.MultiHeadAttention(4, 8)(inputs, inputs)
    mixed = layers.LayerNormalization()(layers.Add()([inputs, attended]))
    return keras.Model(inputs, layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(mixed)))


class OwnConvolution(layers.Layer):  # type: ignore[misc]
    """A convolution that no layer of Keras' does."""

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(3, 3, shape[-1], 16))

    def call(self, inputs: Any) -> Any:
        return keras.ops.relu(keras.ops.conv(inputs, self.kernel, padding="same"))


def own_convolution() -> Model:
    return keras.Sequential(
        [keras.Input((16, 16, 8)), OwnConvolution(), layers.Flatten(), layers.Dense(CLASSES)]
    )


class Sorted(layers.Layer):  # type: ignore[misc]
    """The largest numbers of each row, in order: its gradient scatters."""

    def call(self, inputs: Any) -> Any:
        return keras.ops.top_k(keras.ops.sort(inputs, axis=-1), 16)[0]


def tabular() -> Model:
    hidden = [
        (layers.Dense(128), layers.BatchNormalization(), layers.ReLU(), layers.Dropout(0.3))
        for _ in range(2)
    ]
    middle = [layer for each in hidden for layer in each]
    return keras.Sequential([keras.Input((30,)), *middle, layers.Dense(CLASSES)])


FLAT = layers.Flatten()
IMAGE = (16, 16, 8)
SEQUENCE = (32, 16)
KINDS: dict[str, Callable[[], Model]] = {
    "dense": stack((256,), layers.Dense(256, "relu"), layers.Dense(256, "relu")),
    "wide dense": stack((1024,), layers.Dense(2048, "relu"), layers.Dense(1024, "relu")),
    "einsum dense": stack((16, 64), layers.EinsumDense("abc,cd->abd", (16, 64), "relu"), FLAT),
    "conv1d": stack(SEQUENCE, layers.Conv1D(32, 3, activation="relu"), layers.Conv1D(32, 3), FLAT),
    "conv2d": stack(
        (28, 28, 1), layers.Conv2D(32, 3), layers.MaxPooling2D(), layers.Conv2D(64, 3), FLAT
    ),
    "conv2d, strides": stack(
        IMAGE, layers.Conv2D(16, 3, 2, "same"), layers.Conv2D(32, 3, 2, "same"), FLAT
    ),
    "conv2d, dilated": stack(IMAGE, layers.Conv2D(16, 3, dilation_rate=2), FLAT),
    "conv2d, groups": stack(IMAGE, layers.Conv2D(16, 3, groups=4), FLAT),
    "conv2d, 1 x 1": stack(IMAGE, layers.Conv2D(32, 1), layers.Conv2D(16, 1), FLAT),
    "conv2d, normalized": stack(
        IMAGE, layers.Conv2D(16, 3), layers.BatchNormalization(), layers.Conv2D(16, 3), FLAT
    ),
    "conv3d": stack((8, 8, 8, 4), layers.Conv3D(8, 3), layers.Conv3D(8, 3), FLAT),
    "conv1d transposed": stack(SEQUENCE, layers.Conv1DTranspose(16, 3, 2), FLAT),
    "conv2d transposed": stack((8, 8, 8), layers.Conv2DTranspose(16, 3, 2), FLAT),
    "conv3d transposed": stack((4, 4, 4, 4), layers.Conv3DTranspose(8, 3, 2), FLAT),
    "depthwise 1d": stack(SEQUENCE, layers.DepthwiseConv1D(3), FLAT),
    "depthwise 2d": stack(IMAGE, layers.DepthwiseConv2D(3), FLAT),
    "separable 1d": stack(SEQUENCE, layers.SeparableConv1D(32, 3), FLAT),
    "separable 2d": stack(IMAGE, layers.SeparableConv2D(32, 3), FLAT),
    "own convolution": own_convolution,
    "max pooling": stack(
        IMAGE, layers.MaxPooling2D(), layers.MaxPooling2D(3, 1), FLAT, layers.Dense(64)
    ),
    "average pooling": stack(
        IMAGE, layers.AveragePooling2D(2), layers.AveragePooling2D(3, 1), FLAT, layers.Dense(64)
    ),
    "upsampling": stack(IMAGE, layers.UpSampling2D(interpolation="bilinear"), FLAT),
    "simple rnn": stack(SEQUENCE, layers.SimpleRNN(32)),
    "lstm": stack(SEQUENCE, layers.LSTM(32)),
    "gru": stack(SEQUENCE, layers.GRU(32)),
    "bidirectional": stack(SEQUENCE, layers.Bidirectional(layers.LSTM(32))),
    "conv lstm": stack((4, 8, 8, 4), layers.ConvLSTM2D(8, 3), FLAT),
    "time distributed": stack(
        (4, 12, 12, 4), layers.TimeDistributed(layers.Conv2D(8, 3, activation="relu")), FLAT
    ),
    "attention": attention,
    "resizing": stack(IMAGE, layers.Resizing(24, 24), layers.MaxPooling2D(2), FLAT),
    "global pooling": stack(IMAGE, layers.Dense(32), layers.GlobalMaxPooling2D()),
    "sorting": stack((256,), layers.Dense(64), Sorted()),
    "tabular": tabular,
    "embedding": stack((32,), layers.Embedding(1000, 32), FLAT, layers.Dense(64)),
    "embedding, large": stack((32,), layers.Embedding(20_000, 64), FLAT, layers.Dense(64)),
    "embedding, gru": stack((32,), layers.Embedding(20_000, 32), layers.GRU(32)),
    "normalizations": stack(
        (16, 64), layers.LayerNormalization(), layers.BatchNormalization(), FLAT, layers.Dense(64)
    ),
    "dropout": stack((256,), layers.Dense(256), layers.Dropout(0.3), layers.Dense(256)),
}


def compiled(kind: str, **options: Any) -> Model:
    keras.utils.set_random_seed(0)
    model = KINDS[kind]()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], **options)
    return model


def data_of(kind: str, rows: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    shape = (rows, *KINDS[kind]().input_shape[1:])
    words = kind.startswith("embedding")
    x = rng.integers(0, 1000, shape) if words else rng.random(shape, np.float32)
    return x, rng.integers(0, CLASSES, rows)


class Clock(keras.callbacks.Callback):  # type: ignore[misc]
    """Processor seconds of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[float] = []
        self._began = 0.0

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self._began = time.process_time()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.epochs.append(time.process_time() - self._began)

    def step(self, steps: int) -> float:
        """Of the cheapest epoch but the first, which compiles."""
        return min(self.epochs[1:]) / steps


Way = Callable[[str, Any, int, int], float]
"""Processor seconds a step: of a kind, with data, a batch size and a number of epochs."""


def by_fit(**options: Any) -> Way:
    def way(kind: str, data: Any, batch: int, epochs: int) -> float:
        clock, model = Clock(), compiled(kind, **options)
        model.fit(*data, batch_size=batch, epochs=epochs, verbose=0, callbacks=[clock])
        return clock.step(len(data[0]) // batch)

    return way


def fused(kind: str, data: Any, batch: int, epochs: int) -> float:
    from afina.training.fused import Engine, FusedTrainer

    clock, model = Clock(), compiled(kind)
    settings = {"batch_size": batch, "epochs": epochs, "verbose": 0, "callbacks": [clock]}
    FusedTrainer(Engine(one_thread=True)).fit(model, data, settings)
    return clock.step(len(data[0]) // batch)


def fused_on_tensorflow(kind: str, data: Any, batch: int, epochs: int) -> float:
    from afina.training.on_tensorflow import TensorFlowTrainer

    clock, model = Clock(), compiled(kind)
    settings = {"batch_size": batch, "epochs": epochs, "verbose": 0, "callbacks": [clock]}
    TensorFlowTrainer().fit(model, data, settings)
    return clock.step(len(data[0]) // batch)


def fused_as_traced(kind: str, data: Any, batch: int, epochs: int) -> float:
    with convolutions_left_alone():
        return fused(kind, data, batch, epochs)


def whole(train: Callable[..., Any]) -> Way:
    """All of a training of a new model, divided by its steps."""

    def way(kind: str, data: Any, batch: int, epochs: int) -> float:
        began = time.process_time()
        settings = {"batch_size": batch, "epochs": epochs, "verbose": 0, "validation_data": data}
        train(compiled(kind), data, settings)
        return (time.process_time() - began) / (epochs * (len(data[0]) // batch))

    return way


def by_engine(model: Model, data: Any, settings: Any) -> None:
    from afina.training.fused import Engine, FusedTrainer

    FusedTrainer(Engine(one_thread=True)).fit(model, data, settings)


def own_program(kind: str, data: Any, batch: int, epochs: int) -> float:
    """A step at a time, with data and state on the device and nothing in between."""
    import jax

    from afina.training.epochs.reasons import fit_arguments
    from afina.training.fused.data import data_cache
    from afina.training.fused.plan import Plan
    from afina.training.fused.program import ModelState, ProgramFunctions

    model = compiled(kind)
    given = fit_arguments(data, {"batch_size": batch})
    assert isinstance(given, dict)
    samples, _ = data_cache(sparse=False).parts(given)
    samples.batches.build(model)
    functions = ProgramFunctions(model, samples, None, Plan.of(model, samples, None))
    state = ModelState.of(model)
    arrays: Any = (state.trainable, state.non_trainable, state.optimizer, state.metrics)
    leaves = samples.arrays.on(jax.devices()[0])
    step = jax.jit(lambda s, x, places: functions.train_step(s, x, places)[1], donate_argnums=0)
    options = {"xla_cpu_multi_thread_eigen": False}
    places = np.arange(batch, dtype=np.int32)
    program = step.lower(arrays, leaves, places).compile(compiler_options=options)
    steps, spent = len(data[0]) // batch, []
    for _ in range(epochs):
        began = time.process_time()
        for number in range(steps):
            arrays = program(arrays, leaves, places + number * batch)
        jax.block_until_ready(arrays)
        spent.append((time.process_time() - began) / steps)
    return min(spent)


@contextlib.contextmanager
def convolutions_left_alone() -> Iterator[None]:
    from afina.training.fused import convolutions

    known = convolutions.has_convolutions
    convolutions.has_convolutions = lambda closed: False
    try:
        yield
    finally:
        convolutions.has_convolutions = known


def ways_here(as_traced: bool, wholly: bool) -> dict[str, Way]:
    """What is measured on this backend, plain `fit` first."""
    if keras.backend.backend() == "jax" and wholly:
        plain = whole(lambda model, data, settings: model.fit(*data, **settings))
        return {"fit": plain, "fused": whole(by_engine)}
    if keras.backend.backend() == "jax":
        ways: dict[str, Way] = {"fit": by_fit(), "own program": own_program, "fused": fused}
        return {**ways, "as traced": fused_as_traced} if as_traced else ways
    if keras.backend.backend() == "tensorflow":
        return {
            "fit": by_fit(jit_compile=False),
            "jit": by_fit(jit_compile=True),
            "100 steps": by_fit(jit_compile=False, steps_per_execution=100),
            "jit, 100 steps": by_fit(jit_compile=True, steps_per_execution=100),
            "fused": fused_on_tensorflow,
        }
    raise SystemExit("Only JAX and TensorFlow have loops to look at.")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--batches", nargs="*", type=int, default=[32, 256])
    parser.add_argument("--steps", type=int, default=8, help="in an epoch")
    parser.add_argument("--epochs", type=int, default=4, help="the cheapest counts")
    parser.add_argument("--as-traced", action="store_true", help="also leave convolutions alone")
    parser.add_argument("--whole", action="store_true", help="whole trainings, compiling included")
    options = parser.parse_args()
    ways = ways_here(options.as_traced, options.whole)
    if options.whole:  # what Keras and JAX do once in a process counts for nobody
        for way in ways.values():
            way("dense", data_of("dense", 64), 32, 1)
    table = Table("kind", "batch", "fit: ms", *[f"{name}: x" for name in list(ways)[1:]])
    for kind in options.kinds:
        for batch in options.batches:
            data = data_of(kind, batch * options.steps)
            spent: list[float] = []
            for way in ways.values():
                try:
                    spent.append(way(kind, data, batch, options.epochs))
                except Exception as error:
                    spent.append(float("nan"))
                    print(f"{kind}: {type(error).__name__}: {str(error).splitlines()[0]}")
                keras.utils.clear_session()
            ratios = [f"{each / spent[0]:.2f}" for each in spent[1:]]
            table.add_row(kind, str(batch), f"{1e3 * spent[0]:.2f}", *ratios)
            print(kind, batch, f"{1e3 * spent[0]:.2f}", *ratios, flush=True)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
