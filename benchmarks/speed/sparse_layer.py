"""When a first layer gains from its inputs being nearly all zero: three ways to train it.

    KERAS_BACKEND=jax python benchmarks/speed/sparse_layer.py [--shares 0.002 0.01 0.02]

Multiplying by every number; gathering the kernel's rows and updating all of them in every step;
gathering them and letting the others wait. Words are drawn as language has them, a few often and
most of them seldom. Each way trains the same network from the same seed in one thread; the
quickest epoch counts, and only ratios are worth anything.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from dispatch import Clock
from rich.console import Console
from rich.table import Table

from afina.training.fused import Engine, FusedTrainer, deferred, sparse

BATCH = 32


def texts(rows: int, columns: int, share: float) -> np.ndarray[Any, Any]:
    """Rows of zeros and ones, of which this share is 1; the r-th word is there 1/r as often."""
    rng = np.random.default_rng(0)
    odds = 1 / np.arange(1, columns + 1)
    low, high = 0.0, columns * 10.0
    for _ in range(60):  # the factor with which the share comes out
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(1, middle * odds).mean() < share else (low, middle)
    return (rng.random((rows, columns)) < np.minimum(0.95, high * odds)).astype("float32")


@contextmanager
def without_waiting() -> Iterator[None]:
    """Within, every row is updated in every step."""
    least, deferred.LEAST = deferred.LEAST, 2**62
    try:
        yield
    finally:
        deferred.LEAST = least


def seconds(engine: Engine, x: Any, units: int, epochs: int) -> float:
    """Of the quickest epoch."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(units, "relu"), keras.layers.Dense(46, "softmax")]
    model = keras.Sequential([keras.Input(x.shape[1:]), *layers])
    model.compile("adam", "sparse_categorical_crossentropy")
    y, clock = np.arange(len(x)) % 46, Clock()
    settings = {"batch_size": BATCH, "epochs": epochs, "verbose": 0, "callbacks": [clock]}
    FusedTrainer(engine).fit(model, (x, y), settings)
    return min(clock.epochs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.002, 0.005, 0.01, 0.02, 0.04])
    parser.add_argument("--columns", type=int, default=10_000)
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--steps", type=int, default=100, help="in an epoch")
    parser.add_argument("--epochs", type=int, default=5, help="the quickest counts")
    options = parser.parse_args()
    sparse.DENSEST = deferred.LARGEST_SHARE = 1.0  # all ways at all shares
    title = "How many times as fast as multiplying by every number"
    columns = "share not zero", "rows a batch names", "gathered", "gathered, others waiting"
    table = Table(*columns, title=title)
    for share in options.shares:
        x = texts(options.steps * BATCH, options.columns, share)
        with without_waiting():
            whole = seconds(Engine(sparse=False), x, options.units, options.epochs)
            gathered = seconds(Engine(), x, options.units, options.epochs)
        waiting = seconds(Engine(), x, options.units, options.epochs)
        named = np.mean([part.any(axis=0).mean() for part in np.array_split(x, options.steps)])
        ratios = (f"{whole / each:.2f}" for each in (gathered, waiting))
        table.add_row(f"{100 * x.mean():.1f} %", f"{100 * named:.0f} %", *ratios)
    Console().print(table)


if __name__ == "__main__":
    main()
