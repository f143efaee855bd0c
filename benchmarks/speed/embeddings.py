"""What deferring the updates of a first layer's embeddings gains, by vocabulary and width.

    KERAS_BACKEND=jax python benchmarks/speed/embeddings.py [--vocabularies 5000 20000] [--dims 32]

Three ways to train the same network from the same seed: plain `fit`, fused epochs that update every
row in every step, and fused epochs that update the rows that a batch reads. It is processor time of
all threads; the cheapest epoch counts. Words are drawn as language has them.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from rich.console import Console
from rich.table import Table
from sparse_layer import without_waiting

from afina.training.fused import Engine, FusedTrainer, deferred, plan


class Clock(keras.callbacks.Callback):  # type: ignore[misc]
    """Processor seconds of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self.began = time.process_time()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.epochs.append(time.process_time() - self.began)


def words(rows: int, length: int, vocabulary: int) -> np.ndarray[Any, Any]:
    """Texts in which the r-th word is there 1/r as often."""
    odds = 1 / np.arange(1, vocabulary + 1)
    drawn = np.random.default_rng(0).choice(vocabulary, (rows, length), p=odds / odds.sum())
    return drawn.astype("int32")


def seconds(x: Any, vocabulary: int, dim: int, batch: int, epochs: int, *, fused: bool) -> float:
    """Of the cheapest epoch but the first, which compiles."""
    keras.utils.set_random_seed(0)
    layers, text = keras.layers, keras.Input(x.shape[1:], dtype="int32")
    middle = [layers.Embedding(vocabulary, dim), layers.GlobalAveragePooling1D()]
    model = keras.Sequential([text, *middle, layers.Dense(46, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    y, clock = np.arange(len(x)) % 46, Clock()
    settings = {"batch_size": batch, "epochs": epochs, "verbose": 0, "callbacks": [clock]}
    if fused:
        FusedTrainer(Engine()).fit(model, (x, y), settings)
    else:
        model.fit(x, y, **settings)
    return min(clock.epochs[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--vocabularies", type=int, nargs="+", default=[2000, 10_000, 50_000])
    parser.add_argument("--dims", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--length", type=int, default=80, help="words in a text")
    parser.add_argument("--batches", type=int, nargs="+", default=[32])
    parser.add_argument("--steps", type=int, default=40, help="in an epoch")
    parser.add_argument("--epochs", type=int, default=4, help="the cheapest counts")
    options = parser.parse_args()
    deferred.LARGEST_SHARE, deferred.LEAST, plan.WORTH = 1.0, 1, 1
    heads = "vocabulary", "dim", "batch", "a batch reads", "fit: ms", "fused: x", "deferred: x"
    table = Table(*heads)
    for vocabulary in options.vocabularies:
        for batch in options.batches:
            x = words(options.steps * batch, options.length, vocabulary)
            parts = np.array_split(x, options.steps)
            read = np.mean([len(np.unique(part)) / vocabulary for part in parts])
            for dim in options.dims:
                given = x, vocabulary, dim, batch, options.epochs
                plain = seconds(*given, fused=False)
                with without_waiting():
                    whole = seconds(*given, fused=True)
                waiting = seconds(*given, fused=True)
                cells = [f"{vocabulary}", f"{dim}", f"{batch}", f"{100 * read:.0f} %"]
                cells.append(f"{1e3 * plain / options.steps:.2f}")
                cells += [f"{each / plain:.2f}" for each in (whole, waiting)]
                print(*cells, flush=True)
                table.add_row(*cells)
    Console().print(table)


if __name__ == "__main__":
    main()
