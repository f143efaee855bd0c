"""Whether a search makes a short training slower than `fit`: new architectures of all kinds.

    KERAS_BACKEND=jax python benchmarks/speed/short.py [--kinds mlp cnn] [--epochs 1 3 10]
    KERAS_BACKEND=tensorflow python benchmarks/speed/short.py --sources arrays stream

Each row is a whole training of an architecture that was not met before, tracing and compiling
included, by plain `fit` and as a search trains it, in turn. The number is the ratio of processor
time: below 1 the search is quicker. The stream is a `PyDataset` that augments at random, so that it
cannot be read into arrays. Nothing was tuned to the kinds in HELD_OUT.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("AFINA_COMPILE_CACHE", "off")

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from afina import training

layers = keras.layers
BATCH = 32
CLASSES = 5
SIZES = {"small": 8, "large": 64}
"""Steps in an epoch."""

_widths = itertools.count(24)


def mlp(width: int) -> list[Any]:
    return [keras.Input((64,)), layers.Dense(width, "relu"), layers.Dense(32, "relu")]


def cnn(width: int) -> list[Any]:
    convolutions = [layers.Conv2D(8, 3, activation="relu"), layers.MaxPooling2D()]
    flat = [layers.Flatten(), layers.Dense(width, "relu")]
    return [keras.Input((16, 16, 1)), *convolutions, *flat]


def gru(width: int) -> list[Any]:
    return [keras.Input((20, 8)), layers.GRU(width)]


def attention(width: int) -> list[Any]:
    inputs = keras.Input((20, 8))
    attended = layers.MultiHeadAttention(2, width)(inputs, inputs)
    return [keras.Model(inputs, layers.GlobalAveragePooling1D()(attended))]


def tabular(width: int) -> list[Any]:
    block = [layers.Dense(width, "relu"), layers.BatchNormalization(), layers.Dropout(0.2)]
    return [keras.Input((30,)), *block, layers.Dense(16, "relu")]


def embedding(width: int) -> list[Any]:
    pooled = layers.GlobalAveragePooling1D()
    return [keras.Input((20,), dtype="int32"), layers.Embedding(500, width), pooled]


def lstm(width: int) -> list[Any]:
    return [keras.Input((20, 8)), layers.Bidirectional(layers.LSTM(width))]


def separable(width: int) -> list[Any]:
    convolved = layers.SeparableConv2D(width, 3, activation="relu")
    return [keras.Input((16, 16, 2)), convolved, layers.GlobalAveragePooling2D()]


def normalized(width: int) -> list[Any]:
    block = [layers.Dense(width, "gelu"), layers.LayerNormalization()]
    return [keras.Input((40,)), *block, layers.GaussianNoise(0.1), layers.Dense(24, "relu")]


TUNED: dict[str, Callable[[int], list[Any]]] = {
    each.__name__: each for each in (mlp, cnn, gru, attention, tabular, embedding)
}
HELD_OUT: dict[str, Callable[[int], list[Any]]] = {
    each.__name__: each for each in (lstm, separable, normalized)
}
KINDS = {**TUNED, **HELD_OUT}


def compiled(kind: str) -> keras.Model:
    """A model whose widths no other training has."""
    parts = [*KINDS[kind](next(_widths)), layers.Dense(CLASSES)]
    model = keras.Sequential(parts)
    optimizer = keras.optimizers.Nadam() if kind == "tabular" else keras.optimizers.Adam()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def data_of(kind: str, steps: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    shape = tuple(compiled(kind).input_shape[1:])
    if kind == "embedding":
        x = rng.integers(0, 500, (steps * BATCH, *shape)).astype("int32")
    else:
        x = rng.normal(size=(steps * BATCH, *shape)).astype("float32")
    return x, rng.integers(0, CLASSES, steps * BATCH)


class Augmented(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches that differ in each pass."""

    def __init__(self, x: Any, y: Any) -> None:
        super().__init__()
        self.x, self.y, self.rng = x, y, np.random.default_rng(1)

    def __len__(self) -> int:
        return len(self.x) // BATCH

    def __getitem__(self, place: int) -> tuple[Any, Any]:
        rows = slice(place * BATCH, (place + 1) * BATCH)
        x = self.x[rows]
        if x.dtype.kind == "f":
            return x + 0.01 * self.rng.normal(size=x.shape).astype("float32"), self.y[rows]
        return np.where(self.rng.random(x.shape) < 0.1, 0, x).astype(x.dtype), self.y[rows]


def seconds(kind: str, data: Any, source: str, epochs: int, *, fits: bool) -> tuple[float, str]:
    """Processor seconds of a whole training, and how it was trained."""
    training.fresh_session()
    x, y = data
    shown = (Augmented(x, y),) if source == "stream" else (x, y)
    given = {"epochs": epochs, "verbose": 0, "validation_data": (x[: 2 * BATCH], y[: 2 * BATCH])}
    if source != "stream":
        given["batch_size"] = BATCH
    account = training.Account(path="fit")
    began = time.process_time()
    model = compiled(kind)
    if fits:
        model.fit(*shown, **given)
    else:
        chooser = training.TrainerChooser("auto", training.Engine(one_thread=True))
        chooser.fit(model, shown, given, account)
    spent = time.process_time() - began
    path = account.path.split(":")[0] + "; ".join(["", *account.choices])
    training.release()
    return spent, path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--epochs", nargs="+", type=int, default=[1, 3, 10])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--sources", nargs="+", choices=["arrays", "stream"], default=["arrays"])
    parser.add_argument("--rounds", type=int, default=1, help="the cheapest one counts")
    parser.add_argument("--output", type=Path, help="JSON file, written after each row")
    options = parser.parse_args()
    backend = keras.backend.backend()
    for source, fits in itertools.product(options.sources, (True, False)):
        seconds("mlp", data_of("mlp", 8), source, 1, fits=fits)  # what happens once in a process
    table = Table("backend", "data", "kind", "steps x epochs", "fit: s", "ratio", "trained by")
    found = []
    cells = itertools.product(options.sources, options.kinds, options.sizes, options.epochs)
    for source, kind, size, epochs in cells:
        data = data_of(kind, SIZES[size])
        spent: dict[bool, list[float]] = {True: [], False: []}
        path = ""
        for number in range(options.rounds):
            for fits in (True, False) if number % 2 == 0 else (False, True):
                took, how = seconds(kind, data, source, epochs, fits=fits)
                spent[fits].append(took)
                path = path if fits else how
        plain, ours = min(spent[True]), min(spent[False])
        name = kind + (" (held out)" if kind in HELD_OUT else "")
        row = [backend, source, name, f"{SIZES[size]} x {epochs}"]
        row += [f"{plain:.2f}", f"{ours / plain:.2f}", path]
        table.add_row(*row)
        found.append(row)
        print(*row, sep=" | ", flush=True)
        if options.output:
            options.output.write_text(json.dumps(found, indent=1), encoding="utf-8")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
