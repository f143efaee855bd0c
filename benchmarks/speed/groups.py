"""What training several models of one program together gains, by their number.

    python benchmarks/speed/groups.py [--short] [--all-threads]
    python benchmarks/speed/groups.py --kinds mlp cnn gru --widths 1 2 4 8 16 32 64 --minutes 8
    python benchmarks/speed/groups.py ... --rival-python PATH     # with Keras Tuner and TensorFlow

The models are a dense network (784-256-10, Adam), a small CNN and an embedding with a GRU; the data
are noise of that shape: speed does not depend on them. Groups of all sizes take turns, round after
round; the best epoch of each counts, and no new measurement begins after so many minutes. The table
tells a step's milliseconds for the whole group and for each model of it, how many times as fast
that is as one model at a time, what compiling took, and trials a second once all is compiled. With
--rival-python a random search of Keras Tuner on TensorFlow trains the same model beside it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

BATCH = 32
EPOCHS = 3
layers = keras.layers
Data = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def stack(shape: tuple[int, ...], *middle: Callable[[], Any]) -> Callable[[float], keras.Model]:
    """Makes a builder of models for a learning rate."""

    def build(rate: float) -> keras.Model:
        fresh = [make() for make in middle]
        model = keras.Sequential([keras.Input(shape), *fresh, layers.Dense(10)])
        model.compile(
            keras.optimizers.Adam(rate),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return model

    return build


KINDS: dict[str, Callable[[float], keras.Model]] = {
    "mlp": stack((784,), lambda: layers.Dense(256, activation="relu")),
    "cnn": stack(
        (28, 28, 1),
        lambda: layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D,
        lambda: layers.Conv2D(64, 3, activation="relu"),
        layers.GlobalAveragePooling2D,
    ),
    "gru": stack((80,), lambda: layers.Embedding(10_000, 32), lambda: layers.GRU(32)),
}


class Clock(keras.callbacks.Callback):  # type: ignore[misc]
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
    trials_a_second: float = 0.0


def data_of(kind: str, steps: int) -> Data:
    rng, rows = np.random.default_rng(0), steps * BATCH
    shape = (rows, *KINDS[kind](0.1).input_shape[1:])
    x = rng.integers(0, 10_000, shape) if kind == "gru" else rng.random(shape, np.float32)
    return x, rng.integers(0, 10, rows)


def measure(engine: Any, kind: str, width: int, data: Data, row: Row) -> None:
    """Trains a group of so many for a few epochs."""
    from afina.training import fresh_session
    from afina.training.fused.group import Group
    from afina.training.fused.member import GroupMember

    began = time.perf_counter()
    clocks = [Clock() for _ in range(width)]
    members = []
    for seed, clock in enumerate(clocks):
        fresh_session()
        keras.utils.set_random_seed(seed)
        model = KINDS[kind](10 ** -(2 + seed / 64))
        options = {"epochs": EPOCHS, "batch_size": BATCH, "verbose": 0, "callbacks": [clock]}
        members.append(GroupMember(model, data, options))
    group = Group(engine, members)
    group.run()
    assert group.failure is None, group.failure
    row.epoch = min(row.epoch, clocks[0].best())
    compiling = sum(member.account.compile for member in members)
    row.compile = max(row.compile, compiling)
    rate = width / (time.perf_counter() - began - compiling)
    row.trials_a_second = max(row.trials_a_second, rate)


def search(kind: str, steps: int, trials: int) -> None:
    """Keras Tuner's part: prints its trials a second, the first trial apart."""
    import tempfile

    import keras_tuner

    x, y = data_of(kind, steps)
    ends: list[float] = []

    class Noting(keras_tuner.RandomSearch):  # type: ignore[misc]
        def run_trial(self, *args: Any, **kwargs: Any) -> Any:
            result = super().run_trial(*args, **kwargs)
            ends.append(time.perf_counter())
            return result

    def build(hp: Any) -> keras.Model:
        return KINDS[kind](hp.Float("rate", 1e-4, 1e-2, sampling="log"))

    with tempfile.TemporaryDirectory() as folder:
        tuner = Noting(build, "loss", max_trials=trials, directory=folder)
        tuner.search(x, y, epochs=EPOCHS, batch_size=BATCH, verbose=0)
    print(f"{(trials - 1) / (ends[-1] - ends[0]):.3f}")


def show(kind: str, steps: int, rows: dict[int, Row]) -> None:
    print(f"{kind}, {steps} steps of batch {BATCH}")
    print("models   ms/step   ms/step/model   times as fast   compile s   trials/s")
    one = rows[min(rows)].epoch / min(rows)
    for width, row in rows.items():
        if row.epoch < float("inf"):
            whole = 1000 * row.epoch / steps
            gain, each = width * one / row.epoch, whole / width
            text = f"{width:6}{whole:10.3f}{each:16.3f}{gain:16.2f}"
            print(f"{text}{row.compile:12.2f}{row.trials_a_second:11.2f}", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["mlp"])
    parser.add_argument("--widths", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--steps", type=int, default=300, help="in an epoch")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=60, help="begin nothing new after these")
    parser.add_argument("--short", action="store_true", help="a look: few steps, up to 4 models")
    parser.add_argument(
        "--all-threads", action="store_true", help="on a CPU: programs may use all cores"
    )
    parser.add_argument("--rival-python", type=Path, help="has Keras Tuner and TensorFlow")
    parser.add_argument("--search", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if options.short:
        options.steps, options.rounds, options.widths = 50, 1, [1, 2, 4]
    if options.search:
        search(options.kinds[0], options.steps, options.search)
        return
    import jax

    from afina.training.fused import Engine

    began = time.perf_counter()
    engine = Engine(one_thread=not options.all_threads)
    threads = "all threads" if options.all_threads else "one thread on a CPU"
    print(f"{jax.devices()[0].device_kind}, {threads}")
    for number, kind in enumerate(options.kinds, start=1):
        until = began + 60 * options.minutes * number / len(options.kinds)
        data, rows = data_of(kind, options.steps), {width: Row() for width in options.widths}
        for _ in range(options.rounds):
            for width, row in rows.items():
                if time.perf_counter() < until:
                    measure(engine, kind, width, data, row)
        show(kind, options.steps, rows)
        if options.rival_python:
            command = [options.rival_python, __file__, "--kinds", kind, "--search", "6"]
            command += ["--steps", str(options.steps)]
            environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            told = (done.stdout.split() or done.stderr.splitlines()[-1:] or ["nothing"])[-1]
            print(f"Keras Tuner on TensorFlow: {told} trials/s", flush=True)


if __name__ == "__main__":
    main()
