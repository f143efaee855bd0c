"""What training several models of one program together gains, by their number.

    python benchmarks/speed/groups.py [--short] [--all-threads]

The model is the Fashion-MNIST search's (784-256-10, Adam, batches of 32), the data are noise of
that shape: speed does not depend on them. Groups of all sizes take turns, round after round; the
best epoch of each counts. The table tells a step's milliseconds for the whole group and for each
model of it, how many times as fast that is as one model at a time, and what compiling took.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np

from afina.training import fresh_session
from afina.training.fused import Engine
from afina.training.fused.group import Group
from afina.training.fused.member import GroupMember

BATCH = 32
layers = keras.layers


class Clock(keras.callbacks.Callback):
    """Notes when epochs end."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.ends.append(time.perf_counter())

    def best(self) -> float:
        """Seconds of the quickest epoch but the first."""
        return float(np.diff(self.ends).min())


@dataclass
class Row:
    """What was found for one width."""

    epoch: float = float("inf")
    compile: float = 0.0


def build(rate: float) -> keras.Model:
    model = keras.Sequential(
        [keras.Input((784,)), layers.Dense(256, activation="relu"), layers.Dense(10)]
    )
    model.compile(
        keras.optimizers.Adam(rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def data_of(steps: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((steps * BATCH, 784), np.float32), rng.integers(0, 10, steps * BATCH)


def measure(engine: Engine, width: int, data: tuple[np.ndarray, np.ndarray], row: Row) -> None:
    """Trains a group of so many for three epochs."""
    clocks = [Clock() for _ in range(width)]
    members = []
    for seed, clock in enumerate(clocks):
        fresh_session()
        keras.utils.set_random_seed(seed)
        model = build(10 ** -(2 + seed / 8))
        options = {"epochs": 3, "batch_size": BATCH, "verbose": 0, "callbacks": [clock]}
        members.append(GroupMember(model, data, options))
    group = Group(engine, members)
    group.run()
    assert group.failure is None, group.failure
    row.epoch = min(row.epoch, clocks[0].best())
    row.compile = max(row.compile, sum(member.account.compile for member in members))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="a look: few steps, up to 4 models")
    parser.add_argument(
        "--all-threads", action="store_true", help="on a CPU: programs may use all cores"
    )
    arguments = parser.parse_args()
    steps, rounds, widths = (50, 1, (1, 2, 4)) if arguments.short else (300, 3, (1, 2, 4, 8))
    engine = Engine(one_thread=not arguments.all_threads)
    data, rows = data_of(steps), {width: Row() for width in widths}
    for _ in range(rounds):
        for width, row in rows.items():
            measure(engine, width, data, row)
    threads = "all threads" if arguments.all_threads else "one thread on a CPU"
    print(f"{jax.devices()[0].device_kind}, {threads}, {steps} steps of batch {BATCH}")
    print("models   ms/step   ms/step/model   times as fast   compile s")
    for width, row in rows.items():
        whole = 1000 * row.epoch / steps
        gain = width * rows[1].epoch / row.epoch
        each = whole / width
        print(f"{width:6}{whole:10.3f}{each:16.3f}{gain:16.2f}{row.compile:12.2f}")


if __name__ == "__main__":
    main()
