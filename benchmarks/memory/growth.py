"""How much memory a search over many architectures keeps, trial by trial.

    python benchmarks/memory/growth.py --trials 120 --widths many --release by-growth

Each trial is a small network (384 rows, two hidden layers of 32 to 512 units, 3 epochs) trained
as the tuners do. Printed: resident memory and seconds at intervals, and the growth a trial
between trial 20 and the last.
"""

from __future__ import annotations

import argparse
import gc
import os
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

from afina.training import release, resident_bytes, watch_execution
from afina.training.memory import clear_programs, trim_heap
from afina.training.session import fresh_session
from afina.trials import Objective

MB = 2**20
ROWS, FEATURES, CLASSES = 384, 20, 10


def build(units: int) -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((FEATURES,)),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def clean(how: str) -> None:
    """What happens between trials: as tuners do by default, on each trial, or never."""
    if how == "by-growth":
        release()
        return
    fresh_session()
    gc.collect()
    if how == "each-trial":
        clear_programs()
        gc.collect()
        trim_heap()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=120)
    parser.add_argument("--widths", choices=["many", "one"], default="many")
    parser.add_argument(
        "--release", choices=["by-growth", "each-trial", "never"], default="by-growth"
    )
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, FEATURES)).astype("float32")
    y = rng.integers(0, CLASSES, ROWS)
    widths = rng.integers(32, 513, options.trials) if options.widths == "many" else None
    sizes: list[float] = []
    started = time.perf_counter()
    for number in range(options.trials):
        units = 128 if widths is None else int(widths[number])
        watch_execution(
            lambda callbacks, units=units: build(units).fit(  # type: ignore[misc]
                x, y, epochs=3, validation_split=0.25, verbose=0, callbacks=callbacks
            ),
            objective=Objective("val_loss", "min"),
            seed=number,
        )
        clean(options.release)
        sizes.append((resident_bytes() or 0) / MB)
        if (number + 1) % 10 == 0:
            seconds = time.perf_counter() - started
            print(f"{number + 1:4d} trials {sizes[-1]:8.1f} MB {seconds:8.1f} s", flush=True)
    late = sizes[20:]
    if len(late) > 1:
        slope = np.polyfit(range(len(late)), late, 1)[0]
        ends = (late[-1] - late[0]) / (len(late) - 1)
        print(f"growth a trial from trial 20: {ends:.2f} MB end to end, {slope:.2f} MB fitted")


if __name__ == "__main__":
    main()
